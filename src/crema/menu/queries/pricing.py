"""Products as plain values, for the cart and orders to price."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.statement import Statement
from crema.menu.domain import PricedGroup, PricedOption, PricedProduct, PricedSize
from crema.menu.models import ModifierGroup, Option, Product, ProductModifierGroup, Size

# Built once: every cart and every order runs them.
_WANTED: Final = any_(bindparam("product_ids", type_=ARRAY(Uuid)))
_LOCKED: Final = Statement(
    select(Product.id).where(Product.id == _WANTED).order_by(Product.id).with_for_update(read=True)
)
_PRODUCTS: Final = Statement(
    select(
        Product.id,
        Product.name,
        Product.price,
        Product.is_active,
        Product.archived_at,
        Product.preparation_seconds,
        Size.id.label("size_id"),
        Size.name.label("size_name"),
        Size.volume_ml,
        Size.price_delta,
        Size.is_default,
    )
    .outerjoin(Size, Size.product_id == Product.id)
    .where(Product.id == _WANTED)
    .order_by(Product.id, Size.position, Size.id)
)
_GROUPS: Final = Statement(
    select(
        ProductModifierGroup.product_id,
        ModifierGroup.id,
        ModifierGroup.name,
        func.coalesce(ProductModifierGroup.min_choices, ModifierGroup.min_choices).label("min_choices"),
        func.coalesce(ProductModifierGroup.max_choices, ModifierGroup.max_choices).label("max_choices"),
        ModifierGroup.free_quantity,
        Option.id.label("option_id"),
        Option.name.label("option_name"),
        Option.price_delta,
        Option.max_quantity,
        Option.is_default,
        Option.is_active,
    )
    .join(ModifierGroup, ModifierGroup.id == ProductModifierGroup.group_id)
    .outerjoin(Option, Option.group_id == ModifierGroup.id)
    .where(ProductModifierGroup.product_id == _WANTED)
    .order_by(
        ProductModifierGroup.product_id,
        ProductModifierGroup.position,
        ModifierGroup.id,
        Option.position,
        Option.id,
    )
)


async def load_for_pricing(
    session: AsyncSession, product_ids: Collection[UUID], *, lock: bool = False
) -> dict[UUID, PricedProduct]:
    """Load products with all that pricing needs, archived ones too, in two round trips; unknown ids are absent.

    With `lock` (a third) edits of these products wait until the transaction ends; orders don't wait for each other.
    """
    if not product_ids:
        return {}
    if lock:
        # Locking in the reading statement would, after a wait, pair the new product with its old sizes.
        await _LOCKED.rows(session, product_ids=list(product_ids))
    rows = await _PRODUCTS.rows(session, product_ids=list(product_ids))
    groups = await _load_groups(session, product_ids)
    return {
        product_id: PricedProduct(
            id=product_id,
            name=found[0]["name"],
            price=found[0]["price"],
            is_available=found[0]["is_active"] and found[0]["archived_at"] is None,
            is_archived=found[0]["archived_at"] is not None,
            preparation_seconds=found[0]["preparation_seconds"],
            sizes=tuple(_size(row) for row in found if row["size_id"] is not None),
            groups=tuple(groups[product_id]),
        )
        for product_id, found in _grouped(rows, "id")
    }


async def _load_groups(session: AsyncSession, product_ids: Collection[UUID]) -> dict[UUID, list[PricedGroup]]:
    rows = await _GROUPS.rows(session, product_ids=list(product_ids))
    groups: dict[UUID, list[PricedGroup]] = defaultdict(list)
    for product_id, of_product in _grouped(rows, "product_id"):
        for group_id, found in _grouped(of_product, "id"):
            groups[product_id].append(
                PricedGroup(
                    id=group_id,
                    name=found[0]["name"],
                    min_choices=found[0]["min_choices"],
                    max_choices=found[0]["max_choices"],
                    free_quantity=found[0]["free_quantity"],
                    options=tuple(_option(row) for row in found if row["option_id"] is not None),
                )
            )
    return groups


def _size(row: asyncpg.Record) -> PricedSize:
    return PricedSize(
        id=row["size_id"],
        name=row["size_name"],
        volume_ml=row["volume_ml"],
        price_delta=row["price_delta"],
        is_default=row["is_default"],
    )


def _option(row: asyncpg.Record) -> PricedOption:
    return PricedOption(
        id=row["option_id"],
        name=row["option_name"],
        price_delta=row["price_delta"],
        max_quantity=row["max_quantity"],
        is_default=row["is_default"],
        is_active=row["is_active"],
    )


def _grouped(rows: Iterable[Any], column: str) -> Iterator[tuple[UUID, list[asyncpg.Record]]]:
    for key, same in groupby(rows, key=itemgetter(column)):
        yield key, list(same)
