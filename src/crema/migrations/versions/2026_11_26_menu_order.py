"""Menu: what is hidden, the order under a category, and what a product contains as it was configured."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT

revision = "0017_menu_order"
down_revision = "0016_mail_delivery"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("categories", sa.Column("is_on_menu", sa.Boolean(), server_default="true", nullable=False))
    op.execute(
        """
        WITH RECURSIVE tree (id, is_on_menu) AS (
            SELECT id, is_active FROM categories WHERE parent_id IS NULL
            UNION ALL
            SELECT categories.id, tree.is_on_menu AND categories.is_active
            FROM categories JOIN tree ON categories.parent_id = tree.id
        )
        UPDATE categories SET is_on_menu = tree.is_on_menu FROM tree WHERE categories.id = tree.id
        """
    )
    op.create_index("ix_categories_is_on_menu", "categories", ["is_on_menu", "id"])
    # Until now the position was the order in which products were put there, which nobody chose.
    op.alter_column("product_categories", "position", nullable=True, server_default=None)
    op.execute("UPDATE product_categories SET position = NULL")
    op.create_index(
        "ix_product_documents_public",
        "product_documents",
        ["product_id"],
        postgresql_where=sa.text("public IS NOT NULL"),
    )
    op.add_column("products", sa.Column("allergens_always", ARRAY(TEXT), nullable=True))
    op.add_column("product_documents", sa.Column("can_be_without", ARRAY(TEXT), server_default="{}", nullable=False))
    op.create_index(
        "ix_product_documents_can_be_without", "product_documents", ["can_be_without"], postgresql_using="gin"
    )
    op.add_column("order_lines", sa.Column("contents", JSONB(none_as_null=True), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
