"""Tables of the support chat. Messages are only ever added, until their customer's data are erased."""

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
from crema.db.base import Base, Created, Id, Updated, trigrams
from crema.db.changes import ChangedIn
from crema.support.domain import MAX_TEXT, SUPPORT, ConversationStatus

_STATUSES = ", ".join(f"'{status}'" for status in ConversationStatus)


def may_answer(user_id: SQLColumnExpression[Any], *, shop_id: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    """Whether a person may answer customers, for this shop or for the whole chain.

    Their login, role and shops are asked at each read, so that nothing has to be written when they change.
    """
    return exists().where(User.id == user_id, accounts.may(SUPPORT), accounts.serves(shop_id)).correlate_except(User)


class Conversation(Base):
    """All a customer and the chain have said to each other: one per customer, for good.

    Its row is locked by whoever adds a message or reads, so `last_seq` and the counters are never behind.
    `waiting_since` is when the customer's oldest unanswered message came. What was said up to `mailed_seq`
    is not to be mailed: answers were, and the customer's own messages need no mail.
    `changed_in` is the id of the transaction that wrote it last: the live feed of conversations resumes by it.

    `assigned_to_id` is whom it was given to, `assigned_shop_id` the shop they do it for, if they don't serve the whole
    chain. `assigned_to` is the same person as long as they may answer: it is computed at each read.
    `customer_left_at` is when the customer deleted their account: nothing is added any more.
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
        """Who is assigned, as long as they may answer."""
        return self.assigned_person if self.assigned_to else None


class Answerer(Base):
    """Link: who has answered a conversation that isn't resolved yet, and for which of their shops.

    They go on following it when its customer turns to another shop. Who serves the whole chain needs no row.
    """

    __tablename__ = "conversation_answerers"

    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), index=True)


class Attachment(Base):
    """A picture or PDF someone uploaded to a conversation. The file lies in the media store under `key`."""

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
        """Where to fetch it, with the same login."""
        return f"/chat/{self.conversation_id}/attachment/{self.id}"


class Note(Base):
    """What the staff write to each other about a conversation. Its customer never sees it.

    It stays with the shop it was written for, whichever shop the customer turns to; None is the whole chain's.
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
        """Who wrote it, in the role they had then."""
        return {"id": self.author_id, "name": self.writer.name, "role": self.author_role}


class Message(Base):
    """One message. `seq` counts from 1 without gaps; `client_id` is its author's own name for it.

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
        """Who wrote it, in the role they had then."""
        return {"id": self.author_id, "name": self.writer.name, "role": self.author_role}


# Those who wait come first, the longest of all at the head; those answered after them.
WAITING_ORDER = func.coalesce(
    Conversation.waiting_since, literal_column("'9999-12-31 00:00:00+00'::timestamp with time zone")
)

IS_UNMAILED = (Conversation.unread_by_customer > literal_column("0")) & (
    Conversation.last_seq > Conversation.mailed_seq
)
"""There may be answers to mail. The 0 is no parameter: a plan that is made for any value could not use the index."""
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
trigrams("ix_messages_text_trgm", Message.text)
trigrams("ix_notes_text_trgm", Note.text)
