"""Answers kept under an Idempotency-Key keep their tag, too."""

import sqlalchemy as sa
from alembic import op

revision = "0025_http"
down_revision = "0022_counter_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("idempotency_records", sa.Column("etag", sa.String(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
