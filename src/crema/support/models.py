"""Tables of the support chat. Messages are never changed, and deleted only when a customer's data are erased."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    SQLColumnExpression,
    String,
    UniqueConstraint,
    case,
    exists,
    func,
    literal_column,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from crema.accounts import queries as accounts
from crema.accounts.models import User
from crema.db.base import Base, Created, Id, Updated, trigram_index
from crema.db.changes import ChangedIn
from crema.support.domain import MAX_TEXT, SUPPORT, ConversationStatus

_STATUSES = ", ".join(f"'{status}'" for status in ConversationStatus)


def may_answer(user_id: SQLColumnExpression[Any], *, shop_id: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    """Return the condition that a person may answer customers, for this shop or for the whole chain.

    It reads their account, role and shops each time, so that nothing has to be written when these change.
    """
    return exists().where(User.id == user_id, accounts.may(SUPPORT), accounts.serves(shop_id)).correlate_except(User)


class Conversation(Base):
    """All messages between a customer and the chain. A customer has one conversation, which is never deleted.

    Adding a message and marking messages as read lock the row, so that `last_seq` and the counters are always right.
    `waiting_since` is the time of the customer's oldest unanswered message. Messages up to `mailed_seq` are not
    mailed: they are answers that were mailed already, or the customer's own messages.
    `changed_in` is the id of the transaction that wrote the row last. The live feeds resume by it.

    `assigned_to_id` is the person it was assigned to, `assigned_shop_id` the shop they answer for, if they don't serve
    the whole chain. `assigned_to` is that person while they may answer customers: it is computed at each read.
    `customer_left_at` is when the customer deleted their account: nothing may be added after that.
    """

    __tablename__ = "conversations"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", "status"),
        CheckConstraint("customer_read_seq <= last_seq AND staff_read_seq <= last_seq", "read"),
        CheckConstraint("unread_by_customer >= 0 AND unread_by_staff >= 0", "unread"),
    )

    id: Mapped[Id]
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"), unique=True)
    shop_id: Mapped[UUID | None] = mapped_column(ForeignKey("shops.id", ondelete="SET NULL"))
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id", ondelete="SET NULL"))
    status: Mapped[str] = mapped_column(String(20), server_default="open")
    assigned_to_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    assigned_shop_id: Mapped[UUID | None] = mapped_column(ForeignKey("shops.id", ondelete="SET NULL"))
    assigned_to: Mapped[UUID | None] = column_property(
        case((may_answer(assigned_to_id, shop_id=assigned_shop_id), assigned_to_id)), expire_on_flush=False
    )
    last_seq: Mapped[int] = mapped_column(server_default="0")
    customer_read_seq: Mapped[int] = mapped_column(server_default="0")
    staff_read_seq: Mapped[int] = mapped_column(server_default="0")
    unread_by_customer: Mapped[int] = mapped_column(server_default="0")
    unread_by_staff: Mapped[int] = mapped_column(server_default="0")
    waiting_since: Mapped[datetime | None]
    mailed_seq: Mapped[int] = mapped_column(server_default="0")
    note_count: Mapped[int] = mapped_column(server_default="0")
    customer_left_at: Mapped[datetime | None]
    last_message_at: Mapped[Created]
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]
    changed_in: Mapped[ChangedIn]

    customer: Mapped[User] = relationship(lazy="raise", foreign_keys=customer_id)
    assigned_person: Mapped[User | None] = relationship(lazy="raise", foreign_keys=assigned_to_id)
    answerers: Mapped[list["Answerer"]] = relationship(lazy="raise", viewonly=True)
    last_message: Mapped["Message | None"] = relationship(
        lazy="raise",
        viewonly=True,
        uselist=False,
        primaryjoin="and_(Message.conversation_id == Conversation.id, foreign(Message.seq) == Conversation.last_seq)",
    )

    @property
    def assignee(self) -> User | None:
        """The assigned person, while they may answer customers."""
        return self.assigned_person if self.assigned_to else None


class Answerer(Base):
    """Link between an unresolved conversation and a person who has answered it, with the shop they did it for.

    They still see it when its customer turns to another shop. People who serve the whole chain need no row.
    """

    __tablename__ = "conversation_answerers"

    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), index=True)


class Attachment(Base):
    """A picture or PDF uploaded to a conversation. The file is in the media store under `key`."""

    __tablename__ = "attachments"
    __table_args__ = (CheckConstraint("size > 0", "size"),)

    id: Mapped[Id]
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="RESTRICT"), index=True)
    uploader_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"), index=True)
    key: Mapped[str] = mapped_column(String(60), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    content_type: Mapped[str] = mapped_column(String(60))
    size: Mapped[int]
    width: Mapped[int | None]
    height: Mapped[int | None]
    created_at: Mapped[Created] = mapped_column(index=True)

    @property
    def url(self) -> str:
        """The path of the file. Fetching it needs a login that may see the conversation."""
        return f"/chat/{self.conversation_id}/attachment/{self.id}"


class Note(Base):
    """A note of the staff about a conversation. The customer never sees it.

    It belongs to the shop it was written for, also when the customer turns to another shop. Without a shop it belongs
    to the staff of the whole chain.
    """

    __tablename__ = "notes"
    __table_args__ = (
        CheckConstraint(f"length(text) BETWEEN 1 AND {MAX_TEXT}", "text"),
        Index("ix_notes_conversation_id_created_at", "conversation_id", "created_at"),
    )

    id: Mapped[Id]
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="RESTRICT"))
    author_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"), index=True)
    author_role: Mapped[str] = mapped_column(String(60))
    shop_id: Mapped[UUID | None] = mapped_column(ForeignKey("shops.id", ondelete="SET NULL"), index=True)
    text: Mapped[str]
    created_at: Mapped[Created]

    writer: Mapped[User] = relationship(lazy="raise")

    @property
    def author(self) -> dict[str, Any]:
        """The author, with the role they had then."""
        return {"id": self.author_id, "name": self.writer.name, "role": self.author_role}


class Message(Base):
    """One message. `seq` counts from 1 without gaps in each conversation; `client_id` is chosen by the client.

    `changed_in` is the id of the transaction that wrote it.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("conversation_id", "seq"),
        UniqueConstraint("conversation_id", "author_id", "client_id"),
        CheckConstraint(f"length(text) <= {MAX_TEXT} AND (text <> '' OR attachment_id IS NOT NULL)", "text"),
    )

    id: Mapped[Id]
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="RESTRICT"))
    seq: Mapped[int]
    client_id: Mapped[str] = mapped_column(String(64))
    author_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"), index=True)
    author_role: Mapped[str] = mapped_column(String(60))
    is_from_customer: Mapped[bool]
    text: Mapped[str]
    attachment_id: Mapped[UUID | None] = mapped_column(ForeignKey("attachments.id", ondelete="RESTRICT"), unique=True)
    created_at: Mapped[Created]
    changed_in: Mapped[ChangedIn]

    writer: Mapped[User] = relationship(lazy="raise")
    attachment: Mapped[Attachment | None] = relationship(lazy="raise")

    @property
    def author(self) -> dict[str, Any]:
        """The author, with the role they had then."""
        return {"id": self.author_id, "name": self.writer.name, "role": self.author_role}


# Waiting conversations first, the longest waiting at the top, then the answered ones.
WAITING_ORDER = func.coalesce(
    Conversation.waiting_since, literal_column("'9999-12-31 00:00:00+00'::timestamp with time zone")
)

IS_UNMAILED = (Conversation.unread_by_customer > literal_column("0")) & (
    Conversation.last_seq > Conversation.mailed_seq
)
"""The condition that there may be answers to mail. The 0 is a literal: with a parameter the index couldn't be used."""
Index("ix_conversations_unmailed", Conversation.id, postgresql_where=IS_UNMAILED)
Index("ix_conversations_status_last_message_at_id", Conversation.status, Conversation.last_message_at, Conversation.id)
Index("ix_conversations_shop_id_last_message_at", Conversation.shop_id, Conversation.last_message_at)
Index("ix_conversations_order_id", Conversation.order_id)
Index("ix_conversations_assigned_to_id", Conversation.assigned_to_id)
Index("ix_conversations_assigned_shop_id", Conversation.assigned_shop_id)
Index("ix_conversations_waiting_since", Conversation.waiting_since)
Index("ix_conversations_waiting_order_id", WAITING_ORDER, Conversation.id)
Index("ix_conversations_last_message_at_id", Conversation.last_message_at, Conversation.id)
Index("ix_conversations_created_at_id", Conversation.created_at, Conversation.id)
Index("ix_conversations_updated_at_id", Conversation.updated_at, Conversation.id)
Index("ix_conversations_changed_in", Conversation.changed_in)
Index("ix_messages_changed_in", Message.changed_in)
Index("ix_messages_created_at_id", Message.created_at, Message.id)
trigram_index("ix_messages_text_trgm", Message.text)
trigram_index("ix_notes_text_trgm", Note.text)
