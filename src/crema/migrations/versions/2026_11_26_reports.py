"""Reports find a shop's orders by the moment they are wanted at."""

from alembic import op

revision = "0020_reports"
down_revision = "0019_category_images"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX ix_orders_shop_id_wanted_at ON orders (shop_id, coalesce(pickup_at, created_at))")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
