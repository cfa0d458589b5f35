"""Stocks of a shop. Orders take from them, and give back when they are cancelled.

If a stock becomes zero, or is zero no more, the shop's version changes. Rows are locked in order of the primary key.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Integer, Uuid, any_, bindparam, func, select, update

from crema.db.statement import Executor, Statement
from crema.menu.models import ShopProduct
from crema.menu.service import offers

_REQUESTED: Final = (
    func.unnest(bindparam("product_ids", type_=ARRAY(Uuid)), bindparam("quantities", type_=ARRAY(Integer)))
    .table_valued("product_id", "quantity")
    .render_derived(name="requested")
)
_LOCKED: Final = (
    select(ShopProduct.product_id, _REQUESTED.c.quantity)
    .join(_REQUESTED, _REQUESTED.c.product_id == ShopProduct.product_id)
    .where(ShopProduct.shop_id == bindparam("shop_id"))
    .order_by(ShopProduct.product_id)
    .with_for_update(of=ShopProduct)
    .cte("locked")
)
QUANTITY: Final = _LOCKED.c.quantity


def stock_update(stock: ColumnElement[int | None], guard: ColumnElement[bool]) -> Statement:
    """Return the statement that sets the stocks of `product_ids`, with their `quantities`, where the guard holds."""
    return Statement(
        update(ShopProduct)
        .where(ShopProduct.shop_id == bindparam("shop_id"), ShopProduct.product_id == _LOCKED.c.product_id, guard)
        .values(stock=stock, updated_at=ShopProduct.updated_at)
        .returning(ShopProduct.product_id, QUANTITY, ShopProduct.stock)
    )


TAKE: Final = stock_update(ShopProduct.stock - QUANTITY, ShopProduct.stock >= QUANTITY)
_GIVE_BACK: Final = stock_update(ShopProduct.stock + QUANTITY, ShopProduct.stock.is_not(None))
_LEFT: Final = Statement(
    select(ShopProduct.product_id, ShopProduct.stock).where(
        ShopProduct.shop_id == bindparam("shop_id"),
        ShopProduct.product_id == any_(bindparam("product_ids", type_=ARRAY(Uuid))),
        ShopProduct.stock.is_not(None),
    )
)


async def take(db: Executor, *, shop_id: UUID, quantities: Mapping[UUID, int]) -> dict[UUID, int]:
    """Take quantities from stocks where there is enough, and return what was taken, by product id."""
    rows = await TAKE.rows(db, shop_id=shop_id, **_values(quantities))
    if any(stock == 0 for _, _, stock in rows):
        await offers.refresh(db, shop_id)
    return {product_id: quantity for product_id, quantity, _ in rows}


async def give_back(db: Executor, *, shop_id: UUID, quantities: Mapping[UUID, int]) -> None:
    """Give quantities back to stocks. Products whose stock isn't counted any more are left out."""
    rows = await _GIVE_BACK.rows(db, shop_id=shop_id, **_values(quantities))
    if any(stock == quantity for _, quantity, stock in rows):
        await offers.refresh(db, shop_id)


async def left(db: Executor, *, shop_id: UUID, product_ids: set[UUID]) -> dict[UUID, int]:
    """Return how many are left of these products, by id. Products whose stock isn't counted are left out."""
    return dict(await _LEFT.rows(db, shop_id=shop_id, product_ids=list(product_ids)))


def _values(quantities: Mapping[UUID, int]) -> dict[str, Any]:
    return {"product_ids": list(quantities), "quantities": list(quantities.values())}
