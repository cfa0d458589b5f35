"""The whole menu at once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import and_, join, select

from crema.db.base import case_folded
from crema.db.driver import Reader
from crema.db.statement import Statement
from crema.menu.models import Category, MenuVersion, Product, ProductCategory, ProductDocument

_CATEGORIES: Final = Statement(
    select(Category).where(Category.is_on_menu).order_by(Category.position, case_folded(Category.name), Category.id)
)
_SHOWN_LINKS: Final = join(
    ProductCategory, Category, and_(Category.id == ProductCategory.category_id, Category.is_on_menu)
)
_PRODUCTS: Final = Statement(
    select(ProductCategory.category_id, Product.id, ProductDocument.public)
    .select_from(Product)
    .join(ProductDocument, ProductDocument.product_id == Product.id)
    .outerjoin(_SHOWN_LINKS, ProductCategory.product_id == Product.id)
    .where(Product.archived_at.is_(None), ProductDocument.public.is_not(None))
    .order_by(ProductCategory.position.nulls_last(), Product.position, case_folded(Product.name), Product.id)
)


@dataclass(frozen=True, slots=True)
class Menu:
    """Categories in their order, and the ids and JSON documents of the products in each.

    Products under the key None are in no category.
    """

    categories: Sequence[asyncpg.Record]
    products: dict[UUID | None, list[tuple[UUID, bytes]]]


_VERSION: Final = Statement(select(MenuVersion.version))


async def get_menu_version(reader: Reader) -> UUID | None:
    """Return the menu's version; None before its first change."""
    row = await _VERSION.row(reader)
    return None if row is None else row[0]


async def load_menu(reader: Reader) -> Menu:
    """Return everything that the public sees, read by two statements."""
    categories = await _CATEGORIES.rows(reader)
    products: dict[UUID | None, list[tuple[UUID, bytes]]] = defaultdict(list)
    for category_id, product_id, document in await _PRODUCTS.rows(reader):
        products[category_id].append((product_id, document))
    return Menu(categories, products)
