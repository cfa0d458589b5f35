"""Capacity of shops, what orders have booked of it, and when an order has to be begun.

An order that is there already is to be begun when it is promised, less the work of its lines.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034_slots"
down_revision = "0033_offers"
branch_labels = None
depends_on = None

_START_AT = """
    UPDATE orders SET changed_in = orders.changed_in, start_at = ready_estimate_at - make_interval(secs => (
        SELECT coalesce(sum(preparation_seconds * quantity), 0) FROM order_lines WHERE order_id = orders.id
    ))
"""


def upgrade() -> None:
    op.add_column("shops", sa.Column("slot_minutes", sa.SmallInteger(), server_default="10", nullable=False))
    op.add_column("shops", sa.Column("seconds_per_slot", sa.Integer()))
    op.add_column("shops", sa.Column("capacity_exceptions", postgresql.JSONB(), server_default="[]", nullable=False))
    op.add_column("shops", sa.Column("auto_accept", sa.Boolean(), server_default="false", nullable=False))
    op.create_check_constraint(op.f("ck_shops_slot_minutes"), "shops", "slot_minutes IN (5, 10, 15, 20, 30, 60)")
    op.create_check_constraint(op.f("ck_shops_seconds_per_slot"), "shops", "seconds_per_slot BETWEEN 0 AND 100000")
    op.create_table(
        "work_slots",
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_seconds", sa.Integer(), nullable=False),
        sa.CheckConstraint("used_seconds >= 0", name=op.f("ck_work_slots_used_seconds")),
        sa.ForeignKeyConstraint(["shop_id"], ["shops.id"], name=op.f("fk_work_slots_shop_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("shop_id", "starts_at", name=op.f("pk_work_slots")),
    )
    op.create_table(
        "slot_bookings",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.CheckConstraint("seconds > 0", name=op.f("ck_slot_bookings_seconds")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_slot_bookings_order_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["shop_id", "starts_at"],
            ["work_slots.shop_id", "work_slots.starts_at"],
            name=op.f("fk_slot_bookings_shop_id_starts_at"),
        ),
        sa.PrimaryKeyConstraint("order_id", "starts_at", name=op.f("pk_slot_bookings")),
    )
    op.create_index("ix_slot_bookings_shop_id_starts_at", "slot_bookings", ["shop_id", "starts_at"])
    op.add_column("orders", sa.Column("start_at", sa.DateTime(timezone=True)))
    op.execute(_START_AT)
    op.alter_column("orders", "start_at", nullable=False)
    op.create_index("ix_orders_start_at_id", "orders", ["start_at", "id"])


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
