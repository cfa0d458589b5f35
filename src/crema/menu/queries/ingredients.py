"""Statements about ingredients."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db import versions
from crema.db.driver import Reader
from crema.db.listing import Listing, ListQuery, ListStatement, TextField, UuidField
from crema.db.statement import Statement, into
from crema.menu.models import Ingredient
from crema.schemas import Name

INGREDIENTS: Final = Listing(
    name="Ingredient",
    fields={
        "id": UuidField(Ingredient.id, indexed=True),
        "name": TextField(Ingredient.name, of=Name, indexed=True, example="молоко"),
    },
    default_sort="name",
    id_column=Ingredient.id,
)


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
    """Return a page of ingredients."""
    return (await _INGREDIENTS.page(reader, query)).map(into(IngredientView))


async def get_ingredient_view(reader: Reader, ingredient_id: UUID) -> IngredientView:
    """Return an ingredient."""
    return into(IngredientView)(await _INGREDIENT.one(reader, ingredient_id=ingredient_id))


async def get_ingredient_for_update(session: AsyncSession, ingredient_id: UUID) -> Ingredient:
    """Lock an ingredient and return it. Until the transaction ends nothing else can contain it."""
    ingredient = await session.scalar(select(Ingredient).where(Ingredient.id == ingredient_id).with_for_update())
    if ingredient is None:
        raise NotFoundError
    await versions.check(session, key=Ingredient.id, value=ingredient_id)
    return ingredient
