"""Messages of the staff to a customer who has not written first."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.core.errors import ConflictError, NotFoundError, UnknownReferenceError
from crema.orders import queries as orders
from crema.orders.models import Order
from crema.support import queries
from crema.support.domain import ConversationStatus
from crema.support.models import Conversation
from crema.support.schemas import SendMessage, WriteFirst
from crema.support.service import conversations


class ConversationElsewhereError(ConflictError):
    """The customer's conversation is with another shop, whose conversations the actor may not see."""

    code = "conversation_elsewhere"
    title = "The customer is talking with another shop."
    advice = "Ask somebody of the whole chain to assign the conversation to you."


async def write_first(session: AsyncSession, *, actor: Actor, wanted: WriteFirst, now: datetime) -> Conversation:
    """Send a message to a customer, in the customer's only conversation; return the conversation.

    Staff of a shop may write to customers whose conversation they see, or who have ordered at one of their shops. With
    `order_id` the conversation is about that order and its shop from now on.
    """
    customer = await accounts.find_user(session, wanted.customer_id)
    if customer is None or not customer.is_verified or not customer.is_active or customer.id == actor.user_id:
        raise UnknownReferenceError([("customer_id",)])
    order = None
    if wanted.order_id is not None:
        order = await orders.find_of_customer(session, actor=actor, customer_id=customer.id, order_id=wanted.order_id)
        if order is None:
            raise UnknownReferenceError([("order_id",)])

    shop_id = await _shop_of_first_message(session, actor=actor, customer_id=customer.id, order=order)
    try:
        conversation_id = await conversations.get_or_create_id(
            session, customer_id=customer.id, now=now, shop_id=shop_id
        )
    except NotFoundError as error:
        raise UnknownReferenceError([("customer_id",)]) from error
    try:
        conversation = await queries.get_conversation(
            session, conversation_id=conversation_id, actor=actor, for_update=True
        )
    except NotFoundError as error:
        if await orders.find_of_customer(session, actor=actor, customer_id=customer.id) is None:
            raise UnknownReferenceError(
                [("customer_id",)]
            ) from error  # not a customer of theirs: nothing about the person may be revealed
        raise ConversationElsewhereError from error

    if order is not None:
        conversation.order_id, conversation.shop_id = order.id, order.shop_id
    if conversation.status == ConversationStatus.RESOLVED or not conversation.last_seq:
        conversation.status = ConversationStatus.PENDING
    await session.flush()
    message = SendMessage(text=wanted.text, client_id=wanted.client_id)
    await conversations.send(session, conversation_id=conversation_id, actor=actor, wanted=message, now=now)
    return await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)


async def _shop_of_first_message(
    session: AsyncSession, *, actor: Actor, customer_id: UUID, order: Order | None
) -> UUID | None:
    """Return the shop that a new conversation is about: that of the order, or of the customer's last order."""
    if order is not None:
        return order.shop_id
    if actor.serves_all_shops or await queries.find_own_id(session, customer_id=customer_id) is not None:
        return None
    last = await orders.find_of_customer(session, actor=actor, customer_id=customer_id)
    if last is None:
        raise UnknownReferenceError([("customer_id",)])
    return last.shop_id
