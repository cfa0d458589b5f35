"""Every change to the headings of the menu."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError
from crema.menu import queries
from crema.menu.models import Category
from crema.menu.schemas import CategoryIn, CategoryOut, CategoryPatch, ReplaceCategory
from crema.menu.service import documents
from crema.menu.service.integrity import SlugTakenError, check_known, free_slug, when_violated


class CategoryCycleError(ConflictError):
    """A heading can't stand under itself, directly or not."""

    code = "category_cycle"
    title = "A category can't stand under itself."


class CategoryNotEmptyError(ConflictError):
    """Products or other headings stand under it."""

    code = "category_not_empty"
    title = "There are products or categories in this category; delete it with force=true to keep them without it."


async def create_category(session: AsyncSession, *, wanted: CategoryIn, now: datetime) -> Category:
    """Add a heading."""
    await _check_parent(session, wanted.parent_id)

    category = Category(
        name=wanted.name,
        slug=wanted.slug or await free_slug(session, Category, wanted.name),
        description=wanted.description,
        parent_id=wanted.parent_id,
        position=wanted.position,
        is_active=wanted.is_active,
        created_at=now,
        updated_at=now,
    )
    session.add(category)
    with when_violated("uq_categories_slug", SlugTakenError()):
        await session.flush()
    await documents.refresh(session, [])
    return category


async def edit_category(
    session: AsyncSession, *, category_id: UUID, wanted: CategoryPatch | ReplaceCategory, now: datetime
) -> Category:
    """Set fields of a heading: those that were sent, or all of a replacement. A slug of None is kept."""
    fields = dict(wanted) if isinstance(wanted, ReplaceCategory) else wanted.changes()
    if "parent_id" in fields:
        await _lock_tree(session)
    category = await queries.get_category_for_update(session, category_id)
    wanted.check_read_only(CategoryOut.model_validate(category))
    parent_id = fields.get("parent_id")

    if parent_id is not None and parent_id != category.parent_id:
        await _check_parent(session, parent_id)
        if await queries.is_under(session, category_id=parent_id, above_id=category_id):
            raise CategoryCycleError

    for name, value in fields.items():
        if name != "slug" or value is not None:
            setattr(category, name, value)
    category.updated_at = now
    with when_violated("uq_categories_slug", SlugTakenError()):
        await session.flush()
    await documents.refresh(session, documents.of_category(category_id))
    return category


async def delete_category(session: AsyncSession, *, category_id: UUID, force: bool, now: datetime) -> None:
    """Drop a heading. With `force` its products lose it, and the headings under it move up to its parent."""
    await _lock_tree(session)
    category = await queries.get_category_for_update(session, category_id)

    if not force and await queries.is_category_in_use(session, category_id):
        raise CategoryNotEmptyError
    showing = await documents.find(session, documents.of_category(category_id))

    await session.execute(
        update(Category).where(Category.parent_id == category_id).values(parent_id=category.parent_id, updated_at=now)
    )
    await session.execute(delete(Category).where(Category.id == category_id))
    await documents.refresh(session, showing)


async def _lock_tree(session: AsyncSession) -> None:
    """Let moves take turns: two at once, each harmless alone, could close a circle."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext("crema.menu.category_tree"))))


async def _check_parent(session: AsyncSession, parent_id: UUID | None) -> None:
    if parent_id is not None:
        await check_known(session, Category, {("parent_id",): parent_id})
