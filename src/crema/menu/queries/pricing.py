"""Statements that read products as plain values, with which carts and orders are priced."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select, true

from crema.db.statement import Executor, Statement
from crema.menu.domain import (
    Contained,
    Nutrition,
    PricedGroup,
    PricedOption,
    PricedProduct,
    PricedSize,
    Schedule,
    SizeNutrition,
    SizePrice,
    Timetable,
    parse_window,
)
from crema.menu.models import (
    Category,
    Option,
    OptionIngredient,
    Product,
    ProductCategory,
    ProductDocument,
    ProductIngredient,
    ProductModifierGroup,
    Size,
)

_DOCUMENT: Final = select(ProductDocument.pricing).where(ProductDocument.product_id == Product.id)
PRICING_COLUMNS: Final = (Product.id, Product.name, Product.price, _DOCUMENT.scalar_subquery())
"""What pricing needs of a product. `pricing_product` reads rows that end with them.

Archived products have no document.
"""

ANY_PRODUCT_ID: Final = any_(bindparam("product_ids", type_=ARRAY(Uuid)))
"""Compare with `==`: matches each id of the parameter `product_ids`."""
_LOCK: Final = Statement(
    select(Product.id).where(Product.id == ANY_PRODUCT_ID).order_by(Product.id).with_for_update(read=True)
)
_PRODUCTS: Final = Statement(select(*PRICING_COLUMNS).where(Product.id == ANY_PRODUCT_ID).order_by(Product.id))
_OWN_CATEGORIES: Final = (
    select(ProductCategory.product_id, Category.parent_id, Category.is_active, Category.name)
    .select_from(ProductCategory)
    .join(Category, Category.id == ProductCategory.category_id)
    .join(Product, Product.id == ProductCategory.product_id)
    .where(Product.id == ANY_PRODUCT_ID, Product.is_active)
    .cte(recursive=True)
)
_WITH_PARENTS: Final = _OWN_CATEGORIES.union(
    select(_OWN_CATEGORIES.c.product_id, Category.parent_id, Category.is_active, Category.name)
    .join(Category, Category.id == _OWN_CATEGORIES.c.parent_id)
    .where(_OWN_CATEGORIES.c.is_active)
)
_HIDING_CATEGORIES: Final = Statement(
    select(_WITH_PARENTS.c.product_id, func.array_agg(_WITH_PARENTS.c.name.distinct()))
    .where(_WITH_PARENTS.c.is_active.is_not(true()))
    .group_by(_WITH_PARENTS.c.product_id)
)
"""For each category of a product: the first inactive category on the path to the root. It hides the product."""
_PRICING_JSON: Final = TypeAdapter(PricedProduct)
_CACHED_DOCUMENTS: Final = 1_000
"""How many parsed documents are kept, about five kilobytes each."""
PRICING_SCHEMA: Final = json.dumps(_PRICING_JSON.json_schema(), sort_keys=True)
"""The JSON Schema of a pricing document. Documents of another schema are rebuilt."""


async def lock_products(db: Executor, product_ids: Collection[UUID]) -> None:
    """Lock products against edits until the transaction ends. The lock is shared: orders don't wait for each other.

    It is a statement of its own. If the statement that reads also locked, it would return, after a wait, the new
    product with its old document.
    """
    await _LOCK.rows(db, product_ids=list(product_ids))


async def load_for_pricing(db: Executor, product_ids: Collection[UUID]) -> dict[UUID, PricedProduct]:
    """Return what pricing needs of products, by id, in one round trip. Archived products are included.

    Unknown ids are left out. The pricing documents are written together with those that the menu shows, so that what is
    charged is what was shown.
    """
    if not product_ids:
        return {}
    return await add_hiding_categories(db, pricing_products(await _PRODUCTS.rows(db, product_ids=list(product_ids))))


async def add_hiding_categories(db: Executor, products: Mapping[UUID, PricedProduct]) -> dict[UUID, PricedProduct]:
    """Return the products by id; those that are off the menu have the names of the categories that hide them.

    This takes one more statement, but only if some product is off the menu.
    """
    hidden = [product.id for product in products.values() if not product.is_on_menu and not product.is_archived]
    rows = await _HIDING_CATEGORIES.rows(db, product_ids=hidden) if hidden else []
    return {**products, **{id_: replace(products[id_], hidden_by=tuple(names)) for id_, names in rows}}


PRICING_ROWS: Final = func.array(
    select(func.row(*PRICING_COLUMNS)).where(Product.id == ANY_PRODUCT_ID).order_by(Product.id).scalar_subquery()
)
"""What `load_for_pricing` reads, as a column of another SELECT, which then has the parameter `product_ids`.

`pricing_products` reads its value.
"""


def pricing_document(product: PricedProduct) -> bytes:
    """Return what pricing needs of a product as JSON."""
    return _PRICING_JSON.dump_json(product)


def pricing_products(rows: Iterable[Sequence[Any]]) -> dict[UUID, PricedProduct]:
    """Return the products of rows that end with `PRICING_COLUMNS`, by id."""
    return {product.id: product for product in map(pricing_product, rows)}


def pricing_product(row: Sequence[Any]) -> PricedProduct:
    """Return the product of a row that ends with `PRICING_COLUMNS`. A product without a document is archived."""
    *_, product_id, name, price, document = row
    if document is not None:
        return read_pricing(document)
    return PricedProduct(
        id=product_id,
        name=name,
        price=price,
        is_on_menu=False,
        is_archived=True,
        preparation_seconds=0,
        sizes=(),
        modifier_groups=(),
    )


@lru_cache(_CACHED_DOCUMENTS)
def read_pricing(document: bytes) -> PricedProduct:
    """Return what pricing needs of a product, from its pricing document."""
    return _PRICING_JSON.validate_json(document)


_SHOWN_CATEGORIES: Final = (
    select(ProductCategory.product_id, ProductCategory.category_id, Category.parent_id, Category.schedule)
    .join(Category, Category.id == ProductCategory.category_id)
    .where(ProductCategory.product_id == ANY_PRODUCT_ID, Category.is_on_menu)
    .cte(recursive=True)
)
_PATHS: Final = _SHOWN_CATEGORIES.union_all(
    select(_SHOWN_CATEGORIES.c.product_id, _SHOWN_CATEGORIES.c.category_id, Category.parent_id, Category.schedule).join(
        Category, Category.id == _SHOWN_CATEGORIES.c.parent_id
    )
)
_SCHEDULES: Final = Statement(select(_PATHS.c.product_id, _PATHS.c.category_id, _PATHS.c.schedule))
"""For each category on the menu that a product is in: its schedule, and the schedules of all categories above it."""


async def load_category_schedules(
    db: Executor, product_ids: Collection[UUID]
) -> dict[UUID, tuple[tuple[Schedule, ...], ...]]:
    """Return, for each product, the schedules on the path to the root from each of its categories.

    A product that has a category without any schedule on its path gets none: it can always be sold there.
    """
    paths: dict[UUID, dict[UUID, list[Schedule]]] = defaultdict(lambda: defaultdict(list))
    for product_id, category_id, written in await _SCHEDULES.rows(db, product_ids=list(product_ids)):
        path = paths[product_id][category_id]
        if written:
            path.append(tuple(map(parse_window, written)))
    return {
        product_id: tuple(map(tuple, by_category.values())) if all(by_category.values()) else ()
        for product_id, by_category in paths.items()
    }


def build_pricing_product(
    product: Product, *, category_schedules: tuple[tuple[Schedule, ...], ...] = ()
) -> PricedProduct:
    """Return what pricing needs of a product that is loaded with all its parts.

    `category_schedules` are what `load_category_schedules` returns for it.
    """
    return PricedProduct(
        id=product.id,
        name=product.name,
        price=product.price,
        is_on_menu=product.is_on_menu,
        preparation_seconds=product.preparation_seconds,
        sizes=tuple(map(_size, product.sizes)),
        modifier_groups=tuple(map(_group, product.modifier_groups)),
        allergens=tuple(product.allergens),
        allergens_always=None if product.allergens_always is None else tuple(product.allergens_always),
        ingredients=_ingredients(product.ingredients),
        nutrition=_nutrition(product.nutrition),
        timetable=Timetable(tuple(map(parse_window, product.schedule)), category_schedules),
    )


def _size(size: Size) -> PricedSize:
    return PricedSize(
        id=size.id,
        name=size.name,
        volume_ml=size.volume_ml,
        price_delta=size.price_delta,
        is_default=size.is_default,
        nutrition=_nutrition(size.nutrition),
    )


def _group(link: ProductModifierGroup) -> PricedGroup:
    return PricedGroup(
        id=link.group.id,
        name=link.group.name,
        min_choices=link.effective_min_choices,
        max_choices=link.effective_max_choices,
        free_quantity=link.effective_free_quantity,
        options=tuple(map(_option, link.group.options)),
    )


def _option(option: Option) -> PricedOption:
    return PricedOption(
        id=option.id,
        name=option.name,
        price_delta=option.price_delta,
        max_quantity=option.max_quantity,
        is_default=option.is_default,
        is_active=option.is_active,
        allergens=tuple(option.allergens),
        ingredients=_ingredients(option.ingredients),
        size_prices=tuple(SizePrice(each["size_name"], Decimal(each["price_delta"])) for each in option.size_prices),
        nutrition=_nutrition(option.nutrition),
        size_nutrition=tuple(
            SizeNutrition(each["size_name"], Nutrition(**each["nutrition"])) for each in option.size_nutrition
        ),
    )


def _ingredients(links: Sequence[ProductIngredient] | Sequence[OptionIngredient]) -> tuple[Contained, ...]:
    return tuple(Contained(link.ingredient.id, link.ingredient.name) for link in links)


def _nutrition(figures: Mapping[str, Any] | None) -> Nutrition | None:
    return None if figures is None else Nutrition(**figures)
