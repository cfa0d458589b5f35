"""Placing orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from crema.accounts.domain import Actor
from crema.accounts.models import User
from crema.cart import domain as cart_domain
from crema.cart import service as carts
from crema.cart.domain import Configured, ItemUnavailableError
from crema.cart.schemas import AddToCart, ChoiceIn
from crema.core.errors import ConflictError, InvalidError, NotFoundError, UnauthenticatedError
from crema.db.base import new_id
from crema.db.driver import Writer
from crema.db.statement import Rows, Statement, unmanaged
from crema.menu import queries as menu
from crema.menu.domain import PricedProduct
from crema.notifications import service as notifications
from crema.orders import domain, queries
from crema.orders.domain import Status
from crema.orders.models import Order, OrderEvent, OrderLine, OrderNumberCounter
from crema.orders.schemas import PlaceOrder
from crema.orders.service import letters, moving
from crema.orders.service.letters import Customer
from crema.shops import queries as shops
from crema.shops.domain import OpeningHours


class CartEmptyError(ConflictError):
    """There is nothing to order."""

    code = "cart_empty"
    title = "The cart is empty."


class ShopClosedError(ConflictError):
    """As soon as possible, but the shop is closed now."""

    code = "shop_closed"
    title = "The shop is closed now."


class OutsideOpeningHoursError(ConflictError):
    """The pick-up time is one at which the shop is closed."""

    code = "outside_opening_hours"
    title = "The shop is closed at that time."


class PriceChangedError(ConflictError):
    """The total isn't the one the client expected; `total` is what it is now."""

    code = "price_changed"
    title = "The price has changed."


class MinimumNotReachedError(ConflictError):
    """The total is below the chain's smallest order."""

    code = "minimum_not_reached"
    title = "The order is too small."


class TooManyOpenOrdersError(ConflictError):
    """So many orders in progress are not one person's morning."""

    code = "too_many_open_orders"
    title = "You have too many orders in progress."


class ShopRequiredError(InvalidError):
    """Neither the request nor the cart names a shop, and the chain has several."""

    code = "shop_required"
    title = "Say at which shop to pick the order up."


class InvalidPickupTimeError(InvalidError):
    """A pick-up time in the past, or too far ahead."""

    code = "invalid_pickup_time"
    title = f"Pick-up is possible from now to {domain.FURTHEST_PICKUP.days} days ahead."


@dataclass(frozen=True, slots=True)
class Rules:
    """What the chain demands of an order."""

    currency: str
    max_open_orders: int
    minimum: Decimal
    shop_language: str

    WORK_STATUSES: ClassVar = (Status.PLACED, Status.ACCEPTED, Status.PREPARING)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One line to be: a configured product, how many, and the customer's note."""

    made: Configured
    quantity: int
    note: str

    @property
    def total(self) -> Decimal:
        """Price of the line."""
        return self.made.unit_price * self.quantity


async def place(tx: Writer, *, actor: Actor, wanted: PlaceOrder, rules: Rules, now: datetime) -> Order:
    """Turn the cart, or the items sent, into an order at today's prices; promise the mails about it.

    A person's orders are placed one after another: their row is locked first. Then the cart, the products
    and, last because all customers of a shop share it, the shop's number counter. The order is no session's: a unit
    of work would cost as much as all the rest.
    """
    person = await _lock_person(tx, actor.user_id)
    items, cart_shop_id = await _items_of(tx, actor=actor, wanted=wanted)
    product_ids = {item.product_id for item in items}
    await menu.lock_products(tx, product_ids)
    around = await queries.find_circumstances(
        tx, shop_id=wanted.shop_id or cart_shop_id, user_id=actor.user_id, product_ids=product_ids
    )
    if around is None:
        raise ShopRequiredError
    if around.open_orders >= rules.max_open_orders:
        raise TooManyOpenOrdersError

    hours = shops.hours_of(around.shop)
    check_time(hours, pickup_at=wanted.pickup_at, now=now)
    lines = configure(around.products, items)
    total = check_total(lines, expected=wanted.expected_total, minimum=rules.minimum)

    ready_at = estimate(lines, pickup_at=wanted.pickup_at, now=now)
    business_date = hours.business_date(now)

    order = unmanaged(
        Order,
        id=(order_id := new_id()),
        number=await _next_number(tx, shop_id=around.shop.id, business_date=business_date),
        business_date=business_date,
        status=Status.PLACED,
        shop_id=around.shop.id,
        shop=around.shop,
        user_id=actor.user_id,
        pickup_at=wanted.pickup_at,
        ready_estimate_at=ready_at,
        comment=wanted.comment,
        payment_method=wanted.payment_method,
        payment_status="pending",
        subtotal=total,
        discount=Decimal(0),
        total=total,
        currency=rules.currency,
        hidden_at=None,
        created_at=now,
        updated_at=now,
        lines=[unmanaged(OrderLine, **values) for values in line_values(lines, order_id=order_id)],
        history=[
            unmanaged(
                OrderEvent,
                id=new_id(),
                order_id=order_id,
                from_status=None,
                status=Status.PLACED,
                actor_id=actor.user_id,
                actor_role=actor.role,
                reason=None,
                created_at=now,
            ),
        ],
    )
    mails = letters.placed(order=order, customer=person, admins=around.admins, shop_language=rules.shop_language)
    await _RECORD.rows(
        tx,
        **_ORDERS.values([order]),
        **_LINES.values(order.lines),
        **_EVENTS.values(order.history),
        **notifications.promised(mails),
    )
    moving.announce(tx, order)
    return order


_ORDERS, _LINES, _EVENTS = Rows(Order), Rows(OrderLine), Rows(OrderEvent)
_RECORD: Final = Statement(
    notifications.PROMISE.add_cte(*(rows.insertion.cte() for rows in (_ORDERS, _LINES, _EVENTS)))
)
_LOCKED_PERSON: Final = Statement(
    select(User.email, User.language, User.name)
    .where(User.id == bindparam("user_id"), User.deleted_at.is_(None))
    .with_for_update(key_share=True)
)


async def _lock_person(tx: Writer, user_id: UUID) -> Customer:
    row = await _LOCKED_PERSON.row(tx, user_id=user_id)
    if row is None:  # deleted since we knew who is asking
        raise UnauthenticatedError
    return Customer(*row)


async def _items_of(tx: Writer, *, actor: Actor, wanted: PlaceOrder) -> tuple[Sequence[AddToCart], UUID | None]:
    if wanted.items is not None:
        return wanted.items, None
    taken, shop_id = await carts.take(tx, user_id=actor.user_id)
    if not taken:
        raise CartEmptyError
    return [
        AddToCart(
            product_id=item.product_id,
            size_id=item.size_id,
            options=[ChoiceIn(option_id=c.option_id, quantity=c.quantity) for c in item.choices],
            note=item.note,
            quantity=item.quantity,
        )
        for item in taken
    ], shop_id


def check_time(hours: OpeningHours, *, pickup_at: datetime | None, now: datetime) -> None:
    """Refuse a time at which nobody could hand the order over; None is as soon as possible."""
    if pickup_at is None:
        if not hours.is_open(now):
            opens = hours.next_opening(now)
            raise ShopClosedError(opens_at=opens.isoformat() if opens else None)
        return
    if not now <= pickup_at <= now + domain.FURTHEST_PICKUP:
        raise InvalidPickupTimeError
    if not hours.is_open(pickup_at):
        raise OutsideOpeningHoursError


def configure(products: Mapping[UUID, PricedProduct], items: Sequence[AddToCart]) -> list[Wanted]:
    """Check and price each item."""
    lines = []
    for item in items:
        product = products.get(item.product_id)
        if product is None:
            raise NotFoundError
        if not product.is_active:
            raise ItemUnavailableError(f"{product.name} is off the menu.", product_id=str(product.id))
        choices = cart_domain.complete(product, item.choices())
        made = cart_domain.configure(product, size_id=item.size_id, choices=choices)
        lines.append(Wanted(made, item.quantity, item.note))
    return lines


def check_total(lines: Sequence[Wanted], *, expected: Decimal | None, minimum: Decimal) -> Decimal:
    """Add up, and refuse a sum the customer didn't expect or the chain doesn't take."""
    total = sum((line.total for line in lines), Decimal(0))
    if expected is not None and expected != total:
        raise PriceChangedError(f"The total is {total:.2f} now.", total=f"{total:.2f}")
    if total < minimum:
        raise MinimumNotReachedError(f"An order starts at {minimum:.2f}.", minimum=f"{minimum:.2f}")
    return total


def estimate(lines: Sequence[Wanted], *, pickup_at: datetime | None, now: datetime) -> datetime:
    """Tell when it will be ready."""
    work = sum(line.made.product.preparation_seconds * line.quantity for line in lines)
    return domain.estimate_ready(now=now, pickup_at=pickup_at, work_seconds=work)


_COUNT_UP: Final = Statement(
    insert(OrderNumberCounter)
    .values(shop_id=bindparam("shop_id"), business_date=bindparam("business_date"), last=1)
    .on_conflict_do_update(index_elements=["shop_id", "business_date"], set_={"last": OrderNumberCounter.last + 1})
    .returning(OrderNumberCounter.last)
)


async def _next_number(tx: Writer, *, shop_id: UUID, business_date: date) -> str:
    ((last,),) = await _COUNT_UP.rows(tx, shop_id=shop_id, business_date=business_date)
    return domain.number_of(last)


def line_values(lines: Sequence[Wanted], *, order_id: UUID) -> list[dict[str, Any]]:
    """Copy what is sold, and for how much, into the order's lines."""
    return [
        {
            "id": new_id(),
            "order_id": order_id,
            "position": position,
            "product_id": line.made.product.id,
            "name": line.made.product.name,
            "size": _size_copy(line.made),
            "options": [
                {
                    "option_id": str(option.option_id),
                    "name": option.name,
                    "group": option.group,
                    "quantity": option.quantity,
                    "price_delta": str(option.price_delta),
                    "price": str(option.price),
                }
                for option in line.made.options
            ],
            "note": line.note,
            "quantity": line.quantity,
            "unit_price": line.made.unit_price,
            "total": line.total,
        }
        for position, line in enumerate(lines)
    ]


def _size_copy(made: Configured) -> dict[str, Any] | None:
    if made.size is None:
        return None
    return {"id": str(made.size.id), "name": made.size.name, "volume_ml": made.size.volume_ml}
