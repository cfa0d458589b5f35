"""Placing orders."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, select

from crema.accounts.domain import Actor
from crema.accounts.models import User
from crema.cart import service as carts
from crema.cart.domain import Configured, LineRequest
from crema.cart.queries import find_cart
from crema.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    TooManyError,
    UnauthenticatedError,
    UnknownReferenceError,
)
from crema.db.base import new_id
from crema.db.driver import Writer
from crema.db.statement import Rows, Statement, unmanaged
from crema.menu import queries as menu
from crema.menu.domain import Contents
from crema.notifications import service as notifications
from crema.orders import domain, queries
from crema.orders.domain import DraftLine, OrderStatus
from crema.orders.models import Order, OrderEvent, OrderLine
from crema.orders.queries import Circumstances
from crema.orders.schemas import PICKUP_NAME_LENGTH, PlaceOrder
from crema.orders.service import letters, moving, numbering
from crema.orders.service.letters import Customer
from crema.shops import queries as shops


class CartEmptyError(ConflictError):
    """There is nothing to order."""

    code = "cart_empty"
    title = "The cart is empty."


class TooManyOpenOrdersError(ConflictError):
    """The customer has as many orders in progress as one person may."""

    code = "too_many_open_orders"
    title = "You have too many orders in progress."


class ShopRequiredError(InvalidError):
    """Neither the request nor the cart names a shop, and the chain has several."""

    code = "shop_required"
    title = "Say at which shop to pick the order up."


class TooManyOrdersError(TooManyError):
    """More orders within an hour than one person may place."""

    code = "too_many_orders"
    title = "You have placed too many orders within an hour."


HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the chain demands of an order."""

    currency: str
    max_open_orders: int
    minimum: Decimal
    shop_language: str
    max_orders_an_hour: int


@dataclass(frozen=True, slots=True)
class Draft:
    """What a request becomes at the shop, before it has a number."""

    lines: Sequence[DraftLine]
    total: Decimal
    ready_at: datetime
    business_date: date


async def place(tx: Writer, *, actor: Actor, wanted: PlaceOrder, rules: Rules, now: datetime) -> Order:
    """Turn the cart, or the items sent, into an order at today's prices; promise the mails about it.

    A person's orders are placed one after another: their row is locked first. Then the cart, the products
    and, last because all customers of a shop share them, the shop (FOR SHARE) and its number counter. The order is
    no session's: a unit of work would cost as much as all the rest.
    """
    shop_ids = [_shop_at_counter(actor, wanted)] if wanted.source == "counter" else None
    person = await _lock_person(tx, actor.user_id)
    requests, cart_shop_id = await _requests_of(tx, actor=actor, wanted=wanted)
    if shop_ids is None:
        shop_ids = [wanted.shop_id] if wanted.shop_id else [cart_shop_id, None] if cart_shop_id else [None]
    await menu.lock_products(tx, {request.product_id for request in requests})
    around, draft, number = await _gather(
        tx, actor=actor, requests=requests, shop_ids=shop_ids, wanted=wanted, rules=rules, now=now
    )

    order = unmanaged(
        Order,
        id=(order_id := new_id()),
        number=number,
        business_date=draft.business_date,
        status=OrderStatus.PLACED,
        shop_id=around.shop.id,
        shop=around.shop,
        source=wanted.source,
        user_id=actor.user_id if wanted.source == "app" else None,
        customer=_customer(actor, person) if wanted.source == "app" else None,
        customer_name=wanted.customer_name,
        pickup_name=wanted.customer_name or wanted.pickup_name or _short(person.name),
        pickup_at=wanted.pickup_at,
        ready_estimate_at=draft.ready_at,
        comment=wanted.comment,
        payment_method=wanted.payment_method,
        payment_status="pending",
        subtotal=draft.total,
        discount=Decimal(0),
        total=draft.total,
        currency=rules.currency,
        hidden_at=None,
        hidden_from_customer_at=None,
        created_at=now,
        updated_at=now,
        lines=[unmanaged(OrderLine, **values) for values in line_values(draft.lines, order_id=order_id)],
        history=[
            unmanaged(
                OrderEvent,
                id=new_id(),
                order_id=order_id,
                from_status=None,
                status=OrderStatus.PLACED,
                actor_id=actor.user_id,
                actor_role=actor.role,
                reason=None,
                changes=None,
                created_at=now,
            ),
        ],
    )
    customer = person if wanted.source == "app" else letters.without_account(order)
    mails = letters.placed(order=order, customer=customer, admins=around.admins, shop_language=rules.shop_language)
    await _RECORD.rows(
        tx,
        **_ORDERS.values([order]),
        **_LINES.values(order.lines),
        **_EVENTS.values(order.history),
        **notifications.promised(mails),
    )
    moving.announce(tx, order)
    return order


def _customer(actor: Actor, person: Customer) -> User:
    return unmanaged(User, id=actor.user_id, name=person.name, phone=person.phone)


def _short(name: str | None) -> str | None:
    """Cut a person's name to what fits on a cup."""
    return name and (name[:PICKUP_NAME_LENGTH].strip() or None)


def _draft(
    around: Circumstances, *, requests: Sequence[LineRequest], wanted: PlaceOrder, rules: Rules, now: datetime
) -> Draft:
    hours = shops.hours_of(around.shop)
    domain.check_time(hours, pickup_at=wanted.pickup_at, now=now)
    lines = domain.draft_lines(requests, around.products)
    work_seconds = sum(line.work_seconds for line in lines)
    return Draft(
        lines=lines,
        total=domain.check_total(lines, expected=wanted.expected_total, minimum=rules.minimum),
        ready_at=domain.estimate_ready(now=now, pickup_at=wanted.pickup_at, work_seconds=work_seconds),
        business_date=hours.business_date(wanted.pickup_at or now),
    )


_ORDERS, _LINES, _EVENTS = Rows(Order), Rows(OrderLine), Rows(OrderEvent)
_RECORD: Final = Statement(
    notifications.PROMISE.add_cte(*(rows.insertion.cte() for rows in (_ORDERS, _LINES, _EVENTS)))
)
_LOCKED_PERSON: Final = Statement(
    select(User.email, User.language, User.name, User.phone)
    .where(User.id == bindparam("user_id"), User.deleted_at.is_(None))
    .with_for_update(key_share=True)
)


async def _lock_person(tx: Writer, user_id: UUID) -> Customer:
    row = await _LOCKED_PERSON.row(tx, user_id=user_id)
    if row is None:  # deleted since we knew who is asking
        raise UnauthenticatedError
    return Customer(*row)


async def _gather(
    tx: Writer,
    *,
    actor: Actor,
    requests: Sequence[LineRequest],
    shop_ids: Sequence[UUID | None],
    wanted: PlaceOrder,
    rules: Rules,
    now: datetime,
) -> tuple[Circumstances, Draft, str]:
    """Load what the order has to know, decide what it becomes, and take a number for it.

    The shop is held as it was read from the number on. Where it changed before that, all of it is done again.
    """
    while True:
        around = await _find_circumstances(
            tx,
            shop_ids=shop_ids,
            user_id=actor.user_id,
            product_ids={request.product_id for request in requests},
            now=now,
        )
        if around is None:
            raise UnknownReferenceError([("shop_id",)]) if wanted.shop_id else ShopRequiredError
        if wanted.source == "app":
            _check_limits(around, rules=rules, now=now)
        draft = _draft(around, requests=requests, wanted=wanted, rules=rules, now=now)
        number = await numbering.take(
            tx, shop_id=around.shop.id, shop_version=around.shop_version, day=draft.business_date
        )
        if number is not None:
            return around, draft, number


async def _find_circumstances(
    tx: Writer, *, shop_ids: Sequence[UUID | None], user_id: UUID, product_ids: Collection[UUID], now: datetime
) -> Circumstances | None:
    """Load them at the first of these shops that takes orders; None stands for the chain's only one."""
    for shop_id in shop_ids:
        around = await queries.find_circumstances(
            tx, shop_id=shop_id, user_id=user_id, product_ids=product_ids, since=now - HOUR
        )
        if around is not None:
            return around
    return None


def _check_limits(around: Circumstances, *, rules: Rules, now: datetime) -> None:
    if around.open_orders >= rules.max_open_orders:
        raise TooManyOpenOrdersError
    if around.first_recent_at is not None and around.recent_orders >= rules.max_orders_an_hour:
        wait = around.first_recent_at + HOUR - now
        raise TooManyOrdersError(retry_after=max(1, ceil(wait.total_seconds())))


def _shop_at_counter(actor: Actor, wanted: PlaceOrder) -> UUID | None:
    """Name the shop at whose counter staff take the order: theirs, if they have one; None is the chain's only one."""
    if not actor.may("orders:write"):
        raise ForbiddenError("Only staff take orders at the counter.")
    shop_id = wanted.shop_id
    if shop_id is None and not actor.serves_all_shops and actor.shop_ids:
        if len(actor.shop_ids) > 1:
            raise ShopRequiredError
        (shop_id,) = actor.shop_ids
    if not actor.serves_all_shops and shop_id not in actor.shop_ids:
        raise ForbiddenError("You can take orders only at the shops you work for.")
    return shop_id


async def _requests_of(tx: Writer, *, actor: Actor, wanted: PlaceOrder) -> tuple[Sequence[LineRequest], UUID | None]:
    """Give the lines to order, and the shop that the cart names."""
    if wanted.items is not None:
        cart = None if wanted.shop_id or wanted.source == "counter" else await find_cart(tx, actor.user_id)
        return [item.as_request() for item in wanted.items], cart.shop_id if cart else None
    taken, shop_id = await carts.take(tx, user_id=actor.user_id)
    if not taken:
        raise CartEmptyError
    return [item.as_request() for item in taken], shop_id


def line_values(lines: Sequence[DraftLine], *, order_id: UUID) -> list[dict[str, Any]]:
    """Copy what is sold, and for how much, into the order's lines."""
    return [
        {
            "id": new_id(),
            "order_id": order_id,
            "position": position,
            "product_id": line.configured.product.id,
            "name": line.configured.product.name,
            "size": _size_copy(line.configured),
            "options": [
                {
                    "option_id": str(option.option_id),
                    "name": option.name,
                    "group": option.group,
                    "quantity": option.quantity,
                    "price_delta": str(option.price_delta),
                    "price": str(option.price),
                }
                for option in line.configured.options
            ],
            "note": line.note,
            "quantity": line.quantity,
            "preparation_seconds": line.configured.product.preparation_seconds,
            "contents": _contents_copy(line.configured.contents),
            "is_made": False,
            "unit_price": line.configured.unit_price,
            "total": line.total,
        }
        for position, line in enumerate(lines)
    ]


def _contents_copy(contents: Contents) -> dict[str, object]:
    """Write what a product contains as a line keeps it."""
    return {
        "allergens": list(contents.allergens),
        "ingredients": [{"id": str(each.id), "name": each.name} for each in contents.ingredients],
        "nutrition": asdict(contents.nutrition) if contents.nutrition else None,
    }


def _size_copy(configured: Configured) -> dict[str, str | int | None] | None:
    size = configured.size
    return {"id": str(size.id), "name": size.name, "volume_ml": size.volume_ml} if size else None
