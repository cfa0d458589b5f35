"""Rules of the menu: what a modifier group must allow, and what a product looks like to those who price it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Literal, get_args
from uuid import UUID

from crema.core.errors import InvalidError
from crema.core.money import CENT, quantize
from crema.media.domain import media_name

Allergen = Literal[
    "celery",
    "crustaceans",
    "eggs",
    "fish",
    "gluten",
    "lupin",
    "milk",
    "molluscs",
    "mustard",
    "nuts",
    "peanuts",
    "sesame",
    "soy",
    "sulphites",
]
"""The fourteen that EU law (regulation 1169/2011, annex II) has named on every menu."""

ALLERGENS: Final[tuple[str, ...]] = get_args(Allergen)
MAX_IMAGES: Final = 10
_WHOLE: Final = Decimal(100)
_ALWAYS_KNOWN: Final = ("energy_kcal", "proteins_g", "fats_g", "carbohydrates_g")
_ROUNDED_BY: Final = 1
"""Figures on labels are rounded: a sum that far below zero is 0. One that is lower contradicts itself: unknown."""


class ContradictoryNutritionError(InvalidError):
    """Two figures for one thing: the product's nutrition is that of its default size. `size` names that."""

    code = "contradictory_nutrition"
    title = "The product's nutrition differs from that of its default size."
    advice = "Send the same figures for both, or only one of them."

    def __init__(self, size: str) -> None:
        super().__init__(f"{size}: leave its nutrition out, or send the same as the product's.", size=size)


class InvalidModifierGroupError(InvalidError):
    """A group nobody could choose from. `group` names it."""

    code = "invalid_modifier_group"
    title = "No choice of this modifier group's options keeps to its limits."
    advice = "Change its limits, its defaults or its options."

    def __init__(self, group: str, reason: str) -> None:
        super().__init__(f"{group}: {reason}.", group=group)


def changed_price(price: Decimal, *, percent: Decimal, round_to: Decimal | None) -> Decimal:
    """Return a price changed by so many percent, rounded half up to `round_to`, or to two decimals; never below 0."""
    step = round_to or CENT
    changed = price * (_WHOLE + percent) / _WHOLE
    steps = (changed / step).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return max(quantize(steps * step), Decimal(0))


@dataclass(frozen=True, slots=True)
class CategoryImage:
    """A heading's picture: its text, the size of the largest file, and the addresses of all by width."""

    alt: str
    width: int
    height: int
    urls: dict[str, str]


def category_image(
    *, key: str | None, alt: str | None, width: int | None, height: int | None, widths: Sequence[int] | None
) -> CategoryImage | None:
    """Return a heading's picture from the columns of its row. They are set together or not at all."""
    if key is None or alt is None or width is None or height is None or widths is None:
        return None
    return CategoryImage(alt, width, height, {str(each): f"/media/{media_name(key, each)}" for each in widths})


@dataclass(frozen=True, slots=True)
class Contained:
    """An ingredient."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Nutrition:
    """What one portion contains, or what one piece of an option adds to it. Without `caffeine_mg` that is unknown."""

    energy_kcal: float
    proteins_g: float
    fats_g: float
    carbohydrates_g: float
    caffeine_mg: float | None = None


@dataclass(frozen=True, slots=True)
class PricedSize:
    """A size; its price is the product's plus `price_delta`. `nutrition` is of it with the default options."""

    id: UUID
    name: str
    volume_ml: int | None
    price_delta: Decimal
    is_default: bool
    nutrition: Nutrition | None = None


@dataclass(frozen=True, slots=True)
class SizePrice:
    """What a piece of an option costs in sizes of this name."""

    size_name: str
    price_delta: Decimal


@dataclass(frozen=True, slots=True)
class SizeNutrition:
    """What a piece of an option adds in sizes of this name."""

    size_name: str
    nutrition: Nutrition


@dataclass(frozen=True, slots=True)
class PricedOption:
    """An option; `price_delta` is for each piece beyond the group's free quantity, in sizes without their own price.

    `nutrition` is what one piece adds, in sizes without their own; None: unknown.
    """

    id: UUID
    name: str
    price_delta: Decimal
    max_quantity: int
    is_default: bool
    is_active: bool
    allergens: tuple[str, ...] = ()
    ingredients: tuple[Contained, ...] = ()
    size_prices: tuple[SizePrice, ...] = ()
    nutrition: Nutrition | None = None
    size_nutrition: tuple[SizeNutrition, ...] = ()

    def price_delta_in(self, size: PricedSize | None) -> Decimal:
        """Return what a piece costs in a size; None: of a product without sizes."""
        if size is not None:
            for each in self.size_prices:
                if each.size_name == size.name:
                    return each.price_delta
        return self.price_delta

    def nutrition_in(self, size: PricedSize | None) -> Nutrition | None:
        """Return what a piece adds in a size; None as size: to a product without sizes."""
        if size is not None:
            for each in self.size_nutrition:
                if each.size_name == size.name:
                    return each.nutrition
        return self.nutrition


@dataclass(frozen=True, slots=True)
class PricedGroup:
    """A modifier group with the limits and free quantity it has for one product: the product's, else the group's."""

    id: UUID
    name: str
    min_choices: int
    max_choices: int
    free_quantity: int
    options: tuple[PricedOption, ...]


@dataclass(frozen=True, slots=True)
class PricedProduct:
    """What pricing and configuring have to know of a product, by the names of its document.

    `allergens`, `ingredients` and `nutrition` are of the default size with the default options, once each.
    `allergens_always` are the allergens that no choice takes away; None: all of them.

    `hidden_by` names the categories that keep an active product off the menu.

    Archived ones are here too, without parts: a cart still shows their names.
    """

    id: UUID
    name: str
    price: Decimal
    is_on_menu: bool
    preparation_seconds: int
    sizes: tuple[PricedSize, ...]
    modifier_groups: tuple[PricedGroup, ...]
    is_archived: bool = False
    allergens: tuple[str, ...] = ()
    allergens_always: tuple[str, ...] | None = None
    ingredients: tuple[Contained, ...] = ()
    nutrition: Nutrition | None = None
    hidden_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contents:
    """What a product contains as it was configured. `nutrition` is None where the menu doesn't say."""

    allergens: tuple[str, ...]
    ingredients: tuple[Contained, ...]
    nutrition: Nutrition | None


def contents_of(product: PricedProduct, *, size: PricedSize | None, quantities: Mapping[UUID, int]) -> Contents:
    """Tell what a product contains in a size, with so many pieces of its options.

    Allergens are never left out on a guess: while a default option is replaced, those of the product stay but for those
    that `allergens_always` gives free. An ingredient of the product goes with the default options that have it.
    """
    options = [option for group in product.modifier_groups for option in group.options]
    chosen = [option for option in options if option.id in quantities]
    replaced = [option for option in options if option.is_default and option.id not in quantities]

    kept = product.allergens
    if replaced and product.allergens_always is not None:
        kept = product.allergens_always
    gone = {each.id for option in replaced for each in option.ingredients}
    ingredients = {each.id: each for each in product.ingredients if each.id not in gone}
    for option in chosen:
        ingredients |= {each.id: each for each in option.ingredients}
    return Contents(
        allergens=tuple(sorted({*kept, *(allergen for option in chosen for allergen in option.allergens)})),
        ingredients=tuple(ingredients.values()),
        nutrition=_nutrition_of(product, size=size, quantities=quantities),
    )


def _nutrition_of(
    product: PricedProduct, *, size: PricedSize | None, quantities: Mapping[UUID, int]
) -> Nutrition | None:
    """Return the size's nutrition, less the default options not chosen, plus the options chosen beyond the defaults.

    None where any part that is needed is unknown.
    """
    is_default = size is None or size.is_default
    portion = (size.nutrition if size else None) or (product.nutrition if is_default else None)
    changed = [
        (option.nutrition_in(size), pieces)
        for group in product.modifier_groups
        for option in group.options
        if (pieces := quantities.get(option.id, 0) - option.is_default)
    ]
    return _total_nutrition([(portion, 1), *changed]) if changed else portion


def _total_nutrition(parts: Sequence[tuple[Nutrition | None, int]]) -> Nutrition | None:
    known = [(each, pieces) for each, pieces in parts if each is not None]
    if len(known) < len(parts):
        return None

    def total(name: str) -> float | None:
        values = [(getattr(each, name), pieces) for each, pieces in known]
        if any(value is None for value, _ in values):
            return None
        amount = round(sum(value * pieces for value, pieces in values), 2)
        return max(amount, 0.0) if amount > -_ROUNDED_BY else None

    energy, proteins, fats, carbohydrates = (total(name) for name in _ALWAYS_KNOWN)
    if energy is None or proteins is None or fats is None or carbohydrates is None:
        return None
    return Nutrition(energy, proteins, fats, carbohydrates, total("caffeine_mg"))


def check_nutrition(*, of_product: Mapping[str, Any] | None, size: str, of_size: Mapping[str, Any] | None) -> None:
    """Refuse other figures for the default size, called `size`, than for the product. Either may say nothing."""
    unknown = {"caffeine_mg": None}
    if of_product is not None and of_size is not None and unknown | dict(of_product) != unknown | dict(of_size):
        raise ContradictoryNutritionError(size)


def avoidable_allergens(product: PricedProduct) -> list[str]:
    """List the allergens that some allowed choice of this product is without, by the rule of `contents_of`."""
    return [allergen for allergen in ALLERGENS if _can_be_without(product, allergen)]


def _can_be_without(product: PricedProduct, allergen: str) -> bool:
    for group in product.modifier_groups:
        without = [option for option in group.options if option.is_active and allergen not in option.allergens]
        if sum(option.max_quantity for option in without) < group.min_choices:
            return False
    always = product.allergens if product.allergens_always is None else product.allergens_always
    if allergen in always:
        return False
    # What the product has by default goes only when a default option is replaced.
    return allergen not in product.allergens or any(
        option.is_default and allergen in option.allergens
        for group in product.modifier_groups
        for option in group.options
    )


@dataclass(frozen=True, slots=True)
class OptionRule:
    """What the rules of a group have to know of one of its options."""

    max_quantity: int
    is_default: bool
    is_active: bool


def check_group(name: str, *, min_choices: int, max_choices: int, options: Iterable[OptionRule]) -> None:
    """Refuse limits that no choice among the active options can keep, or that the defaults already break."""
    active = [option for option in options if option.is_active]
    if min_choices > max_choices:
        raise InvalidModifierGroupError(name, f"min_choices {min_choices} is more than max_choices {max_choices}")
    if (pieces := sum(option.max_quantity for option in active)) < min_choices:
        raise InvalidModifierGroupError(name, f"its active options give {pieces} pieces, fewer than {min_choices}")
    if (defaults := sum(option.is_default for option in active)) > max_choices:
        raise InvalidModifierGroupError(name, f"it has {defaults} defaults, more than {max_choices}")


def default_size(marked: Sequence[bool]) -> int | None:
    """Tell which size is the default: the marked one, else the first. None where there are no sizes."""
    if not marked:
        return None
    return marked.index(True) if True in marked else 0
