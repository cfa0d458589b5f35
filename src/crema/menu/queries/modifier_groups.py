"""Statements about modifier groups and their options."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Numeric, SQLColumnExpression, and_, cast, exists, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db import versions
from crema.db.listing import (
    BooleanField,
    InstantField,
    IntegerField,
    Listing,
    ListQuery,
    Many,
    MembersField,
    MoneyField,
    TextField,
    UuidField,
    json_elements,
    json_text,
    paginate,
)
from crema.menu.domain import ALLERGENS
from crema.menu.models import (
    Ingredient,
    ModifierGroup,
    Option,
    OptionIngredient,
    Product,
    ProductModifierGroup,
    ShopOption,
)
from crema.menu.queries.shared_fields import SHOP_ID, availability_left_out, nutrition_fields
from crema.schemas import Name

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
    return Many(figures, true(), {"size_name": _size_name(figure), **nutrition_fields(figure, "nutrition")})


def _size_name(element: Any) -> TextField:
    """Return the field of a size's name in a JSON document. It isn't searched: the name of the size itself is."""
    return TextField(json_text(element, "size_name"), searched=False, example="L")


def options_field(group_id: SQLColumnExpression[UUID], *, sees_hidden: bool, is_of_shop: bool = False) -> Many:
    """Return the field of a group's options. `is_of_shop`: they have the prices of the shop `SHOP_ID`."""
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
            **nutrition_fields(Option.nutrition),
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
        "options": options_field(ModifierGroup.id, sees_hidden=True),
        "created_at": InstantField(ModifierGroup.created_at, indexed=True),
        "updated_at": InstantField(ModifierGroup.updated_at, indexed=True),
    },
    left_out=availability_left_out("options."),
    default_sort="name",
    id_column=ModifierGroup.id,
)

_WITH_OPTION_PARTS: Final = selectinload(ModifierGroup.options).selectinload(Option.ingredients)
_GROUPS_WITH_OPTIONS: Final = select(ModifierGroup).options(_WITH_OPTION_PARTS.joinedload(OptionIngredient.ingredient))


async def list_modifier_groups(session: AsyncSession, *, query: ListQuery) -> Page[ModifierGroup]:
    """Return a page of groups with their options."""
    return await paginate(session, _GROUPS_WITH_OPTIONS, query)


async def get_modifier_group(session: AsyncSession, group_id: UUID) -> ModifierGroup:
    """Return a group with its options, read again even if the session has it."""
    group = await session.scalar(
        _GROUPS_WITH_OPTIONS.where(ModifierGroup.id == group_id), execution_options={"populate_existing": True}
    )
    if group is None:
        raise NotFoundError
    return group


async def get_modifier_group_for_update(session: AsyncSession, group_id: UUID) -> ModifierGroup:
    """Lock a group and return it with its options. Until the transaction ends no other product can use it."""
    await session.execute(select(ModifierGroup.id).where(ModifierGroup.id == group_id).with_for_update(key_share=True))
    group = await get_modifier_group(session, group_id)
    await versions.check(session, key=ModifierGroup.id, value=group_id)
    return group


async def load_all_modifier_groups(session: AsyncSession) -> Sequence[ModifierGroup]:
    """Return every group with its options, in order of their names."""
    return (await session.scalars(_GROUPS_WITH_OPTIONS.order_by(ModifierGroup.name, ModifierGroup.id))).all()


async def lock_modifier_groups(session: AsyncSession, group_ids: Collection[UUID]) -> dict[UUID, ModifierGroup]:
    """Lock groups against edits, in order of their ids, and return them by id. Unknown ids are left out."""
    ordered = select(ModifierGroup.id).where(ModifierGroup.id.in_(group_ids)).order_by(ModifierGroup.id)
    await session.execute(ordered.with_for_update(read=True))
    groups = await session.scalars(
        select(ModifierGroup).where(ModifierGroup.id.in_(group_ids)).options(selectinload(ModifierGroup.options)),
        execution_options={"populate_existing": True},
    )
    return {group.id: group for group in groups}


async def list_limit_overrides(session: AsyncSession, group_id: UUID) -> list[tuple[int | None, int | None]]:
    """Return the limits that products set for a group instead of its own, as pairs of minimum and maximum."""
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
    """Return whether products offer a group. Archived products don't count."""
    offered = (
        exists()
        .where(ProductModifierGroup.group_id == group_id)
        .where(Product.id == ProductModifierGroup.product_id, Product.archived_at.is_(None))
    )
    return bool(await session.scalar(select(offered)))
