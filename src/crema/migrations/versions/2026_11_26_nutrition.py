"""Menu: the nutrition of sizes, and what a piece of an option adds, also by the size's name."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0023_nutrition"
down_revision = "0022_counter_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("sizes", "options"):
        op.add_column(table, sa.Column("nutrition", JSONB(none_as_null=True), nullable=True))
        op.create_check_constraint(op.f(f"ck_{table}_nutrition"), table, "jsonb_typeof(nutrition) = 'object'")
    op.add_column("options", sa.Column("size_nutrition", JSONB(), server_default="[]", nullable=False))
    op.create_check_constraint(op.f("ck_options_size_nutrition"), "options", "jsonb_typeof(size_nutrition) = 'array'")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
