"""Special days of shops, what their staff say of them, and how soon and how late they take orders.

The lead time of every shop is what it was for all until now: two minutes.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031_shop_days"
down_revision = "0030_events"
branch_labels = None
depends_on = None

_STATUS = {
    "state": "state IN ('open', 'busy', 'paused')",
    "delay": "(state = 'busy') = (delay_minutes IS NOT NULL)",
    "delay_minutes": "delay_minutes BETWEEN 1 AND 240",
    "state_until": "state <> 'open' OR state_until IS NULL",
    "lead_seconds": "lead_seconds BETWEEN 0 AND 86400",
    "last_order_minutes": "last_order_minutes BETWEEN 0 AND 1440",
}


def upgrade() -> None:
    op.add_column("shops", sa.Column("state", sa.String(6), server_default="open", nullable=False))
    op.add_column("shops", sa.Column("delay_minutes", sa.SmallInteger()))
    op.add_column("shops", sa.Column("state_until", sa.DateTime(timezone=True)))
    op.add_column("shops", sa.Column("lead_seconds", sa.Integer(), server_default="120", nullable=False))
    op.add_column("shops", sa.Column("last_order_minutes", sa.SmallInteger(), server_default="0", nullable=False))
    for name, condition in _STATUS.items():
        op.create_check_constraint(op.f(f"ck_shops_{name}"), "shops", condition)
    op.create_table(
        "special_days",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("takes_orders_ahead", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("note", sa.String(200), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["shop_id"], ["shops.id"], name=op.f("fk_special_days_shop_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_special_days")),
        sa.UniqueConstraint("shop_id", "date", name=op.f("uq_special_days_shop_id_date")),
    )
    op.create_index(
        "ix_special_days_note_trgm",
        "special_days",
        [sa.text("replace(lower(note), 'ё', 'е') gin_trgm_ops")],
        postgresql_using="gin",
    )
    op.create_table(
        "special_intervals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("special_day_id", sa.Uuid(), nullable=False),
        sa.Column("opens_minute", sa.SmallInteger(), nullable=False),
        sa.Column("closes_minute", sa.SmallInteger(), nullable=False),
        sa.Column(
            "minutes",
            postgresql.INT4RANGE(),
            sa.Computed("int4range(opens_minute::integer, closes_minute::integer)", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("opens_minute BETWEEN 0 AND 1439", name=op.f("ck_special_intervals_opens_minute")),
        sa.CheckConstraint(
            "closes_minute > opens_minute AND closes_minute <= opens_minute + 1440",
            name=op.f("ck_special_intervals_closes_minute"),
        ),
        postgresql.ExcludeConstraint(
            ("special_day_id", "="), ("minutes", "&&"), name="no_overlap_of_day", using="gist"
        ),
        sa.ForeignKeyConstraint(
            ["special_day_id"],
            ["special_days.id"],
            name=op.f("fk_special_intervals_special_day_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_special_intervals")),
    )
    op.create_index(op.f("ix_special_intervals_special_day_id"), "special_intervals", ["special_day_id"])


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
