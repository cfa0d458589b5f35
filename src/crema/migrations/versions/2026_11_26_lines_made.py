"""Orders: lines that are made."""

import sqlalchemy as sa
from alembic import op

revision = "0021_lines_made"
down_revision = "0020_reports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("order_lines", sa.Column("is_made", sa.Boolean(), server_default="false", nullable=False))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
