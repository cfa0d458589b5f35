"""Indexes for the worker's jobs: what is unmailed in the chat, and which logins are over or go on.

`mailed_seq` now passes over what needs no mail: what the customer said after the last answer that was mailed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0029_light_jobs"
down_revision = "0028_search_texts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE conversations SET mailed_seq = last_seq WHERE unread_by_customer > 0 AND last_seq > mailed_seq"
        " AND NOT EXISTS (SELECT FROM messages WHERE conversation_id = conversations.id AND NOT is_from_customer"
        " AND seq > greatest(customer_read_seq, mailed_seq))"
    )
    op.drop_index("ix_conversations_unread_by_customer", table_name="conversations")
    op.create_index(
        "ix_conversations_unmailed",
        "conversations",
        ["id"],
        postgresql_where=sa.text("unread_by_customer > 0 AND last_seq > mailed_seq"),
    )
    op.create_index("ix_sessions_over_at", "sessions", [sa.text("least(ended_at, expires_at)")])
    op.create_index(
        "ix_sessions_user_id_not_ended", "sessions", ["user_id"], postgresql_where=sa.text("ended_at IS NULL")
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
