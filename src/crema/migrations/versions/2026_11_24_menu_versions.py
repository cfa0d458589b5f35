"""The menu's version, by which processes know that the one they keep is still current."""

import sqlalchemy as sa
from alembic import op

revision = "0006_menu_versions"
down_revision = "0005_product_documents"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "menu_versions",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Uuid(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_menu_versions_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_menu_versions")),
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
