"""Sums of orders. An order belongs to its pick-up time or, if it has none, to the time when it was placed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    Integer,
    Interval,
    RowMapping,
    Select,
    TableValuedAlias,
    Uuid,
    bindparam,
    cast,
    extract,
    func,
    null,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TIMESTAMP

from crema.accounts.domain import Actor
from crema.core.errors import NotFoundError
from crema.db.base import case_folded
from crema.orders.domain import OrderStatus
from crema.orders.models import WANTED_AT, Order, OrderLine
from crema.reports.domain import local_spans
from crema.shops.models import Shop

_INSTANT: Final = TIMESTAMP(timezone=True)


@dataclass(frozen=True, slots=True)
class SalesTotals:
    """The sums of orders. By product, some of them don't exist and are None."""

    orders: int
    items: int
    subtotal: Decimal
    discount: Decimal | None = None
    total: Decimal | None = None
    cancelled: int | None = None
    expired: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesRow(SalesTotals):
    """The sums of one shop, or of one of its days, hours or products."""

    shop_id: UUID
    shop_name: str
    day: date | None = None
    hour: int | None = None
    product_id: UUID | None = None
    product_name: str | None = None


async def list_served_shops(session: AsyncSession, *, actor: Actor, shop_id: UUID | None) -> list[Shop]:
    """Return the shops that the actor serves, by name, without their hours; with `shop_id` only that one.

    Raise NotFoundError if the actor doesn't serve it.
    """
    statement = select(Shop).where(true() if actor.serves_all_shops else Shop.id.in_(actor.shop_ids))
    if shop_id is not None:
        statement = statement.where(Shop.id == shop_id)
    shops = list(await session.scalars(statement.order_by(case_folded(Shop.name), Shop.id)))
    if shop_id is not None and not shops:
        raise NotFoundError
    return shops


async def sum_sales(
    session: AsyncSession, *, shops: Sequence[Shop], first: date, last: date, by: str, currency: str
) -> tuple[list[SalesRow], SalesTotals]:
    """Return the sums of the orders of these local days by shop and `by`, in the order of `shops`, and the totals."""
    spans = [(shop.id, span) for shop in shops for span in local_spans(ZoneInfo(shop.timezone), first, last)]
    values = {
        "shop_ids": [shop_id for shop_id, _ in spans],
        "begins": [span.begins_at for _, span in spans],
        "ends": [span.ends_at for _, span in spans],
        "offsets": [span.offset for _, span in spans],
        "currency": currency,
    }
    found = (await session.execute(STATEMENTS[by], values)).mappings().all()
    order_of_shops = {shop.id: (position, shop.name) for position, shop in enumerate(shops)}
    rows = [_row(each, by, order_of_shops[each["shop_id"]][1]) for each in found if not each["is_sum"]]
    rows.sort(
        key=lambda row: order_of_shops[row.shop_id][0]
    )  # stable: rows of one shop stay as the statement orders them
    return rows, next(SalesTotals(**_sums(each)) for each in found if each["is_sum"])


def _row(found: RowMapping, by: str, shop_name: str) -> SalesRow:
    keys: dict[str, Any] = {by: found["key"]} if by != "shop" else {}
    if by == "product":
        keys = {"product_id": found["key"], "product_name": found["name"]}
    return SalesRow(**_sums(found), **keys, shop_id=found["shop_id"], shop_name=shop_name)


def _sums(found: RowMapping) -> dict[str, Any]:
    names = ("orders", "items", "subtotal", "discount", "total", "cancelled", "expired")
    return {name: found[name] for name in names if name in found}


def _spans() -> TableValuedAlias:
    arrays = [
        bindparam("shop_ids", type_=ARRAY(Uuid)),
        bindparam("begins", type_=ARRAY(_INSTANT)),
        bindparam("ends", type_=ARRAY(_INSTANT)),
        bindparam("offsets", type_=ARRAY(Interval)),
    ]
    names = ("shop_id", "begins_at", "ends_at", "utc_offset")
    return func.unnest(*arrays).table_valued(*names, name="spans").render_derived()


def _sum_by_time(by: str) -> Select[Any]:
    """Return the statement that sums orders. The offset of an order's span gives its local time."""
    spans = _spans()
    local = func.timezone("UTC", WANTED_AT) + spans.c.utc_offset
    key: ColumnElement[Any] = cast(null(), Integer)
    if by != "shop":
        key = cast(local, Date) if by == "day" else cast(extract("hour", local), Integer)
    lines = select(func.sum(OrderLine.quantity)).where(OrderLine.order_id == Order.id).scalar_subquery()
    orders = (
        select(Order.shop_id, key.label("key"), Order.status, Order.subtotal, Order.discount, Order.total)
        .add_columns(lines.label("items"))
        .select_from(spans)
        .join(Order, _is_in_span(spans))
        .where(Order.hidden_at.is_(None), Order.currency == bindparam("currency"))
        .where(Order.status.in_([OrderStatus.COMPLETED, OrderStatus.CANCELLED, OrderStatus.EXPIRED]))
        .subquery("sold")
    )
    is_completed = orders.c.status == OrderStatus.COMPLETED
    sums = {
        "orders": func.count().filter(is_completed),
        "items": func.coalesce(func.sum(orders.c["items"]).filter(is_completed), 0),
        **{
            name: func.coalesce(func.sum(orders.c[name]).filter(is_completed), 0)
            for name in ("subtotal", "discount", "total")
        },
        "cancelled": func.count().filter(orders.c.status == OrderStatus.CANCELLED),
        "expired": func.count().filter(orders.c.status == OrderStatus.EXPIRED),
    }
    return (
        select(orders.c.shop_id, orders.c.key, (func.grouping(orders.c.key) == 1).label("is_sum"))
        .add_columns(*(each.label(name) for name, each in sums.items()))
        .group_by(func.grouping_sets(tuple_(orders.c.shop_id, orders.c.key), tuple_()))
        .order_by(orders.c.shop_id, orders.c.key)
    )


def _sum_by_product() -> Select[Any]:
    """Return the statement that sums the lines of completed orders, the best selling products first."""
    spans = _spans()
    lines = (
        select(Order.shop_id, OrderLine.product_id, OrderLine.order_id, OrderLine.name)
        .add_columns(OrderLine.quantity, OrderLine.total, WANTED_AT.label("wanted_at"))
        .select_from(spans)
        .join(Order, _is_in_span(spans))
        .join(OrderLine, OrderLine.order_id == Order.id)
        .where(Order.hidden_at.is_(None), Order.currency == bindparam("currency"))
        .where(Order.status == OrderStatus.COMPLETED)
        .subquery("sold")
    )
    names = func.array_agg(aggregate_order_by(lines.c.name, lines.c.wanted_at.desc()))
    items = func.coalesce(func.sum(lines.c.quantity), 0)
    return (
        select(lines.c.shop_id, lines.c.product_id.label("key"))
        .add_columns((func.grouping(lines.c.product_id) == 1).label("is_sum"))
        .add_columns(func.coalesce(names[1], "").label("name"))
        .add_columns(func.count(lines.c.order_id.distinct()).label("orders"), items.label("items"))
        .add_columns(func.coalesce(func.sum(lines.c.total), 0).label("subtotal"))
        .group_by(func.grouping_sets(tuple_(lines.c.shop_id, lines.c.product_id), tuple_()))
        .order_by(lines.c.shop_id, items.desc(), lines.c.product_id)
    )


def _is_in_span(spans: TableValuedAlias) -> Any:
    return (Order.shop_id == spans.c.shop_id) & (spans.c.begins_at <= WANTED_AT) & (spans.c.ends_at > WANTED_AT)


STATEMENTS: Final = {by: _sum_by_time(by) for by in ("hour", "day", "shop")} | {"product": _sum_by_product()}
