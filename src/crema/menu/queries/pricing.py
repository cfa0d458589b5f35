"""Products as plain values, for the cart and orders to price."""

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
    window,
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
COLUMNS: Final = (Product.id, Product.name, Product.price, _DOCUMENT.scalar_subquery())
"""Of a product, with what pricing needs of it, which archived ones lack: `priced` reads a row that ends with them."""

WANTED_ID: Final = any_(bindparam("product_ids", type_=ARRAY(Uuid)))
_LOCK: Final = Statement(
    select(Product.id).where(Product.id == WANTED_ID).order_by(Product.id).with_for_update(read=True)
)
_PRODUCTS: Final = Statement(select(*COLUMNS).where(Product.id == WANTED_ID).order_by(Product.id))
_LINE: Final = (
    select(ProductCategory.product_id, Category.parent_id, Category.is_active, Category.name)
    .select_from(ProductCategory)
    .join(Category, Category.id == ProductCategory.category_id)
    .join(Product, Product.id == ProductCategory.product_id)
    .where(Product.id == WANTED_ID, Product.is_active)
    .cte(recursive=True)
)
_UPWARDS: Final = _LINE.union(
    select(_LINE.c.product_id, Category.parent_id, Category.is_active, Category.name)
    .join(Category, Category.id == _LINE.c.parent_id)
    .where(_LINE.c.is_active)
)
_HIDING: Final = Statement(
    select(_UPWARDS.c.product_id, func.array_agg(_UPWARDS.c.name.distinct()))
    .where(_UPWARDS.c.is_active.is_not(true()))
    .group_by(_UPWARDS.c.product_id)
)
"""Of each category that a product stands under: the first inactive one on the way up, which hides it."""
_JSON: Final = TypeAdapter(PricedProduct)
_KEPT: Final = 1_000
"""Documents that aren't parsed again, about five kilobytes each."""
SHAPE: Final = json.dumps(_JSON.json_schema(), sort_keys=True)
"""What a document looks like: those of another shape are rebuilt."""


async def lock_products(db: Executor, product_ids: Collection[UUID]) -> None:
    """Keep these products from being edited until the transaction ends; orders don't wait for each other.

    A statement of its own: locking in the reading one would, after a wait, pair the new product with its old document.
    """
    await _LOCK.rows(db, product_ids=list(product_ids))


async def load_for_pricing(db: Executor, product_ids: Collection[UUID]) -> dict[UUID, PricedProduct]:
    """Load products with all that pricing needs, archived ones too, in one round trip; unknown ids are absent.

    It was written together with the documents that the menu shows: what is charged is what was shown.
    """
    if not product_ids:
        return {}
    return await explain_hidden(db, by_id(await _PRODUCTS.rows(db, product_ids=list(product_ids))))


async def explain_hidden(db: Executor, products: Mapping[UUID, PricedProduct]) -> dict[UUID, PricedProduct]:
    """Return the products by id, those off the menu with the names of the categories that hide them.

    That is a statement more only where something is off the menu.
    """
    hidden = [product.id for product in products.values() if not product.is_on_menu and not product.is_archived]
    rows = await _HIDING.rows(db, product_ids=hidden) if hidden else []
    return {**products, **{id_: replace(products[id_], hidden_by=tuple(names)) for id_, names in rows}}


WANTED: Final = func.array(
    select(func.row(*COLUMNS)).where(Product.id == WANTED_ID).order_by(Product.id).scalar_subquery()
)
"""What `load_for_pricing` loads, as a column of another SELECT, which then wants `product_ids`; `by_id` reads it."""


def pricing_document(product: PricedProduct) -> bytes:
    """Write what pricing needs of a product as JSON."""
    return _JSON.dump_json(product)


def by_id(rows: Iterable[Sequence[Any]]) -> dict[UUID, PricedProduct]:
    """Read rows that end with `COLUMNS`."""
    return {product.id: product for product in map(priced, rows)}


def read_pricing(document: bytes) -> PricedProduct:
    """Read what pricing needs of a product of its document."""
    return _kept(document)


def priced(row: Sequence[Any]) -> PricedProduct:
    """Read a product of a row that ends with `COLUMNS`. One without a document has left the menu."""
    *_, product_id, name, price, document = row
    if document is not None:
        return _kept(document)
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


@lru_cache(_KEPT)
def _kept(document: bytes) -> PricedProduct:
    return _JSON.validate_json(document)


_LEVEL: Final = (
    select(ProductCategory.product_id, ProductCategory.category_id, Category.parent_id, Category.schedule)
    .join(Category, Category.id == ProductCategory.category_id)
    .where(ProductCategory.product_id == WANTED_ID, Category.is_on_menu)
    .cte(recursive=True)
)
_PATHS: Final = _LEVEL.union_all(
    select(_LEVEL.c.product_id, _LEVEL.c.category_id, Category.parent_id, Category.schedule).join(
        Category, Category.id == _LEVEL.c.parent_id
    )
)
_SCHEDULES: Final = Statement(select(_PATHS.c.product_id, _PATHS.c.category_id, _PATHS.c.schedule))
"""Of each heading on the menu that a product stands under: its schedule, and those of all above it."""


async def schedules_of_headings(
    db: Executor, product_ids: Collection[UUID]
) -> dict[UUID, tuple[tuple[Schedule, ...], ...]]:
    """Return, for each product, the schedules on the way up from each of its headings; some are empty."""
    paths: dict[UUID, dict[UUID, list[Schedule]]] = defaultdict(lambda: defaultdict(list))
    for product_id, category_id, written in await _SCHEDULES.rows(db, product_ids=list(product_ids)):
        path = paths[product_id][category_id]
        if written:
            path.append(tuple(map(window, written)))
    return {
        product_id: tuple(map(tuple, by_heading.values())) if all(by_heading.values()) else ()
        for product_id, by_heading in paths.items()
    }


def priced_product(product: Product, *, headings: tuple[tuple[Schedule, ...], ...] = ()) -> PricedProduct:
    """Return what pricing needs of a product that is loaded with all its parts.

    `headings` are the schedules on the way up from each of its headings.
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
        ingredients=_contained(product.ingredients),
        nutrition=_nutrition(product.nutrition),
        timetable=Timetable(tuple(map(window, product.schedule)), headings),
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
        ingredients=_contained(option.ingredients),
        size_prices=tuple(SizePrice(each["size_name"], Decimal(each["price_delta"])) for each in option.size_prices),
        nutrition=_nutrition(option.nutrition),
        size_nutrition=tuple(
            SizeNutrition(each["size_name"], Nutrition(**each["nutrition"])) for each in option.size_nutrition
        ),
    )


def _contained(links: Sequence[ProductIngredient] | Sequence[OptionIngredient]) -> tuple[Contained, ...]:
    return tuple(Contained(link.ingredient.id, link.ingredient.name) for link in links)


def _nutrition(figures: Mapping[str, Any] | None) -> Nutrition | None:
    return None if figures is None else Nutrition(**figures)
