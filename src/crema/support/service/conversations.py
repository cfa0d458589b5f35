"""Talking: opening a conversation, saying something, reading, and keeping the queue."""

from datetime import datetime
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.core.errors import ConflictError, InvalidError, NotFoundError, UnknownReferenceError, referred_to
from crema.db import events
from crema.db.base import new_id
from crema.live import queries as live
from crema.orders import queries as orders
from crema.schemas import value_or
from crema.shops import queries as shops
from crema.support import queries
from crema.support.domain import ConversationStatus, Side, shop_to_work_for, topic_of
from crema.support.models import Answerer, Conversation, Message, Note
from crema.support.schemas import ChangeConversation, OpenConversation, SendMessage
from crema.support.service import limits
from crema.support.service.leaving import check_customer_is_here


class ClientIdTakenError(ConflictError):
    """Another message of yours in this conversation has this client_id and another text."""

    code = "client_id_taken"
    title = "You sent another message with this client_id."
    advice = "Use a new `client_id` for each message."


class UnfitAssigneeError(InvalidError):
    """`assigned_to` is nobody who may answer customers, or somebody who works for no shop."""

    code = "unfit_assignee"
    title = "This person can't answer customers."
    advice = "Choose somebody with `support:write` who works for a shop or the whole chain."


class UnknownAttachmentError(InvalidError):
    """`attachment_id` was sent already."""

    code = "unknown_attachment"
    title = "This upload does not exist, or was sent already."
    advice = "Upload the file again."


class UnseenMessagesError(ConflictError):
    """The customer has said something that nobody has seen: resolved over it, it would be in no queue."""

    code = "unseen_messages"
    title = "The customer has written again."
    advice = "Read the new messages, then send `seen_seq`."


async def get_or_create_own(
    session: AsyncSession, *, actor: Actor, wanted: OpenConversation, now: datetime
) -> Conversation:
    """Give the actor's own conversation, made if there is none, and link it to what is sent.

    An order must be the actor's own; its shop is the conversation's then.
    """
    conversation_id = await open_for(session, customer_id=actor.user_id, now=now)
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    if wanted.order_id is not None:
        with referred_to("order_id"):
            order = await orders.get_own(session, order_id=wanted.order_id, user_id=actor.user_id)
        conversation.order_id, conversation.shop_id = order.id, order.shop_id
        conversation.updated_at = now
    elif wanted.shop_id is not None:
        with referred_to("shop_id"):
            conversation.shop_id = (await shops.get_active_shop(session, wanted.shop_id)).id
        conversation.order_id = None
        conversation.updated_at = now
    await session.flush()
    if wanted.model_fields_set:  # another shop's staff may follow it now
        events.publish(session, topics=[topic_of(conversation.id)])
    return conversation


async def open_for(session: AsyncSession, *, customer_id: UUID, now: datetime, shop_id: UUID | None = None) -> UUID:
    """Return the id of a customer's conversation, made if there is none, then about this shop.

    A person whose account is being deleted is waited for, and then not found.
    """
    conversation_id = await queries.find_own_id(session, customer_id=customer_id)
    if conversation_id is None:
        if not await accounts.lock_against_deletion(session, customer_id):
            raise NotFoundError
        times = {"last_message_at": now, "created_at": now, "updated_at": now}
        fresh = Conversation(customer_id=customer_id, shop_id=shop_id, **times)
        await queries.insert_own(session, conversation=fresh)
        conversation_id = await queries.find_own_id(session, customer_id=customer_id)
    assert conversation_id is not None
    return conversation_id


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
    check_customer_is_here(conversation)
    client_id = wanted.client_id or new_id().hex
    sent = await _find_sent(session, conversation=conversation, actor=actor, client_id=client_id, wanted=wanted)
    if sent is not None:
        return sent, False
    if wanted.attachment_id is not None:
        await _check_attachment(session, conversation=conversation, actor=actor, attachment_id=wanted.attachment_id)
    await limits.count_bytes(session, actor=actor, size=len(wanted.text.encode()), now=now)

    is_from_customer = conversation.customer_id == actor.user_id
    _take_number(conversation, is_from_customer=is_from_customer, now=now)
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
        await _wait_for_answer(session, conversation, now=now)
    else:
        await _note_answer(session, conversation, actor=actor)
    await session.flush()
    events.publish(session, topics=[topic_of(conversation.id)])
    return await queries.get_message(session, message_id=message.id), True


async def _find_sent(
    session: AsyncSession, *, conversation: Conversation, actor: Actor, client_id: str, wanted: SendMessage
) -> Message | None:
    """Return the message of this `client_id` if it was sent before, and tell its readers of it again."""
    sent = await queries.find_message(
        session, conversation_id=conversation.id, author_id=actor.user_id, client_id=client_id
    )
    if sent is None:
        return None
    if (sent.text, sent.attachment_id) != (wanted.text, wanted.attachment_id):
        raise ClientIdTakenError
    events.publish(session, topics=[topic_of(conversation.id)])  # the first time it may not have got so far
    return sent


def _take_number(conversation: Conversation, *, is_from_customer: bool, now: datetime) -> None:
    """Count one more message: its `seq` is then `last_seq`."""
    if is_from_customer and conversation.mailed_seq == conversation.last_seq:
        conversation.mailed_seq += 1  # nobody is mailed what they have said themselves
    conversation.last_seq += 1
    conversation.last_message_at = conversation.updated_at = now


async def _wait_for_answer(session: AsyncSession, conversation: Conversation, *, now: datetime) -> None:
    """Note that the customer has written: open the conversation, which waits for an answer from now on."""
    if conversation.status == ConversationStatus.RESOLVED:
        await _give_back(session, conversation)
    conversation.status = ConversationStatus.OPEN
    conversation.waiting_since = conversation.waiting_since or now
    conversation.unread_by_staff += 1


async def _note_answer(session: AsyncSession, conversation: Conversation, *, actor: Actor) -> None:
    """Note that staff have written: the wait is over."""
    conversation.waiting_since = None
    conversation.unread_by_customer += 1
    await _note_answerer(session, conversation, actor=actor)


async def _give_back(session: AsyncSession, conversation: Conversation) -> None:
    """Give a conversation that starts anew back to the queue, unless its assignee is connected to take it up."""
    assignee = conversation.assigned_to_id
    if assignee is not None and not await live.count_connections(session, user_id=assignee):
        conversation.assigned_to_id = conversation.assigned_shop_id = None


async def _note_answerer(session: AsyncSession, conversation: Conversation, *, actor: Actor) -> None:
    """Let who answers for a shop follow the conversation until it is resolved, whichever shop it turns to."""
    shop_id = shop_to_work_for(actor.shop_ids, shop_id=conversation.shop_id)
    if actor.serves_all_shops or shop_id is None:
        return
    answerer = {"conversation_id": conversation.id, "user_id": actor.user_id, "shop_id": shop_id}
    await session.execute(insert(Answerer).values(answerer).on_conflict_do_nothing())


async def _check_attachment(
    session: AsyncSession, *, conversation: Conversation, actor: Actor, attachment_id: UUID
) -> None:
    found = await queries.find_unsent(
        session, attachment_id=attachment_id, conversation_id=conversation.id, uploader_id=actor.user_id
    )
    if found is None:
        with referred_to("attachment_id"):
            await queries.get_attachment(
                session, attachment_id=attachment_id, conversation_id=conversation.id, user_id=actor.user_id
            )
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
    """Assign a conversation, or set where it stands. One that is resolved keeps nobody waiting.

    It can be resolved only if the customer has said nothing after `seen_seq`. Without `seen_seq` the staff have seen
    what they have marked as read and what came before their last answer.
    """
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    check_customer_is_here(conversation)
    if wanted.status == ConversationStatus.RESOLVED:
        await _check_seen(session, conversation, seen_seq=value_or(wanted.seen_seq, None))
    if wanted.assigned_to is not MISSING:
        await _assign(session, conversation, user_id=wanted.assigned_to)
    if wanted.status is not MISSING:
        conversation.status = wanted.status
        if conversation.status == ConversationStatus.RESOLVED:
            conversation.waiting_since = None
            await session.execute(delete(Answerer).where(Answerer.conversation_id == conversation.id))
    conversation.updated_at = now
    await session.flush()
    await session.refresh(conversation, ["assigned_to"])
    events.publish(session, topics=[topic_of(conversation.id)])
    return conversation


async def _check_seen(session: AsyncSession, conversation: Conversation, *, seen_seq: int | None) -> None:
    if seen_seq is None:
        # The wait began after the last answer, and what is unread after the last receipt.
        unseen = conversation.unread_by_staff if conversation.waiting_since else 0
    else:
        # Nobody has seen what isn't there yet.
        unseen = seen_seq > conversation.last_seq or await queries.count_unread(
            session, conversation_id=conversation.id, after=seen_seq, from_customer=True
        )
    if unseen:
        raise UnseenMessagesError(
            "The customer has said more: read it, and send the last seq that you have seen as seen_seq.",
            last_seq=conversation.last_seq,
        )


async def _assign(session: AsyncSession, conversation: Conversation, *, user_id: UUID | None) -> None:
    shop_id = None
    if user_id is not None:
        shop_ids = await queries.list_shop_ids(session, user_id=user_id)
        shop_id = shop_to_work_for(shop_ids, shop_id=conversation.shop_id)
        if not await queries.may_answer(session, user_id=user_id, shop_id=shop_id):
            if await accounts.find_user(session, user_id) is None:
                raise UnknownReferenceError([("assigned_to",)])
            raise UnfitAssigneeError
    conversation.assigned_to_id, conversation.assigned_shop_id = user_id, shop_id


async def notify_typing(session: AsyncSession, *, conversation_id: UUID, actor: Actor) -> None:
    """Tell the others, now, that the actor is writing."""
    conversation = await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
    side = Side.CUSTOMER if conversation.customer_id == actor.user_id else Side.STAFF
    frame = {"user_id": str(actor.user_id), "side": side}
    events.publish(session, topics=[topic_of(conversation.id)], frame=frame)


async def add_note(session: AsyncSession, *, conversation_id: UUID, actor: Actor, text: str, now: datetime) -> Note:
    """Write a note for the staff of a shop. Neither the queue nor the customer's side of the conversation changes.

    It is the conversation's shop if the author works there, else one of theirs, and stays so.
    """
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    check_customer_is_here(conversation)
    await limits.count_bytes(session, actor=actor, size=len(text.encode()), now=now)
    shop_id = conversation.shop_id
    if not actor.serves_all_shops:
        shop_id = shop_to_work_for(actor.shop_ids, shop_id=shop_id)
    note = Note(
        conversation_id=conversation.id,
        author_id=actor.user_id,
        author_role=actor.role,
        shop_id=shop_id,
        text=text,
        created_at=now,
    )
    session.add(note)
    conversation.note_count += 1
    flag_modified(conversation, "updated_at")  # kept as it is: the customer sees it
    await session.flush()
    events.publish(session, topics=[topic_of(conversation.id)])
    return await queries.get_note(session, note_id=note.id)
