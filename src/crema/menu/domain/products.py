"""What pricing, configuring and selling have to know of a product."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from crema.menu.domain.schedules import ALWAYS, Timetable


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

    `timetable` says when it is sold, in any shop's own zone.

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
    timetable: Timetable = ALWAYS
