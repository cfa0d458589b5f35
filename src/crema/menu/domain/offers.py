"""What a shop offers of a product, and why it isn't available at a moment.

The menu, carts, the route of availability and orders all use these functions, so that their answers agree.
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
    """Why something isn't available."""

    OFF_MENU = "off_menu"
    NOT_SOLD_HERE = "not_sold_here"
    STOPPED = "stopped"
    STOPPED_INGREDIENT = "stopped_ingredient"
    OUT_OF_STOCK = "out_of_stock"
    OUT_OF_SCHEDULE = "out_of_schedule"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why something isn't available. `until` is when it ends by itself, if that is known.

    The code is a `HandoverCode` if the shop takes no order for that time.
    """

    code: ReasonCode | HandoverCode
    detail: str
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Return whether the reason still counts at a moment."""
        return self.until is None or at < self.until


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether something is available, with every reason why not."""

    reasons: tuple[Reason, ...] = ()

    @property
    def is_available(self) -> bool:
        """Whether there is no reason against it."""
        return not self.reasons


AVAILABLE: Final = Availability()


@dataclass(frozen=True, slots=True)
class ProductDifference:
    """What a shop sets for itself about a product. If the price is None, the chain's counts."""

    price: Decimal | None = None
    is_sold: bool = True


@dataclass(frozen=True, slots=True)
class OptionDifference:
    """What a shop sets for itself about an option.

    If the delta is None, the chain's counts; else it counts in all sizes.
    """

    price_delta: Decimal | None = None
    is_sold: bool = True


Stops: TypeAlias = Mapping[tuple[StopKind, UUID], datetime | None]
"""What a shop has run out of, and until when; None: until somebody takes it off the stop-list."""


@dataclass(frozen=True, slots=True)
class ShopDifferences:
    """What a shop has different from the chain. `stocks` has the products whose stock it counts.

    If the zone is None, this is the chain, without a shop; then schedules don't count.
    """

    zone: ZoneInfo | None = None
    products: Mapping[UUID, ProductDifference] = field(default_factory=dict)
    options: Mapping[UUID, OptionDifference] = field(default_factory=dict)
    stops: Stops = field(default_factory=dict)
    stocks: Mapping[UUID, int] = field(default_factory=dict)


CHAIN: Final = ShopDifferences()


@dataclass(frozen=True, slots=True)
class Offer:
    """A product as a shop offers it. `product` has the shop's prices.

    `reasons` are why the product isn't available, `option_reasons` why its options aren't, by option id. Reasons may
    end.
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
    by_option = {option.id: tuple(_option_reasons(option, differences)) for option in options}
    return Offer(
        product=_with_prices(product, own, differences.options),
        zone=differences.zone,
        stock=differences.stocks.get(product.id),
        reasons=tuple(_product_reasons(product, own, differences.stops)),
        option_reasons={option_id: reasons for option_id, reasons in by_option.items() if reasons},
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


def _product_reasons(product: PricedProduct, own: ProductDifference, stops: Stops) -> Iterator[Reason]:
    if not product.is_on_menu:
        yield Reason(ReasonCode.OFF_MENU, off_menu_detail(product))
        return
    if not own.is_sold:
        yield Reason(ReasonCode.NOT_SOLD_HERE, f"{product.name} is not sold at this shop.")
    if ("product", product.id) in stops:
        yield Reason(ReasonCode.STOPPED, f"{product.name} has run out here.", stops["product", product.id])
    # An ingredient of a default option goes when another option is chosen. So it stops only that option.
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


def _option_reasons(option: PricedOption, differences: ShopDifferences) -> Iterator[Reason]:
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


def off_menu_detail(product: PricedProduct) -> str:
    """Return a sentence that says that a product is off the menu, and which categories hide it."""
    match product.hidden_by:
        case ():
            return f"{product.name} is off the menu."
        case (category,):
            return f"{product.name} is off the menu: the category {category} is hidden."
        case categories:
            return f"{product.name} is off the menu: the categories {', '.join(categories)} are hidden."


def availability(offer: Offer, *, at: datetime, quantity: int = 1) -> Availability:
    """Return whether this quantity of a product is available at a moment, with every reason why not.

    This is about the product only. Whether the shop takes an order for that moment, its `WorkSchedule` says.
    """
    product = offer.product
    reasons = [reason for reason in offer.reasons if reason.holds(at)]
    if reasons and reasons[0].code == ReasonCode.OFF_MENU:
        return Availability((reasons[0],))
    reasons += filter(None, (_group_reason(offer, group, at) for group in product.modifier_groups))
    if offer.stock is not None and offer.stock < quantity:
        left = f"Only {offer.stock} of {product.name} left." if offer.stock else f"{product.name} is out of stock."
        reasons.append(Reason(ReasonCode.OUT_OF_STOCK, left))
    if offer.zone is not None and not product.timetable.allows(at, offer.zone):
        until = product.timetable.next_change(at, offer.zone)
        reasons.append(Reason(ReasonCode.OUT_OF_SCHEDULE, f"{product.name} is not sold at this time.", until))
    return Availability(tuple(reasons)) if reasons else AVAILABLE


def option_availability(offer: Offer, option_id: UUID, *, at: datetime) -> Availability:
    """Return whether an option is available at a moment, with every reason why not."""
    reasons = tuple(reason for reason in offer.option_reasons.get(option_id, ()) if reason.holds(at))
    return Availability(reasons) if reasons else AVAILABLE


def _group_reason(offer: Offer, group: PricedGroup, at: datetime) -> Reason | None:
    """Return why the options of a group that are available don't satisfy its minimum; None if they do."""
    missing = [option for option in group.options if not option_availability(offer, option.id, at=at).is_available]
    if not missing or _most_pieces(group, without=missing) >= group.min_choices:
        return None
    against = [reason for option in missing for reason in offer.option_reasons[option.id] if reason.holds(at)]
    ends = sorted({reason.until for reason in against if reason.until is not None})
    enough = (
        end
        for end in ends
        if _most_pieces(group, without=[each for each in missing if not _is_available(offer, each, end)])
        >= group.min_choices
    )
    is_stopped = any(reason.code in _STOPS for reason in against)
    code = ReasonCode.STOPPED if is_stopped else ReasonCode.NOT_SOLD_HERE
    return Reason(code, f"{group.name}: too little is left here to choose from.", next(enough, None))


_STOPS: Final = frozenset({ReasonCode.STOPPED, ReasonCode.STOPPED_INGREDIENT})


def _is_available(offer: Offer, option: PricedOption, at: datetime) -> bool:
    return option_availability(offer, option.id, at=at).is_available


def _most_pieces(group: PricedGroup, *, without: Iterable[PricedOption]) -> int:
    gone = {option.id for option in without}
    return sum(option.max_quantity for option in group.options if option.id not in gone)


def suggest_replacement(offer: Offer, group: PricedGroup, option: PricedOption, *, at: datetime) -> PricedOption | None:
    """Return the option to suggest instead of one that isn't available; None if the group has no other.

    It is one without further allergens if there is any, and of these the one with the most similar price.
    """

    def difference(other: PricedOption) -> tuple[bool, Decimal]:
        return not set(other.allergens) <= set(option.allergens), abs(other.price_delta - option.price_delta)

    others = [each for each in group.options if each.id != option.id and _is_available(offer, each, at)]
    return min(others, key=difference, default=None)


def next_change(offer: Offer, *, after: datetime) -> datetime | None:
    """Return when time next changes anything about an offer, strictly after a moment; None: never."""
    reasons = (*offer.reasons, *(each for reasons in offer.option_reasons.values() for each in reasons))
    moments = [each.until for each in reasons if each.until is not None and each.until > after]
    if offer.zone is not None and (change := offer.product.timetable.next_change(after, offer.zone)):
        moments.append(change)
    return min(moments, default=None)
