"""JSON of the menu. Queries leave out what is hidden; schemas show everything that was loaded."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    MISSING,
    AfterValidator,
    AliasPath,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict

from crema.menu.domain import MAX_IMAGES, Allergen, OptionRule, StopKind, category_image, parse_window
from crema.schemas import (
    EXAMPLE_ID,
    FIRST_YEAR,
    LAST_YEAR,
    Flag,
    Input,
    Instant,
    IsActive,
    Line,
    MatchesPattern,
    Money,
    Name,
    OptionalLine,
    OptionalSlug,
    Output,
    Position,
    Replacement,
    SignedMoney,
    Slug,
    Text,
    require_unique,
    value_or,
)


def _nutrition(energy: float, proteins: float, fats: float, carbohydrates: float, caffeine: float = 0) -> JsonDict:
    return {
        "energy_kcal": energy,
        "proteins_g": proteins,
        "fats_g": fats,
        "carbohydrates_g": carbohydrates,
        "caffeine_mg": caffeine,
    }


_COW_MILK, _MORE_COW_MILK = _nutrition(96, 4.8, 5.1, 7.5), _nutrition(186, 9.3, 9.9, 14.6)
_OAT_MILK, _MORE_OAT_MILK = _nutrition(94, 1.6, 4.8, 10.6), _nutrition(183, 3.1, 9.3, 20.5)
_LATTE, _LARGE_LATTE = _nutrition(98, 4.9, 5.1, 7.8, 65), _nutrition(188, 9.4, 9.9, 14.9, 65)

Description = Annotated[Text, Field(max_length=2000)]
SizeName = Annotated[Line, Field(max_length=40, examples=["M"])]
Alt = Annotated[OptionalLine, Field(max_length=300)]
Allergens = Annotated[list[Allergen], Field(max_length=14), AfterValidator(require_unique)]
Ids = Annotated[list[UUID], Field(max_length=50), AfterValidator(require_unique)]
Choices = Annotated[int, Field(strict=True, ge=0, le=50)]
MostChoices = Annotated[int, Field(strict=True, ge=1, le=50)]
Amount = Annotated[float, Field(strict=True, ge=0, le=100_000, examples=[12.5])]


def _parse_percent(value: object) -> object:
    """Return the decimal of 5, 2.5 or "-10.0"; ValueError for more digits and for exponents."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError('a percentage is a decimal string such as "5.0"')  # noqa: TRY004 - pydantic wants ValueError
    if not _PERCENT.fullmatch(text := str(value)):
        raise ValueError("a percentage has up to four digits and two decimals, perhaps after a minus")
    return Decimal(text)


_PERCENT: Final = re.compile(r"-?\d{1,4}(\.\d{1,2})?", re.ASCII)
Percent = Annotated[
    Decimal,
    BeforeValidator(_parse_percent),
    Field(ge=-100, le=1000, examples=["5.0"]),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d{1,4}(\.\d{1,2})?$", "examples": ["5.0"]}),
]
MAX_PRICES: Final = 500
"""How many products one request may list."""

ParentId = Annotated[UUID | None, Field(description="The category above this one; null: none.")]
IsActiveCategory = Annotated[
    Flag,
    Field(description="An inactive category hides all categories under it, and products that are in no other."),
]


_WALL_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
Weekday = Annotated[int, Field(strict=True, ge=0, le=6, examples=[0])]


ScheduleDate = Annotated[date, Field(ge=date(FIRST_YEAR + 1, 1, 1), lt=date(LAST_YEAR, 1, 1))]


class WindowIn(Input):
    """A period of some weekdays, in the zone of each shop. It may be limited to some dates."""

    model_config = ConfigDict(serialize_by_alias=True)

    weekdays: Annotated[list[Weekday], Field(min_length=1, max_length=7), AfterValidator(require_unique)] = Field(
        description="Monday is 0."
    )
    begins: Annotated[str, MatchesPattern(f"^{_WALL_TIME}$", "send a time from 00:00 to 23:59")] = Field(
        alias="from", examples=["07:00"]
    )
    ends: Annotated[str, MatchesPattern(f"^({_WALL_TIME}|24:00)$", "send a time from 00:00 to 24:00")] = Field(
        alias="to",
        description="Up to 24:00; before `from` it is the next day's. A whole day is 00:00 to 24:00.",
        examples=["11:00"],
    )
    starts_on: ScheduleDate | None = Field(
        None, description="The first day with it; null: no limit.", examples=["2026-12-01"]
    )
    ends_on: ScheduleDate | None = Field(
        None, description="The last day with it; null: no limit.", examples=["2026-12-31"]
    )

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        parse_window(self.model_dump(mode="json"))
        return self


class WindowOut(Output):
    """A period of some weekdays, in the zone of each shop. It may be limited to some dates."""

    model_config = ConfigDict(serialize_by_alias=True)

    weekdays: list[int] = Field(description="Monday is 0.")
    begins: str = Field(alias="from", examples=["07:00"])
    ends: str = Field(alias="to", examples=["11:00"])
    starts_on: date | None
    ends_on: date | None


Schedule = Annotated[
    list[WindowIn],
    Field(
        max_length=20,
        description="When it is sold, by the shop's local time at pick-up; an empty list means always.",
    ),
]
ScheduleOut = Annotated[
    list[WindowOut], Field(description="When it is sold, by the shop's local time; an empty list means always.")
]


class CategoryIn(Input):
    """A category of the menu."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "Кофе", "slug": "coffee", "description": "На зерне своей обжарки", "position": 10},
                {"name": "Холодный кофе", "parent_id": EXAMPLE_ID},
            ]
        }
    )

    name: Name
    slug: OptionalSlug = None
    description: Description = ""
    parent_id: ParentId = None
    position: Position = 0
    is_active: IsActiveCategory = True
    schedule: Schedule = Field([])


class CategoryPatch(Input):
    """The fields of a category to change; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"position": 20}]})

    name: Name | MISSING = MISSING
    slug: OptionalSlug | MISSING = MISSING
    description: Description | MISSING = MISSING
    parent_id: ParentId | MISSING = MISSING
    position: Position | MISSING = MISSING
    is_active: IsActiveCategory | MISSING = MISSING
    schedule: Schedule | MISSING = MISSING


class IngredientIn(Input):
    """An ingredient of products and options."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Овсяное молоко"}]})

    name: Name


class IngredientPatch(Input):
    """The fields of an ingredient to change."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Молоко 3,2 %"}]})

    name: Name | MISSING = MISSING


class LinkedIngredientOut(Output):
    """An ingredient of a product or an option."""

    id: UUID = Field(validation_alias=AliasPath("ingredient", "id"))
    name: str = Field(validation_alias=AliasPath("ingredient", "name"))


class NutritionOut(Output):
    """What one portion contains, or one piece of an option adds to it."""

    energy_kcal: float
    proteins_g: float
    fats_g: float
    carbohydrates_g: float
    caffeine_mg: float | None = Field(None, description="null: unknown.")


class SizePriceOut(Output):
    """What a piece of an option costs in sizes of this name."""

    size_name: str
    price_delta: SignedMoney


class SizeNutritionOut(Output):
    """What a piece of an option adds in sizes of this name."""

    size_name: str
    nutrition: NutritionOut


class ReasonOut(Output):
    """One reason why something isn't available."""

    code: str = Field(
        description="`off_menu`, `not_sold_here`, `stopped`, `stopped_ingredient`, `out_of_stock`, `out_of_schedule`; "
        "for a pick-up time also `shop_closed`, `shop_paused`, `outside_opening_hours`, `no_orders_ahead`, "
        "`too_soon`, `slot_full`. There may be more in later versions.",
        examples=["stopped_ingredient"],
    )
    detail: str = Field(examples=["Овсяное needs Овсяное молоко, which has run out here."])
    until: Instant | None = Field(description="When the reason ends by itself; null if that isn't known.")


class AvailabilityOut(Output):
    """Whether something is available, with every reason why not."""

    is_available: bool
    reasons: list[ReasonOut]


OfferedNow = Annotated[
    AvailabilityOut | None,
    Field(description="At the shop `shop_id`, at this moment; null without `shop_id`."),
]


class ModifierOptionOut(Output):
    """One choice of a group. A piece costs `price_delta`, or the price of `size_prices` for the chosen size's name."""

    id: UUID
    name: str
    price_delta: SignedMoney
    size_prices: list[SizePriceOut]
    max_quantity: int
    is_default: bool
    is_active: bool
    allergens: list[Allergen]
    nutrition: NutritionOut | None = Field(description="What one piece adds; null: unknown.")
    size_nutrition: list[SizeNutritionOut] = Field(description="Instead of `nutrition` in sizes with these names.")
    ingredients: list[LinkedIngredientOut]
    availability: OfferedNow = None


class ProductGroupOut(Output):
    """A group as this product offers it, with the limits and the free quantity that count for this product."""

    id: UUID = Field(validation_alias=AliasPath("group", "id"))
    name: str = Field(validation_alias=AliasPath("group", "name"))
    min_choices: int = Field(validation_alias="effective_min_choices")
    max_choices: int = Field(validation_alias="effective_max_choices")
    free_quantity: int = Field(validation_alias="effective_free_quantity")
    options: list[ModifierOptionOut] = Field(validation_alias=AliasPath("group", "options"))


class NutritionIn(Input):
    """What one portion contains, or one piece of an option adds to it."""

    energy_kcal: Amount
    proteins_g: Amount
    fats_g: Amount
    carbohydrates_g: Amount
    caffeine_mg: Amount | None = Field(None, description="null: unknown; 0: there is none.")


class SizePriceIn(Input):
    """What a piece of an option costs in sizes of this name."""

    size_name: SizeName
    price_delta: SignedMoney


class SizeNutritionIn(Input):
    """What a piece of an option adds in sizes of this name."""

    size_name: SizeName
    nutrition: NutritionIn


_BySizeT = TypeVar("_BySizeT", SizePriceIn, SizeNutritionIn)


def _unique_size_names(parts: list[_BySizeT]) -> list[_BySizeT]:
    require_unique(each.size_name for each in parts)
    return parts


SizePrices = Annotated[list[SizePriceIn], Field(max_length=20), AfterValidator(_unique_size_names)]
SizeNutritions = Annotated[list[SizeNutritionIn], Field(max_length=20), AfterValidator(_unique_size_names)]


class OptionIn(Replacement):
    """One choice of a group. Options with an id are changed, those without are added, all others are deleted."""

    shows = ModifierOptionOut
    ignored = frozenset({"updated_at", "availability"})
    ids_of_lists: ClassVar = {"ingredient_ids": "ingredients"}

    id: UUID | None = None
    name: Name
    price_delta: SignedMoney = Field(
        Decimal(0), description="For each piece beyond the group's free quantity. May be negative."
    )
    size_prices: SizePrices = Field(
        [],
        description="Instead of `price_delta` in sizes with exactly these names. Other names have no effect.",
    )
    max_quantity: Annotated[int, Field(strict=True, ge=1, le=20)] = 1
    is_default: Flag = False
    is_active: Flag = True
    allergens: Allergens = Field([])
    nutrition: NutritionIn | None = Field(
        None,
        description="What one piece adds; null: unknown. If it is unknown, and the option is chosen, or is a default "
        "that isn't chosen, the nutrition as configured is unknown, too.",
    )
    size_nutrition: SizeNutritions = Field(
        [],
        description="Instead of `nutrition` in sizes with exactly these names: a large cup takes more milk. Other "
        "names have no effect.",
    )
    ingredient_ids: Ids = Field([])

    @property
    def rule(self) -> OptionRule:
        """What the rules of the group need of it."""
        return OptionRule(self.max_quantity, self.is_default, self.is_active)


def _unique_names(items: list["OptionIn"] | list["SizeIn"]) -> list["OptionIn"] | list["SizeIn"]:
    require_unique(item.name for item in items)
    require_unique(item.id for item in items if item.id is not None)
    return items


Options = Annotated[list[OptionIn], Field(max_length=50), AfterValidator(_unique_names)]


class ModifierGroupIn(Input):
    """A reusable set of options. Limits count pieces; the first `free_quantity` pieces cost nothing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Молоко",
                    "min_choices": 1,
                    "max_choices": 1,
                    "options": [
                        {
                            "name": "Обычное",
                            "is_default": True,
                            "allergens": ["milk"],
                            "nutrition": _COW_MILK,
                            "size_nutrition": [{"size_name": "L", "nutrition": _MORE_COW_MILK}],
                        },
                        {
                            "name": "Овсяное",
                            "price_delta": "60.00",
                            "allergens": ["gluten"],
                            "nutrition": _OAT_MILK,
                            "size_nutrition": [{"size_name": "L", "nutrition": _MORE_OAT_MILK}],
                        },
                    ],
                },
                {
                    "name": "Сироп",
                    "max_choices": 4,
                    "free_quantity": 1,
                    "options": [
                        {
                            "name": "Ваниль",
                            "price_delta": "40.00",
                            "size_prices": [{"size_name": "L", "price_delta": "60.00"}],
                            "max_quantity": 4,
                        }
                    ],
                },
            ]
        }
    )

    name: Name
    min_choices: Choices = 0
    max_choices: MostChoices = 1
    free_quantity: Choices = 0
    options: Options = Field([])


class ModifierGroupPatch(Input):
    """The fields of a group to change; the others stay. `options` are replaced as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"max_choices": 2}]})

    name: Name | MISSING = MISSING
    min_choices: Choices | MISSING = MISSING
    max_choices: MostChoices | MISSING = MISSING
    free_quantity: Choices | MISSING = MISSING
    options: Options | MISSING = MISSING


class SizeIn(Input):
    """A size. Sizes with an id are changed, those without are added, all others are deleted."""

    id: UUID | None = None
    name: SizeName
    volume_ml: Annotated[int, Field(strict=True, ge=1, le=10_000, examples=[350])] | None = None
    price_delta: SignedMoney = Field(Decimal(0), description="Added to the product's price. May be negative.")
    is_default: Flag = Field(default=False, description="If none is marked, the first is the default.")
    nutrition: NutritionIn | None = Field(
        None,
        description="Of this size with the default options. null: the default size has the product's nutrition, that "
        "of another size is unknown. For the default size it must be the same as the product's, if both "
        "are sent.",
    )


def _at_most_one_default(sizes: list[SizeIn]) -> list[SizeIn]:
    if sum(size.is_default for size in sizes) > 1:
        raise ValueError("only one size can be the default")
    return sizes


class ProductGroupIn(Replacement):
    """A group as one product offers it. For what is left out or null, the group's own value counts."""

    shows = ProductGroupOut
    key = "group_id"

    group_id: UUID
    min_choices: Choices | None = None
    max_choices: MostChoices | None = None
    free_quantity: Choices | None = None


def _unique_groups(links: list[ProductGroupIn]) -> list[ProductGroupIn]:
    require_unique(link.group_id for link in links)
    return links


PositionInLists = Annotated[
    Position, Field(description="Its place in lists, and in a category without an order of its own.")
]
Sizes = Annotated[
    list[SizeIn], Field(max_length=20), AfterValidator(_unique_names), AfterValidator(_at_most_one_default)
]
GroupIds = Annotated[Ids, Field(description="Groups that keep their own limits, in this order.")]
Groups = Annotated[
    list[ProductGroupIn],
    Field(
        max_length=50,
        description="Instead of `modifier_group_ids`, to set limits and free quantities for this product. GET gives "
        "it.",
    ),
    AfterValidator(_unique_groups),
]
AllergensOfDefault = Annotated[Allergens, Field(description="Of the default size with the default options.")]
AllergensAlways = Annotated[
    Allergens | None,
    Field(description="Those of `allergens` that stay whatever options are chosen; null: all of them."),
]
NutritionOfDefault = Annotated[
    NutritionIn | None,
    Field(description="As on the menu: of the default size with one piece of each default option."),
]
PreparationSeconds = Annotated[int, Field(strict=True, ge=0, le=7200)]


def _check_groups(ids: list[UUID], groups: list[ProductGroupIn]) -> None:
    if ids and groups:
        raise ValueError("send modifier_group_ids or modifier_groups, not both")


def _check_allergens(allergens: list[Allergen], always: list[Allergen] | None) -> None:
    if surplus := set(always or ()) - set(allergens):
        raise ValueError(f"allergens_always has allergens that aren't in allergens: {', '.join(sorted(surplus))}")


class ProductIn(Input):
    """A product to sell."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Латте",
                    "slug": "latte",
                    "description": "Эспрессо и много молока",
                    "price": "250.00",
                    "category_ids": [EXAMPLE_ID],
                    "sizes": [
                        {"name": "S", "volume_ml": 250, "is_default": True},
                        {"name": "L", "volume_ml": 450, "price_delta": "90.00", "nutrition": _LARGE_LATTE},
                    ],
                    "modifier_group_ids": [EXAMPLE_ID],
                    "allergens": ["milk"],
                    "nutrition": _LATTE,
                    "preparation_seconds": 120,
                },
                {"name": "Круассан", "price": "180.00"},
            ]
        }
    )

    name: Name
    slug: OptionalSlug = None
    description: Description = ""
    price: Money
    category_ids: Ids = Field([])
    is_active: IsActive = True
    position: PositionInLists = 0
    sizes: Sizes = Field([])
    modifier_group_ids: GroupIds = Field([])
    modifier_groups: Groups = Field([])
    allergens: AllergensOfDefault = Field([])
    allergens_always: AllergensAlways = None
    nutrition: NutritionOfDefault = None
    ingredient_ids: Ids = Field([])
    preparation_seconds: PreparationSeconds = 90
    schedule: Schedule = Field([])

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        _check_groups(self.modifier_group_ids, self.modifier_groups)
        _check_allergens(self.allergens, self.allergens_always)
        return self


class ProductPatch(Input):
    """The fields of a product to change; the others stay. Lists are replaced as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"price": "270.00"}, {"is_active": False}]})

    name: Name | MISSING = MISSING
    slug: OptionalSlug | MISSING = MISSING
    description: Description | MISSING = MISSING
    price: Money | MISSING = MISSING
    category_ids: Ids | MISSING = MISSING
    is_active: IsActive | MISSING = MISSING
    position: PositionInLists | MISSING = MISSING
    sizes: Sizes | MISSING = MISSING
    modifier_group_ids: GroupIds | MISSING = MISSING
    modifier_groups: Groups | MISSING = MISSING
    allergens: AllergensOfDefault | MISSING = MISSING
    allergens_always: AllergensAlways | MISSING = MISSING
    nutrition: NutritionOfDefault | MISSING = MISSING
    ingredient_ids: Ids | MISSING = MISSING
    preparation_seconds: PreparationSeconds | MISSING = MISSING
    schedule: Schedule | MISSING = MISSING

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        _check_groups(value_or(self.modifier_group_ids, []), value_or(self.modifier_groups, []))
        if self.allergens is not MISSING:
            _check_allergens(self.allergens, value_or(self.allergens_always, None))
        return self


class ProductPriceIn(Input):
    """The new price of a product."""

    product_id: UUID
    price: Money


def _unique_prices(prices: list[ProductPriceIn]) -> list[ProductPriceIn]:
    require_unique(each.product_id for each in prices)
    return prices


class ChangePrices(Input):
    """New prices: a percentage for all products or some, or a list of prices."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"percent": "5.0", "category_id": EXAMPLE_ID, "round_to": "10.00", "dry_run": True},
                {"prices": [{"product_id": EXAMPLE_ID, "price": "270.00"}], "dry_run": False},
            ]
        }
    )

    percent: Percent | None = Field(
        None, description="`5.0` changes 250.00 to 262.50, `-10` to 225.00. At least -100, at most 1000."
    )
    category_id: UUID | None = Field(
        None,
        description="For the products of this category and of all under it. Without `category_id` and `product_ids`: "
        "for all products.",
    )
    product_ids: (
        Annotated[list[UUID], Field(min_length=1, max_length=MAX_PRICES), AfterValidator(require_unique)] | None
    ) = Field(None, description="For these products.")
    round_to: Annotated[Money, Field(gt=0)] | None = Field(
        None,
        description="Round to a multiple of this, else to two decimals; halves are rounded up.",
        examples=["10.00"],
    )
    prices: (
        Annotated[list[ProductPriceIn], Field(min_length=1, max_length=MAX_PRICES), AfterValidator(_unique_prices)]
        | None
    ) = Field(None, description="Instead of `percent`: the new price of each product.")
    dry_run: Flag = Field(description="true: answer what would change, and change nothing.")

    @property
    def names_products(self) -> bool:
        """Whether the request lists the products one by one."""
        return self.prices is not None or self.product_ids is not None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.percent is None) == (self.prices is None):
            raise ValueError("send percent or prices, one of them")
        if self.prices is not None and any(
            each is not None for each in (self.category_id, self.product_ids, self.round_to)
        ):
            raise ValueError("category_id, product_ids and round_to go with percent, not with prices")
        if self.category_id is not None and self.product_ids is not None:
            raise ValueError("send category_id or product_ids, not both")
        return self


class PriceChangeOut(Output):
    """The price of a product before and after the change."""

    product_id: UUID
    name: str
    price_before: Money
    price_after: Money


class PricesOut(Output):
    """The prices that were changed, or would be."""

    dry_run: bool
    changed: int = Field(description="How many products get another price.")
    products: list[PriceChangeOut]


class CopyProduct(Input):
    """The name of the copy."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Латте на кокосовом"}]})

    name: Name | None = Field(None, description="Left out: the product's own name.")


class ImageForm(Input):
    """The fields of the form that has a picture's file."""

    alt: Alt = ""


class ImagePatch(Input):
    """The fields of a picture to change. If it moves, the other pictures make room for it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"alt": "Латте в стакане", "position": 0}]})

    alt: Alt | MISSING = MISSING
    position: (
        Annotated[
            int,
            Field(strict=True, ge=0, lt=MAX_IMAGES, description="Its place among the product's pictures, from 0."),
        ]
        | MISSING
    ) = MISSING


class CategoryImageOut(Output):
    """A category's picture in WebP; `width` and `height` are those of the largest file."""

    alt: str
    width: int
    height: int
    urls: dict[str, str] = Field(
        description="By width in pixels.",
        examples=[{"320": "/media/0f1e2d3c4b5a69788796a5b4c3d2e1f0-320.webp"}],
    )


class CategoryOut(Output):
    """A category of the menu. Categories form a tree by `parent_id`."""

    id: UUID
    slug: str
    name: str
    description: str
    parent_id: UUID | None
    position: int
    image: CategoryImageOut | None
    is_active: bool
    is_on_menu: bool = Field(description="Whether the public sees it: it and all above it are active.")
    schedule: ScheduleOut
    created_at: Instant
    updated_at: Instant


class ReplaceCategory(CategoryIn, Replacement):
    """A category as a PUT sends it."""

    shows = CategoryOut
    ignored = frozenset({"updated_at", "is_on_menu"})


def _with_image(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the categories' table with the columns of its picture as one value."""
    parts = {name: row[f"image_{name}"] for name in ("key", "alt", "width", "height", "widths")}
    return dict(row) | {"image": category_image(**parts)}


def hashable_row(row: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the columns of a row as a hashable value, which `category_document` takes."""
    fields = dict(row) | {"schedule": json.dumps(row["schedule"])}
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in fields.items())


@lru_cache(1_000)
def category_document(fields: tuple[tuple[str, Any], ...]) -> bytes:
    """Return a category as JSON. It is cached by the values of its columns."""
    row = dict(fields)
    row["schedule"] = json.loads(row["schedule"])
    return CategoryOut.model_validate(_with_image(row)).model_dump_json().encode()


class CategoryProductsIn(Input):
    """The products of a category, in their order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"product_ids": [EXAMPLE_ID]}]})

    product_ids: Annotated[list[UUID], Field(max_length=500), AfterValidator(require_unique)]


class CategoryProductsOut(Output):
    """The products of a category, in their order."""

    product_ids: list[UUID]


class IngredientOut(Output):
    """An ingredient of products and options."""

    id: UUID
    name: str


class ReplaceIngredient(IngredientIn, Replacement):
    """An ingredient as a PUT sends it."""

    shows = IngredientOut


class ModifierGroupOut(Output):
    """A reusable set of options."""

    id: UUID
    name: str
    min_choices: int
    max_choices: int
    free_quantity: int
    options: list[ModifierOptionOut]
    created_at: Instant
    updated_at: Instant


class ReplaceModifierGroup(ModifierGroupIn, Replacement):
    """A group as a PUT sends it."""

    shows = ModifierGroupOut


class ProductCategoryOut(Output):
    """A category of this product."""

    id: UUID = Field(validation_alias=AliasPath("category", "id"))
    slug: str = Field(validation_alias=AliasPath("category", "slug"))
    name: str = Field(validation_alias=AliasPath("category", "name"))


class ProductSizeOut(Output):
    """A size; its price is the product's plus `price_delta`."""

    id: UUID
    name: str
    volume_ml: int | None
    price_delta: SignedMoney
    is_default: bool
    nutrition: NutritionOut | None = Field(
        description="Of this size with the default options. null: the default size has the product's nutrition, that "
        "of another size is unknown."
    )


class ProductImageOut(Output):
    """A picture in WebP; `width` and `height` are those of the largest file."""

    id: UUID
    alt: str
    position: int
    width: int
    height: int
    urls: dict[str, str] = Field(
        description="By width in pixels.",
        examples=[{"320": "/media/0f1e2d3c4b5a69788796a5b4c3d2e1f0-320.webp"}],
    )


class ProductOut(Output):
    """A product, with everything that a menu shows of it."""

    id: UUID
    slug: str
    name: str
    description: str
    price: Money
    is_active: bool
    is_on_menu: bool = Field(
        description="Whether the public sees it and it can be ordered: it is active, and in no category or in one that "
        "is on the menu."
    )
    position: int
    categories: list[ProductCategoryOut]
    sizes: list[ProductSizeOut]
    modifier_groups: list[ProductGroupOut]
    images: list[ProductImageOut]
    allergens: list[Allergen] = Field(description="Of the default size with the default options.")
    allergens_always: list[Allergen] | None = Field(
        description="Those that stay whatever options are chosen; null: all of them."
    )
    nutrition: NutritionOut | None = Field(
        description="As on the menu: of the default size with one piece of each default option; null: unknown. Carts "
        "and orders have the nutrition as configured, in `contents`."
    )
    ingredients: list[LinkedIngredientOut]
    preparation_seconds: int
    schedule: ScheduleOut
    availability: OfferedNow = None
    created_at: Instant
    updated_at: Instant


class ReplaceProduct(ProductIn, Replacement):
    """A product as a PUT sends it. Pictures have routes of their own."""

    shows = ProductOut
    ignored = frozenset({"updated_at", "is_on_menu", "availability"})
    ids_of_lists: ClassVar = {"category_ids": "categories", "ingredient_ids": "ingredients"}


class MenuCategoryOut(Output):
    """A category without its products."""

    id: UUID
    slug: str
    name: str
    description: str
    parent_id: UUID | None
    position: int
    image: CategoryImageOut | None
    schedule: ScheduleOut


class MenuSectionOut(MenuCategoryOut):
    """A category with its products. A product of several categories is in each of them."""

    products: list[ProductOut]


class MenuOut(Output):
    """The whole menu, of one shop or of the chain."""

    shop_id: UUID | None
    currency: str = Field(examples=["RUB"])
    categories: list[MenuSectionOut]
    products: list[ProductOut] = Field(description="Products without a category.")

    @staticmethod
    def start(*, shop_id: UUID | None, currency: str) -> bytes:
        """Return the beginning of the JSON; `rest` returns the end."""
        shop = "null" if shop_id is None else f'"{shop_id}"'
        return f'{{"shop_id":{shop},"currency":"{currency}",'.encode()

    @staticmethod
    def rest(*, categories: Iterable[Mapping[str, Any]], products: Mapping[UUID | None, Sequence[bytes]]) -> bytes:
        """Return the JSON after `start`, with the products' documents, which are given by category id."""
        pieces = [b'"categories":[']
        for number, category in enumerate(categories):
            shown = MenuCategoryOut.model_validate(_with_image(category))
            start = shown.model_dump_json()[:-1].encode()
            pieces += [b"," if number else b"", start, b',"products":', *_array(products.get(shown.id, ())), b"}"]
        pieces += [b'],"products":', *_array(products.get(None, ())), b"}"]
        return b"".join(pieces)


def _array(documents: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the parts of a JSON array of documents, without copying these."""
    yield b"["
    for number, document in enumerate(documents):
        if number:
            yield b","
        yield document
    yield b"]"


class StopIn(Input):
    """Something that a shop has run out of. An ingredient stops every product and option that needs it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "ingredient",
                    "target_id": EXAMPLE_ID,
                    "until": "2026-11-27T14:00:00Z",
                    "note": "Привезут к обеду",
                },
                {"kind": "product", "target_id": EXAMPLE_ID},
            ]
        }
    )

    kind: StopKind
    target_id: UUID
    until: Instant | None = Field(
        None,
        description="When it is available again: orders for later are still taken. null: until it is taken off the "
        "list.",
    )
    note: Annotated[OptionalLine, Field(max_length=300)] = ""


class StopOut(Output):
    """An entry of a stop-list."""

    id: UUID
    kind: StopKind
    target_id: UUID
    name: str
    until: Instant | None
    note: str
    created_by_id: UUID | None = Field(
        description="Who added it; null if the system did, or if the account is deleted."
    )
    created_at: Instant


OwnPrice = Annotated[Money | None, Field(description="This shop's own; null: the chain's. 0 is free.")]
OwnPriceDelta = Annotated[
    SignedMoney | None,
    Field(description="This shop's own, in every size; null: the chain's. 0 is free.", examples=["60.00"]),
]
Stock = Annotated[
    Annotated[int, Field(strict=True, ge=0, le=1_000_000, examples=[12])] | None,
    Field(
        description="How many are left. Orders take from it, and give back when they are cancelled. null: not counted."
    ),
]


class ShopProductPatch(Input):
    """The fields of a product at one shop to change; the others stay."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"stock": 12}, {"price": "270.00"}, {"is_sold": False}, {"price": None}]}
    )

    price: OwnPrice | MISSING = MISSING
    is_sold: Flag | MISSING = MISSING
    stock: Stock | MISSING = MISSING


class ShopOptionPatch(Input):
    """The fields of an option at one shop to change; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"price_delta": "0.00"}, {"is_sold": False}]})

    price_delta: OwnPriceDelta | MISSING = MISSING
    is_sold: Flag | MISSING = MISSING


class OverrideOut(Output):
    """What a shop sets for itself about the product or option with this id. For null, the chain's value counts."""

    kind: Literal["product", "option"]
    id: UUID
    name: str
    price: Money | None = Field(description="Of a product.")
    price_delta: SignedMoney | None = Field(description="Of an option.")
    is_sold: bool
    stock: int | None = Field(description="Of a product; null: not counted.", examples=[12])
    updated_at: Instant


_EXAMPLE_MENU: Final[JsonDict] = {
    "categories": [{"slug": "coffee", "name": "Кофе"}],
    "ingredients": [{"name": "Эспрессо"}],
    "modifier_groups": [
        {
            "name": "Молоко",
            "min_choices": 1,
            "options": [{"name": "Обычное", "is_default": True, "allergens": ["milk"], "nutrition": _COW_MILK}],
        }
    ],
    "products": [
        {
            "slug": "latte",
            "name": "Латте",
            "price": "250.00",
            "categories": [{"slug": "coffee"}],
            "sizes": [
                {"name": "S", "volume_ml": 250, "is_default": True},
                {"name": "L", "volume_ml": 450, "nutrition": _LARGE_LATTE},
            ],
            "nutrition": _LATTE,
            "modifier_groups": [{"group": "Молоко"}],
            "ingredients": ["Эспрессо"],
        }
    ],
}


class MenuCategory(Input):
    """A category, identified by its slug."""

    slug: Slug
    name: Name
    description: Description = ""
    parent: Slug | None = Field(None, description="The slug of the category above this one; null: none.")
    position: Position = 0
    is_active: Flag = True
    schedule: Schedule = Field([])


class MenuIngredient(Input):
    """An ingredient, identified by its name."""

    name: Name


class MenuOption(Input):
    """A choice of a group, identified by its id, or else by its name in the group."""

    id: UUID | None = None
    name: Name
    price_delta: SignedMoney = Decimal(0)
    size_prices: SizePrices = Field([])
    nutrition: NutritionIn | None = Field(None, description="What one piece adds; null: unknown.")
    size_nutrition: SizeNutritions = Field([], description="Instead of `nutrition` in sizes with these names.")
    max_quantity: Annotated[int, Field(strict=True, ge=1, le=20)] = 1
    is_default: Flag = False
    is_active: Flag = True
    allergens: Allergens = Field([])
    ingredients: Annotated[list[Name], Field(max_length=50)] = Field([], description="By name.")


class MenuGroup(Input):
    """A set of options, identified by its id, or else by its name."""

    id: UUID | None = None
    key: Name | None = Field(
        None, description="By this, products of this document refer to it; left out or null: by its name."
    )
    name: Name
    min_choices: Choices = 0
    max_choices: MostChoices = 1
    free_quantity: Choices = 0
    options: Annotated[list[MenuOption], Field(max_length=50)] = Field([])


class MenuPlace(Input):
    """A category of a product."""

    slug: Slug
    position: Position | None = Field(None, description="Its place there; null: after those with a position.")


class MenuGroupLink(Input):
    """A group of a product. For limits that are null, the group's own count."""

    group: Name = Field(description="The key of a group of this document, or else the name of an existing one.")
    min_choices: Choices | None = None
    max_choices: MostChoices | None = None
    free_quantity: Choices | None = None


class MenuProduct(Input):
    """A product, identified by its slug. Pictures are not in the document."""

    slug: Slug
    name: Name
    description: Description = ""
    price: Money
    is_active: Flag = True
    position: Position = 0
    categories: Annotated[list[MenuPlace], Field(max_length=500)] = Field([])
    sizes: Annotated[list[SizeIn], Field(max_length=20), AfterValidator(_at_most_one_default)] = Field(
        [], description="Identified by their ids, or else by their names in the product."
    )
    modifier_groups: Annotated[list[MenuGroupLink], Field(max_length=50)] = Field([])
    allergens: Allergens = Field([])
    allergens_always: Allergens | None = None
    nutrition: NutritionIn | None = None
    ingredients: Annotated[list[Name], Field(max_length=50)] = Field([], description="By name.")
    preparation_seconds: Annotated[int, Field(strict=True, ge=0, le=7200)] = 90
    schedule: Schedule = Field([])


class MenuDocument(Input):
    """The whole menu, or a part of it, as one document."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_MENU]})

    categories: Annotated[list[MenuCategory], Field(max_length=500)] = Field([])
    ingredients: Annotated[list[MenuIngredient], Field(max_length=1000)] = Field([])
    modifier_groups: Annotated[list[MenuGroup], Field(max_length=500)] = Field([])
    products: Annotated[list[MenuProduct], Field(max_length=1000)] = Field([])


class MenuWorkbookForm(Input):
    """The form of a menu as a workbook: only the file."""


class MenuChangeOut(Output):
    """What an import did with one row."""

    loc: list[str | int] = Field(
        description="Its location in the document; in a workbook, the sheet and the row, counted from 1.",
        examples=[["products", 0]],
    )
    key: str = Field(description="Slug or name.", examples=["latte"])
    action: str = Field(description="`created` or `updated`.", examples=["updated"])
    fields: list[str] = Field(description="The fields that changed; empty if it was created.", examples=[["price"]])


class MenuImportOut(Output):
    """What an import changed, or would change."""

    dry_run: bool
    changes: list[MenuChangeOut]
    unchanged: int = Field(description="How many rows were as in the document already.", examples=[57])
