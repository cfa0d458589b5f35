"""Unique slugs, and checks that references lead to something that exists."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import Loc, UnknownReferenceError
from crema.core.slug import slugify
from crema.menu.models import Category, Ingredient, Product
from crema.menu.schemas import NutritionIn

_MAX_BASE_LENGTH: Final = 75  # leaves five characters for "-1234"


async def free_slug(session: AsyncSession, model: type[Category | Product], name: str) -> str:
    """Return an unused slug made from a name, with a number at the end if the plain slug is taken."""
    await _lock_slugs(session)
    base = slugify(name, max_length=_MAX_BASE_LENGTH) or "item"
    alike = select(model.slug).where(or_(model.slug == base, model.slug.startswith(f"{base}-", autoescape=True)))
    if issubclass(model, Product):
        alike = alike.where(Product.archived_at.is_(None))
    taken = set(await session.scalars(alike))
    numbered = (f"{base}-{number}" for number in count(2))
    return base if base not in taken else next(slug for slug in numbered if slug not in taken)


async def _lock_slugs(session: AsyncSession) -> None:
    """Lock the making of slugs until the transaction ends: two changes at once could choose the same slug."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext("crema.menu.slugs"))))


async def check_known(
    session: AsyncSession, model: type[Category | Ingredient], references: Mapping[Loc, UUID]
) -> None:
    """Raise UnknownReferenceError for the locations whose ids don't exist.

    Rows that exist are locked against deletion until the transaction ends.
    """
    if not references:
        return
    ids = set(references.values())
    known = set(
        await session.scalars(
            select(model.id).where(model.id.in_(ids)).order_by(model.id).with_for_update(read=True, key_share=True)
        )
    )
    refuse_unknown({loc: id_ for loc, id_ in references.items() if id_ not in known})


def refuse_unknown(unknown: Mapping[Loc, UUID]) -> None:
    """Raise UnknownReferenceError for these locations, if there are any."""
    if unknown:
        raise UnknownReferenceError(list(unknown))


def locations(field: str, ids: Sequence[UUID]) -> dict[Loc, UUID]:
    """Return the ids of a list field by their locations in the body."""
    return {(field, index): id_ for index, id_ in enumerate(ids)}


def nutrition_values(nutrition: NutritionIn | Mapping[str, Any] | None) -> dict[str, float | None] | None:
    """Return all five figures of a nutrition, from a body or from a row of a table."""
    if nutrition is None:
        return None
    return {"caffeine_mg": None} | dict(nutrition)
