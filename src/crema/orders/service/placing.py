"""Placing orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import bindparam, select

from crema.accounts.domain import Actor
from crema.accounts.models import User
from crema.cart import service as carts
from crema.cart.domain import LineRequest
from crema.cart.queries import find_cart
from crema.core.errors import ConflictError, ForbiddenError, InvalidError, UnauthenticatedError, UnknownReferenceError
from crema.db.base import new_id
from crema.db.driver import Writer
from crema.db.statement import BulkInsert, Executor, Statement, into
from crema.events import service as event_log
from crema.events.service import NewEvent
from crema.menu import queries as menu
from crema.orders import domain, queries
from crema.orders.domain import (
    Customer,
    EventKind,
    NewHistoryEntry,
    NewLine,
    NewOrder,
    OrderContext,
    OrderDraft,
    OrderRequest,
    OrderSettings,
    Quote,
    QuotedOrder,
    QuoteOutdatedError,
)
from crema.orders.models import Order, OrderEvent, OrderLine
from crema.orders.schemas import PlaceOrder, QuoteOrder, QuoteOut
from crema.orders.service import history, numbering, slots, stock
from crema.orders.service.stock import DraftedLines, TakenStock


class CartEmptyError(ConflictError):
    """There is nothing to order."""

    code = "cart_empty"
    title = "The cart is empty."
    advice = "Put something into it first, or send `items`."


class ShopRequiredError(InvalidError):
    """Neither the request nor the cart names a shop, and the chain has several."""

    code = "shop_required"
    title = "The order names no shop."
    advice = "Send `shop_id`."


async def place(tx: Writer, *, actor: Actor, wanted: PlaceOrder, settings: OrderSettings, now: datetime) -> NewOrder:
    """Turn the cart, or the items sent, into an order at today's prices. The mails about it follow from the log.

    Locks are taken in this order: the person, so that their orders are placed one after another; the cart; the
    products; then the shop (FOR SHARE) with its number counter, its slots and its stocks, last because all customers
    of the shop share them. The shop may be changed, or a slot be filled, between reading and locking: then it is read
    again.
    """
    quote = Quote.read(wanted.quote_id, settings.quote_key) if wanted.quote_id else None
    shop_ids = shops_of_request(actor, wanted)
    person = await _lock_person(tx, actor.user_id)
    lines, shop_of_cart = await _take_lines(tx, actor=actor, wanted=wanted)
    shop_ids = shop_ids or ([shop_of_cart, None] if shop_of_cart else [None])
    request = wanted.as_request(lines)
    await menu.lock_products(tx, request.product_ids)

    number, is_booked = None, False
    while number is None or not is_booked:
        context = await get_context(tx, request, user_id=actor.user_id, shop_ids=shop_ids, now=now)
        draft = _draft(request, context, quote, actor=actor, settings=settings, now=now)
        number = number or await numbering.take(
            tx, shop_id=context.shop.id, shop_version=context.shop_version, day=draft.business_date
        )
        is_booked = number is not None and await slots.book(
            tx, shop_id=context.shop.id, bookings=draft.handover.bookings
        )
    order = domain.new_order(draft, number=number, actor=actor, person=person, now=now, make_id=new_id)
    drafted = DraftedLines(draft.lines, request.lines, context.offers, context.shop.id, request.pickup_at or now)
    taken = await stock.take(tx, drafted, order_id=order.id)

    try:
        await _record(tx, order, taken)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "uq_orders_quote_id":
            raise
        raise QuoteOutdatedError("It was ordered already.", quote=None) from None
    return order


def _draft(
    request: OrderRequest,
    context: OrderContext,
    quote: Quote | None,
    *,
    actor: Actor,
    settings: OrderSettings,
    now: datetime,
) -> OrderDraft:
    """Draft the order, as it was quoted if it was. QuoteOutdatedError, with the next quote, where that doesn't hold."""
    if quote is None:
        return domain.draft_order(request, context, settings=settings, now=now)
    draft = domain.draft_as_quoted(
        request, context, quote, settings=settings, user_id=actor.user_id, now=now, make_id=new_id
    )
    if isinstance(draft, QuotedOrder):
        raise QuoteOutdatedError(quote=QuoteOut.of(draft, key=settings.quote_key).model_dump(mode="json"))
    return draft


def shops_of_request(actor: Actor | None, wanted: QuoteOrder) -> list[UUID | None]:
    """Return the shop that the request names, in a list; an empty one if the cart decides."""
    if wanted.source == "counter":
        return [_shop_at_counter(actor, wanted.shop_id)]
    return [wanted.shop_id] if wanted.shop_id else []


def _shop_at_counter(actor: Actor | None, shop_id: UUID | None) -> UUID | None:
    """Return the shop at whose counter staff take the order: theirs, if they have one; None is the chain's only one."""
    if actor is None:
        raise UnauthenticatedError
    if not actor.may("orders:write"):
        raise ForbiddenError("Only staff take orders at the counter.")
    if shop_id is None and not actor.serves_all_shops and actor.shop_ids:
        if len(actor.shop_ids) > 1:
            raise ShopRequiredError
        (shop_id,) = actor.shop_ids
    if not actor.serves_all_shops and shop_id not in actor.shop_ids:
        raise ForbiddenError("You can take orders only at the shops you work for.")
    return shop_id


_LOCK_PERSON: Final = Statement(
    select(User.id, User.name, User.phone, User.email, User.language)
    .where(User.id == bindparam("user_id"), User.deleted_at.is_(None))
    .with_for_update(key_share=True)
)
_as_customer: Final = into(Customer)


async def _lock_person(tx: Writer, user_id: UUID) -> Customer:
    row = await _LOCK_PERSON.row(tx, user_id=user_id)
    if row is None:  # deleted after the request was authenticated
        raise UnauthenticatedError
    return _as_customer(row)


async def _take_lines(tx: Writer, *, actor: Actor, wanted: PlaceOrder) -> tuple[Sequence[LineRequest], UUID | None]:
    """Return the lines to order, and the shop that the cart names. Without `items` the cart is emptied."""
    if wanted.items is not None:
        cart = None if wanted.shop_id or wanted.source == "counter" else await find_cart(tx, actor.user_id)
        return [item.as_request() for item in wanted.items], cart.shop_id if cart else None
    items, shop_id = await carts.empty_and_return(tx, user_id=actor.user_id)
    if not items:
        raise CartEmptyError
    return [item.as_request() for item in items], shop_id


async def get_context(
    db: Executor, request: OrderRequest, *, user_id: UUID | None, shop_ids: Sequence[UUID | None], now: datetime
) -> OrderContext:
    """Return the context at the first of these shops that takes orders; None among them is the chain's only shop."""
    for shop_id in shop_ids:
        context = await queries.find_order_context(
            db, shop_id=shop_id, user_id=user_id, product_ids=request.product_ids, now=now
        )
        if context is not None:
            return context
    raise UnknownReferenceError([("shop_id",)]) if request.shop_id else ShopRequiredError


_ORDERS: Final = BulkInsert(Order, NewOrder)
LINES: Final = BulkInsert(OrderLine, NewLine)
"""Inserts lines of orders, for placing and for editing."""
_HISTORY: Final = BulkInsert(OrderEvent, NewHistoryEntry)
_INSERTS: Final = (_ORDERS, LINES, _HISTORY, slots.BOOKINGS, stock.TAKEN)
_RECORD: Final = Statement(event_log.EVENTS.statement.add_cte(*(insert.statement.cte() for insert in _INSERTS)))


async def _record(tx: Writer, order: NewOrder, taken: Sequence[TakenStock]) -> None:
    """Insert the order, its lines, its history and its event in one statement. Its followers hear of it at the commit.

    Rows of another table that belong to a new order are added as one more CTE of this statement.
    """
    await _RECORD.rows(
        tx,
        **_ORDERS.values([order]),
        **LINES.values(order.lines),
        **_HISTORY.values(order.history),
        **slots.BOOKINGS.values(order.bookings),
        **stock.TAKEN.values(taken),
        **event_log.EVENTS.values(
            [
                NewEvent(EventKind.MOVED if entry.from_status else EventKind.PLACED, order.id, id=entry.id)
                for entry in order.history
            ]
        ),
    )
    history.announce(tx, order)
