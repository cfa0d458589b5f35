"""What pricing needs of a product, beside what a menu shows. `crema migrate` fills it: the shape is new."""

import sqlalchemy as sa
from alembic import op

revision = "0032_product_pricing"
down_revision = "0031_shop_days"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("product_documents", sa.Column("pricing", sa.LargeBinary(), server_default="", nullable=False))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
