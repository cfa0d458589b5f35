"""Every SELECT about shops, and who sees which."""

import json
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Double,
    Integer,
    Numeric,
    Select,
    SQLColumnExpression,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    func,
    not_,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db import versions
from crema.db.base import fold
from crema.db.driver import Reader
from crema.db.listing import (
    BooleanField,
    EmailField,
    InstantField,
    IntegerField,
    Listing,
    ListQuery,
    ListStatement,
    Many,
    NumberField,
    PhoneField,
    SlugField,
    TextField,
    TimeOfDayField,
    UuidField,
)
from crema.db.statement import Statement, Where
from crema.schemas import Line, Name
from crema.shops.domain import DAY, EARTH_RADIUS_M, Interval, OpeningHours, Point
from crema.shops.models import OpeningInterval, Shop
from crema.shops.schemas import Timezone

EDIT: Final = "shops:write"
_FARTHEST_M: Final = 40_000_000  # farther than any two places: where shops without coordinates stand in the order


def _wall_time(minute: SQLColumnExpression[int]) -> ColumnElement[str]:
    """Write a minute as the clock on the wall shows it; past midnight it is the next day's."""
    shown = case((minute <= DAY, minute), else_=minute - DAY)
    return func.to_char(shown / 60, "FM00") + ":" + func.to_char(shown % 60, "FM00")


OPEN_NOW: Final = Shop.id == any_(bindparam("open_ids", type_=ARRAY(Uuid)))
_FIELDS: Final = {
    "id": UuidField(Shop.id, indexed=True),
    "slug": SlugField(Shop.slug, indexed=True, example="arbat"),
    "name": TextField(Shop.name, of=Name, indexed=True, example="Арбат"),
    "address": TextField(Shop.address, of=Line, indexed=True, example="Арбат"),
    "latitude": NumberField(Shop.latitude, nullable=True, example="55.751244"),
    "longitude": NumberField(Shop.longitude, nullable=True, example="37.598306"),
    "phone": PhoneField(Shop.phone, nullable=True),
    "email": EmailField(Shop.email, nullable=True, permission=EDIT),
    "timezone": TextField(Shop.timezone, of=Timezone, searched=False, indexed=True, example="Europe/Moscow"),
    "hours": Many(
        OpeningInterval,
        OpeningInterval.shop_id == Shop.id,
        {
            "weekday": IntegerField(OpeningInterval.weekday, minimum=0, maximum=6, example=0),
            "opens_at": TimeOfDayField(_wall_time(OpeningInterval.opens_minute), example="08:00"),
            "closes_at": TimeOfDayField(_wall_time(OpeningInterval.closes_minute), example="22:00"),
        },
    ),
    "is_open": BooleanField(OPEN_NOW),
    "is_active": BooleanField(Shop.is_active, indexed=True),
    "created_at": InstantField(Shop.created_at, indexed=True),
    "updated_at": InstantField(Shop.updated_at, indexed=True),
}
_ONLY_NOW: Final = "it holds for the moment of the question"
_LEFT_OUT: Final = {
    "opens_at": _ONLY_NOW,
    "closes_at": _ONLY_NOW,
    "distance_m": "it depends on the place that is asked about: `near=` and `sort=distance`",
}

SHOPS: Final = Listing(name="Shop", fields=_FIELDS, default_sort="name", left_out=_LEFT_OUT, id_column=Shop.id)


def _distance_m() -> ColumnElement[int]:
    """Great-circle metres by the haversine formula; NULL for a shop that isn't on the map."""

    def radians(degrees: object) -> ColumnElement[float]:
        return func.radians(cast(degrees, Double))

    latitude = radians(bindparam("latitude", type_=Numeric))
    longitude = radians(bindparam("longitude", type_=Numeric))
    to_latitude, to_longitude = radians(Shop.latitude), radians(Shop.longitude)
    haversine = func.pow(func.sin((to_latitude - latitude) / 2), 2) + func.cos(latitude) * func.cos(
        to_latitude
    ) * func.pow(func.sin((to_longitude - longitude) / 2), 2)
    # Rounding may carry it past 1 for antipodes, where asin fails. LEAST would make 1 of NULL, too.
    metres = 2 * EARTH_RADIUS_M * func.asin(func.sqrt(func.least(haversine, 1.0)))
    return case((Shop.latitude.is_not(None), cast(func.round(metres), Integer)))


def _near(default_sort: str) -> Listing:
    distance = IntegerField(func.coalesce(_distance_m(), _FARTHEST_M))
    return Listing(
        name="Shop",
        fields=_FIELDS,
        sort={"distance": distance},
        default_sort=default_sort,
        left_out=_LEFT_OUT,
        id_column=Shop.id,
    )


SHOPS_NEAR: Final = _near("distance")
"""The same with the order "distance". No index helps it: it computes every distance, of the few shops a chain has."""
ALL_SORTS: Final = _near("name")
"""For the documentation, which names that order without a place."""


@dataclass(frozen=True, slots=True)
class ShopView:
    """A shop as it was read, with its week."""

    id: UUID
    slug: str
    name: str
    address: str
    latitude: Decimal | None
    longitude: Decimal | None
    phone: str | None
    email: str | None
    timezone: str
    is_active: bool
    created_at: datetime
    updated_at: datetime
    opening_intervals: tuple[Interval, ...]


def hours_of(shop: Shop | ShopView) -> OpeningHours:
    """Return the opening hours of a shop that is loaded with its week."""
    return OpeningHours(
        ZoneInfo(shop.timezone),
        tuple(Interval(row.weekday, row.opens_minute, row.closes_minute) for row in shop.opening_intervals),
    )


TAKES_ORDERS: Final[ColumnElement[bool]] = Shop.is_active.is_(True)
"""The condition of a shop that the public sees, and orders at."""


def visible_to(permissions: AbstractSet[str]) -> ColumnElement[bool]:
    """Limit to active shops, but for those who edit shops."""
    return true() if EDIT in permissions else TAKES_ORDERS


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


_WEEK: Final = (OpeningInterval.weekday, OpeningInterval.opens_minute, OpeningInterval.closes_minute)
_COLUMNS: Final = (
    *(getattr(Shop, field.name) for field in fields(ShopView) if field.name != "opening_intervals"),
    select(cast(func.jsonb_agg(aggregate_order_by(func.jsonb_build_array(*_WEEK), *_WEEK)), Text))
    .where(OpeningInterval.shop_id == Shop.id)
    .scalar_subquery()
    .label("week"),
)
ACTIVE: Final = select(*_COLUMNS).where(TAKES_ORDERS)
"""Active shops with their weeks: `view_of` reads such rows."""
_ACTIVE_SHOP: Final = Statement(ACTIVE.where(Shop.id == bindparam("shop_id")))
_ALL_ACTIVE: Final = Statement(ACTIVE.order_by(fold(Shop.name), Shop.id))


def view_of(row: asyncpg.Record) -> ShopView:
    """Return the shop of a row that begins with its columns and its week."""
    return _view_of(row[: len(_COLUMNS)])


@lru_cache(1_000)
def _view_of(values: tuple[Any, ...]) -> ShopView:
    *columns, week = values
    intervals = tuple(Interval(*interval) for interval in json.loads(week or "[]"))
    return ShopView(*(*columns, intervals))


async def get_active_shop(where: Where, shop_id: UUID) -> ShopView:
    """Read a shop one can order at."""
    return view_of(await _ACTIVE_SHOP.one(where, shop_id=shop_id))


async def get_visible_shop(reader: Reader, shop_id: UUID, *, permissions: AbstractSet[str]) -> ShopView:
    """Read a shop; an inactive one is not there for the public."""
    return view_of(await _visible_shop(sees_all=EDIT in permissions).one(reader, shop_id=shop_id))


@cache
def _visible_shop(*, sees_all: bool) -> Statement:
    return Statement((select(*_COLUMNS) if sees_all else ACTIVE).where(Shop.id == bindparam("shop_id")))


_TAKES_ORDERS: Final = Statement(select(Shop.id).where(Shop.id == bindparam("shop_id"), TAKES_ORDERS))


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
    await versions.check(session, key=Shop.id, value=shop_id)
    return shop


async def list_all_active(where: Where) -> list[ShopView]:
    """Read every active shop of the chain, by name."""
    return [view_of(row) for row in await _ALL_ACTIVE.rows(where)]


@dataclass(frozen=True, slots=True)
class ListedShop:
    """A shop of a list; metres are from the place that was asked about."""

    shop: ShopView
    distance_m: int | None


async def list_shops(
    reader: Reader,
    *,
    query: ListQuery,
    permissions: AbstractSet[str],
    near: Point | None,
    open_now: bool | None,
    now: datetime,
) -> Page[ListedShop]:
    """Page through the shops."""
    values: dict[str, Any] = {}
    if near is not None:
        values |= {"latitude": near.latitude, "longitude": near.longitude}
    if open_now is not None or SHOPS.asks(query, "is_open"):
        # SQL can't tell, across zones and clock changes, and they are few.
        shops = map(view_of, await _visible(sees_all=EDIT in permissions).rows(reader))
        values["open_ids"] = [shop.id for shop in shops if hours_of(shop).is_open(now)]
    statement = _list(sees_all=EDIT in permissions, is_near=near is not None, open_now=open_now)
    page = await statement.page(reader, query, **values)
    return page.map(lambda row: ListedShop(view_of(row), row["distance_m"]))


@cache
def _visible(*, sees_all: bool) -> Statement:
    return Statement(select(*_COLUMNS) if sees_all else ACTIVE)


@cache
def _list(*, sees_all: bool, is_near: bool, open_now: bool | None) -> ListStatement:
    distance = _distance_m() if is_near else null()
    statement = (select(*_COLUMNS) if sees_all else ACTIVE).add_columns(distance.label("distance_m"))
    if open_now is not None:
        statement = statement.where(OPEN_NOW if open_now else not_(OPEN_NOW))
    return ListStatement(statement)
