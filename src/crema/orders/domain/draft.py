"""The decisions about a new order: its lines, its total, its times and its number. Pure.

Placing and changing an order use the same functions, so that both follow the same rules.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any, Final
from uuid import UUID

from crema.cart.domain import (
    NOT_FOR_SALE,
    Configured,
    InvalidConfigurationError,
    ItemUnavailableError,
    LineRequest,
    Problem,
    ProblemCode,
    assess_line,
    pieces_of,
    unknown_places,
)
from crema.core.errors import ConflictError, InvalidError, Loc, TooManyError, UnknownReferenceError
from crema.core.instants import format_instant
from crema.menu.domain import Offer
from crema.shops.domain import (
    MAX_PICKUP_AHEAD,
    Handover,
    HandoverCode,
    HandoverRefusal,
    Slot,
    SlotBooking,
    WorkSchedule,
    shrink,
)

LIMIT_PERIOD: Final = timedelta(hours=1)
"""Orders that a person placed within this time are limited by `OrderSettings.max_orders_an_hour`."""
ALPHABET_LENGTH: Final = 26
NUMBERS_PER_LETTER: Final = 999


class TooManyOpenOrdersError(ConflictError):
    """The customer has as many orders in progress as one person may."""

    code = "too_many_open_orders"
    title = "You have too many orders in progress."
    advice = "Wait until one of them is over."


class TooManyOrdersError(TooManyError):
    """The person has placed as many orders within an hour as one person may."""

    code = "too_many_orders"
    title = "You have placed too many orders within an hour."
    advice = "Try again after `retry_after` seconds."


class ShopClosedError(ConflictError):
    """The order is for as soon as possible, but the shop is closed now."""

    code = "shop_closed"
    title = "The shop is closed now."
    advice = "Order for a later time with `pickup_at`, from `opens_at` on."


class OutsideOpeningHoursError(ConflictError):
    """The shop is closed at the pick-up time."""

    code = "outside_opening_hours"
    title = "The shop is closed at this time."
    advice = "Choose a time within its opening hours; the next begin at `opens_at`."


class ShopPausedError(ConflictError):
    """The shop's staff take no orders for that time; `until` is when they do again, or null."""

    code = "shop_paused"
    title = "The shop takes no orders for this time."
    advice = "Choose a time from `until` on, or another shop."


class NoOrdersAheadError(ConflictError):
    """The pick-up time is on a special day for which orders are taken only on the day itself, from `orders_from` on."""

    code = "no_orders_ahead"
    title = "Orders for this day are taken on the day itself only."
    advice = "Order from `orders_from` on, or choose another day."


TIME_TO_ANSWER: Final = timedelta(seconds=30)
"""What a customer has for ordering at the earliest time that a refusal names."""


class TooSoonError(ConflictError):
    """The order can't be ready by the pick-up time; `earliest_pickup_at` is a time for which it can, or null."""

    code = "too_soon"
    title = "The order can't be ready by the pick-up time."
    advice = "Choose `earliest_pickup_at` or a later time."

    def __init__(self, detail: str, *, next_at: datetime | None) -> None:
        super().__init__(detail, earliest_pickup_at=_instant(_with_time_to_answer(next_at)))
        self.next_at = next_at


def _with_time_to_answer(at: datetime | None) -> datetime | None:
    """Return the next full minute that is at least TIME_TO_ANSWER later: `at` itself is over before anybody orders."""
    if at is None:
        return None
    later = at + TIME_TO_ANSWER + timedelta(minutes=1) - timedelta.resolution
    return later.replace(second=0, microsecond=0)


class SlotFullError(ConflictError):
    """The shop has too much work for this order then; `next_slot` is the next one for which it would be taken."""

    code = "slot_full"
    title = "The shop has no room for this order at that time."
    advice = "Choose a time in `next_slot`, or order less."

    def __init__(self, detail: str, *, next_at: datetime | None, next_slot: Slot | None) -> None:
        super().__init__(detail, next_slot=_slot_json(next_slot))
        self.next_at = next_at


class InvalidPickupTimeError(InvalidError):
    """The pick-up time is in the past or too far ahead."""

    code = "invalid_pickup_time"
    title = "The pick-up time is in the past or too far ahead."
    advice = f"Choose a time from now to {MAX_PICKUP_AHEAD.days} days ahead."

    def __init__(self, now: datetime) -> None:
        earliest, latest = _instant(now), _instant(now + MAX_PICKUP_AHEAD)
        message = f"must be from {now:%Y-%m-%dT%H:%M:%SZ} to {now + MAX_PICKUP_AHEAD:%Y-%m-%dT%H:%M:%SZ}"
        message += ", or null for as soon as possible"
        errors = [{"loc": ["body", "pickup_at"], "msg": message, "type": self.code}]
        super().__init__(f"pickup_at {message}.", errors=errors, earliest=earliest, latest=latest)


class PriceChangedError(ConflictError):
    """The total differs from the one that the client expected; `total` is that of now."""

    code = "price_changed"
    title = "The price has changed."
    advice = "Show the customer the new `total`, and send it as `expected_total`."


class MinimumNotReachedError(ConflictError):
    """The total is below the chain's minimum."""

    code = "minimum_not_reached"
    title = "The order is below the minimum total."
    advice = "Add something, up to `minimum`."


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """The chain's rules for orders. `quote_key` signs quotes."""

    currency: str
    max_open_orders: int
    minimum: Decimal
    max_orders_an_hour: int
    quote_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What is to be ordered, the shop and the time. The lines are those of the cart, or those that were sent.

    `shop_id` is None if the request names no shop.
    """

    lines: Sequence[LineRequest]
    shop_id: UUID | None
    source: str
    customer_name: str | None
    pickup_name: str | None
    pickup_at: datetime | None
    comment: str
    payment_method: str
    expected_total: Decimal | None

    @property
    def product_ids(self) -> set[UUID]:
        """The ids of the products to be ordered."""
        return {line.product_id for line in self.lines}


@dataclass(frozen=True, slots=True)
class OrderShop:
    """The shop of a new order. `email` is None for a shop without a mailbox; `auto_accept`: it takes every order."""

    id: UUID
    name: str
    address: str
    timezone: str
    email: str | None
    auto_accept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContext:
    """What placing an order needs: the shop, its offers, and the customer's earlier orders.

    `shop_version` changes with every change of the shop. `open_orders` counts the customer's orders in progress;
    `recent_orders` those placed within `LIMIT_PERIOD`, the first of them at `first_recent_at`.
    """

    shop: OrderShop
    shop_version: int
    work: WorkSchedule
    open_orders: int
    recent_orders: int
    first_recent_at: datetime | None
    offers: Mapping[UUID, Offer]


@dataclass(frozen=True, slots=True)
class DraftLine:
    """A configured product with its quantity and the customer's note. `is_counted`: the shop counts its stock."""

    configured: Configured
    quantity: int
    note: str
    is_counted: bool = False

    @property
    def total(self) -> Decimal:
        """The price of the line."""
        return self.configured.unit_price * self.quantity

    @property
    def work_seconds(self) -> int:
        """How long one barista needs to make the line."""
        return self.configured.product.preparation_seconds * self.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDraft:
    """An order that may be placed, before it has a number. `business_date` is the shop's day of pick-up.

    `work` is how long one barista needs to make it. `handover` is when it is ready, and the booked slots.
    """

    request: OrderRequest
    shop: OrderShop
    lines: Sequence[DraftLine]
    total: Decimal
    currency: str
    work: timedelta
    handover: Handover
    business_date: date
    quote_id: UUID | None = None


def draft_order(request: OrderRequest, context: OrderContext, *, settings: OrderSettings, now: datetime) -> OrderDraft:
    """Return the order that a request asks for, checked, with its price and the time when it will be ready.

    Raises the error of the first rule that is broken. The limits of a person's orders don't apply at the counter, where
    staff order for others.
    """
    if request.source == "app":
        _check_limits(context, settings=settings, now=now)
    lines = draft_lines(request.lines, context.offers, at=request.pickup_at or now)
    work = timedelta(seconds=sum(line.work_seconds for line in lines))
    handover = plan_handover(context.work, pickup_at=request.pickup_at, work=work, now=now)
    return OrderDraft(
        request=request,
        shop=context.shop,
        lines=lines,
        total=check_total(lines, expected=request.expected_total, minimum=settings.minimum),
        currency=settings.currency,
        work=work,
        handover=handover,
        business_date=context.work.schedule.hours.business_date(request.pickup_at or now),
    )


def _check_limits(context: OrderContext, *, settings: OrderSettings, now: datetime) -> None:
    if context.open_orders >= settings.max_open_orders:
        raise TooManyOpenOrdersError
    if context.first_recent_at is not None and context.recent_orders >= settings.max_orders_an_hour:
        wait = context.first_recent_at + LIMIT_PERIOD - now
        raise TooManyOrdersError(retry_after=max(1, ceil(wait.total_seconds())))


def counted_pieces(lines: Sequence[DraftLine]) -> dict[UUID, int]:
    """Return the pieces of each product whose stock the shop counts."""
    pieces: Counter[UUID] = Counter()
    for line in lines:
        if line.is_counted:
            pieces[line.configured.product.id] += line.quantity
    return dict(pieces)


def draft_lines(requests: Sequence[LineRequest], offers: Mapping[UUID, Offer], *, at: datetime) -> list[DraftLine]:
    """Return the lines, each priced exactly as it was chosen, to be handed over at `at`.

    If something is wrong, the error lists the problems of all lines in `problems`. A new choice of a product, size or
    option that doesn't exist raises UnknownReferenceError, a new choice that breaks a rule of the product
    InvalidConfigurationError. A choice that is not available then raises ItemUnavailableError.
    """
    lines: list[DraftLine] = []
    found: list[tuple[int, LineRequest, Problem]] = []
    pieces = pieces_of(requests)
    for index, request in enumerate(requests):
        offer = offers.get(request.product_id)
        if offer is None or (request.is_new and offer.product.is_archived):
            found.append((index, request, Problem(ProblemCode.UNKNOWN_PRODUCT, "There is no such product.")))
            continue
        configured, problems = assess_line(offer, request, at=at, pieces=pieces[request.product_id])
        found += [(index, request, problem) for problem in problems]
        lines.append(DraftLine(configured, request.quantity, request.note, offer.stock is not None))
    if found:
        raise _refusal_of(found)
    return lines


def check_new_time(
    requests: Sequence[LineRequest], offers: Mapping[UUID, Offer], *, before: datetime, after: datetime
) -> None:
    """Raise ItemUnavailableError if lines that could be had before can't be had at another time, all lines' problems.

    Problems that don't depend on the time are ignored, such as a product that was taken off the menu meanwhile.
    """
    found = []
    for index, request in enumerate(requests):
        offer = offers[request.product_id]
        _, known = assess_line(offer, request, at=before)
        _, problems = assess_line(offer, request, at=after)
        there = {(problem.code, problem.subject) for problem in known}
        found += [(index, request, each) for each in problems if (each.code, each.subject) not in there]
    if found:
        raise _refusal_of(found)


def _refusal_of(found: Sequence[tuple[int, LineRequest, Problem]]) -> InvalidError | ConflictError:
    problems = [
        problem.of_line(index, product_id=request.product_id, item_id=request.item_id)
        for index, request, problem in found
    ]
    unknown: list[Loc] = [
        ("items", index, *place)
        for index, request, problem in found
        if request.is_new
        for place in _unknown_places(problem, request)
    ]
    if unknown:
        return UnknownReferenceError(unknown, problems=problems)
    faults = [
        (index, problem) for index, request, problem in found if request.is_new and problem.code not in NOT_FOR_SALE
    ]
    if not faults:
        return ItemUnavailableError(found[0][2].detail, problems=problems)
    errors = [
        {"loc": ["body", "items", index], "msg": problem.detail, "type": "invalid_configuration"}
        for index, problem in faults
    ]
    extra: dict[str, Any] = {"problems": problems, "errors": errors}
    if group := next((problem.group for _, problem in faults if problem.group), None):
        extra["group"] = group
    return InvalidConfigurationError(faults[0][1].detail, **extra)


def _unknown_places(problem: Problem, request: LineRequest) -> list[Loc]:
    if problem.code == ProblemCode.UNKNOWN_PRODUCT:
        return [("product_id",)]
    return unknown_places([problem], request.choices or ())


def plan_handover(schedule: WorkSchedule, *, pickup_at: datetime | None, work: timedelta, now: datetime) -> Handover:
    """Return when an order is ready, and its bookings. A `pickup_at` of None means as soon as possible.

    Raises an error if the shop can't hand it over at the pick-up time.
    """
    if pickup_at is not None and not now <= pickup_at <= now + MAX_PICKUP_AHEAD:
        raise InvalidPickupTimeError(now)
    found = schedule.plan(pickup_at, now=now, work=work)
    if isinstance(found, HandoverRefusal):
        raise _handover_error(found)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOrder:
    """The plan of an order before a change: its pick-up time and promise, its work, and its bookings."""

    pickup_at: datetime | None
    promised_at: datetime
    work: timedelta
    bookings: Sequence[SlotBooking]


def replan_handover(
    schedule: WorkSchedule, before: PlannedOrder, *, pickup_at: datetime | None, work: timedelta, now: datetime
) -> Handover:
    """Return when an order is ready, and its bookings, after its pick-up time or its work has changed.

    An order whose work has not grown gives back what it no longer needs, and is never refused.
    """
    if pickup_at != before.pickup_at or work > before.work:
        return plan_handover(schedule.without(before.bookings), pickup_at=pickup_at, work=work, now=now)
    if work == before.work:
        return Handover(before.promised_at, tuple(before.bookings))
    not_before = pickup_at or (before.promised_at if before.bookings else now)
    return Handover(max(schedule.schedule.soonest(now, work), not_before), shrink(before.bookings, work))


def _handover_error(found: HandoverRefusal) -> ConflictError:
    until = _instant(found.until)
    match found.code:
        case HandoverCode.SHOP_CLOSED:
            return ShopClosedError(found.detail, opens_at=until)
        case HandoverCode.OUTSIDE_OPENING_HOURS:
            return OutsideOpeningHoursError(found.detail, opens_at=until)
        case HandoverCode.SHOP_PAUSED:
            return ShopPausedError(found.detail, until=until)
        case HandoverCode.NO_ORDERS_AHEAD:
            return NoOrdersAheadError(found.detail, orders_from=until)
        case HandoverCode.TOO_SOON:
            return TooSoonError(found.detail, next_at=found.next_at)
        case HandoverCode.SLOT_FULL:
            return SlotFullError(found.detail, next_at=found.next_at, next_slot=found.next_slot)


def _slot_json(slot: Slot | None) -> dict[str, str] | None:
    return {"starts_at": format_instant(slot.starts_at), "ends_at": format_instant(slot.ends_at)} if slot else None


def _instant(at: datetime | None) -> str | None:
    return format_instant(at) if at else None


def check_total(lines: Sequence[DraftLine], *, expected: Decimal | None, minimum: Decimal) -> Decimal:
    """Return the total. Raise an error if it isn't the expected one, or below the chain's minimum."""
    total = sum((line.total for line in lines), Decimal(0))
    if expected is not None and expected != total:
        raise PriceChangedError(f"The total is {total:.2f} now.", total=f"{total:.2f}")
    if total < minimum:
        raise MinimumNotReachedError(f"An order starts at {minimum:.2f}.", minimum=f"{minimum:.2f}")
    return total


def number_of(sequence: int, *, day: date) -> str:
    """Return the number of the n-th order of a shop's day of pick-up, n from 1.

    They are K-001 to K-999, then KA-001 to KA-999, KB-001 and so on. The first letter is that of the day. It comes
    again after 26 days, which is longer than an order can be placed ahead: orders of different days that are on one
    board have different numbers.
    """
    block, rest = divmod(sequence - 1, NUMBERS_PER_LETTER)
    letters = ""
    while block:
        block, letter = divmod(block - 1, ALPHABET_LENGTH)
        letters = chr(ord("A") + letter) + letters
    return f"{chr(ord('A') + day.toordinal() % ALPHABET_LENGTH)}{letters}-{rest + 1:03d}"
