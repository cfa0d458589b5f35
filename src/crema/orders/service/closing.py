"""What becomes of the orders of a person whose account is deleted, and of a shop that closes."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.accounts.models import User
from crema.core.errors import ConflictError
from crema.orders import queries
from crema.orders.domain import OrderStatus
from crema.orders.models import Order, OrderEvent, OrderLine
from crema.orders.service import mails, slots, stock, transitions
from crema.orders.service.mails import ClosingCause

_DELETED: Final = {"ru": "Аккаунт удалён.", "en": "The account was deleted."}
_CLOSED: Final = {"ru": "Кофейня в это время закрыта.", "en": "The shop is closed at this time."}


class OpenOrdersError(ConflictError):
    """A person with orders in progress can't be deleted, nor a shop closed out of theirs. `orders` lists them."""

    code = "open_orders"
    title = "There are orders in progress."
    advice = "Wait until they are over, or send `force=true` to cancel them."


async def close_orders(
    session: AsyncSession, *, person: User, actor: Actor, force: bool, now: datetime, shop_language: str
) -> None:
    """Refuse while a person who is being deleted has orders in progress; with `force` cancel them and tell everybody.

    The customer, whose address is still known, gets a mail for each; the shops' mailboxes and the administrators get
    one for all. A drink that is ready stays at the shop: its order expires. Then the name to call goes from all of the
    person's orders. Run by `people.delete_user`, while the person is locked: no order is placed meanwhile.
    """
    del actor
    orders = await queries.list_open_for_update(session, user_id=person.id)
    if orders and not force:
        raise _refusal_of(orders)
    await slots.lock(session, orders)
    await stock.lock_stocks_of(session, orders)
    moved = []
    for order in orders:
        to = OrderStatus.EXPIRED if order.status == OrderStatus.READY else OrderStatus.CANCELLED
        reason = _DELETED[person.language]
        entry = await transitions.move(session, order=order, to=to, actor=None, now=now, reason=reason)
        if entry is not None:
            moved.append((order, entry))
    await mails.mail_before_deletion(session, moved, person=person)
    await mails.send_closing(
        session, orders=orders, cause=ClosingCause.ACCOUNT_DELETED, customer=person.name, shop_language=shop_language
    )
    await session.execute(
        update(Order)
        .where(Order.user_id == person.id)
        .values(pickup_name=None, updated_at=Order.updated_at, changed_in=Order.changed_in)
    )


async def close_orders_of_shop(
    session: AsyncSession,
    *,
    shop_id: UUID,
    is_closed_at: Callable[[datetime | None], bool],
    force: bool,
    now: datetime,
    shop_language: str,
) -> None:
    """Refuse while a shop that closes has orders in progress for then; with `force` cancel them and tell everybody.

    Each customer gets a mail, the shop's mailbox and the administrators get one for all. Run by `shops.service`, while
    the shop is locked: placing an order waits, and looks at the shop again. An edit of an order holds the order, and
    is waited for.
    """
    orders = await queries.list_open_of_shop_for_update(session, shop_id=shop_id)
    orders = [order for order in orders if is_closed_at(order.pickup_at)]
    if orders and not force:
        raise _refusal_of(orders)
    await slots.lock(session, orders)
    await stock.lock_stocks_of(session, orders)
    languages = await accounts.languages_of(session, {order.user_id for order in orders if order.user_id})
    for order in orders:
        reason = _CLOSED[languages[order.user_id] if order.user_id else "en"]
        await transitions.move(session, order=order, to=OrderStatus.CANCELLED, actor=None, now=now, reason=reason)
    await mails.send_closing(session, orders=orders, cause=ClosingCause.SHOP_CLOSED, shop_language=shop_language)


def _refusal_of(orders: Sequence[Order]) -> OpenOrdersError:
    return OpenOrdersError(
        orders=[
            {"id": str(order.id), "number": order.number, "status": order.status, "shop_id": str(order.shop_id)}
            for order in orders
        ]
    )


async def erase(session: AsyncSession, *, user_id: UUID) -> None:
    """Delete what a person wrote into their orders: comments, notes, reasons, edits. Amounts and products stay.

    The name to call went with the account.

    `updated_at` and the position of live feeds stay too: nobody is to be told.
    """
    theirs = select(Order.id).where(Order.user_id == user_id)
    await session.execute(update(OrderLine).where(OrderLine.order_id.in_(theirs)).values(note=""))
    await session.execute(update(OrderEvent).where(OrderEvent.order_id.in_(theirs)).values(reason=None, changes=None))
    await session.execute(
        update(Order)
        .where(Order.user_id == user_id)
        .values(comment="", updated_at=Order.updated_at, changed_in=Order.changed_in)
    )


async def erase_names(session: AsyncSession, *, taken_before: datetime) -> None:
    """Delete the names of whom orders at the counter were for: nobody has an account there that could be deleted.

    As above, nobody is to be told.
    """
    await session.execute(
        update(Order)
        .where(Order.customer_name != "", Order.created_at < taken_before)
        .values(customer_name="", pickup_name=None, updated_at=Order.updated_at, changed_in=Order.changed_in)
    )
