"""New orders with their lines and their history, as they are recorded and shown. Pure.

These classes have the attributes of the tables' rows, and those that `OrderOut` shows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from crema.accounts.domain import Actor
from crema.menu.domain import Contents
from crema.orders.domain.draft import DraftLine, OrderDraft, OrderShop
from crema.orders.domain.lifecycle import OrderStatus
from crema.shops.domain import SlotBooking

PICKUP_NAME_LENGTH: Final = 40


@dataclass(frozen=True, slots=True)
class Customer:
    """The person who orders by app, and the language of the mails to them."""

    id: UUID
    name: str | None
    phone: str | None
    email: str | None
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLine:
    """A line of a new order, with copies of what the menu says about the product and its options today."""

    id: UUID
    order_id: UUID
    position: int
    product_id: UUID
    name: str
    size: Mapping[str, Any] | None
    options: Sequence[Mapping[str, Any]]
    note: str
    quantity: int
    preparation_seconds: int
    contents: Mapping[str, Any] | None
    unit_price: Decimal
    total: Decimal
    is_made: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHistoryEntry:
    """An entry of a new order's history: who placed or accepted it, and when. `actor_id` is None for the system."""

    id: UUID
    order_id: UUID
    actor_id: UUID | None
    actor_role: str
    created_at: datetime
    status: OrderStatus = OrderStatus.PLACED
    from_status: OrderStatus | None = None
    reason: str | None = None
    changes: Sequence[Mapping[str, Any]] | None = None

    @property
    def actor(self) -> Mapping[str, Any] | None:
        """The actor as it is shown; None for the system."""
        return {"id": self.actor_id, "role": self.actor_role} if self.actor_id else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBooking:
    """Seconds of work that an order has booked in the slot that starts then."""

    order_id: UUID
    shop_id: UUID
    starts_at: datetime
    seconds: int


@dataclass(frozen=True, slots=True)
class NewSlot:
    """A slot of a shop in which work is booked."""

    shop_id: UUID
    starts_at: datetime
    used_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """A complete order that is being placed. `customer` is None for an order taken at the counter."""

    id: UUID
    number: str
    business_date: date
    shop: OrderShop
    source: str
    customer: Customer | None
    customer_name: str | None
    pickup_name: str | None
    pickup_at: datetime | None
    ready_estimate_at: datetime
    start_at: datetime
    comment: str
    payment_method: str
    subtotal: Decimal
    discount: Decimal
    total: Decimal
    currency: str
    created_at: datetime
    updated_at: datetime
    lines: Sequence[NewLine]
    history: Sequence[NewHistoryEntry]
    bookings: Sequence[NewBooking]
    quote_id: UUID | None
    status: OrderStatus = OrderStatus.PLACED
    payment_status: str = "pending"
    is_hidden: bool = False

    @property
    def shop_id(self) -> UUID:
        """The id of the shop."""
        return self.shop.id

    @property
    def user_id(self) -> UUID | None:
        """The id of the customer; None at the counter."""
        return self.customer.id if self.customer else None

    @property
    def is_asap(self) -> bool:
        """Whether the order is for as soon as possible, without a pick-up time."""
        return self.pickup_at is None

    @property
    def promised_at(self) -> datetime:
        """The time by which the order is promised to be ready."""
        return self.ready_estimate_at

    @property
    def payment(self) -> Mapping[str, str]:
        """The method and the status of the payment."""
        return {"method": self.payment_method, "status": self.payment_status}


def new_order(
    draft: OrderDraft, *, number: str, actor: Actor, person: Customer, now: datetime, make_id: Callable[[], UUID]
) -> NewOrder:
    """Return the order that a draft becomes with its number. `person` is the actor's account; `make_id` makes ids."""
    request, order_id = draft.request, make_id()
    history = _new_history(order_id, actor=actor, is_accepted=draft.shop.auto_accept, now=now, make_id=make_id)
    return NewOrder(
        id=order_id,
        number=number,
        business_date=draft.business_date,
        shop=draft.shop,
        source=request.source,
        customer=person if request.source == "app" else None,
        customer_name=request.customer_name,
        pickup_name=request.customer_name or request.pickup_name or _short_name(person.name),
        pickup_at=request.pickup_at,
        ready_estimate_at=draft.handover.ready_at,
        start_at=draft.handover.ready_at - draft.work,
        comment=request.comment,
        payment_method=request.payment_method,
        subtotal=draft.total,
        discount=Decimal(0),
        total=draft.total,
        currency=draft.currency,
        created_at=now,
        updated_at=now,
        lines=new_lines(draft.lines, order_id=order_id, make_id=make_id),
        history=history,
        status=history[-1].status,
        bookings=new_bookings(draft.handover.bookings, order_id=order_id, shop_id=draft.shop.id),
        quote_id=draft.quote_id,
    )


def _new_history(
    order_id: UUID, *, actor: Actor, is_accepted: bool, now: datetime, make_id: Callable[[], UUID]
) -> list[NewHistoryEntry]:
    """Return the entries for placing an order and, at a shop that accepts every order, for accepting it."""
    placed = NewHistoryEntry(
        id=make_id(), order_id=order_id, actor_id=actor.user_id, actor_role=actor.role, created_at=now
    )
    accepted = replace(
        placed,
        id=make_id(),
        actor_id=None,
        actor_role="system",
        status=OrderStatus.ACCEPTED,
        from_status=OrderStatus.PLACED,
    )
    return [placed, accepted] if is_accepted else [placed]


def new_bookings(bookings: Sequence[SlotBooking], *, order_id: UUID, shop_id: UUID) -> list[NewBooking]:
    """Return the bookings of an order in the slots of its shop."""
    return [
        NewBooking(order_id=order_id, shop_id=shop_id, starts_at=each.starts_at, seconds=each.seconds)
        for each in bookings
    ]


def _short_name(name: str | None) -> str | None:
    """Return a name that fits on a cup; None if nothing is left of it."""
    return name and (name[:PICKUP_NAME_LENGTH].strip() or None)


def new_lines(lines: Sequence[DraftLine], *, order_id: UUID, make_id: Callable[[], UUID]) -> list[NewLine]:
    """Return the lines of an order, with copies of the names, prices and contents that the menu has now."""
    return [_new_line(line, id_=make_id(), order_id=order_id, position=place) for place, line in enumerate(lines)]


def _new_line(line: DraftLine, *, id_: UUID, order_id: UUID, position: int) -> NewLine:
    configured = line.configured
    product, size = configured.product, configured.size
    return NewLine(
        id=id_,
        order_id=order_id,
        position=position,
        product_id=product.id,
        name=product.name,
        size={"id": str(size.id), "name": size.name, "volume_ml": size.volume_ml} if size else None,
        options=[
            {
                "option_id": str(option.option_id),
                "name": option.name,
                "group": option.group,
                "quantity": option.quantity,
                "price_delta": str(option.price_delta),
                "price": str(option.price),
            }
            for option in configured.options
        ],
        note=line.note,
        quantity=line.quantity,
        preparation_seconds=product.preparation_seconds,
        contents=_contents_json(configured.contents),
        unit_price=configured.unit_price,
        total=line.total,
    )


def _contents_json(contents: Contents) -> dict[str, object]:
    """Return the contents of a product as the line stores them."""
    return {
        "allergens": list(contents.allergens),
        "ingredients": [{"id": str(each.id), "name": each.name} for each in contents.ingredients],
        "nutrition": asdict(contents.nutrition) if contents.nutrition else None,
    }
