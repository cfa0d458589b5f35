"""Headings, modifier groups and ingredients: what products are put together from."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import (
    BindParameter,
    Numeric,
    Select,
    SQLColumnExpression,
    Uuid,
    and_,
    bindparam,
    cast,
    exists,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db import versions
from crema.db.driver import Reader
from crema.db.listing import (
    BooleanField,
    InstantField,
    IntegerField,
    Listing,
    ListQuery,
    ListStatement,
    Many,
    MembersField,
    MoneyField,
    NumberField,
    SlugField,
    TextField,
    UuidField,
    json_elements,
    json_text,
    paginate,
)
from crema.db.statement import Statement, into
from crema.menu.domain import ALLERGENS, Nutrition
from crema.menu.models import (
    Category,
    Ingredient,
    ModifierGroup,
    Option,
    OptionIngredient,
    Product,
    ProductCategory,
    ProductModifierGroup,
    ShopOption,
)
from crema.schemas import Name

ADDRESSES: Final = "addresses of files"
SCHEDULE_LEFT_OUT: Final = dict.fromkeys(
    (f"schedule.{name}" for name in ("weekdays", "from", "to", "starts_on", "ends_on")),
    "what is sold at a moment is asked of a product's availability there",
)


def availability_left_out(*parts: str) -> dict[str, str]:
    """Leave availability out of a list, in these parts of the answer."""
    names = ("is_available", "reasons.code", "reasons.detail", "reasons.until")
    return {
        f"{part}availability.{name}": "it holds for the moment of the question, at one shop"
        for part in parts
        for name in names
    }


CATEGORIES: Final = Listing(
    name="Category",
    fields={
        "id": UuidField(Category.id, indexed=True),
        "name": TextField(Category.name, of=Name, indexed=True, example="Кофе"),
        "slug": SlugField(Category.slug, indexed=True, example="coffee"),
        "description": TextField(Category.description, indexed=True),
        "parent_id": UuidField(Category.parent_id, nullable=True, indexed=True),
        "position": IntegerField(Category.position, indexed=True),
        "image.alt": TextField(Category.image_alt, nullable=True, example="Чашка"),
        "image.width": IntegerField(Category.image_width, nullable=True),
        "image.height": IntegerField(Category.image_height, nullable=True),
        "is_active": BooleanField(Category.is_active, indexed=True),
        "is_on_menu": BooleanField(Category.is_on_menu, indexed=True),
        "created_at": InstantField(Category.created_at, indexed=True),
        "updated_at": InstantField(Category.updated_at, indexed=True),
    },
    left_out={"image.urls": ADDRESSES} | SCHEDULE_LEFT_OUT,
    default_sort="position,name",
    id_column=Category.id,
)


def nutrition_of(document: Any, *path: str) -> dict[str, NumberField]:
    """Declare the figures of a nutrition, at a path in a JSON document."""
    return {
        f"nutrition.{field.name}": NumberField(cast(json_text(document, *path, field.name), Numeric), nullable=True)
        for field in fields(Nutrition)
    }


SHOP_ID: Final[BindParameter[UUID]] = bindparam("shop_id", type_=Uuid)
"""The shop whose prices a list shows."""
_OWN_DELTA: Final = (
    select(ShopOption.price_delta)
    .where(ShopOption.shop_id == SHOP_ID, ShopOption.option_id == Option.id)
    .scalar_subquery()
)


def _size_prices(*, is_of_shop: bool) -> Many:
    prices = json_elements(Option.size_prices, "size_prices")
    price = prices.c.value
    return Many(
        prices,
        _OWN_DELTA.is_(None) if is_of_shop else true(),
        {
            "size_name": _size_name(price),
            "price_delta": MoneyField(cast(json_text(price, "price_delta"), Numeric), signed=True, example="70.00"),
        },
    )


def _size_nutrition() -> Many:
    figures = json_elements(Option.size_nutrition, "size_nutrition")
    figure = figures.c.value
    return Many(figures, true(), {"size_name": _size_name(figure), **nutrition_of(figure, "nutrition")})


def _size_name(element: Any) -> TextField:
    """Declare the name of a size in a JSON document; it is searched as the name of the size itself."""
    return TextField(json_text(element, "size_name"), searched=False, example="L")


def options_of(group_id: SQLColumnExpression[UUID], *, sees_hidden: bool, is_of_shop: bool = False) -> Many:
    """Declare the options of a group, as they are shown; `is_of_shop`: at the prices of `SHOP_ID`."""
    price_delta = func.coalesce(_OWN_DELTA, Option.price_delta) if is_of_shop else Option.price_delta
    shown = Option.group_id == group_id
    return Many(
        Option,
        shown if sees_hidden else and_(shown, Option.is_active),
        {
            "id": UuidField(Option.id),
            "name": TextField(Option.name, of=Name, example="Овсяное"),
            "price_delta": MoneyField(price_delta, signed=True, example="50.00"),
            "size_prices": _size_prices(is_of_shop=is_of_shop),
            **nutrition_of(Option.nutrition),
            "size_nutrition": _size_nutrition(),
            "max_quantity": IntegerField(Option.max_quantity),
            "is_default": BooleanField(Option.is_default),
            "is_active": BooleanField(Option.is_active),
            "allergens": MembersField(Option.allergens, choices=ALLERGENS, example="milk"),
            "ingredients": Many(
                (OptionIngredient, Ingredient),
                and_(OptionIngredient.option_id == Option.id, Ingredient.id == OptionIngredient.ingredient_id),
                {"id": UuidField(Ingredient.id), "name": TextField(Ingredient.name, of=Name, example="молоко")},
            ),
        },
    )


MODIFIER_GROUPS: Final = Listing(
    name="ModifierGroup",
    fields={
        "id": UuidField(ModifierGroup.id, indexed=True),
        "name": TextField(ModifierGroup.name, of=Name, indexed=True, example="Молоко"),
        "min_choices": IntegerField(ModifierGroup.min_choices),
        "max_choices": IntegerField(ModifierGroup.max_choices),
        "free_quantity": IntegerField(ModifierGroup.free_quantity),
        "options": options_of(ModifierGroup.id, sees_hidden=True),
        "created_at": InstantField(ModifierGroup.created_at, indexed=True),
        "updated_at": InstantField(ModifierGroup.updated_at, indexed=True),
    },
    left_out=availability_left_out("options."),
    default_sort="name",
    id_column=ModifierGroup.id,
)
INGREDIENTS: Final = Listing(
    name="Ingredient",
    fields={
        "id": UuidField(Ingredient.id, indexed=True),
        "name": TextField(Ingredient.name, of=Name, indexed=True, example="молоко"),
    },
    default_sort="name",
    id_column=Ingredient.id,
)


async def list_categories(reader: Reader, *, query: ListQuery, sees_hidden: bool) -> Page[asyncpg.Record]:
    """List headings, as rows of their table; the public sees those that are on the menu."""
    return await (_ALL_CATEGORIES if sees_hidden else _SHOWN_CATEGORIES).page(reader, query)


async def get_category_row(reader: Reader, *, category_id: UUID, sees_hidden: bool) -> asyncpg.Record:
    """Read a category, as a row of its table; for the public one that is not on the menu is not there."""
    return await (_ANY_CATEGORY if sees_hidden else _SHOWN_CATEGORY).one(reader, category_id=category_id)


async def get_category(session: AsyncSession, category_id: UUID) -> Category:
    """Load a category."""
    category = await session.get(Category, category_id)
    if category is None:
        raise NotFoundError
    return category


def _categories(*, sees_hidden: bool) -> Select[Category]:
    return select(Category).where(true() if sees_hidden else Category.is_on_menu)


_ALL_CATEGORIES: Final = ListStatement(_categories(sees_hidden=True))
_SHOWN_CATEGORIES: Final = ListStatement(_categories(sees_hidden=False))
_ANY_CATEGORY: Final = Statement(_categories(sees_hidden=True).where(Category.id == bindparam("category_id")))
_SHOWN_CATEGORY: Final = Statement(_categories(sees_hidden=False).where(Category.id == bindparam("category_id")))


async def get_category_for_update(session: AsyncSession, category_id: UUID) -> Category:
    """Lock a heading: until the transaction ends nothing can be put under it."""
    category = await session.scalar(
        select(Category).where(Category.id == category_id).with_for_update(),
        execution_options={"populate_existing": True},
    )
    if category is None:
        raise NotFoundError
    await versions.check(session, key=Category.id, value=category_id)
    return category


async def lock_below(session: AsyncSession, category_id: UUID) -> list[UUID]:
    """Lock a heading and all headings under it: until the transaction ends nothing can be put under them."""
    below = select(Category.id).where(Category.id == category_id).cte(recursive=True)
    below = below.union(select(Category.id).join(below, Category.parent_id == below.c.id))
    found = await session.scalars(
        select(Category.id).where(Category.id.in_(select(below.c.id))).order_by(Category.id).with_for_update()
    )
    return list(found)


async def is_under(session: AsyncSession, *, category_id: UUID, above_id: UUID) -> bool:
    """Tell whether a heading stands somewhere under another, or is it."""
    line = select(Category.id, Category.parent_id).where(Category.id == category_id).cte("line", recursive=True)
    line = line.union(select(Category.id, Category.parent_id).where(Category.id == line.c.parent_id))
    return bool(await session.scalar(select(exists().where(line.c.id == above_id))))


async def is_category_in_use(session: AsyncSession, category_id: UUID) -> bool:
    """Tell whether products or other headings stand directly under it. Archived products don't count."""
    product = (
        exists()
        .where(ProductCategory.category_id == category_id)
        .where(Product.id == ProductCategory.product_id, Product.archived_at.is_(None))
    )
    heading = exists().where(Category.parent_id == category_id)
    return bool(await session.scalar(select(or_(product, heading))))


_WHOLE_OPTION: Final = selectinload(ModifierGroup.options).selectinload(Option.ingredients)
_GROUPS: Final = select(ModifierGroup).options(_WHOLE_OPTION.joinedload(OptionIngredient.ingredient))


async def list_modifier_groups(session: AsyncSession, *, query: ListQuery) -> Page[ModifierGroup]:
    """List groups with their options."""
    return await paginate(session, _GROUPS, query)


async def get_modifier_group(session: AsyncSession, group_id: UUID) -> ModifierGroup:
    """Load a group with its options afresh."""
    group = await session.scalar(
        _GROUPS.where(ModifierGroup.id == group_id), execution_options={"populate_existing": True}
    )
    if group is None:
        raise NotFoundError
    return group


async def get_modifier_group_for_update(session: AsyncSession, group_id: UUID) -> ModifierGroup:
    """Lock a group, then load it with its options: until the transaction ends no product can take it up."""
    await session.execute(select(ModifierGroup.id).where(ModifierGroup.id == group_id).with_for_update(key_share=True))
    group = await get_modifier_group(session, group_id)
    await versions.check(session, key=ModifierGroup.id, value=group_id)
    return group


async def load_all_modifier_groups(session: AsyncSession) -> Sequence[ModifierGroup]:
    """Load every group with its options, by name."""
    return (await session.scalars(_GROUPS.order_by(ModifierGroup.name, ModifierGroup.id))).all()


async def load_modifier_groups_locked(session: AsyncSession, group_ids: Collection[UUID]) -> dict[UUID, ModifierGroup]:
    """Lock groups against edits, in primary-key order, and load them; unknown ids are absent."""
    wanted = select(ModifierGroup.id).where(ModifierGroup.id.in_(group_ids)).order_by(ModifierGroup.id)
    await session.execute(wanted.with_for_update(read=True))
    groups = await session.scalars(
        select(ModifierGroup).where(ModifierGroup.id.in_(group_ids)).options(selectinload(ModifierGroup.options)),
        execution_options={"populate_existing": True},
    )
    return {group.id: group for group in groups}


async def list_overrides(session: AsyncSession, group_id: UUID) -> list[tuple[int | None, int | None]]:
    """Give the limits that products set for a group instead of its own."""
    limits = (ProductModifierGroup.min_choices, ProductModifierGroup.max_choices)
    rows = await session.execute(
        select(*limits)
        .join(Product, Product.id == ProductModifierGroup.product_id)
        .where(ProductModifierGroup.group_id == group_id, Product.archived_at.is_(None))
        .where(or_(*(limit.is_not(None) for limit in limits)))
        .distinct()
    )
    return [(row[0], row[1]) for row in rows]


async def is_group_in_use(session: AsyncSession, group_id: UUID) -> bool:
    """Tell whether products offer it. Archived products don't count."""
    offered = (
        exists()
        .where(ProductModifierGroup.group_id == group_id)
        .where(Product.id == ProductModifierGroup.product_id, Product.archived_at.is_(None))
    )
    return bool(await session.scalar(select(offered)))


@dataclass(frozen=True, slots=True)
class IngredientView:
    """An ingredient as it is shown."""

    id: UUID
    name: str


_INGREDIENTS: Final = ListStatement(select(Ingredient.id, Ingredient.name))
_INGREDIENT: Final = Statement(
    select(Ingredient.id, Ingredient.name).where(Ingredient.id == bindparam("ingredient_id"))
)


async def list_ingredients(reader: Reader, *, query: ListQuery) -> Page[IngredientView]:
    """Page through ingredients."""
    return (await _INGREDIENTS.page(reader, query)).map(into(IngredientView))


async def get_ingredient_view(reader: Reader, ingredient_id: UUID) -> IngredientView:
    """Read an ingredient."""
    return into(IngredientView)(await _INGREDIENT.one(reader, ingredient_id=ingredient_id))


async def get_ingredient_for_update(session: AsyncSession, ingredient_id: UUID) -> Ingredient:
    """Lock an ingredient: nothing can take it up until the transaction ends."""
    ingredient = await session.scalar(select(Ingredient).where(Ingredient.id == ingredient_id).with_for_update())
    if ingredient is None:
        raise NotFoundError
    await versions.check(session, key=Ingredient.id, value=ingredient_id)
    return ingredient
