"""Changes to categories."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError
from crema.core.slug import SlugTakenError
from crema.db.edits import apply_changes, raise_on_constraint
from crema.menu import queries
from crema.menu.models import Category, ProductCategory
from crema.menu.schemas import CategoryIn, CategoryOut, CategoryPatch, ReplaceCategory
from crema.menu.service import documents
from crema.menu.service.integrity import (
    check_known,
    free_slug,
    locations,
    refuse_unknown,
)
from crema.schemas import value_or


class CategoryCycleError(ConflictError):
    """A category would be under itself, directly or through others."""

    code = "category_cycle"
    title = "A category can't be under itself."
    advice = "Choose another `parent_id`."


class CategoryNotEmptyError(ConflictError):
    """A category that is to be deleted has products or other categories in it."""

    code = "category_not_empty"
    title = "There are products or categories in this category."
    advice = "Move them first, or send `force=true`: then they stay, without this category."


async def create_category(session: AsyncSession, *, category_in: CategoryIn, now: datetime) -> Category:
    """Add a category and return it."""
    await lock_tree(session)
    await _check_parent(session, category_in.parent_id)
    parent = await queries.get_category(session, category_in.parent_id) if category_in.parent_id else None

    category = Category(
        name=category_in.name,
        slug=category_in.slug or await free_slug(session, Category, category_in.name),
        description=category_in.description,
        parent_id=category_in.parent_id,
        position=category_in.position,
        is_active=category_in.is_active,
        is_on_menu=category_in.is_active and (parent is None or parent.is_on_menu),
        schedule=[each.model_dump(mode="json") for each in category_in.schedule],
        created_at=now,
        updated_at=now,
    )
    session.add(category)
    with raise_on_constraint(SlugTakenError(), "uq_categories_slug"):
        await session.flush()
    await documents.refresh(session, [])
    return category


async def edit_category(
    session: AsyncSession, *, category_id: UUID, changes: CategoryPatch | ReplaceCategory, now: datetime
) -> Category:
    """Change the fields of a category that were sent, or all fields of a replacement, and return the category.

    A slug of None keeps the present slug.
    """
    shows_or_hides = changes.parent_id is not MISSING or changes.is_active is not MISSING
    affects_subtree = shows_or_hides or changes.schedule is not MISSING
    affected_ids = [category_id]
    if affects_subtree:
        await lock_tree(session)
        affected_ids = await queries.lock_subtree(session, category_id)
    category = await queries.get_category_for_update(session, category_id)
    changes.check_read_only(CategoryOut.model_validate(category))
    parent_id = value_or(changes.parent_id, category.parent_id)

    if parent_id is not None and parent_id != category.parent_id:
        await _check_parent(session, parent_id)
        if await queries.is_in_subtree(session, category_id=parent_id, root_id=category_id):
            raise CategoryCycleError

    with raise_on_constraint(SlugTakenError(), "uq_categories_slug"):
        await apply_changes(session, category, changes, now=now, kept_if_none=("slug",))
    if shows_or_hides:
        await _update_on_menu(session, now=now)
    await session.refresh(category)
    await documents.refresh(session, documents.products_in_categories(affected_ids))
    return category


async def set_products(
    session: AsyncSession, *, category_id: UUID, product_ids: Sequence[UUID], now: datetime
) -> Sequence[UUID]:
    """Replace the products of a category, in this order, and return their ids."""
    known = await queries.lock_live_products(session, product_ids)
    category = await queries.get_category_for_update(session, category_id)
    refuse_unknown({loc: id_ for loc, id_ in locations("product_ids", product_ids).items() if id_ not in known})
    before = await documents.fetch_ids(session, documents.products_in_categories([category_id]))

    await session.execute(
        delete(ProductCategory).where(
            ProductCategory.category_id == category_id, ProductCategory.product_id.not_in(product_ids)
        )
    )
    if product_ids:
        rows = [
            {"product_id": product_id, "category_id": category_id, "position": position}
            for position, product_id in enumerate(product_ids)
        ]
        upsert = insert(ProductCategory).values(rows)
        await session.execute(
            upsert.on_conflict_do_update(
                index_elements=["product_id", "category_id"], set_={"position": upsert.excluded.position}
            )
        )
    category.updated_at = now
    await documents.refresh(session, [*{*before, *product_ids}])
    return product_ids


async def delete_category(session: AsyncSession, *, category_id: UUID, force: bool, now: datetime) -> None:
    """Delete a category. With `force` its products lose it, and the categories under it move up to its parent."""
    await lock_tree(session)
    subtree_ids = await queries.lock_subtree(session, category_id)
    category = await queries.get_category_for_update(session, category_id)

    if not force and await queries.is_category_in_use(session, category_id):
        raise CategoryNotEmptyError
    affected_products = await documents.fetch_ids(session, documents.products_in_categories(subtree_ids))

    await session.execute(
        update(Category).where(Category.parent_id == category_id).values(parent_id=category.parent_id, updated_at=now)
    )
    await session.execute(delete(Category).where(Category.id == category_id))
    await _update_on_menu(session, now=now)
    await documents.refresh(session, affected_products)


async def lock_tree(session: AsyncSession) -> None:
    """Lock the tree of categories until the transaction ends: two moves at once could form a cycle."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext("crema.menu.category_tree"))))


async def _update_on_menu(session: AsyncSession, *, now: datetime) -> None:
    """Set `is_on_menu` of each category: whether it and all above it are active. The tree is locked."""
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
