"""What a product contains: allergens, ingredients and nutrition, as it was configured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from uuid import UUID

from crema.core.errors import InvalidError
from crema.menu.domain.products import Contained, Nutrition, PricedProduct, PricedSize

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
"""The fourteen allergens that every menu must name by EU regulation 1169/2011, annex II."""

ALLERGENS: Final[tuple[str, ...]] = get_args(Allergen)
_ALWAYS_KNOWN: Final = ("energy_kcal", "proteins_g", "fats_g", "carbohydrates_g")
_ROUNDED_BY: Final = 1
"""Figures on labels are rounded. A sum that is negative by less than this counts as 0; a lower one is unknown."""


class ContradictoryNutritionError(InvalidError):
    """A product has other nutrition than its default size, although both mean the same. `size` is the size's name."""

    code = "contradictory_nutrition"
    title = "The product's nutrition differs from that of its default size."
    advice = "Send the same figures for both, or only one of them."

    def __init__(self, size: str) -> None:
        super().__init__(f"{size}: leave its nutrition out, or send the same as the product's.", size=size)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a product contains as it was configured. `nutrition` is None where the menu doesn't say."""

    allergens: tuple[str, ...]
    ingredients: tuple[Contained, ...]
    nutrition: Nutrition | None


def contents_of(product: PricedProduct, *, size: PricedSize | None, quantities: Mapping[UUID, int]) -> Contents:
    """Return what a product contains in a size, with these quantities of its options by option id.

    Allergens are never left out on a guess. If a default option is replaced, the product's allergens that stay are
    those of `allergens_always`, or all if that is None. An ingredient of the product goes with the default options that
    contain it.
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
    """Return the size's nutrition, minus default options that aren't chosen, plus chosen options that aren't defaults.

    None if any part that is needed is unknown.
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
    """Raise ContradictoryNutritionError if both nutritions are given and differ. `size` is the default size's name."""
    unknown = {"caffeine_mg": None}
    if of_product is not None and of_size is not None and unknown | dict(of_product) != unknown | dict(of_size):
        raise ContradictoryNutritionError(size)


def avoidable_allergens(product: PricedProduct) -> list[str]:
    """Return the allergens that this product is without for some allowed choice, by the rule of `contents_of`."""
    return [allergen for allergen in ALLERGENS if _can_be_without(product, allergen)]


def _can_be_without(product: PricedProduct, allergen: str) -> bool:
    for group in product.modifier_groups:
        without = [option for option in group.options if option.is_active and allergen not in option.allergens]
        if sum(option.max_quantity for option in without) < group.min_choices:
            return False
    always = product.allergens if product.allergens_always is None else product.allergens_always
    if allergen in always:
        return False
    # An allergen of the default configuration goes only if a default option is replaced.
    return allergen not in product.allergens or any(
        option.is_default and allergen in option.allergens
        for group in product.modifier_groups
        for option in group.options
    )
