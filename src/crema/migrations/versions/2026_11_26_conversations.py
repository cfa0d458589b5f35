"""Who counts as assigned, who has answered, whose notes are whose, and when the deleted are erased.

Notes that exist become those of the shop their conversation is about. Somebody who is assigned works for the
conversation's shop if they are tied to it, else for one of their own. Customers deleted before leave the queue.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014_conversations"
down_revision = "0013_chat_feed"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_users_to_erase",
        "users",
        ["deleted_at"],
        postgresql_where=sa.text("deleted_at IS NOT NULL AND erased_at IS NULL"),
    )

    op.create_table(
        "conversation_answerers",
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("shop_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_conversation_answerers_conversation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_conversation_answerers_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["shop_id"], ["shops.id"], name=op.f("fk_conversation_answerers_shop_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("conversation_id", "user_id", name=op.f("pk_conversation_answerers")),
    )
    op.create_index(op.f("ix_conversation_answerers_user_id"), "conversation_answerers", ["user_id"])
    op.create_index(op.f("ix_conversation_answerers_shop_id"), "conversation_answerers", ["shop_id"])

    op.add_column("conversations", sa.Column("assigned_shop_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_conversations_assigned_shop_id"),
        "conversations",
        "shops",
        ["assigned_shop_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index("ix_conversations_assigned_shop_id", "conversations", ["assigned_shop_id"])
    op.add_column("conversations", sa.Column("customer_left_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        """UPDATE conversations SET assigned_shop_id = (
               SELECT staff_shops.shop_id FROM staff_shops WHERE staff_shops.user_id = conversations.assigned_to_id
               ORDER BY staff_shops.shop_id <> conversations.shop_id, staff_shops.shop_id LIMIT 1)
           WHERE assigned_to_id IS NOT NULL"""
    )
    op.execute(
        """UPDATE conversations SET customer_left_at = users.deleted_at, status = 'resolved', waiting_since = NULL,
                                    assigned_to_id = NULL, assigned_shop_id = NULL,
                                    unread_by_customer = 0, unread_by_staff = 0
           FROM users WHERE users.id = conversations.customer_id AND users.deleted_at IS NOT NULL"""
    )

    op.add_column("notes", sa.Column("shop_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("fk_notes_shop_id"), "notes", "shops", ["shop_id"], ["id"], ondelete="SET NULL")
    op.create_index(op.f("ix_notes_shop_id"), "notes", ["shop_id"])
    op.execute(
        """UPDATE notes SET shop_id = conversations.shop_id
           FROM conversations WHERE conversations.id = notes.conversation_id"""
    )

    op.drop_constraint(op.f("uq_messages_conversation_id_client_id"), "messages", type_="unique")
    op.create_unique_constraint(
        op.f("uq_messages_conversation_id_author_id_client_id"),
        "messages",
        ["conversation_id", "author_id", "client_id"],
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
