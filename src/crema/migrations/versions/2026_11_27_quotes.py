"""The quote that an order was placed by: each is good for one order."""

import sqlalchemy as sa
from alembic import op

revision = "0035_quotes"
down_revision = "0034_slots"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("quote_id", sa.Uuid()))
    op.create_unique_constraint(op.f("uq_orders_quote_id"), "orders", ["quote_id"])


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
