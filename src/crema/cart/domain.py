"""Configuring and pricing a product: what may be combined, and what it costs. Pure."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from crema.core.errors import ConflictError, InvalidError
from crema.menu.domain import PricedGroup, PricedOption, PricedProduct, PricedSize

MAX_QUANTITY: Final = 50
MAX_LINES: Final = 50


class InvalidConfigurationError(InvalidError):
    """A size or option that isn't the product's, or a group's rule broken. `group` names the group."""

    code = "invalid_configuration"
    title = "This product can't be made like that."


class ItemUnavailableError(ConflictError):
    """What was asked for can't be sold now."""

    code = "item_unavailable"
    title = "Something here is not available."


@dataclass(frozen=True, slots=True)
class Choice:
    """Some pieces of one option."""

    option_id: UUID
    quantity: int = 1


@dataclass(frozen=True, slots=True)
class ChosenOption:
    """An option as chosen, with what its pieces cost together after the group's free ones."""

    option_id: UUID
    name: str
    group: str
    quantity: int
    price_delta: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Configured:
    """One product, made one way, and its price."""

    product: PricedProduct
    size: PricedSize | None
    options: tuple[ChosenOption, ...]

    @property
    def size_id(self) -> UUID | None:
        """Which size it is, of a product that has some."""
        return self.size.id if self.size else None

    @property
    def unit_price(self) -> Decimal:
        """Price of one, all choices included."""
        delta = self.size.price_delta if self.size else Decimal(0)
        return self.product.price + delta + sum((option.price for option in self.options), Decimal(0))


def complete(product: PricedProduct, choices: Sequence[Choice] | None) -> tuple[Choice, ...]:
    """Add the defaults a customer left to us, once, when the item is made.

    Nothing said (None): the defaults of every group. Something said: those of the groups that require a
    choice and got none.
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


def configure(product: PricedProduct, *, size_id: UUID | None, choices: Sequence[Choice]) -> Configured:
    """Check every rule and price the result; raise InvalidConfigurationError naming the group whose rule breaks."""
    size = _size_of(product, size_id)
    quantities = {choice.option_id: choice.quantity for choice in choices}
    if len(quantities) != len(choices):
        raise InvalidConfigurationError("An option stands here twice; use its quantity.")

    chosen = tuple(option for group in product.modifier_groups for option in _choose(group, quantities))

    if unknown := quantities.keys() - {option.option_id for option in chosen}:
        raise InvalidConfigurationError(
            "These options are not offered with this product.", options=sorted(map(str, unknown))
        )
    return Configured(product, size, chosen)


def _size_of(product: PricedProduct, size_id: UUID | None) -> PricedSize | None:
    if size_id is None:
        return next((size for size in product.sizes if size.is_default), None)
    for size in product.sizes:
        if size.id == size_id:
            return size
    raise InvalidConfigurationError("This product has no such size.", size=str(size_id))


def _choose(group: PricedGroup, quantities: dict[UUID, int]) -> Iterator[ChosenOption]:
    picked = [(option, quantities[option.id]) for option in group.options if option.id in quantities]
    for option, quantity in picked:
        if not option.is_active:
            raise ItemUnavailableError(f"{option.name} is not available.", group=group.name)
        if quantity > option.max_quantity:
            raise InvalidConfigurationError(
                f"{group.name}: {option.name} at most {option.max_quantity} times.", group=group.name
            )
    pieces = sum(quantity for _, quantity in picked)
    if not group.min_choices <= pieces <= group.max_choices:
        raise InvalidConfigurationError(
            f"{group.name}: choose {_range(group.min_choices, group.max_choices)}, not {pieces}.", group=group.name
        )
    free = _free_pieces(picked, group.free_quantity)
    for option, quantity in picked:
        charged = quantity - free.get(option.id, 0)
        yield ChosenOption(
            option_id=option.id,
            name=option.name,
            group=group.name,
            quantity=quantity,
            price_delta=option.price_delta,
            price=option.price_delta * charged,
        )


def _free_pieces(picked: Iterable[tuple[PricedOption, int]], free: int) -> dict[UUID, int]:
    """Let the cheapest pieces be free, so that the price doesn't depend on the order of clicks."""
    given = {}
    for option, quantity in sorted(picked, key=lambda pick: (pick[0].price_delta, pick[0].id)):
        given[option.id] = min(quantity, free)
        free -= given[option.id]
    return given


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def digest(*, product_id: UUID, size_id: UUID | None, choices: Sequence[Choice], note: str) -> str:
    """Name a configuration: equal ones share a line of the cart."""
    parts = [
        str(product_id),
        str(size_id),
        *(f"{choice.option_id}x{choice.quantity}" for choice in sorted(choices, key=lambda c: c.option_id)),
        note,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class PricedItem:
    """A line of a cart as it stands now. What can't be sold any more is marked and costs nothing."""

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
    is_available: bool
    reason: str | None

    @property
    def total(self) -> Decimal:
        """Price of the line."""
        return self.unit_price * self.quantity


def price_item(
    product: PricedProduct,
    *,
    item_id: UUID,
    size_id: UUID | None,
    choices: Sequence[Choice],
    note: str,
    quantity: int,
) -> PricedItem:
    """Price a line against today's menu, without ever failing: a broken one is marked with its reason."""
    configured, reason = None, None
    try:
        configured = configure(product, size_id=size_id, choices=choices)
    except (InvalidConfigurationError, ItemUnavailableError) as error:
        reason = error.detail
    if not product.is_active:
        reason = f"{product.name} is off the menu."
    return PricedItem(
        id=item_id,
        product_id=product.id,
        name=product.name,
        size_id=(configured and configured.size_id) or size_id,
        size_name=configured.size.name if configured and configured.size else None,
        options=configured.options if configured else (),
        choices=tuple(choices),
        note=note,
        quantity=quantity,
        unit_price=configured.unit_price if configured else Decimal(0),
        is_available=reason is None,
        reason=reason,
    )


def subtotal(items: Iterable[PricedItem]) -> Decimal:
    """Sum what can be sold."""
    return sum((item.total for item in items if item.is_available), Decimal(0))
