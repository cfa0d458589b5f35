"""What pricing, configuring and selling need of a product."""

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
    """What one portion contains, or what one piece of an option adds to it. If `caffeine_mg` is None, it is unknown."""

    energy_kcal: float
    proteins_g: float
    fats_g: float
    carbohydrates_g: float
    caffeine_mg: float | None = None


@dataclass(frozen=True, slots=True)
class PricedSize:
    """A size. Its price is the product's plus `price_delta`; its nutrition is that with the default options."""

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
    """An option.

    `price_delta` is for each piece beyond the group's free quantity, in sizes without a price of their own.

    `nutrition` is what one piece adds, in sizes without figures of their own; None if it is unknown.
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
        """Return what a piece costs in a size; `size` is None for a product without sizes."""
        if size is not None:
            for each in self.size_prices:
                if each.size_name == size.name:
                    return each.price_delta
        return self.price_delta

    def nutrition_in(self, size: PricedSize | None) -> Nutrition | None:
        """Return what a piece adds in a size; `size` is None for a product without sizes."""
        if size is not None:
            for each in self.size_nutrition:
                if each.size_name == size.name:
                    return each.nutrition
        return self.nutrition


@dataclass(frozen=True, slots=True)
class PricedGroup:
    """A modifier group as one product offers it, with the product's limits and free quantity, or else the group's."""

    id: UUID
    name: str
    min_choices: int
    max_choices: int
    free_quantity: int
    options: tuple[PricedOption, ...]


@dataclass(frozen=True, slots=True)
class PricedProduct:
    """What pricing and configuring need of a product. Fields have the names that they have in its document.

    `allergens`, `ingredients` and `nutrition` are those of the default size with one piece of each default option.
    `allergens_always` are the allergens that stay whatever is chosen; None: all of them.
    `hidden_by` are the names of the categories that hide an active product.
    `timetable` says when the product is sold, in the zone of each shop.

    An archived product has no parts: a cart still shows its name.
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
