"""Every change to the headings of the menu."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError
from crema.core.slug import SlugTakenError
from crema.db.edits import apply_changes, when_violated
from crema.menu import queries
from crema.menu.models import Category, ProductCategory
from crema.menu.schemas import CategoryIn, CategoryOut, CategoryPatch, ReplaceCategory
from crema.menu.service import documents
from crema.menu.service.integrity import (
    check_known,
    free_slug,
    placed,
    refuse_unknown,
)
from crema.schemas import value_or


class CategoryCycleError(ConflictError):
    """A heading can't stand under itself, directly or not."""

    code = "category_cycle"
    title = "A category can't be below itself."
    advice = "Choose another `parent_id`."


class CategoryNotEmptyError(ConflictError):
    """Products or other headings stand under it."""

    code = "category_not_empty"
    title = "There are products or categories in this category."
    advice = "Move them first, or send `force=true` to keep them without it."


async def create_category(session: AsyncSession, *, wanted: CategoryIn, now: datetime) -> Category:
    """Add a heading."""
    await lock_tree(session)
    await _check_parent(session, wanted.parent_id)
    parent = await queries.get_category(session, wanted.parent_id) if wanted.parent_id else None

    category = Category(
        name=wanted.name,
        slug=wanted.slug or await free_slug(session, Category, wanted.name),
        description=wanted.description,
        parent_id=wanted.parent_id,
        position=wanted.position,
        is_active=wanted.is_active,
        is_on_menu=wanted.is_active and (parent is None or parent.is_on_menu),
        schedule=[each.model_dump(mode="json") for each in wanted.schedule],
        created_at=now,
        updated_at=now,
    )
    session.add(category)
    with when_violated(SlugTakenError(), "uq_categories_slug"):
        await session.flush()
    await documents.refresh(session, [])
    return category


async def edit_category(
    session: AsyncSession, *, category_id: UUID, wanted: CategoryPatch | ReplaceCategory, now: datetime
) -> Category:
    """Set fields of a heading: those that were sent, or all of a replacement. A slug of None is kept."""
    shows_or_hides = wanted.parent_id is not MISSING or wanted.is_active is not MISSING
    reaches_below = shows_or_hides or wanted.schedule is not MISSING
    shown_in = [category_id]
    if reaches_below:
        await lock_tree(session)
        shown_in = await queries.lock_below(session, category_id)
    category = await queries.get_category_for_update(session, category_id)
    wanted.check_read_only(CategoryOut.model_validate(category))
    parent_id = value_or(wanted.parent_id, category.parent_id)

    if parent_id is not None and parent_id != category.parent_id:
        await _check_parent(session, parent_id)
        if await queries.is_under(session, category_id=parent_id, above_id=category_id):
            raise CategoryCycleError

    with when_violated(SlugTakenError(), "uq_categories_slug"):
        await apply_changes(session, category, wanted, now=now, kept_if_none=("slug",))
    if shows_or_hides:
        await _renew_on_menu(session, now=now)
    await session.refresh(category)
    await documents.refresh(session, documents.of_categories(shown_in))
    return category


async def set_products(
    session: AsyncSession, *, category_id: UUID, product_ids: Sequence[UUID], now: datetime
) -> Sequence[UUID]:
    """Make these the products of a heading, in this order; others that stood there stand there no more."""
    known = await queries.lock_live_products(session, product_ids)
    category = await queries.get_category_for_update(session, category_id)
    refuse_unknown({loc: id_ for loc, id_ in placed("product_ids", product_ids).items() if id_ not in known})
    before = await documents.find(session, documents.of_categories([category_id]))

    await session.execute(
        delete(ProductCategory).where(
            ProductCategory.category_id == category_id, ProductCategory.product_id.not_in(product_ids)
        )
    )
    if product_ids:
        rows = [
            {"product_id": product_id, "category_id": category_id, "position": place}
            for place, product_id in enumerate(product_ids)
        ]
        written = insert(ProductCategory).values(rows)
        await session.execute(
            written.on_conflict_do_update(
                index_elements=["product_id", "category_id"], set_={"position": written.excluded.position}
            )
        )
    category.updated_at = now
    await documents.refresh(session, [*{*before, *product_ids}])
    return product_ids


async def delete_category(session: AsyncSession, *, category_id: UUID, force: bool, now: datetime) -> None:
    """Drop a heading. With `force` its products lose it, and the headings under it move up to its parent."""
    await lock_tree(session)
    below = await queries.lock_below(session, category_id)
    category = await queries.get_category_for_update(session, category_id)

    if not force and await queries.is_category_in_use(session, category_id):
        raise CategoryNotEmptyError
    showing = await documents.find(session, documents.of_categories(below))

    await session.execute(
        update(Category).where(Category.parent_id == category_id).values(parent_id=category.parent_id, updated_at=now)
    )
    await session.execute(delete(Category).where(Category.id == category_id))
    await _renew_on_menu(session, now=now)
    await documents.refresh(session, showing)


async def lock_tree(session: AsyncSession) -> None:
    """Let changes of the tree take turns: two moves, each harmless alone, could close a circle."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext("crema.menu.category_tree"))))


async def _renew_on_menu(session: AsyncSession, *, now: datetime) -> None:
    """Note of each heading whether it and all above it are active. The tree is locked."""
    tree = (
        select(Category.id, Category.is_active.label("shown")).where(Category.parent_id.is_(None)).cte(recursive=True)
    )
    tree = tree.union_all(
        select(Category.id, and_(tree.c.shown, Category.is_active)).join(tree, Category.parent_id == tree.c.id)
    )
    await session.execute(
        update(Category)
        .where(Category.id == tree.c.id, Category.is_on_menu != tree.c.shown)
        .values(is_on_menu=tree.c.shown, updated_at=now),
        execution_options={"synchronize_session": False},
    )


async def _check_parent(session: AsyncSession, parent_id: UUID | None) -> None:
    if parent_id is not None:
        await check_known(session, Category, {("parent_id",): parent_id})
