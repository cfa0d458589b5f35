"""Every SELECT about conversations, and the condition of who may see which."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Integer,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, joinedload, selectinload

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor, Reach
from crema.accounts.models import Role, StaffShop, User
from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db import versions
from crema.db.changes import changed_since
from crema.db.driver import Reader
from crema.db.listing import (
    ChoiceField,
    InstantField,
    IntegerField,
    Listing,
    ListQuery,
    ListStatement,
    Many,
    One,
    TextField,
    UuidField,
    paginate,
)
from crema.db.listing.fields import Parameter, is_true
from crema.db.statement import Statement
from crema.support import models
from crema.support.domain import SUPPORT, ConversationStatus
from crema.support.models import IS_UNMAILED, WAITING_ORDER, Answerer, Attachment, Conversation, Message, Note
from crema.support.schemas import MAX_PREVIEW, ConversationOut, ListedConversationOut, MessageOut

_ASSIGNEE_MAY_ANSWER: Final = models.may_answer(Conversation.assigned_to_id, shop_id=Conversation.assigned_shop_id)


@dataclass(frozen=True, eq=False, kw_only=True)
class AssigneeField(UuidField):
    """The assigned person, while they may answer customers. Comparing the column itself lets its index be used."""

    def condition(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        if operator == "isnull":
            return not_(_ASSIGNEE_MAY_ANSWER) if is_true(operands[0]) else _ASSIGNEE_MAY_ANSWER
        return super().condition(operator, operands)

    def match(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        return super().match(operator, operands) & _ASSIGNEE_MAY_ANSWER


_READABLE_NOTE: Final = or_(
    bindparam("reads_all_notes", type_=Boolean),
    Note.author_id == bindparam("reader_id", type_=Uuid),
    Note.shop_id == any_(cast(bindparam("reader_shop_ids", type_=ARRAY(Uuid)), ARRAY(Uuid))),
)
"""The notes that a reader may see: those of their shops and their own; all for staff of the whole chain."""

_Customer: Final = aliased(User)
_Author: Final = aliased(User)
_LastMessage: Final = aliased(Message)
CONVERSATIONS: Final = Listing(
    name="Conversation",
    fields={
        "id": UuidField(Conversation.id, indexed=True),
        "customer.id": UuidField(Conversation.customer_id, indexed=True),
        "customer": One(
            _Customer,
            _Customer.id == Conversation.customer_id,
            {"name": TextField(_Customer.name, nullable=True, example="Анна")},
        ),
        "shop_id": UuidField(Conversation.shop_id, nullable=True, indexed=True),
        "order_id": UuidField(Conversation.order_id, nullable=True, indexed=True),
        "assigned_to": AssigneeField(Conversation.assigned_to_id, nullable=True, indexed=True),
        "status": ChoiceField(
            Conversation.status, choices=[status.value for status in ConversationStatus], indexed=True
        ),
        "waiting_since": InstantField(Conversation.waiting_since, nullable=True, indexed=True),
        "last_seq": IntegerField(Conversation.last_seq),
        "customer_read_seq": IntegerField(Conversation.customer_read_seq),
        "staff_read_seq": IntegerField(Conversation.staff_read_seq),
        "unread_by_customer": IntegerField(Conversation.unread_by_customer),
        "unread_by_staff": IntegerField(Conversation.unread_by_staff),
        "last_message_at": InstantField(Conversation.last_message_at, indexed=True),
        "last_message": One(
            (_LastMessage, _Author),
            and_(
                _LastMessage.conversation_id == Conversation.id,
                _LastMessage.seq == Conversation.last_seq,
                _Author.id == _LastMessage.author_id,
            ),
            {
                "author.id": UuidField(_LastMessage.author_id),
                "author.name": TextField(_Author.name, nullable=True, searched=False, example="Олег"),
                "author.role": TextField(_LastMessage.author_role, searched=False, example="support"),
                "text": TextField(func.left(_LastMessage.text, MAX_PREVIEW), searched=False),
                "created_at": InstantField(_LastMessage.created_at),
            },
            nullable=True,
        ),
        "created_at": InstantField(Conversation.created_at, indexed=True),
        "updated_at": InstantField(Conversation.updated_at, indexed=True),
    },
    older_names={"customer_id": "customer.id"},
    sort={
        "waiting_since": InstantField(WAITING_ORDER),
        "assigned_to": UuidField(case((_ASSIGNEE_MAY_ANSWER, Conversation.assigned_to_id)), nullable=True),
    },
    default_sort="-last_message_at",
    extra_searched={
        "messages": Many(Message, Message.conversation_id == Conversation.id, {"text": TextField(Message.text)}),
        "notes": Many(
            Note,
            and_(Note.conversation_id == Conversation.id, _READABLE_NOTE),
            {"text": TextField(Note.text)},
            permission=SUPPORT,
        ),
    },
    id_column=Conversation.id,
)

_WRITER: Final = {
    "id": UuidField(_Author.id),
    "name": TextField(_Author.name, nullable=True, example="Олег"),
}
MESSAGES: Final = Listing(
    name="Message",
    fields={
        "id": UuidField(Message.id),
        "seq": IntegerField(Message.seq, indexed=True),
        "conversation_id": UuidField(Message.conversation_id),
        "client_id": TextField(Message.client_id, searched=False, example="phone-1"),
        "text": TextField(Message.text),
        "author": One(_Author, _Author.id == Message.author_id, _WRITER),
        "author.role": TextField(Message.author_role, searched=False, example="support"),
        "attachment": One(
            Attachment,
            Attachment.id == Message.attachment_id,
            {
                "id": UuidField(Attachment.id),
                "name": TextField(Attachment.name, example="receipt.pdf"),
                "content_type": TextField(Attachment.content_type, searched=False, example="application/pdf"),
                "size": IntegerField(Attachment.size),
                "width": IntegerField(Attachment.width, nullable=True),
                "height": IntegerField(Attachment.height, nullable=True),
            },
            nullable=True,
        ),
        "created_at": InstantField(Message.created_at, indexed=True),
    },
    left_out={"attachment.url": "an address of a file"},
    default_sort="seq",
    id_column=Message.id,
)

NOTES: Final = Listing(
    name="Note",
    fields={
        "id": UuidField(Note.id),
        "conversation_id": UuidField(Note.conversation_id),
        "text": TextField(Note.text),
        "author": One(_Author, _Author.id == Note.author_id, _WRITER),
        "author.role": TextField(Note.author_role, searched=False, example="support"),
        "created_at": InstantField(Note.created_at),
    },
    default_sort="created_at",
    id_column=Note.id,
)

ASSIGNEES: Final = Listing(
    name="Assignee",
    fields={
        "id": UuidField(User.id),
        "name": TextField(User.name, nullable=True, example="Олег"),
        "role": TextField(Role.name, searched=False, example="support"),
        "shop_ids": Many(StaffShop, StaffShop.user_id == User.id, UuidField(StaffShop.shop_id)),
    },
    sort={"name": TextField(func.coalesce(User.name, ""))},
    default_sort="name",
    id_column=User.id,
)
QUEUE_LIMIT: Final = 500
RECENT: Final = timedelta(days=1)
_WITH_AUTHOR: Final = (joinedload(Message.writer), joinedload(Message.attachment))


_READER_ID: Final = bindparam("reader_id", type_=Uuid)
_READER_SHOP_IDS: Final = bindparam("reader_shop_ids", type_=ARRAY(Uuid))


def _visible(
    reach: Reach,
    *,
    reader_id: ColumnElement[UUID] = _READER_ID,
    reader_shop_ids: ColumnElement[Sequence[UUID]] = _READER_SHOP_IDS,
) -> ColumnElement[bool]:
    own = Conversation.customer_id == reader_id
    if reach != "shops":
        return own if reach == "own" else Conversation.id.is_not(None)
    shop_ids = cast(reader_shop_ids, ARRAY(Uuid))
    answered = select(Answerer.conversation_id).where(Answerer.user_id == reader_id, Answerer.shop_id == any_(shop_ids))
    return or_(
        own,
        Conversation.shop_id == any_(shop_ids),
        and_(Conversation.assigned_to_id == reader_id, Conversation.assigned_shop_id == any_(shop_ids)),
        Conversation.id
        == any_(func.array(answered.scalar_subquery(), type_=ARRAY(Uuid))),  # so that an index on the id is used
    )


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """Return the condition that an actor may see a conversation.

    Everybody sees their own. Staff with `support:write` who serve the whole chain see all; others see those of their
    shops, those assigned to them, and unresolved ones that they have answered. `domain.may_see` is the same rule in
    Python.
    """
    reader_shop_ids = literal([*actor.shop_ids], ARRAY(Uuid))
    return _visible(actor.reach(SUPPORT), reader_id=literal(actor.user_id, Uuid), reader_shop_ids=reader_shop_ids)


# Conversations and messages as GET shows them.

_ShownCustomer: Final = aliased(User)
_Writer: Final = aliased(User)
_Last: Final = aliased(Message)
_File: Final = aliased(Attachment)
_VIEW_COLUMNS: Final = (
    *(Conversation.id, Conversation.customer_id, Conversation.shop_id, Conversation.order_id, Conversation.status),
    *(Conversation.assigned_to.label("assigned_to"), Conversation.waiting_since, Conversation.last_seq),
    *(Conversation.customer_read_seq, Conversation.staff_read_seq, Conversation.unread_by_customer),
    *(Conversation.unread_by_staff, Conversation.last_message_at, Conversation.created_at, Conversation.updated_at),
    _ShownCustomer.name.label("customer_name"),
)


@cache
def _conversation_statement(reach: Reach) -> Statement:
    statement = select(*_VIEW_COLUMNS).join(_ShownCustomer, _ShownCustomer.id == Conversation.customer_id)
    return Statement(statement.where(Conversation.id == bindparam("conversation_id"), _visible(reach)))


@cache
def _visible_id_statement(reach: Reach) -> Statement:
    return Statement(select(Conversation.id).where(Conversation.id == bindparam("conversation_id"), _visible(reach)))


@cache
def _list_statement(reach: Reach) -> ListStatement:
    last = (
        *(_Last.author_id, _Last.author_role, _Last.text.label("last_text"), _Last.created_at.label("last_created_at")),
        _Writer.name.label("writer_name"),
    )
    statement = select(*_VIEW_COLUMNS, *last).join(_ShownCustomer, _ShownCustomer.id == Conversation.customer_id)
    is_last = and_(_Last.conversation_id == Conversation.id, _Last.seq == Conversation.last_seq)
    statement = statement.outerjoin(_Last, is_last).outerjoin(_Writer, _Writer.id == _Last.author_id)
    return ListStatement(statement.where(_visible(reach)))


_MESSAGES: Final = ListStatement(
    select(
        *(Message.id, Message.seq, Message.conversation_id, Message.author_id, Message.author_role, Message.text),
        *(Message.client_id, Message.created_at, _Writer.name.label("writer_name"), _File.id.label("file_id")),
        *(_File.name, _File.content_type, _File.size, _File.width, _File.height),
    )
    .join(_Writer, _Writer.id == Message.author_id)
    .outerjoin(_File, _File.id == Message.attachment_id)
    .where(Message.conversation_id == bindparam("conversation_id"))
)


def _author_of(row: asyncpg.Record) -> dict[str, Any]:
    return {"id": row["author_id"], "name": row["writer_name"], "role": row["author_role"]}


def _customer_of(row: asyncpg.Record) -> dict[str, Any]:
    return {"id": row["customer_id"], "name": row["customer_name"]}


def _to_listed(row: asyncpg.Record) -> ListedConversationOut:
    last = {"author": _author_of(row), "text": row["last_text"], "created_at": row["last_created_at"]}
    more = {"customer": _customer_of(row), "last_message": last if row["author_id"] else None}
    return ListedConversationOut.model_validate(dict(row) | more)


def _to_message(row: asyncpg.Record) -> MessageOut:
    url = f"/chat/{row['conversation_id']}/attachment/{row['file_id']}"
    attachment = dict(row) | {"id": row["file_id"], "url": url} if row["file_id"] else None
    return MessageOut.model_validate(dict(row) | {"author": _author_of(row), "attachment": attachment})


async def list_conversations(reader: Reader, *, actor: Actor, query: ListQuery) -> Page[ListedConversationOut]:
    """Return a page of the conversations that the actor may see, each with its last message."""
    return (await _list_statement(actor.reach(SUPPORT)).page(reader, query, **reader_values(actor))).map(_to_listed)


async def get_conversation_view(reader: Reader, *, conversation_id: UUID, actor: Actor) -> ConversationOut:
    """Return a conversation as the API shows it; raise NotFoundError if the actor may not see it."""
    row = await _conversation_statement(actor.reach(SUPPORT)).one(
        reader, conversation_id=conversation_id, **reader_values(actor)
    )
    return ConversationOut.model_validate(dict(row) | {"customer": _customer_of(row)})


async def list_messages(reader: Reader, *, conversation_id: UUID, actor: Actor, query: ListQuery) -> Page[MessageOut]:
    """Return a page of messages; raise NotFoundError if the actor may not see the conversation."""
    await _visible_id_statement(actor.reach(SUPPORT)).one(
        reader, conversation_id=conversation_id, **reader_values(actor)
    )
    return (await _MESSAGES.page(reader, query, conversation_id=conversation_id)).map(_to_message)


async def get_conversation(
    session: AsyncSession, *, conversation_id: UUID, actor: Actor, for_update: bool = False
) -> Conversation:
    """Return a conversation as it is now; raise NotFoundError if the actor may not see it. `for_update` locks it."""
    statement = select(Conversation).where(Conversation.id == conversation_id, visible_to(actor))
    if for_update:
        statement = statement.with_for_update(of=Conversation)
    conversation = await session.scalar(
        statement.options(joinedload(Conversation.customer)), execution_options={"populate_existing": True}
    )
    if conversation is None:
        raise NotFoundError
    if for_update:
        await versions.check(session, key=Conversation.id, value=conversation_id)
    return conversation


async def find_own_for_update(session: AsyncSession, *, customer_id: UUID) -> Conversation | None:
    """Lock and return a customer's conversation, or None."""
    statement = select(Conversation).where(Conversation.customer_id == customer_id)
    return await session.scalar(statement.with_for_update(), execution_options={"populate_existing": True})


async def list_shop_ids(session: AsyncSession, *, user_id: UUID) -> list[UUID]:
    """Return the shops that a person works for."""
    return list(await session.scalars(select(StaffShop.shop_id).where(StaffShop.user_id == user_id)))


async def may_answer(session: AsyncSession, *, user_id: UUID, shop_id: UUID | None) -> bool:
    """Return whether a person may answer customers, for this shop or for the whole chain."""
    person, shop = literal(user_id, Uuid), literal(shop_id, Uuid)
    return await session.scalar(select(models.may_answer(person, shop_id=shop))) is True


async def find_own_id(session: AsyncSession, *, customer_id: UUID) -> UUID | None:
    """Return the id of a customer's conversation, or None."""
    return await session.scalar(select(Conversation.id).where(Conversation.customer_id == customer_id))


async def insert_own(session: AsyncSession, *, conversation: Conversation) -> None:
    """Insert a conversation unless its customer has one. Two requests may do so at once."""
    values = {
        name: getattr(conversation, name)
        for name in ("customer_id", "shop_id", "last_message_at", "created_at", "updated_at")
    }
    await session.execute(
        insert(Conversation).values(**values).on_conflict_do_nothing(index_elements=[Conversation.customer_id])
    )


async def find_message(
    session: AsyncSession, *, conversation_id: UUID, author_id: UUID, client_id: str
) -> Message | None:
    """Return the message that a person has sent with this `client_id`, or None."""
    return await session.scalar(
        select(Message)
        .where(
            Message.conversation_id == conversation_id, Message.author_id == author_id, Message.client_id == client_id
        )
        .options(*_WITH_AUTHOR)
    )


async def get_message(session: AsyncSession, *, message_id: UUID) -> Message:
    """Return a message with its author."""
    statement = select(Message).where(Message.id == message_id).options(*_WITH_AUTHOR)
    return (await session.scalars(statement, execution_options={"populate_existing": True})).one()


async def count_unread(session: AsyncSession, *, conversation_id: UUID, after: int, from_customer: bool) -> int:
    """Return the number of one side's messages with a larger `seq`."""
    statement = select(func.count()).where(
        Message.conversation_id == conversation_id,
        Message.seq > after,
        Message.is_from_customer.is_(from_customer),
    )
    return await session.scalar(statement) or 0


def reader_values(actor: Actor) -> dict[str, Any]:
    """Return the parameters of statements that depend on the reader."""
    shop_ids = sorted(actor.shop_ids)
    return {"reads_all_notes": actor.serves_all_shops, "reader_id": actor.user_id, "reader_shop_ids": shop_ids}


async def list_notes(session: AsyncSession, *, conversation_id: UUID, actor: Actor, query: ListQuery) -> Page[Note]:
    """Return a page of the notes on a conversation that the actor may see."""
    statement = select(Note).where(Note.conversation_id == conversation_id, _READABLE_NOTE)
    return await paginate(session, statement.options(joinedload(Note.writer)), query, **reader_values(actor))


async def get_note(session: AsyncSession, *, note_id: UUID) -> Note:
    """Return a note with its author."""
    return (await session.scalars(select(Note).where(Note.id == note_id).options(joinedload(Note.writer)))).one()


def is_unsent() -> ColumnElement[bool]:
    """Return the condition that no message has sent an upload."""
    return ~exists().where(Message.attachment_id == Attachment.id)


def select_unsent() -> Select[Attachment]:
    """Return the SELECT of uploads that no message has sent."""
    return select(Attachment).where(is_unsent())


async def count_unsent(session: AsyncSession, *, uploader_id: UUID) -> int:
    """Return the number of a person's uploads that wait to be sent."""
    waiting = select_unsent().where(Attachment.uploader_id == uploader_id).subquery()
    return await session.scalar(select(func.count()).select_from(waiting)) or 0


async def find_unsent(
    session: AsyncSession, *, attachment_id: UUID, conversation_id: UUID, uploader_id: UUID
) -> Attachment | None:
    """Return an upload of this person to this conversation that waits to be sent, or None."""
    return await session.scalar(
        select_unsent().where(
            Attachment.id == attachment_id,
            Attachment.conversation_id == conversation_id,
            Attachment.uploader_id == uploader_id,
        )
    )


async def get_attachment(
    session: AsyncSession, *, attachment_id: UUID, conversation_id: UUID, user_id: UUID
) -> Attachment:
    """Return a sent attachment of a conversation, or an unsent one of this person; raise NotFoundError."""
    is_sent = exists().where(Message.attachment_id == Attachment.id)
    attachment = await session.scalar(
        select(Attachment).where(
            Attachment.id == attachment_id,
            Attachment.conversation_id == conversation_id,
            or_(is_sent, Attachment.uploader_id == user_id),
        )
    )
    if attachment is None:
        raise NotFoundError
    return attachment


async def list_attachment_keys(session: AsyncSession) -> set[str]:
    """Return the keys of all attachments."""
    return set(await session.scalars(select(Attachment.key)))


async def list_attachment_keys_of(session: AsyncSession, *, customer_id: UUID) -> list[str]:
    """Return the keys of the attachments in a customer's conversation."""
    statement = select(Attachment.key).join(Conversation).where(Conversation.customer_id == customer_id)
    return list(await session.scalars(statement))


def _is_unmailed() -> ColumnElement[bool]:
    return (
        (Message.conversation_id == Conversation.id)
        & Message.is_from_customer.is_(False)
        & (Message.seq > func.greatest(Conversation.customer_read_seq, Conversation.mailed_seq))
    )


async def list_unread_for_update(session: AsyncSession, *, before: datetime, limit: int) -> list[Conversation]:
    """Lock and return conversations with an answer older than `before` that was neither read nor mailed.

    The statement reads only the rows of `ix_conversations_unmailed`, which has none whose answers were all mailed.
    """
    statement = (
        select(Conversation)
        .where(IS_UNMAILED, exists().where(_is_unmailed(), Message.created_at <= before))
        .options(joinedload(Conversation.customer))
        .order_by(Conversation.id)
        .limit(limit)
        .with_for_update(of=Conversation, skip_locked=True)
    )
    return list(await session.scalars(statement))


async def list_unmailed(session: AsyncSession, *, conversation: Conversation) -> list[Message]:
    """Return the answers of a conversation that were neither read nor mailed, oldest first."""
    statement = (
        select(Message)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(_is_unmailed(), Conversation.id == conversation.id)
        .options(joinedload(Message.attachment))
        .order_by(Message.seq)
    )
    return list(await session.scalars(statement))


# The live feeds of conversations.

_WITH_NAMES: Final = (
    joinedload(Conversation.customer),
    joinedload(Conversation.last_message).joinedload(Message.writer),
    joinedload(Conversation.assigned_person),
    selectinload(Conversation.answerers),
)


async def list_queue(session: AsyncSession, *, actor: Actor, limit: int = QUEUE_LIMIT) -> list[Conversation]:
    """Return the unresolved conversations that the actor may see, the longest waiting first."""
    statement = select(Conversation).where(visible_to(actor), Conversation.status != ConversationStatus.RESOLVED)
    statement = statement.options(*_WITH_NAMES).order_by(WAITING_ORDER, Conversation.id).limit(limit)
    return list(await session.scalars(statement, execution_options={"populate_existing": True}))


async def list_changed_conversations(session: AsyncSession, *, since: int, limit: int) -> list[Conversation]:
    """Return the conversations written by the transaction `since` or a later one, whoever may see them."""
    statement = select(Conversation).where(changed_since(Conversation.changed_in, since))
    statement = statement.options(*_WITH_NAMES).order_by(Conversation.changed_in, Conversation.id).limit(limit)
    return list(await session.scalars(statement, execution_options={"populate_existing": True}))


async def list_messages_since(
    session: AsyncSession, *, since: int, limit: int, actor: Actor | None = None
) -> list[Message]:
    """Return the messages written by the transaction `since` or a later one, by `seq` in each conversation.

    With an actor, only those that the actor may see.
    """
    statement = select(Message).where(
        changed_since(Message.changed_in, since), Message.created_at > func.now() - RECENT
    )
    if actor is not None:
        statement = statement.join(Conversation, Conversation.id == Message.conversation_id).where(visible_to(actor))
    statement = statement.options(*_WITH_AUTHOR).order_by(Message.conversation_id, Message.seq).limit(limit)
    return list(await session.scalars(statement))


async def list_by_ids(session: AsyncSession, *, ids: Collection[UUID]) -> list[Conversation]:
    """Return conversations with all that `domain.may_see` needs."""
    if not ids:
        return []
    statement = select(Conversation).where(Conversation.id == any_(literal([*ids], ARRAY(Uuid))))
    return list(await session.scalars(statement.options(selectinload(Conversation.answerers))))


async def list_versions(session: AsyncSession, *, ids: Collection[UUID]) -> dict[UUID, tuple[int, UUID | None]]:
    """Return the transaction that wrote each of these conversations last, and the assigned person.

    The assigned person can change without a write, when they may not answer customers any more.
    """
    statement = select(Conversation.id, Conversation.changed_in, Conversation.assigned_to)
    statement = statement.where(Conversation.id == any_(literal([*ids], ARRAY(Uuid))))
    return {row.id: (row.changed_in, row.assigned_to) for row in await session.execute(statement)}


async def list_messages_after(
    session: AsyncSession, *, positions: Collection[tuple[UUID, int]], limit: int
) -> list[Message]:
    """Return up to `limit` messages after each (conversation, `seq`), oldest first. A message may come twice."""
    ids, seqs = zip(*positions, strict=True)
    wanted = (
        func.unnest(literal([*ids], ARRAY(Uuid)), literal([*seqs], ARRAY(Integer)))
        .table_valued(column("conversation_id", Uuid), column("seq", Integer), name="wanted")
        .render_derived()
    )
    statement = (
        select(Message)
        .join(wanted, Message.conversation_id == wanted.c.conversation_id)
        .where(Message.seq > wanted.c.seq, Message.seq <= wanted.c.seq + limit)
    )
    statement = statement.options(*_WITH_AUTHOR).order_by(Message.conversation_id, Message.seq)
    return list(await session.scalars(statement))


async def list_assignees(session: AsyncSession, *, query: ListQuery) -> Page[User]:
    """Return a page of the people who may answer customers, for a shop or for the whole chain."""
    has_shops = exists().where(StaffShop.user_id == User.id)
    fit = accounts.may(SUPPORT), or_(has_shops, accounts.serves(null()))
    statement = select(User).join(User.role).where(*fit)
    statement = statement.options(selectinload(User.role), selectinload(User.staff_shops))
    return await paginate(session, statement, query)
