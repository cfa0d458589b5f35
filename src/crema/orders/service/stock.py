"""The stock of orders: taken when they are placed, given back once when they are cancelled or expire."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.cart.domain import LineRequest
from crema.db.statement import BulkInsert, Executor, Statement
from crema.menu.domain import Offer
from crema.menu.models import ShopProduct
from crema.menu.service import stock
from crema.orders import domain
from crema.orders.domain import DraftLine
from crema.orders.models import Order, OrderStock


@dataclass(frozen=True, slots=True)
class TakenStock:
    """A row of `OrderStock`."""

    order_id: UUID
    product_id: UUID
    quantity: int


TAKEN: Final = BulkInsert(OrderStock, TakenStock)
_INSERT: Final = Statement(TAKEN.statement)
_TAKEN_BY: Final = Statement(
    select(OrderStock.product_id, OrderStock.quantity).where(OrderStock.order_id == bindparam("order_id"))
)
_DELETE: Final = Statement(
    delete(OrderStock)
    .where(OrderStock.order_id == bindparam("order_id"))
    .returning(OrderStock.product_id, OrderStock.quantity)
)


@dataclass(frozen=True, slots=True)
class DraftedLines:
    """Lines that are drafted, with what they were drafted from: at which shop, and for which time."""

    lines: Sequence[DraftLine]
    requests: Sequence[LineRequest]
    offers: Mapping[UUID, Offer]
    shop_id: UUID
    at: datetime


async def take(db: Executor, drafted: DraftedLines, *, order_id: UUID) -> list[TakenStock]:
    """Count the shop's stock down by what these lines need, and return the rows that note it, for the caller to insert.

    Raises ItemUnavailableError if less is left than they were drafted with, because others were faster. What the shop
    has stopped counting meanwhile isn't taken.
    """
    counted = domain.counted_pieces(drafted.lines)
    taken = await stock.take(db, shop_id=drafted.shop_id, quantities=counted) if counted else {}
    if missing := counted.keys() - taken.keys():
        left = await stock.left(db, shop_id=drafted.shop_id, product_ids=missing)
        known = {
            product_id: replace(offer, stock=left.get(product_id) if product_id in missing else None)
            for product_id, offer in drafted.offers.items()
        }
        domain.draft_lines(drafted.requests, known, at=drafted.at)
    return [TakenStock(order_id, product_id, quantity) for product_id, quantity in taken.items()]


async def take_anew(session: AsyncSession, order: Order, drafted: DraftedLines) -> None:
    """Give back what an order has taken, and take what its new lines need. The order is locked."""
    await give_back(session, order)
    if taken := await take(session, drafted, order_id=order.id):
        await _INSERT.rows(session, **TAKEN.values(taken))


async def give_back(session: AsyncSession, order: Order) -> None:
    """Give back what an order has taken. The order is locked; what was given back is not there a second time."""
    rows = await _DELETE.rows(session, order_id=order.id)
    if quantities := dict(rows):
        await stock.give_back(session, shop_id=order.shop_id, quantities=quantities)


async def taken_by(session: AsyncSession, order: Order) -> dict[UUID, int]:
    """Return how many an order has taken of each product."""
    return dict(await _TAKEN_BY.rows(session, order_id=order.id))


def with_own(offers: Mapping[UUID, Offer], taken: Mapping[UUID, int]) -> dict[UUID, Offer]:
    """Return what is offered to an order that gives back what it has taken."""
    return {
        product_id: offer if offer.stock is None else replace(offer, stock=offer.stock + taken.get(product_id, 0))
        for product_id, offer in offers.items()
    }


async def lock_stocks_of(session: AsyncSession, orders: Collection[Order]) -> None:
    """Lock the stocks that several orders have taken of, in primary-key order, before any of them gives back."""
    await session.execute(
        select(ShopProduct.product_id)
        .join(OrderStock, OrderStock.product_id == ShopProduct.product_id)
        .join(Order, Order.id == OrderStock.order_id)
        .where(ShopProduct.shop_id == Order.shop_id, Order.id.in_([order.id for order in orders]))
        .order_by(ShopProduct.shop_id, ShopProduct.product_id)
        .with_for_update(of=ShopProduct)
    )
