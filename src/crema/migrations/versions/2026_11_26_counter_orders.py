"""Orders that staff take at the counter, for people without an account."""

import sqlalchemy as sa
from alembic import op

revision = "0022_counter_orders"
down_revision = "0021_lines_made"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("source", sa.String(length=10), server_default="app", nullable=False))
    op.add_column("orders", sa.Column("customer_name", sa.String(length=40), nullable=True))
    op.alter_column("orders", "user_id", existing_type=sa.Uuid(), nullable=True)
    op.create_check_constraint("source", "orders", "source IN ('app', 'counter')")
    op.create_check_constraint("customer", "orders", "(source = 'app') = (user_id IS NOT NULL)")
    op.create_check_constraint("customer_name", "orders", "(source = 'counter') = (customer_name IS NOT NULL)")
    op.create_index("ix_orders_source", "orders", ["source"])
    op.create_index(
        "ix_orders_customer_name_to_erase",
        "orders",
        ["created_at"],
        postgresql_where=sa.text("customer_name != ''"),
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
