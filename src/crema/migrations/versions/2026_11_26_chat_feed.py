"""What the live feed of conversations resumes by: the transaction that wrote each conversation and message."""

import sqlalchemy as sa
from alembic import op

revision = "0013_chat_feed"
down_revision = "0012_pairs_and_role_names"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("conversations", "messages"):
        op.add_column(table, sa.Column("changed_in", sa.BigInteger(), server_default="0", nullable=False))
        op.create_index(f"ix_{table}_changed_in", table, ["changed_in"])


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
