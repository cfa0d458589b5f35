"""Numbers of orders: of the shop's day of pick-up, and unique among what the shop may have on its board."""

from datetime import date
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, Date, Uuid, bindparam, exists, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.driver import Writer
from crema.db.statement import Executor, Statement
from crema.orders import domain, queries
from crema.orders.models import IS_OPEN, Order, OrderNumberCounter
from crema.shops.models import Shop

_NEW_COUNTER: Final = insert(OrderNumberCounter)
_COUNTED_UP: Final = {"last": OrderNumberCounter.last + 1}
_DAY: Final = bindparam("business_date", type_=Date)
_OF_SHOP: Final = bindparam("shop_id", type_=Uuid)

_COUNT_UP: Final = Statement(
    _NEW_COUNTER.values(shop_id=_OF_SHOP, business_date=_DAY, last=1)
    .on_conflict_do_update(index_elements=["shop_id", "business_date"], set_=_COUNTED_UP)
    .returning(OrderNumberCounter.last)
)
_COUNT_UP_AT_SHOP_AS_READ: Final = Statement(
    _NEW_COUNTER.from_select(
        ["shop_id", "business_date", "last"],
        select(Shop.id, _DAY, literal(1))
        .where(Shop.id == _OF_SHOP, bindparam("shop_version", type_=BigInteger) == queries.SHOP_VERSION)
        .with_for_update(read=True, of=Shop),
    )
    .on_conflict_do_update(index_elements=["shop_id", "business_date"], set_=_COUNTED_UP)
    .returning(OrderNumberCounter.last)
)
_IS_TAKEN: Final = Statement(
    select(
        exists()
        .where(Order.shop_id == _OF_SHOP, Order.number == bindparam("number"), Order.id != bindparam("order_id"))
        .where(or_(Order.business_date == _DAY, IS_OPEN))
        .label("is_taken")
    )
)
_NO_ORDER: Final = UUID(int=0)


async def take(tx: Writer, *, shop_id: UUID, shop_version: int, day: date) -> str | None:
    """Take a number for a new order, and hold the shop against changes until the commit; None if it isn't as read."""
    while True:
        row = await _COUNT_UP_AT_SHOP_AS_READ.row(tx, shop_id=shop_id, shop_version=shop_version, business_date=day)
        if row is None:
            return None
        number = domain.number_of(row["last"], day=day)
        if not await is_taken(tx, shop_id=shop_id, number=number, day=day):
            return number


async def move_to(session: AsyncSession, *, order: Order, day: date) -> None:
    """Make an order that is locked one of this day. It keeps its number unless that is taken there.

    Orders that get new numbers take turns on the day's counter.
    """
    if day == order.business_date:
        return
    number = order.number
    while await is_taken(session, shop_id=order.shop_id, number=number, day=day, order_id=order.id):
        row = await _COUNT_UP.row(session, shop_id=order.shop_id, business_date=day)
        assert row is not None, "a counter that isn't there is made"
        number = domain.number_of(row["last"], day=day)
    order.business_date, order.number = day, number


async def is_taken(db: Executor, *, shop_id: UUID, number: str, day: date, order_id: UUID = _NO_ORDER) -> bool:
    """Tell whether an order other than this one has the number, on this day or in progress at the shop."""
    row = await _IS_TAKEN.row(db, shop_id=shop_id, number=number, business_date=day, order_id=order_id)
    return row is not None and bool(row["is_taken"])
