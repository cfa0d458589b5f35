"""Menu: what an option costs in a size, price deltas below zero, and a group's free quantity by product."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018_size_prices"
down_revision = "0017_menu_order"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_options_price_delta"), "options", type_="check")
    op.drop_constraint(op.f("ck_sizes_price_delta"), "sizes", type_="check")
    op.add_column("options", sa.Column("size_prices", JSONB(), server_default="[]", nullable=False))
    op.create_check_constraint(op.f("ck_options_size_prices"), "options", "jsonb_typeof(size_prices) = 'array'")
    op.add_column("product_modifier_groups", sa.Column("free_quantity", sa.SmallInteger(), nullable=True))
    op.create_check_constraint(
        op.f("ck_product_modifier_groups_free_quantity"), "product_modifier_groups", "free_quantity BETWEEN 0 AND 50"
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
