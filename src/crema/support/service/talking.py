"""Talking: opening a conversation, saying something, reading, and keeping the queue."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified

from crema.accounts.domain import Actor
from crema.core.errors import ConflictError, InvalidError
from crema.db import events
from crema.db.base import new_id
from crema.orders import queries as orders
from crema.shops import queries as shops
from crema.support import queries
from crema.support.domain import Side, Status, topic_of
from crema.support.models import Conversation, Message, Note
from crema.support.schemas import ChangeConversation, OpenConversation, SendMessage


class ClientIdTakenError(ConflictError):
    """Another message of the conversation has this client_id: of the other side, or with another text."""

    code = "client_id_taken"
    title = "Another message has this client_id."


class UnfitAssigneeError(InvalidError):
    """`assigned_to` is nobody who may answer customers."""

    code = "unfit_assignee"
    title = "This person can't answer customers."


class UnknownAttachmentError(InvalidError):
    """`attachment_id` is no upload of yours to this conversation, or was sent already."""

    code = "unknown_attachment"
    title = "There is no such upload of yours waiting to be sent."


async def open_own(session: AsyncSession, *, actor: Actor, wanted: OpenConversation, now: datetime) -> Conversation:
    """Give the actor's own conversation, made if there is none, and link it to what is sent.

    An order must be the actor's own; its shop is the conversation's then.
    """
    fresh = Conversation(customer_id=actor.user_id, last_message_at=now, created_at=now, updated_at=now)
    await queries.add_own(session, conversation=fresh)
    conversation_id = await queries.find_own_id(session, customer_id=actor.user_id)
    assert conversation_id is not None
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    if wanted.order_id is not None:
        order = await orders.get_own(session, order_id=wanted.order_id, user_id=actor.user_id)
        conversation.order_id, conversation.shop_id = order.id, order.shop_id
        conversation.updated_at = now
    elif wanted.shop_id is not None:
        conversation.shop_id = (await shops.get_active_shop(session, wanted.shop_id)).id
        conversation.order_id = None
        conversation.updated_at = now
    await session.flush()
    if wanted.order_id is not None or wanted.shop_id is not None:
        events.publish(session, topics=[topic_of(conversation.id)])  # another shop's staff see it now
    return conversation


async def send(
    session: AsyncSession, *, conversation_id: UUID, actor: Actor, wanted: SendMessage, now: datetime
) -> tuple[Message, bool]:
    """Say something, once per `client_id`; tell the message and whether it is new.

    Locks the conversation until the transaction ends: that is what keeps `seq` without gaps. A customer's
    message reopens the conversation and starts the wait, an answer ends it.
    """
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    client_id = wanted.client_id or new_id().hex
    sent = await queries.find_message(session, conversation_id=conversation.id, client_id=client_id)
    if sent is not None:
        if (sent.author_id, sent.text, sent.attachment_id) != (actor.user_id, wanted.text, wanted.attachment_id):
            raise ClientIdTakenError
        events.publish(session, topics=[topic_of(conversation.id)])  # the first time it may not have got so far
        return sent, False

    if wanted.attachment_id is not None:
        await _check_attachment(session, conversation=conversation, actor=actor, attachment_id=wanted.attachment_id)
    is_from_customer = conversation.customer_id == actor.user_id
    conversation.last_seq += 1
    conversation.last_message_at = conversation.updated_at = now
    message = Message(
        id=new_id(),
        conversation_id=conversation.id,
        seq=conversation.last_seq,
        client_id=client_id,
        author_id=actor.user_id,
        author_role=actor.role,
        is_from_customer=is_from_customer,
        text=wanted.text,
        attachment_id=wanted.attachment_id,
        created_at=now,
    )
    session.add(message)
    if is_from_customer:
        conversation.status = Status.OPEN
        conversation.waiting_since = conversation.waiting_since or now
        conversation.unread_by_staff += 1
    else:
        conversation.waiting_since = None
        conversation.unread_by_customer += 1
    await session.flush()
    events.publish(session, topics=[topic_of(conversation.id)])
    return await queries.get_message(session, message_id=message.id), True


async def _check_attachment(
    session: AsyncSession, *, conversation: Conversation, actor: Actor, attachment_id: UUID
) -> None:
    found = await queries.find_unsent(
        session, attachment_id=attachment_id, conversation_id=conversation.id, uploader_id=actor.user_id
    )
    if found is None:
        raise UnknownAttachmentError


async def read(session: AsyncSession, *, conversation_id: UUID, actor: Actor, seq: int, now: datetime) -> Conversation:
    """Note that the actor's side has read up to `seq`. An older number changes nothing."""
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    is_customer = conversation.customer_id == actor.user_id
    before = conversation.customer_read_seq if is_customer else conversation.staff_read_seq
    seq = min(seq, conversation.last_seq)
    if seq <= before:
        return conversation

    unread = await queries.count_unread(
        session, conversation_id=conversation.id, after=seq, from_customer=not is_customer
    )
    if is_customer:
        conversation.customer_read_seq, conversation.unread_by_customer = seq, unread
    else:
        conversation.staff_read_seq, conversation.unread_by_staff = seq, unread
    conversation.updated_at = now
    await session.flush()
    events.publish(session, topics=[topic_of(conversation.id)])
    return conversation


async def change(
    session: AsyncSession, *, conversation_id: UUID, actor: Actor, wanted: ChangeConversation, now: datetime
) -> Conversation:
    """Assign a conversation, or set where it stands. One that is resolved keeps nobody waiting."""
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    changes = wanted.changes()
    if "assigned_to" in changes:
        person_id = changes["assigned_to"]
        if person_id is not None and not await queries.may_answer(session, user_id=person_id):
            raise UnfitAssigneeError
        conversation.assigned_to_id = person_id
    if "status" in changes:
        conversation.status = changes["status"]
        if conversation.status == Status.RESOLVED:
            conversation.waiting_since = None
    conversation.updated_at = now
    await session.flush()
    events.publish(session, topics=[topic_of(conversation.id)])
    return conversation


async def type_on(session: AsyncSession, *, conversation_id: UUID, actor: Actor) -> None:
    """Tell the others, now, that the actor is writing."""
    conversation = await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
    side = Side.CUSTOMER if conversation.customer_id == actor.user_id else Side.STAFF
    frame = {"user_id": str(actor.user_id), "side": side}
    events.publish(session, topics=[topic_of(conversation.id)], frame=frame)


async def add_note(session: AsyncSession, *, conversation_id: UUID, actor: Actor, text: str, now: datetime) -> Note:
    """Write a note for the staff. Neither the queue nor the customer's side of the conversation changes."""
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    note = Note(
        conversation_id=conversation.id, author_id=actor.user_id, author_role=actor.role, text=text, created_at=now
    )
    session.add(note)
    conversation.note_count += 1
    flag_modified(conversation, "updated_at")  # kept as it is: the customer sees it
    await session.flush()
    events.publish(session, topics=[topic_of(conversation.id)])
    return await queries.get_note(session, note_id=note.id)
