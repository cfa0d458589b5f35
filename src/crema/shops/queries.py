"""Every SELECT about shops, and who sees which."""

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Select,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload, with_expression

from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db.base import fold
from crema.db.listing import (
    BooleanField,
    InstantField,
    IntegerField,
    Listing,
    ListQuery,
    TextField,
    UuidField,
    paginate,
)
from crema.db.statement import Reader, Statement
from crema.shops.domain import EARTH_RADIUS_M, Interval, OpeningHours, Point
from crema.shops.models import OpeningInterval, Shop

EDIT: Final = "shops:write"
_FARTHEST_M: Final = 40_000_000  # farther than any two places: where shops without coordinates stand in the order

_FIELDS: Final = {
    "id": UuidField(Shop.id),
    "slug": TextField(Shop.slug, example="arbat"),
    "name": TextField(Shop.name, example="Арбат"),
    "address": TextField(Shop.address, example="Арбат"),
    "timezone": TextField(Shop.timezone, example="Europe/Moscow"),
    "is_active": BooleanField(Shop.is_active, permission=EDIT),
    "created_at": InstantField(Shop.created_at),
    "updated_at": InstantField(Shop.updated_at),
}
_SORT: Final = {"name": TextField(Shop.name), "created_at": InstantField(Shop.created_at)}
_SEARCH: Final = {"name": Shop.name, "address": Shop.address}

SHOPS: Final = Listing(fields=_FIELDS, sort=_SORT, default_sort="name", search=_SEARCH, id_column=Shop.id)


def shops_near(point: Point | None, *, default_sort: str = "distance") -> Listing:
    """Declare the list anew with the order "distance", from this place. Without one it is plain `SHOPS`.

    No index helps this order: it computes every distance, of the few shops a chain has.
    """
    if point is None:
        return SHOPS
    distance = IntegerField(func.coalesce(_distance_m(point), _FARTHEST_M))
    return Listing(
        fields=_FIELDS,
        sort={**_SORT, "distance": distance},
        default_sort=default_sort,
        search=_SEARCH,
        id_column=Shop.id,
    )


def _distance_m(point: Point) -> ColumnElement[int]:
    """Great-circle metres by the haversine formula; NULL for a shop that isn't on the map."""

    def radians(degrees: object) -> ColumnElement[float]:
        return func.radians(cast(degrees, Double))

    latitude, longitude = radians(literal(point.latitude)), radians(literal(point.longitude))
    to_latitude, to_longitude = radians(Shop.latitude), radians(Shop.longitude)
    haversine = func.pow(func.sin((to_latitude - latitude) / 2), 2) + func.cos(latitude) * func.cos(
        to_latitude
    ) * func.pow(func.sin((to_longitude - longitude) / 2), 2)
    # Rounding may carry it past 1 for antipodes, where asin fails. LEAST would make 1 of NULL, too.
    metres = 2 * EARTH_RADIUS_M * func.asin(func.sqrt(func.least(haversine, 1.0)))
    return case((Shop.latitude.is_not(None), cast(func.round(metres), Integer)))


def hours_of(shop: Shop) -> OpeningHours:
    """Make the domain's opening hours of a loaded shop."""
    return OpeningHours(
        ZoneInfo(shop.timezone),
        tuple(Interval(row.weekday, row.opens_minute, row.closes_minute) for row in shop.opening_intervals),
    )


def visible_to(permissions: AbstractSet[str]) -> ColumnElement[bool]:
    """Limit to active shops, but for those who edit shops."""
    return true() if EDIT in permissions else Shop.is_active.is_(True)


def _whole(statement: Select[Shop]) -> Select[Shop]:
    return statement.options(selectinload(Shop.opening_intervals))


async def find_shop(session: AsyncSession, shop_id: UUID) -> Shop | None:
    """Load a shop with its week, active or not."""
    return await session.scalar(_whole(select(Shop).where(Shop.id == shop_id)))


async def get_shop(session: AsyncSession, shop_id: UUID) -> Shop:
    """Load a shop with its week, active or not."""
    shop = await find_shop(session, shop_id)
    if shop is None:
        raise NotFoundError
    return shop


async def get_visible_shop(session: AsyncSession, shop_id: UUID, *, permissions: AbstractSet[str]) -> Shop:
    """Load a shop with its week; an inactive one is not there for the public."""
    shop = await session.scalar(_whole(select(Shop).where(Shop.id == shop_id, visible_to(permissions))))
    if shop is None:
        raise NotFoundError
    return shop


_WEEK: Final = (OpeningInterval.weekday, OpeningInterval.opens_minute, OpeningInterval.closes_minute)
_ACTIVE_SHOP: Final = Statement(
    select(*_WEEK, *Shop.__table__.columns)
    .select_from(Shop)
    .outerjoin(OpeningInterval)
    .where(Shop.id == bindparam("shop_id"), Shop.is_active)
    .order_by(*_WEEK)
)


async def get_active_shop(session: AsyncSession, shop_id: UUID) -> Shop:
    """Load a shop one can order at, with its week; the session doesn't know it."""
    rows = await _ACTIVE_SHOP.rows(session, shop_id=shop_id)
    if not rows:
        raise NotFoundError
    shop = Shop(**{column.name: rows[0][column.name] for column in Shop.__table__.columns})
    shop.opening_intervals = [
        OpeningInterval(**{column.name: row[column.name] for column in _WEEK})
        for row in rows
        if row["weekday"] is not None  # a shop without hours
    ]
    return shop


_TAKES_ORDERS: Final = Statement(select(Shop.id).where(Shop.id == bindparam("shop_id"), Shop.is_active))


async def takes_orders(reader: Reader, shop_id: UUID) -> bool:
    """Tell whether one can order there."""
    return await _TAKES_ORDERS.row(reader, shop_id=shop_id) is not None


async def get_shop_for_update(session: AsyncSession, shop_id: UUID) -> Shop:
    """Lock a shop against other changes until the transaction ends; orders at it are still taken."""
    shop = await session.scalar(
        _whole(select(Shop).where(Shop.id == shop_id)).with_for_update(of=Shop, key_share=True),
        execution_options={"populate_existing": True},
    )
    if shop is None:
        raise NotFoundError
    return shop


async def list_all_active(session: AsyncSession) -> list[Shop]:
    """Load every active shop of the chain with its week, by name."""
    statement = _whole(select(Shop).where(Shop.is_active.is_(True))).order_by(fold(Shop.name), Shop.id)
    return list(await session.scalars(statement))


async def list_shops(
    session: AsyncSession,
    *,
    query: ListQuery,
    permissions: AbstractSet[str],
    near: Point | None,
    open_now: bool | None,
    now: datetime,
) -> Page[Shop]:
    """Page through the shops, with `distance_m` from `near`."""
    statement = _whole(select(Shop).where(visible_to(permissions)))
    if near is not None:
        statement = statement.options(with_expression(Shop.distance_m, _distance_m(near)))
    if open_now is not None:
        ids = await _list_ids_by_state(session, permissions=permissions, is_open=open_now, now=now)
        statement = statement.where(Shop.id.in_(ids))
    return await paginate(session, statement, query)


async def _list_ids_by_state(
    session: AsyncSession, *, permissions: AbstractSet[str], is_open: bool, now: datetime
) -> list[UUID]:
    """Decide for each shop whether it is open: SQL can't, across zones and clock changes, and they are few."""
    shops = await session.scalars(_whole(select(Shop).where(visible_to(permissions))))
    return [shop.id for shop in shops if hours_of(shop).is_open(now) is is_open]
