"""An index for the search over the staff's notes."""

import sqlalchemy as sa
from alembic import op

revision = "0027_trade"
down_revision = "0026_http"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_notes_text_trgm",
        "notes",
        [sa.literal_column("replace(lower(text), 'ё', 'е')").label("folded")],
        postgresql_using="gin",
        postgresql_ops={"folded": "gin_trgm_ops"},
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
