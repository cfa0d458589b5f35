"""Statements about categories and their tree."""

from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import Select, bindparam, exists, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

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
    SlugField,
    TextField,
    UuidField,
)
from crema.db.statement import Statement
from crema.menu.models import Category, Product, ProductCategory
from crema.menu.queries.shared_fields import SCHEDULE_LEFT_OUT, URLS_LEFT_OUT
from crema.schemas import Name

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
    left_out={"image.urls": URLS_LEFT_OUT} | SCHEDULE_LEFT_OUT,
    default_sort="position,name",
    id_column=Category.id,
)


async def list_categories(reader: Reader, *, query: ListQuery, sees_hidden: bool) -> Page[asyncpg.Record]:
    """Return a page of categories, as rows of their table. The public sees only those that are on the menu."""
    return await (_ALL_CATEGORIES if sees_hidden else _SHOWN_CATEGORIES).page(reader, query)


async def get_category_row(reader: Reader, *, category_id: UUID, sees_hidden: bool) -> asyncpg.Record:
    """Return a category, as a row of its table. For the public, one that is not on the menu is not found."""
    return await (_ANY_CATEGORY if sees_hidden else _SHOWN_CATEGORY).one(reader, category_id=category_id)


async def get_category(session: AsyncSession, category_id: UUID) -> Category:
    """Return a category."""
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
    """Lock a category and return it. Until the transaction ends nothing can be put under it."""
    category = await session.scalar(
        select(Category).where(Category.id == category_id).with_for_update(),
        execution_options={"populate_existing": True},
    )
    if category is None:
        raise NotFoundError
    await versions.check(session, key=Category.id, value=category_id)
    return category


async def lock_subtree(session: AsyncSession, category_id: UUID) -> list[UUID]:
    """Lock a category and all categories under it, and return their ids.

    Until the transaction ends nothing can be put under them.
    """
    subtree = select(Category.id).where(Category.id == category_id).cte(recursive=True)
    subtree = subtree.union(select(Category.id).join(subtree, Category.parent_id == subtree.c.id))
    locked = await session.scalars(
        select(Category.id).where(Category.id.in_(select(subtree.c.id))).order_by(Category.id).with_for_update()
    )
    return list(locked)


async def is_in_subtree(session: AsyncSession, *, category_id: UUID, root_id: UUID) -> bool:
    """Return whether a category is `root_id` itself, or is somewhere under it."""
    path = select(Category.id, Category.parent_id).where(Category.id == category_id).cte("path", recursive=True)
    path = path.union(select(Category.id, Category.parent_id).where(Category.id == path.c.parent_id))
    return bool(await session.scalar(select(exists().where(path.c.id == root_id))))


async def is_category_in_use(session: AsyncSession, category_id: UUID) -> bool:
    """Return whether products or categories are directly under this one. Archived products don't count."""
    product = (
        exists()
        .where(ProductCategory.category_id == category_id)
        .where(Product.id == ProductCategory.product_id, Product.archived_at.is_(None))
    )
    subcategory = exists().where(Category.parent_id == category_id)
    return bool(await session.scalar(select(or_(product, subcategory))))
