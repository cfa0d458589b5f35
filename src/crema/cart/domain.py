"""Configuring and pricing a product: what may be combined, and what it costs. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from crema.core.errors import ConflictError, InvalidError, Loc, UnknownReferenceError
from crema.core.instants import format_instant
from crema.menu.domain import (
    Contents,
    Offer,
    PricedGroup,
    PricedOption,
    PricedProduct,
    PricedSize,
    Reason,
    availability,
    contents_of,
    option_availability,
    suggest_replacement,
)

MAX_QUANTITY: Final = 50
MAX_LINES: Final = 50


class InvalidConfigurationError(InvalidError):
    """A group's rule or another one of the product is broken. `group` names the group."""

    code = "invalid_configuration"
    title = "This product can't be made like that."
    advice = "Read the product again, and keep to the limits of its modifier groups."


class ItemUnavailableError(ConflictError):
    """A product, a size or an option can't be sold now. `problems` lists everything that is wrong, by line."""

    code = "item_unavailable"
    title = "Something in this request is not available."
    advice = "Remove or replace what `problems` names."


class ProblemCode(StrEnum):
    """Why a product can't be sold as it was chosen."""

    UNKNOWN_PRODUCT = "unknown_product"
    OFF_MENU = "off_menu"
    NOT_SOLD_HERE = "not_sold_here"
    STOPPED = "stopped"
    STOPPED_INGREDIENT = "stopped_ingredient"
    OUT_OF_STOCK = "out_of_stock"
    OUT_OF_SCHEDULE = "out_of_schedule"
    SIZE_REQUIRED = "size_required"
    SIZE_NOT_OFFERED = "size_not_offered"
    OPTION_NOT_OFFERED = "option_not_offered"
    OPTION_UNAVAILABLE = "option_unavailable"
    OPTION_QUANTITY = "option_quantity"
    CHOICE_REQUIRED = "choice_required"
    TOO_MANY_CHOICES = "too_many_choices"
    CART_FULL = "cart_full"
    QUANTITY_LIMIT = "quantity_limit"


SIZE_PROBLEMS: Final = frozenset({ProblemCode.SIZE_REQUIRED, ProblemCode.SIZE_NOT_OFFERED})
OF_AVAILABILITY: Final = frozenset(
    {
        ProblemCode.OFF_MENU,
        ProblemCode.NOT_SOLD_HERE,
        ProblemCode.STOPPED,
        ProblemCode.STOPPED_INGREDIENT,
        ProblemCode.OUT_OF_STOCK,
        ProblemCode.OUT_OF_SCHEDULE,
    }
)
"""The reasons of `menu.domain.availability`, of a product or an option."""
NOT_FOR_SALE: Final = OF_AVAILABILITY | {ProblemCode.OPTION_UNAVAILABLE}
"""Problems of the menu, whoever chose. The others are a client's fault when they are part of a new choice."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a line can't be sold. `detail` says what to do; `subject` is the group, option or size.

    `until` is when the reason ends by itself, if that is known; `suggestion` is the option to choose instead.
    """

    code: ProblemCode
    detail: str
    group: str | None = None
    subject: str | None = None
    until: datetime | None = None
    suggestion: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the problem as JSON, as carts show it with its line."""
        until = format_instant(self.until) if self.until else None
        return {"code": self.code.value, "detail": self.detail, "until": until, "suggestion": self.suggestion}

    def of_line(self, line: int, *, product_id: UUID, item_id: UUID | None = None) -> dict[str, Any]:
        """Return the problem as JSON for an error, with the index of its line and the id of the cart's line, if any."""
        about = {"line": line, "item_id": str(item_id) if item_id else None, "product_id": str(product_id)}
        return about | self.as_json()


@dataclass(frozen=True, slots=True)
class Choice:
    """Pieces of an option. `name` and `group` are copies from the time of choosing, and are only shown."""

    option_id: UUID
    quantity: int = 1
    name: str = field(default="", compare=False)
    group: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ChosenOption:
    """A chosen option, with the price of one piece in this size, and of all pieces but the free ones."""

    option_id: UUID
    name: str
    group: str
    quantity: int
    price_delta: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Configured:
    """A product with a size and options, and its price."""

    product: PricedProduct
    size: PricedSize | None
    options: tuple[ChosenOption, ...]

    @property
    def size_id(self) -> UUID | None:
        """The id of the size; None for a product without sizes."""
        return self.size.id if self.size else None

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The chosen options, with the names to show later."""
        return tuple(
            Choice(option.option_id, option.quantity, option.name, option.group)
            for option in sorted(self.options, key=lambda option: option.option_id)
        )

    @property
    def contents(self) -> Contents:
        """The allergens, ingredients and nutrition of the product as it is configured."""
        quantities = {option.option_id: option.quantity for option in self.options}
        return contents_of(self.product, size=self.size, quantities=quantities)

    @property
    def unit_price(self) -> Decimal:
        """The price of one piece with all options; never below zero."""
        delta = self.size.price_delta if self.size else Decimal(0)
        price = self.product.price + delta + sum((option.price for option in self.options), Decimal(0))
        return max(price, Decimal(0))


def with_default_choices(product: PricedProduct, choices: Sequence[Choice] | None) -> tuple[Choice, ...]:
    """Return a new choice with the defaults for what it leaves out. A stored choice is never completed.

    If the choice is None, the defaults of every group are added; otherwise only those of groups that require a choice
    and have none.
    """
    given = tuple(choices or ())
    chosen = {choice.option_id for choice in given}
    added = [
        Choice(option.id)
        for group in product.modifier_groups
        if (choices is None or group.min_choices > 0) and not any(option.id in chosen for option in group.options)
        for option in group.options
        if option.is_default and option.is_active
    ]
    return tuple(sorted((*given, *added), key=lambda choice: choice.option_id))


def with_default_size(product: PricedProduct, size_id: UUID | None) -> UUID | None:
    """Return the size that was chosen, or the product's default. Use it for new choices only."""
    if size_id is not None:
        return size_id
    return next((size.id for size in product.sizes if size.is_default), None)


def assess(
    offer: Offer, *, size_id: UUID | None, choices: Sequence[Choice], at: datetime, pieces: int = 1
) -> tuple[Configured, tuple[Problem, ...]]:
    """Return exactly what was chosen with its price, and every reason why it can't be handed over at `at`.

    Nothing is added to the choice. `pieces` is the quantity of the product in this line and all others. If there are
    problems, the price covers only what is still offered, and must not be charged.
    """
    product = offer.product
    problems = [_of_product(reason, product) for reason in availability(offer, at=at, quantity=pieces).reasons]
    if not product.is_on_menu:
        return Configured(product, None, ()), tuple(problems)
    quantities = {choice.option_id: choice.quantity for choice in choices}
    size, found = _assess_size(product, size_id)
    problems += found
    chosen: list[ChosenOption] = []
    for group in product.modifier_groups:
        options, found = _assess_group(offer, group, quantities, size, at)
        chosen += options
        problems += found
    offered = {option.option_id for option in chosen}
    for choice in choices:
        if choice.option_id not in offered:
            name = choice.name or "One of these options"
            detail = f"{name} is not offered with {product.name}: choose again."
            problems.append(Problem(ProblemCode.OPTION_NOT_OFFERED, detail, subject=str(choice.option_id)))
    return Configured(product, size, tuple(chosen)), tuple(problems)


def _of_product(reason: Reason, product: PricedProduct) -> Problem:
    return Problem(ProblemCode(reason.code.value), reason.detail, subject=product.name, until=reason.until)


def configure(
    offer: Offer, *, size_id: UUID | None, choices: Sequence[Choice] | None, at: datetime, quantity: int = 1
) -> Configured:
    """Complete a new choice with the defaults, check it, and return it with its price.

    `choices` are those that the client sent.

    Problems that end by themselves are ignored, because the product may be ordered for later. Raises
    ItemUnavailableError for what isn't sold now, UnknownReferenceError for a size or an option that the product doesn't
    have, and InvalidConfigurationError for a choice that breaks the product's rules; `problems` lists everything,
    `group` names the first group whose rule is broken.
    """
    chosen = with_default_choices(offer.product, choices)
    check_choices(chosen)
    size_id = with_default_size(offer.product, size_id)
    configured, problems = assess(offer, size_id=size_id, choices=chosen, at=at, pieces=quantity)
    if lasting(problems):
        raise refusal_of(problems, choices=choices, product_id=offer.product.id)
    return configured


def lasting(problems: Sequence[Problem]) -> Sequence[Problem]:
    """Return the problems that don't end by themselves."""
    return [problem for problem in problems if problem.until is None]


def check_choices(choices: Sequence[Choice]) -> None:
    """Raise InvalidConfigurationError for a choice that names an option twice."""
    if len({choice.option_id for choice in choices}) != len(choices):
        raise InvalidConfigurationError("An option stands here twice; use its quantity.")


def unknown_places(problems: Iterable[Problem], choices: Sequence[Choice]) -> list[Loc]:
    """Return the places of ids, in a new choice as the client sent it, of which the product has no size or option."""
    places: list[Loc] = []
    for problem in problems:
        if problem.code == ProblemCode.SIZE_NOT_OFFERED:
            places.append(("size_id",))
        elif problem.code == ProblemCode.OPTION_NOT_OFFERED:
            indexes = (index for index, choice in enumerate(choices) if str(choice.option_id) == problem.subject)
            places += [("options", index, "option_id") for index in indexes]
    return places


def refusal_of(
    problems: Sequence[Problem],
    *,
    choices: Sequence[Choice] | None,
    product_id: UUID,
    line: int = 0,
    item_id: UUID | None = None,
) -> InvalidError | ItemUnavailableError:
    """Return the error that refuses a new choice. Mistakes of the client come first.

    `choices` are those that the client sent; `item_id` and `line` are those of the cart's line, if there is one.
    """
    told = [problem.of_line(line, product_id=product_id, item_id=item_id) for problem in problems]
    if unknown := unknown_places(problems, choices or ()):
        return UnknownReferenceError(unknown, problems=told)
    faults = [problem for problem in problems if problem.code not in NOT_FOR_SALE]
    extra: dict[str, Any] = {"problems": told}
    group = next((problem.group for problem in faults or problems if problem.group), None)
    if group is not None:
        extra["group"] = group
    if faults:
        return InvalidConfigurationError(faults[0].detail, **extra)
    return ItemUnavailableError(problems[0].detail, **extra)


def _assess_size(product: PricedProduct, size_id: UUID | None) -> tuple[PricedSize | None, list[Problem]]:
    size = next((size for size in product.sizes if size.id == size_id), None)
    if size is None and size_id is not None:
        detail = f"{product.name} is not offered in this size: choose again."
        return None, [Problem(ProblemCode.SIZE_NOT_OFFERED, detail, subject=str(size_id))]
    if size is None and product.sizes:
        return None, [Problem(ProblemCode.SIZE_REQUIRED, f"Choose a size of {product.name}.")]
    return size, []


def _assess_group(
    offer: Offer, group: PricedGroup, quantities: Mapping[UUID, int], size: PricedSize | None, at: datetime
) -> tuple[list[ChosenOption], list[Problem]]:
    """Return what was chosen of one group with its price, and the rules of the group that it breaks."""
    picked = [(option, quantities[option.id]) for option in group.options if option.id in quantities]
    problems = [
        problem for option, quantity in picked for problem in _assess_option(offer, group, option, quantity, at)
    ]
    pieces = sum(quantity for _, quantity in picked)
    wanted = f"{group.name}: choose {_range(group.min_choices, group.max_choices)}, not {pieces}."
    if pieces < group.min_choices:
        problems.append(Problem(ProblemCode.CHOICE_REQUIRED, wanted, group.name, group.name))
    if pieces > group.max_choices:
        problems.append(Problem(ProblemCode.TOO_MANY_CHOICES, wanted, group.name, group.name))
    deltas = {option.id: option.price_delta_in(size) for option, _ in picked}
    free = _free_pieces({option.id: quantity for option, quantity in picked}, deltas, group.free_quantity)
    options = [
        ChosenOption(
            option_id=option.id,
            name=option.name,
            group=group.name,
            quantity=quantity,
            price_delta=deltas[option.id],
            price=deltas[option.id] * (quantity - free.get(option.id, 0)),
        )
        for option, quantity in picked
    ]
    return options, problems


def _assess_option(
    offer: Offer, group: PricedGroup, option: PricedOption, quantity: int, at: datetime
) -> Iterator[Problem]:
    reasons = option_availability(offer, option.id, at=at).reasons
    other = suggest_replacement(offer, group, option, at=at) if reasons else None
    for reason in reasons:
        code, detail = ProblemCode(reason.code.value), reason.detail
        if not option.is_active:
            code, detail = ProblemCode.OPTION_UNAVAILABLE, f"{option.name} is not available: choose another."
        yield Problem(code, detail, group.name, option.name, reason.until, other.name if other else None)
    if quantity > option.max_quantity:
        detail = f"{group.name}: {option.name} at most {option.max_quantity} times."
        yield Problem(ProblemCode.OPTION_QUANTITY, detail, group.name, option.name)


def _free_pieces(quantities: Mapping[UUID, int], deltas: Mapping[UUID, Decimal], free: int) -> dict[UUID, int]:
    """Return how many pieces of each option are free: the cheapest, so that the order of the choices doesn't matter.

    Pieces that lower the price are never free, because that would take their discount away.
    """
    given = {}
    for option_id in sorted(quantities, key=lambda each: (deltas[each], each)):
        if deltas[option_id] >= 0:
            given[option_id] = min(quantities[option_id], free)
            free -= given[option_id]
    return given


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def digest(*, product_id: UUID, size_id: UUID | None, choices: Sequence[Choice], note: str) -> str:
    """Return a digest of a configuration. Equal configurations share a line of the cart."""
    parts = [
        str(product_id),
        str(size_id),
        *(f"{choice.option_id}x{choice.quantity}" for choice in sorted(choices, key=lambda c: c.option_id)),
        note,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LineRequest:
    """A line that a customer asks for.

    A new line was chosen in this request, and is completed with the defaults; if `choices` is None, with all of them.
    Nothing is added to a stored line; `item_id` is the line of the cart that it comes from, if there is one.
    """

    product_id: UUID
    size_id: UUID | None
    choices: tuple[Choice, ...] | None
    note: str
    quantity: int
    item_id: UUID | None = None
    is_new: bool = False


def assess_line(
    offer: Offer, line: LineRequest, *, at: datetime, pieces: int | None = None
) -> tuple[Configured, tuple[Problem, ...]]:
    """Return a line with its price and its problems at that time. A new line is completed with the defaults first.

    `pieces` is the quantity of the product in all lines; None means that of this line.
    """
    size_id, choices = line.size_id, line.choices or ()
    if line.is_new:
        size_id, choices = with_default_size(offer.product, size_id), with_default_choices(offer.product, line.choices)
        check_choices(choices)
    return assess(offer, size_id=size_id, choices=choices, at=at, pieces=pieces or line.quantity)


@dataclass(frozen=True, slots=True)
class PricedItem:
    """A line of a cart at the prices of now. A line that can't be sold any more shows its choice, and costs nothing."""

    id: UUID
    product_id: UUID
    name: str
    size_id: UUID | None
    size_name: str | None
    options: tuple[ChosenOption, ...]
    choices: tuple[Choice, ...]
    note: str
    quantity: int
    unit_price: Decimal
    problems: tuple[Problem, ...]
    contents: Contents | None = None

    @property
    def is_available(self) -> bool:
        """Whether the line can be ordered without a change."""
        return not self.problems

    @property
    def reason(self) -> str | None:
        """The text of the first problem; None without problems."""
        return self.problems[0].detail if self.problems else None

    @property
    def total(self) -> Decimal:
        """The price of the line."""
        return self.unit_price * self.quantity


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A line of a cart as it was chosen, without prices."""

    id: UUID
    product_id: UUID
    size_id: UUID | None
    size_name: str | None
    choices: tuple[Choice, ...]
    note: str
    quantity: int

    def as_request(self) -> LineRequest:
        """Return the line to be ordered exactly as it was chosen."""
        return LineRequest(self.product_id, self.size_id, self.choices, self.note, self.quantity, self.id)


def price_items(items: Sequence[StoredItem], offers: Mapping[UUID, Offer], *, at: datetime) -> list[PricedItem]:
    """Return stored lines with the prices of now. A line that can't be sold has its problems."""
    pieces = pieces_of(items)
    return [_price_item(offers[item.product_id], item, at=at, pieces=pieces[item.product_id]) for item in items]


def pieces_of(lines: Iterable[StoredItem | LineRequest]) -> Counter[UUID]:
    """Return the quantity of each product in all lines together."""
    pieces: Counter[UUID] = Counter()
    for line in lines:
        pieces[line.product_id] += line.quantity
    return pieces


def _price_item(offer: Offer, item: StoredItem, *, at: datetime, pieces: int) -> PricedItem:
    configured, problems = assess(offer, size_id=item.size_id, choices=item.choices, at=at, pieces=pieces)
    return PricedItem(
        id=item.id,
        product_id=item.product_id,
        name=offer.product.name,
        size_id=item.size_id,
        size_name=configured.size.name if configured.size else item.size_name,
        options=tuple(_shown(configured, item.choices)) if problems else configured.options,
        choices=item.choices,
        note=item.note,
        quantity=item.quantity,
        unit_price=Decimal(0) if problems else configured.unit_price,
        problems=problems,
        contents=None if problems else configured.contents,
    )


def _shown(configured: Configured, choices: Sequence[Choice]) -> Iterator[ChosenOption]:
    """Return what was chosen, with today's names if it is still offered."""
    offered = {option.option_id: option for option in configured.options}
    for choice in choices:
        yield offered.get(choice.option_id) or ChosenOption(
            choice.option_id, choice.name, choice.group, choice.quantity, Decimal(0), Decimal(0)
        )


def subtotal(items: Iterable[PricedItem]) -> Decimal:
    """Return the total of the lines that can be sold."""
    return sum((item.total for item in items if item.is_available), Decimal(0))
