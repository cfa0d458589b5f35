"""Products as stored documents. `crema migrate` writes those that are missing."""

import sqlalchemy as sa
from alembic import op

revision = "0005_product_documents"
down_revision = "0004_live"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "product_documents",
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("shape", sa.String(length=16), nullable=False),
        sa.Column("full", sa.String(), nullable=False),
        sa.Column("public", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_product_documents_product_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_product_documents")),
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
