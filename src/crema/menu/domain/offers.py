"""What a shop offers of a product, and why it can't be had at a moment.

Menu, cart, availability and order all ask here, so that they never disagree.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from crema.menu.domain.products import PricedGroup, PricedOption, PricedProduct
from crema.shops.domain import HandoverCode

StopKind = Literal["ingredient", "product", "option"]


class ReasonCode(StrEnum):
    """Why something can't be had."""

    OFF_MENU = "off_menu"
    NOT_SOLD_HERE = "not_sold_here"
    STOPPED = "stopped"
    STOPPED_INGREDIENT = "stopped_ingredient"
    OUT_OF_STOCK = "out_of_stock"
    OUT_OF_SCHEDULE = "out_of_schedule"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why something can't be had; `until` is when it passes by itself, where that is known.

    A code is of `ReasonCode`, or of `HandoverCode` where the shop takes no order for that time.
    """

    code: ReasonCode | HandoverCode
    detail: str
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether it still counts at a moment."""
        return self.until is None or at < self.until


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether something can be had, with all that is in the way."""

    reasons: tuple[Reason, ...] = ()

    @property
    def is_available(self) -> bool:
        """Whether nothing is in the way."""
        return not self.reasons


AVAILABLE: Final = Availability()


@dataclass(frozen=True, slots=True)
class ProductDifference:
    """What a shop has of its own about a product. A price of None is the chain's."""

    price: Decimal | None = None
    is_sold: bool = True


@dataclass(frozen=True, slots=True)
class OptionDifference:
    """What a shop has of its own about an option. A delta of None is the chain's; its own counts in every size."""

    price_delta: Decimal | None = None
    is_sold: bool = True


Stops: TypeAlias = Mapping[tuple[StopKind, UUID], datetime | None]
"""What a shop has run out of, and until when; None is until somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class ShopDifferences:
    """What a shop has different from the chain; `stocks` are of the products that it counts.

    Without a zone no shop is meant, and no schedule is looked at.
    """

    zone: ZoneInfo | None = None
    products: Mapping[UUID, ProductDifference] = field(default_factory=dict)
    options: Mapping[UUID, OptionDifference] = field(default_factory=dict)
    stops: Stops = field(default_factory=dict)
    stocks: Mapping[UUID, int] = field(default_factory=dict)


CHAIN: Final = ShopDifferences()


@dataclass(frozen=True, slots=True)
class Offer:
    """A product as a shop offers it: `product` has the shop's prices.

    `reasons` are those against the product itself, `option_reasons` those against its options; some of them pass.
    """

    product: PricedProduct
    zone: ZoneInfo | None = None
    stock: int | None = None
    reasons: tuple[Reason, ...] = ()
    option_reasons: Mapping[UUID, tuple[Reason, ...]] = field(default_factory=dict)


def offer_of(product: PricedProduct, differences: ShopDifferences = CHAIN) -> Offer:
    """Return what a shop offers of the chain's product."""
    own = differences.products.get(product.id, ProductDifference())
    options = [option for group in product.modifier_groups for option in group.options]
    against = {option.id: tuple(_against_option(option, differences)) for option in options}
    return Offer(
        product=_with_prices(product, own, differences.options),
        zone=differences.zone,
        stock=differences.stocks.get(product.id),
        reasons=tuple(_against_product(product, own, differences.stops)),
        option_reasons={option_id: reasons for option_id, reasons in against.items() if reasons},
    )


def _with_prices(
    product: PricedProduct, own: ProductDifference, options: Mapping[UUID, OptionDifference]
) -> PricedProduct:
    def priced(option: PricedOption) -> PricedOption:
        delta = options[option.id].price_delta if option.id in options else None
        return option if delta is None else replace(option, price_delta=delta, size_prices=())

    if options:
        groups = tuple(replace(group, options=tuple(map(priced, group.options))) for group in product.modifier_groups)
        product = replace(product, modifier_groups=groups)
    return product if own.price is None else replace(product, price=own.price)


def _against_product(product: PricedProduct, own: ProductDifference, stops: Stops) -> Iterator[Reason]:
    if not product.is_on_menu:
        yield Reason(ReasonCode.OFF_MENU, off_menu(product))
        return
    if not own.is_sold:
        yield Reason(ReasonCode.NOT_SOLD_HERE, f"{product.name} is not sold at this shop.")
    if ("product", product.id) in stops:
        yield Reason(ReasonCode.STOPPED, f"{product.name} has run out here.", stops["product", product.id])
    # What comes with a default option goes when another is chosen: it stops that option alone.
    replaceable = {
        ingredient.id
        for group in product.modifier_groups
        for option in group.options
        if option.is_default
        for ingredient in option.ingredients
    }
    for ingredient in product.ingredients:
        if ingredient.id not in replaceable and ("ingredient", ingredient.id) in stops:
            detail = f"{product.name} needs {ingredient.name}, which has run out here."
            yield Reason(ReasonCode.STOPPED_INGREDIENT, detail, stops["ingredient", ingredient.id])


def _against_option(option: PricedOption, differences: ShopDifferences) -> Iterator[Reason]:
    stops = differences.stops
    if not option.is_active:
        yield Reason(ReasonCode.OFF_MENU, f"{option.name} is off the menu.")
        return
    if option.id in differences.options and not differences.options[option.id].is_sold:
        yield Reason(ReasonCode.NOT_SOLD_HERE, f"{option.name} is not sold at this shop.")
    if ("option", option.id) in stops:
        yield Reason(ReasonCode.STOPPED, f"{option.name} has run out here.", stops["option", option.id])
    for ingredient in option.ingredients:
        if ("ingredient", ingredient.id) in stops:
            detail = f"{option.name} needs {ingredient.name}, which has run out here."
            yield Reason(ReasonCode.STOPPED_INGREDIENT, detail, stops["ingredient", ingredient.id])


def off_menu(product: PricedProduct) -> str:
    """Say that a product is off the menu, and which headings hide it."""
    match product.hidden_by:
        case ():
            return f"{product.name} is off the menu."
        case (category,):
            return f"{product.name} is off the menu: the category {category} is hidden."
        case categories:
            return f"{product.name} is off the menu: the categories {', '.join(categories)} are hidden."


def availability(offer: Offer, *, at: datetime, quantity: int = 1) -> Availability:
    """Return whether so many pieces of a product can be handed over at a moment, with all that is in the way.

    It is about what is sold. Whether the shop takes an order for that moment is asked of its `WorkSchedule`.
    """
    product = offer.product
    reasons = [reason for reason in offer.reasons if reason.holds(at)]
    if reasons and reasons[0].code == ReasonCode.OFF_MENU:
        return Availability((reasons[0],))
    reasons += filter(None, (_exhausted(offer, group, at) for group in product.modifier_groups))
    if offer.stock is not None and offer.stock < quantity:
        left = f"Only {offer.stock} of {product.name} left." if offer.stock else f"{product.name} is out of stock."
        reasons.append(Reason(ReasonCode.OUT_OF_STOCK, left))
    if offer.zone is not None and not product.timetable.allows(at, offer.zone):
        until = product.timetable.next_change(at, offer.zone)
        reasons.append(Reason(ReasonCode.OUT_OF_SCHEDULE, f"{product.name} is not sold at this time.", until))
    return Availability(tuple(reasons)) if reasons else AVAILABLE


def option_availability(offer: Offer, option_id: UUID, *, at: datetime) -> Availability:
    """Return whether an option can be chosen for a moment."""
    reasons = tuple(reason for reason in offer.option_reasons.get(option_id, ()) if reason.holds(at))
    return Availability(reasons) if reasons else AVAILABLE


def _exhausted(offer: Offer, group: PricedGroup, at: datetime) -> Reason | None:
    """Return why a group that requires a choice has too little left to choose from, if it has."""
    missing = [option for option in group.options if not option_availability(offer, option.id, at=at).is_available]
    if not missing or _most_pieces(group, without=missing) >= group.min_choices:
        return None
    against = [reason for option in missing for reason in offer.option_reasons[option.id] if reason.holds(at)]
    ends = sorted({reason.until for reason in against if reason.until is not None})
    enough = (
        end
        for end in ends
        if _most_pieces(group, without=[each for each in missing if not _is_back(offer, each, end)])
        >= group.min_choices
    )
    is_stopped = any(reason.code in _STOPS for reason in against)
    code = ReasonCode.STOPPED if is_stopped else ReasonCode.NOT_SOLD_HERE
    return Reason(code, f"{group.name}: too little is left here to choose from.", next(enough, None))


_STOPS: Final = frozenset({ReasonCode.STOPPED, ReasonCode.STOPPED_INGREDIENT})


def _is_back(offer: Offer, option: PricedOption, at: datetime) -> bool:
    return option_availability(offer, option.id, at=at).is_available


def _most_pieces(group: PricedGroup, *, without: Iterable[PricedOption]) -> int:
    gone = {option.id for option in without}
    return sum(option.max_quantity for option in group.options if option.id not in gone)


def suggested(offer: Offer, group: PricedGroup, option: PricedOption, *, at: datetime) -> PricedOption | None:
    """Return what to choose instead of an option that can't be had: best without further allergens, of a like price."""

    def unlikeness(other: PricedOption) -> tuple[bool, Decimal]:
        return not set(other.allergens) <= set(option.allergens), abs(other.price_delta - option.price_delta)

    others = [each for each in group.options if each.id != option.id and _is_back(offer, each, at)]
    return min(others, key=unlikeness, default=None)


def next_change(offer: Offer, *, after: datetime) -> datetime | None:
    """Return when anything about an offer changes by the clock, strictly after a moment; None: it stays as it is."""
    reasons = (*offer.reasons, *(each for reasons in offer.option_reasons.values() for each in reasons))
    moments = [each.until for each in reasons if each.until is not None and each.until > after]
    if offer.zone is not None and (change := offer.product.timetable.next_change(after, offer.zone)):
        moments.append(change)
    return min(moments, default=None)
