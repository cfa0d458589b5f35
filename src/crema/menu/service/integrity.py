"""What every change of the menu keeps: unique addresses, and references that lead somewhere."""

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

_ROOM: Final = 75  # leaves five characters for "-1234"


async def free_slug(session: AsyncSession, model: type[Category | Product], name: str) -> str:
    """Make a slug of a name, with a number if another has it already."""
    await _lock_slugs(session)
    base = slugify(name, max_length=_ROOM) or "item"
    alike = select(model.slug).where(or_(model.slug == base, model.slug.startswith(f"{base}-", autoescape=True)))
    if issubclass(model, Product):
        alike = alike.where(Product.archived_at.is_(None))
    taken = set(await session.scalars(alike))
    numbered = (f"{base}-{number}" for number in count(2))
    return base if base not in taken else next(slug for slug in numbered if slug not in taken)


async def _lock_slugs(session: AsyncSession) -> None:
    """Let those who make slugs take turns until their transactions end: two of one name would collide."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext("crema.menu.slugs"))))


async def check_known(session: AsyncSession, model: type[Category | Ingredient], wanted: Mapping[Loc, UUID]) -> None:
    """Refuse ids of things that don't exist, each at its place; those that do can't go before the transaction ends."""
    if not wanted:
        return
    ids = set(wanted.values())
    known = set(
        await session.scalars(
            select(model.id).where(model.id.in_(ids)).order_by(model.id).with_for_update(read=True, key_share=True)
        )
    )
    refuse_unknown({loc: id_ for loc, id_ in wanted.items() if id_ not in known})


def refuse_unknown(unknown: Mapping[Loc, UUID]) -> None:
    """Refuse if anything is in it."""
    if unknown:
        raise UnknownReferenceError(list(unknown))


def placed(field: str, ids: Sequence[UUID]) -> dict[Loc, UUID]:
    """Note where in the body each id of a list stands."""
    return {(field, place): id_ for place, id_ in enumerate(ids)}


def nutrition_values(nutrition: NutritionIn | Mapping[str, Any] | None) -> dict[str, float | None] | None:
    """Return all five figures, whether a body or a row of a table says them."""
    if nutrition is None:
        return None
    return {"caffeine_mg": None} | dict(nutrition)
