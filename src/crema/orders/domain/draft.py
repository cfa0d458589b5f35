"""What an order is before it is written: its lines, its sum, its times and its number. Pure.

Placing and changing an order ask here, so that both decide alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
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
    unknown_places,
)
from crema.core.errors import ConflictError, InvalidError, Loc, UnknownReferenceError
from crema.core.instants import written
from crema.menu.domain import PricedProduct
from crema.shops.domain import OpeningHours

HANDLING: Final = timedelta(minutes=2)
"""From the order reaching the counter to the first drink being started."""
FURTHEST_PICKUP: Final = timedelta(days=7)
LETTERS: Final = 26
NUMBERS_A_LETTER: Final = 999


class ShopClosedError(ConflictError):
    """As soon as possible, but the shop is closed now."""

    code = "shop_closed"
    title = "The shop is closed now."


class OutsideOpeningHoursError(ConflictError):
    """The pick-up time is one at which the shop is closed."""

    code = "outside_opening_hours"
    title = "The shop is closed at that time."


class InvalidPickupTimeError(InvalidError):
    """A pick-up time in the past, or too far ahead."""

    code = "invalid_pickup_time"
    title = f"Pick-up is possible from now to {FURTHEST_PICKUP.days} days ahead."

    def __init__(self, now: datetime) -> None:
        earliest, latest = _instant(now), _instant(now + FURTHEST_PICKUP)
        message = f"must be from {now:%Y-%m-%dT%H:%M:%SZ} to {now + FURTHEST_PICKUP:%Y-%m-%dT%H:%M:%SZ}"
        message += ", or null for as soon as possible"
        errors = [{"loc": ["body", "pickup_at"], "msg": message, "type": self.code}]
        super().__init__(f"pickup_at {message}.", errors=errors, earliest=earliest, latest=latest)


class PriceChangedError(ConflictError):
    """The total isn't the one the client expected; `total` is what it is now."""

    code = "price_changed"
    title = "The price has changed."


class MinimumNotReachedError(ConflictError):
    """The total is below the chain's smallest order."""

    code = "minimum_not_reached"
    title = "The order is too small."


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One line to be written: a configured product, how many, and the customer's note."""

    configured: Configured
    quantity: int
    note: str

    @property
    def total(self) -> Decimal:
        """Price of the line."""
        return self.configured.unit_price * self.quantity

    @property
    def work_seconds(self) -> int:
        """How long one pair of hands needs for it."""
        return self.configured.product.preparation_seconds * self.quantity


def draft_lines(requests: Sequence[LineRequest], products: Mapping[UUID, PricedProduct]) -> list[DraftLine]:
    """Check and price each line, exactly as it was chosen.

    Whatever is wrong is told for all lines at once, in `problems`. What a client has just chosen wrongly is an
    UnknownReferenceError, where there is no such product or it has no such size or option, or an
    InvalidConfigurationError; what merely isn't sold like that any more is an ItemUnavailableError.
    """
    lines: list[DraftLine] = []
    found: list[tuple[int, LineRequest, Problem]] = []
    for index, request in enumerate(requests):
        product = products.get(request.product_id)
        if product is None or (request.is_new and product.is_archived):
            found.append((index, request, Problem(ProblemCode.UNKNOWN_PRODUCT, "There is no such product.")))
            continue
        configured, problems = assess_line(product, request)
        found += [(index, request, problem) for problem in problems]
        lines.append(DraftLine(configured, request.quantity, request.note))
    if found:
        raise _refusal_of(found)
    return lines


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


def check_time(hours: OpeningHours, *, pickup_at: datetime | None, now: datetime) -> None:
    """Refuse a time at which nobody could hand the order over; None is as soon as possible."""
    if pickup_at is None:
        if not hours.is_open(now):
            raise ShopClosedError(opens_at=_instant(hours.next_opening(now)))
        return
    if not now <= pickup_at <= now + FURTHEST_PICKUP:
        raise InvalidPickupTimeError(now)
    if not hours.is_open(pickup_at):
        raise OutsideOpeningHoursError(opens_at=_instant(hours.next_opening(pickup_at)))


def _instant(at: datetime | None) -> str | None:
    return written(at) if at else None


def check_total(lines: Sequence[DraftLine], *, expected: Decimal | None, minimum: Decimal) -> Decimal:
    """Add up, and refuse a sum the customer didn't expect or the chain doesn't take."""
    total = sum((line.total for line in lines), Decimal(0))
    if expected is not None and expected != total:
        raise PriceChangedError(f"The total is {total:.2f} now.", total=f"{total:.2f}")
    if total < minimum:
        raise MinimumNotReachedError(f"An order starts at {minimum:.2f}.", minimum=f"{minimum:.2f}")
    return total


def estimate_ready(*, now: datetime, pickup_at: datetime | None, work_seconds: int) -> datetime:
    """Estimate when it will be ready: one pair of hands makes it from now on, and never before it is wanted.

    Whoever changes the lines or the pick-up time estimates anew.
    """
    soonest = now + HANDLING + timedelta(seconds=work_seconds)
    return max(soonest, pickup_at) if pickup_at else soonest


def number_of(sequence: int, *, day: date) -> str:
    """Name the n-th order of a shop's day of pick-up, n from 1: K-001 to K-999, then KA-001 to KA-999, KB-001 and on.

    The first letter is the day's, and comes again after 26 days, longer than an order can lie ahead: orders of
    different days that stand on one board have different numbers.
    """
    block, rest = divmod(sequence - 1, NUMBERS_A_LETTER)
    letters = ""
    while block:
        block, letter = divmod(block - 1, LETTERS)
        letters = chr(ord("A") + letter) + letters
    return f"{chr(ord('A') + day.toordinal() % LETTERS)}{letters}-{rest + 1:03d}"
