"""Changes of conversations: opening, sending, marking as read, assigning, resolving, notes."""

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
from crema.db import hints
from crema.db.base import new_id
from crema.live import queries as live
from crema.orders import queries as orders
from crema.schemas import value_or
from crema.shops import queries as shops
from crema.support import queries
from crema.support.domain import ConversationStatus, Side, choose_answering_shop, topic_of
from crema.support.models import Answerer, Conversation, Message, Note
from crema.support.schemas import ChangeConversation, OpenConversation, SendMessage
from crema.support.service import limits
from crema.support.service.deletion import check_customer_not_deleted


class ClientIdTakenError(ConflictError):
    """Another message of yours in this conversation has this `client_id`, but another content."""

    code = "client_id_taken"
    title = "You sent another message with this client_id."
    advice = "Use a new `client_id` for each message."


class UnfitAssigneeError(InvalidError):
    """The person in `assigned_to` may not answer customers, or works for no shop."""

    code = "unfit_assignee"
    title = "This person can't answer customers."
    advice = "Choose somebody with `support:write` who works for a shop or the whole chain."


class UnknownAttachmentError(InvalidError):
    """The upload in `attachment_id` was sent already."""

    code = "unknown_attachment"
    title = "This upload does not exist, or was sent already."
    advice = "Upload the file again."


class UnseenMessagesError(ConflictError):
    """The customer has written messages that nobody has seen. If it were resolved, nobody would find them."""

    code = "unseen_messages"
    title = "The customer has written again."
    advice = "Read the new messages, then send `seen_seq`."


async def get_or_create_own(
    session: AsyncSession, *, actor: Actor, wanted: OpenConversation, now: datetime
) -> Conversation:
    """Return the actor's conversation, creating it if there is none, and link it to an order or a shop.

    The order must be the actor's own. Its shop becomes that of the conversation.
    """
    conversation_id = await get_or_create_id(session, customer_id=actor.user_id, now=now)
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
    if wanted.model_fields_set:  # staff of another shop may see it now
        hints.publish(session, topics=[topic_of(conversation.id)])
    return conversation


async def get_or_create_id(
    session: AsyncSession, *, customer_id: UUID, now: datetime, shop_id: UUID | None = None
) -> UUID:
    """Return the id of a customer's conversation, creating one about this shop if there is none.

    It waits for a deletion of the person's account; then it raises NotFoundError.
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
    """Add a message, once per `client_id`; return it and whether it is new.

    Locks the conversation until the transaction ends, so that `seq` has no gaps. A message of the customer reopens the
    conversation and starts the waiting time; an answer ends it.
    """
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    check_customer_not_deleted(conversation)
    client_id = wanted.client_id or new_id().hex
    sent = await _find_sent(session, conversation=conversation, actor=actor, client_id=client_id, wanted=wanted)
    if sent is not None:
        return sent, False
    if wanted.attachment_id is not None:
        await _check_attachment(session, conversation=conversation, actor=actor, attachment_id=wanted.attachment_id)
    await limits.count_bytes(session, actor=actor, size=len(wanted.text.encode()), now=now)

    is_from_customer = conversation.customer_id == actor.user_id
    _assign_next_seq(conversation, is_from_customer=is_from_customer, now=now)
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
        await _reopen(session, conversation, now=now)
    else:
        await _record_answer(session, conversation, actor=actor)
    await session.flush()
    hints.publish(session, topics=[topic_of(conversation.id)])
    return await queries.get_message(session, message_id=message.id), True


async def _find_sent(
    session: AsyncSession, *, conversation: Conversation, actor: Actor, client_id: str, wanted: SendMessage
) -> Message | None:
    """Return the message with this `client_id` if it was sent before, and publish its hint again."""
    sent = await queries.find_message(
        session, conversation_id=conversation.id, author_id=actor.user_id, client_id=client_id
    )
    if sent is None:
        return None
    if (sent.text, sent.attachment_id) != (wanted.text, wanted.attachment_id):
        raise ClientIdTakenError
    # The first time the process may have ended before it published the hint.
    hints.publish(session, topics=[topic_of(conversation.id)])
    return sent


def _assign_next_seq(conversation: Conversation, *, is_from_customer: bool, now: datetime) -> None:
    """Increase `last_seq`: it is the `seq` of the new message."""
    if is_from_customer and conversation.mailed_seq == conversation.last_seq:
        conversation.mailed_seq += 1  # nobody gets mails of their own messages
    conversation.last_seq += 1
    conversation.last_message_at = conversation.updated_at = now


async def _reopen(session: AsyncSession, conversation: Conversation, *, now: datetime) -> None:
    """Open the conversation after a message of the customer. It waits for an answer from now on."""
    if conversation.status == ConversationStatus.RESOLVED:
        await _release_absent_assignee(session, conversation)
    conversation.status = ConversationStatus.OPEN
    conversation.waiting_since = conversation.waiting_since or now
    conversation.unread_by_staff += 1


async def _record_answer(session: AsyncSession, conversation: Conversation, *, actor: Actor) -> None:
    """Record an answer of the staff, which ends the waiting time."""
    conversation.waiting_since = None
    conversation.unread_by_customer += 1
    await _record_answerer(session, conversation, actor=actor)


async def _release_absent_assignee(session: AsyncSession, conversation: Conversation) -> None:
    """Remove the assignment of a reopened conversation, unless the assigned person is connected."""
    assignee = conversation.assigned_to_id
    if assignee is not None and not await live.count_connections(session, user_id=assignee):
        conversation.assigned_to_id = conversation.assigned_shop_id = None


async def _record_answerer(session: AsyncSession, conversation: Conversation, *, actor: Actor) -> None:
    """Record who answers for a shop: they may see the conversation until it is resolved, also for another shop."""
    shop_id = choose_answering_shop(actor.shop_ids, shop_id=conversation.shop_id)
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


async def mark_read(
    session: AsyncSession, *, conversation_id: UUID, actor: Actor, seq: int, now: datetime
) -> Conversation:
    """Record that the actor's side has read up to `seq`; return the conversation. An older `seq` changes nothing."""
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
    hints.publish(session, topics=[topic_of(conversation.id)])
    return conversation


async def change(
    session: AsyncSession, *, conversation_id: UUID, actor: Actor, wanted: ChangeConversation, now: datetime
) -> Conversation:
    """Change the assignment or the status of a conversation; return it. Resolving it ends the waiting time.

    It can be resolved only if the customer has written nothing after `seen_seq`. By default, messages count as seen
    that are marked as read or were sent before the last answer.
    """
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    check_customer_not_deleted(conversation)
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
    hints.publish(session, topics=[topic_of(conversation.id)])
    return conversation


async def _check_seen(session: AsyncSession, conversation: Conversation, *, seen_seq: int | None) -> None:
    if seen_seq is None:
        # The waiting time begins after the last answer, and unread messages are those after the last receipt.
        unseen = conversation.unread_by_staff if conversation.waiting_since else 0
    else:
        # Nobody can have seen a message that doesn't exist.
        unseen = seen_seq > conversation.last_seq or await queries.count_unread(
            session, conversation_id=conversation.id, after=seen_seq, from_customer=True
        )
    if unseen:
        raise UnseenMessagesError(
            "Read the new messages, and send the `seq` of the last one as `seen_seq`.",
            last_seq=conversation.last_seq,
        )


async def _assign(session: AsyncSession, conversation: Conversation, *, user_id: UUID | None) -> None:
    shop_id = None
    if user_id is not None:
        shop_ids = await queries.list_shop_ids(session, user_id=user_id)
        shop_id = choose_answering_shop(shop_ids, shop_id=conversation.shop_id)
        if not await queries.may_answer(session, user_id=user_id, shop_id=shop_id):
            if await accounts.find_user(session, user_id) is None:
                raise UnknownReferenceError([("assigned_to",)])
            raise UnfitAssigneeError
    conversation.assigned_to_id, conversation.assigned_shop_id = user_id, shop_id


async def notify_typing(session: AsyncSession, *, conversation_id: UUID, actor: Actor) -> None:
    """Publish that the actor is typing, to the others in the conversation."""
    conversation = await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
    side = Side.CUSTOMER if conversation.customer_id == actor.user_id else Side.STAFF
    frame = {"user_id": str(actor.user_id), "side": side}
    hints.publish(session, topics=[topic_of(conversation.id)], frame=frame)


async def add_note(session: AsyncSession, *, conversation_id: UUID, actor: Actor, text: str, now: datetime) -> Note:
    """Add and return a note for the staff of a shop. The customer sees no change, and the queue stays as it is.

    The shop is that of the conversation if the author works there, else one of the author's. It doesn't change later.
    """
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    check_customer_not_deleted(conversation)
    await limits.count_bytes(session, actor=actor, size=len(text.encode()), now=now)
    shop_id = conversation.shop_id
    if not actor.serves_all_shops:
        shop_id = choose_answering_shop(actor.shop_ids, shop_id=shop_id)
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
    flag_modified(conversation, "updated_at")  # keeps its value, which the customer sees
    await session.flush()
    hints.publish(session, topics=[topic_of(conversation.id)])
    return await queries.get_note(session, note_id=note.id)
