"""The event log, and the position of the consumer that mails about orders."""

import sqlalchemy as sa
from alembic import op

revision = "0030_events"
down_revision = "0029_light_jobs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("data", sa.dialects.postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_transaction", "events", ["transaction", "id"])
    op.create_index("ix_events_created_at", "events", ["created_at"])
    op.create_table(
        "event_consumers",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("transaction", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("handled_ids", sa.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_event_consumers"),
    )
    op.execute("INSERT INTO event_consumers (name) VALUES ('order_mails')")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
