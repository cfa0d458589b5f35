"""The texts of products, for a search that looks through all of them. `crema migrate` fills them: the shape is new."""

import sqlalchemy as sa
from alembic import op

revision = "0028_search_texts"
down_revision = "0027_trade"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("search_text", "public_search_text"):
        op.add_column("product_documents", sa.Column(name, sa.Text(), server_default="", nullable=False))
        op.create_index(
            f"ix_product_documents_{name}_trgm",
            "product_documents",
            [sa.text(f"replace(lower({name}), 'ё', 'е') gin_trgm_ops")],
            postgresql_using="gin",
        )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
