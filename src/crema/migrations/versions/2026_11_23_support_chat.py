"""The support chat."""

import sqlalchemy as sa
from alembic import op

revision = "0003_support_chat"
down_revision = "0002_roles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("shop_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(length=20), server_default="open", nullable=False),
        sa.Column("assigned_to_id", sa.Uuid(), nullable=True),
        sa.Column("last_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("customer_read_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("staff_read_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unread_by_customer", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unread_by_staff", sa.Integer(), server_default="0", nullable=False),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_message_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('open', 'pending', 'resolved')", name=op.f("ck_conversations_status")),
        sa.CheckConstraint(
            "customer_read_seq <= last_seq AND staff_read_seq <= last_seq", name=op.f("ck_conversations_read")
        ),
        sa.CheckConstraint("unread_by_customer >= 0 AND unread_by_staff >= 0", name=op.f("ck_conversations_unread")),
        sa.ForeignKeyConstraint(
            ["assigned_to_id"], ["users.id"], name=op.f("fk_conversations_assigned_to_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["users.id"], name=op.f("fk_conversations_customer_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_conversations_order_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["shop_id"], ["shops.id"], name=op.f("fk_conversations_shop_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
        sa.UniqueConstraint("customer_id", name=op.f("uq_conversations_customer_id")),
    )
    op.create_index("ix_conversations_assigned_to_id", "conversations", ["assigned_to_id"], unique=False)
    op.create_index("ix_conversations_created_at_id", "conversations", ["created_at", "id"], unique=False)
    op.create_index("ix_conversations_last_message_at_id", "conversations", ["last_message_at", "id"], unique=False)
    op.create_index("ix_conversations_order_id", "conversations", ["order_id"], unique=False)
    op.create_index(
        "ix_conversations_shop_id_last_message_at", "conversations", ["shop_id", "last_message_at"], unique=False
    )
    op.create_index(
        "ix_conversations_status_last_message_at_id", "conversations", ["status", "last_message_at", "id"], unique=False
    )
    op.create_index("ix_conversations_updated_at_id", "conversations", ["updated_at", "id"], unique=False)
    op.create_index(
        "ix_conversations_waiting_order_id",
        "conversations",
        [sa.literal_column("coalesce(waiting_since, '9999-12-31 00:00:00+00'::timestamp with time zone)"), "id"],
        unique=False,
    )
    op.create_index("ix_conversations_waiting_since", "conversations", ["waiting_since"], unique=False)
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("author_role", sa.String(length=60), nullable=False),
        sa.Column("is_from_customer", sa.Boolean(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("length(text) BETWEEN 1 AND 2000", name=op.f("ck_messages_text")),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name=op.f("fk_messages_author_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_messages_conversation_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("conversation_id", "client_id", name=op.f("uq_messages_conversation_id_client_id")),
        sa.UniqueConstraint("conversation_id", "seq", name=op.f("uq_messages_conversation_id_seq")),
    )
    op.create_index(op.f("ix_messages_author_id"), "messages", ["author_id"], unique=False)
    op.create_index("ix_messages_created_at_id", "messages", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_messages_text_trgm",
        "messages",
        [sa.literal_column("replace(lower(text), 'ё', 'е')").label("folded")],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"folded": "gin_trgm_ops"},
        postgresql_where=None,
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
