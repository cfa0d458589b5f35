"""The content of the demo chain, read from chain.toml and checked before anything is seeded."""

import tomllib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crema.demo.pictures import Picture, draw
from crema.menu.domain import Allergen, OptionRule, check_group

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Name = Annotated[str, Field(min_length=1, max_length=120)]
Price = Annotated[Decimal, Field(ge=0, decimal_places=2)]
Amount = Annotated[Decimal, Field(ge=0)]


class Content(BaseModel):
    """The base class of the parts of chain.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Hours(Content):
    """An opening period. A closing time before the opening time is on the next day."""

    weekday: Annotated[int, Field(ge=0, le=6)]
    opens_at: str
    closes_at: str


class DayHours(Content):
    """An opening period of a special day."""

    opens_at: str
    closes_at: str


class SpecialDay(Content):
    """A date of every year, as MM-DD, with other hours than in the week; without any hours the shop is closed."""

    date: Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]|3[01])$")]
    hours: tuple[DayHours, ...] = ()
    takes_orders_ahead: bool = True
    note: str = ""


class OwnPrice(Content):
    """The price of a product at one shop."""

    product: Slug
    price: Price


class Stop(Content):
    """A product that a shop has run out of, for this number of hours after seeding."""

    product: Slug
    hours: Annotated[int, Field(ge=1)]
    note: str


class Shop(Content):
    """A place that makes and hands over orders."""

    slug: Slug
    name: Name
    address: str
    latitude: float
    longitude: float
    phone: Annotated[str, Field(pattern=r"^\+7\d{10}$")]
    email: str
    timezone: str
    hours: tuple[Hours, ...]
    special_days: tuple[SpecialDay, ...] = ()
    prices: tuple[OwnPrice, ...] = ()
    stops: tuple[Stop, ...] = ()
    seconds_per_slot: Annotated[int, Field(ge=1)] | None = None


class Window(Content):
    """A period in which the products of a category are sold."""

    model_config = ConfigDict(serialize_by_alias=True)

    weekdays: tuple[int, ...]
    begins: Annotated[str, Field(alias="from")]
    ends: Annotated[str, Field(alias="to")]


class Category(Content):
    """A category of the menu. A parent is listed before its children."""

    slug: Slug
    name: Name
    description: str
    position: int
    parent: Slug | None = None
    schedule: tuple[Window, ...] = ()


class Ingredient(Content):
    """An ingredient of products and options."""

    slug: Slug
    name: Name


class Nutrition(Content):
    """What one portion contains, or one piece of an option adds to it."""

    energy_kcal: Amount
    proteins_g: Amount
    fats_g: Amount
    carbohydrates_g: Amount
    caffeine_mg: Amount | None = None


class Option(Content):
    """One choice of a group."""

    slug: Slug
    name: Name
    price_delta: Price
    max_quantity: Annotated[int, Field(ge=1)]
    is_default: bool
    allergens: tuple[Allergen, ...]
    ingredients: tuple[Slug, ...]
    nutrition: Nutrition | None = None
    size_nutrition: dict[str, Nutrition] = {}


class ModifierGroup(Content):
    """A reusable set of options."""

    slug: Slug
    name: Name
    min_choices: int
    max_choices: int
    free_quantity: int
    options: tuple[Option, ...]

    @model_validator(mode="after")
    def _check_default_limits(self) -> Self:
        _unique(self.slug, self.options)
        self.check(self.min_choices, self.max_choices)
        return self

    def check(self, min_choices: int, max_choices: int) -> None:
        """Raise an error if no choice satisfies the limits, or if the default options don't."""
        rules = [OptionRule(option.max_quantity, option.is_default, is_active=True) for option in self.options]
        check_group(self.slug, min_choices=min_choices, max_choices=max_choices, options=rules)
        if sum(option.is_default for option in self.options) < min_choices:
            raise ValueError(f"{self.slug}: fewer defaults than min_choices {min_choices}")


class Size(Content):
    """A size of a drink."""

    name: Annotated[str, Field(min_length=1, max_length=40)]
    volume_ml: Annotated[int, Field(ge=1)]
    price_delta: Price
    is_default: bool
    nutrition: Nutrition | None = None


class GroupLink(Content):
    """A group as one product offers it. For limits that are left out, the group's own count."""

    group: Slug
    min_choices: int | None = None
    max_choices: int | None = None


class Product(Content):
    """A product to sell."""

    slug: Slug
    name: Name
    description: Annotated[str, Field(min_length=1, max_length=2000)]
    categories: Annotated[tuple[Slug, ...], Field(min_length=1)]
    price: Price
    sizes: tuple[Size, ...] = ()
    modifier_groups: tuple[GroupLink, ...] = ()
    allergens: tuple[Allergen, ...]
    allergens_always: tuple[Allergen, ...] | None = None
    nutrition: Nutrition
    ingredients: tuple[Slug, ...]
    preparation_seconds: Annotated[int, Field(ge=0)]
    position: int
    picture: Picture

    @model_validator(mode="after")
    def _check_default_size(self) -> Self:
        if self.sizes and sum(size.is_default for size in self.sizes) != 1:
            raise ValueError(f"{self.slug}: exactly one size is the default")
        return self


class Account(Content):
    """An account with which one can log in."""

    name: Name
    email: Annotated[str, Field(pattern=r"@crema\.example\.com$")]
    role: str
    shops: tuple[Slug, ...]
    language: str


class Chain(Content):
    """The whole of chain.toml."""

    demo_password: Annotated[str, Field(min_length=12, max_length=128)]
    shops: tuple[Shop, ...]
    categories: tuple[Category, ...]
    ingredients: tuple[Ingredient, ...]
    modifier_groups: tuple[ModifierGroup, ...]
    products: tuple[Product, ...]
    accounts: tuple[Account, ...]

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        shops = _unique("shops", self.shops)
        categories = _unique("categories", self.categories)
        ingredients = _unique("ingredients", self.ingredients)
        groups = _unique("modifier_groups", self.modifier_groups)
        products = _unique("products", self.products)
        for shop in self.shops:
            _check_known(
                shop.slug, [*(each.product for each in shop.prices), *(each.product for each in shop.stops)], products
            )
        for number, category in enumerate(self.categories):
            earlier = {each.slug for each in self.categories[:number]}
            _check_known(category.slug, [category.parent] if category.parent else [], earlier)
        for group in self.modifier_groups:
            for option in group.options:
                _check_known(f"{group.slug}.{option.slug}", option.ingredients, ingredients)
        for product in self.products:
            _check_known(product.slug, product.categories, categories)
            _check_known(product.slug, product.ingredients, ingredients)
            _check_known(product.slug, [link.group for link in product.modifier_groups], groups)
        for account in self.accounts:
            _check_known(account.email, account.shops, shops)
        return self

    @model_validator(mode="after")
    def _check_limits_of_products(self) -> Self:
        groups = {group.slug: group for group in self.modifier_groups}
        for link in (link for product in self.products for link in product.modifier_groups):
            group = groups[link.group]
            group.check(
                group.min_choices if link.min_choices is None else link.min_choices,
                group.max_choices if link.max_choices is None else link.max_choices,
            )
        return self


class _Slugged(Protocol):
    @property
    def slug(self) -> str: ...


def _unique(where: str, items: Sequence[_Slugged]) -> set[str]:
    slugs = {item.slug for item in items}
    if len(slugs) != len(items):
        raise ValueError(f"{where}: a slug is there twice")
    return slugs


def _check_known(where: str, names: Iterable[str], known: set[str]) -> None:
    if unknown := set(names) - known:
        raise ValueError(f"{where} refers to what doesn't exist: {', '.join(sorted(unknown))}")


@cache
def load() -> Chain:
    """Return the chain, which is read once."""
    return Chain.model_validate(tomllib.loads(files("crema.demo").joinpath("chain.toml").read_text(encoding="utf-8")))


def picture_of(product: Product) -> bytes:
    """Return a product's picture as PNG."""
    return draw(product.picture)
