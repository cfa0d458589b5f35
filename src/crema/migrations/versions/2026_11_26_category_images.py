"""Menu: a category may have a picture."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0019_category_images"
down_revision = "0018_size_prices"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("categories", sa.Column("image_key", sa.String(80), nullable=True))
    op.add_column("categories", sa.Column("image_alt", sa.String(300), nullable=True))
    op.add_column("categories", sa.Column("image_width", sa.Integer(), nullable=True))
    op.add_column("categories", sa.Column("image_height", sa.Integer(), nullable=True))
    op.add_column("categories", sa.Column("image_widths", ARRAY(sa.SmallInteger()), nullable=True))
    op.add_column("categories", sa.Column("image_created_at", sa.DateTime(timezone=True), nullable=True))
    op.create_unique_constraint(op.f("uq_categories_image_key"), "categories", ["image_key"])
    op.create_check_constraint(
        op.f("ck_categories_image"),
        "categories",
        "num_nulls(image_key, image_alt, image_width, image_height, image_widths, image_created_at) IN (0, 6)",
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
