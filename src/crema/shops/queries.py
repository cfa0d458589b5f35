"""The SELECT statements about shops, and the conditions of who sees which."""

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
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
    exists,
    extract,
    func,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crema.accounts.domain import Actor
from crema.core.errors import ForbiddenError, NotFoundError
from crema.core.page import Page
from crema.db import versions
from crema.db.base import case_folded
from crema.db.driver import Reader
from crema.db.listing import (
    BooleanField,
    ChoiceField,
    DateField,
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
from crema.db.statement import Executor, Statement
from crema.schemas import Line, Name
from crema.shops import domain
from crema.shops.domain import (
    DAY,
    EARTH_RADIUS_M,
    Capacity,
    CapacityException,
    DayInterval,
    Interval,
    OpeningHours,
    Point,
    ShopSchedule,
    ShopState,
    ShopStatus,
    SlotState,
    WorkSchedule,
)
from crema.shops.models import OpeningInterval, Shop, SpecialDay, SpecialInterval, WorkSlot
from crema.shops.schemas import Timezone

EDIT: Final = "shops:write"
_DISTANCE_IF_UNKNOWN_M: Final = 40_000_000  # farther than any two places, so that shops without coordinates come last


def _wall_time(minute: SQLColumnExpression[int]) -> ColumnElement[str]:
    """Return the wall time HH:MM of a minute of the day; minutes after 1440 are times of the next day."""
    shown = case((minute <= DAY, minute), else_=minute - DAY)
    return func.to_char(shown // 60, "FM00") + ":" + func.to_char(shown % 60, "FM00")


_IN_FORCE: Final = or_(Shop.state_until.is_(None), Shop.state_until > bindparam("now", type_=DateTime(timezone=True)))
"""The condition that a shop's status has not ended."""


def _if_in_force(column: SQLColumnExpression[Any], otherwise: object = null()) -> ColumnElement[Any]:
    return case((_IN_FORCE, column), else_=otherwise)


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
    "special_days": Many(
        SpecialDay,
        SpecialDay.shop_id == Shop.id,
        {
            "date": DateField(SpecialDay.date),
            "is_closed": BooleanField(not_(exists().where(SpecialInterval.special_day_id == SpecialDay.id))),
            "hours": Many(
                SpecialInterval,
                SpecialInterval.special_day_id == SpecialDay.id,
                {
                    "opens_at": TimeOfDayField(_wall_time(SpecialInterval.opens_minute), example="10:00"),
                    "closes_at": TimeOfDayField(_wall_time(SpecialInterval.closes_minute), example="18:00"),
                },
            ),
            "takes_orders_ahead": BooleanField(SpecialDay.takes_orders_ahead),
            "note": TextField(SpecialDay.note, of=Line, indexed=True, example="Новый год"),
        },
    ),
    "is_open": BooleanField(OPEN_NOW),
    "status.state": ChoiceField(_if_in_force(Shop.state, ShopState.OPEN.value), choices=[*ShopState]),
    "status.delay_minutes": IntegerField(_if_in_force(Shop.delay_minutes), nullable=True),
    "status.until": InstantField(_if_in_force(Shop.state_until), nullable=True),
    "is_active": BooleanField(Shop.is_active, indexed=True),
    "created_at": InstantField(Shop.created_at, indexed=True),
    "updated_at": InstantField(Shop.updated_at, indexed=True),
}
_MOMENTARY: Final = "it is computed for the moment of the request"
_LEFT_OUT: Final = {
    "opens_at": _MOMENTARY,
    "closes_at": _MOMENTARY,
    "distance_m": "it depends on the place of the request: use `near=` and `sort=distance`",
}

SHOPS: Final = Listing(name="Shop", fields=_FIELDS, default_sort="name", left_out=_LEFT_OUT, id_column=Shop.id)


def _distance_m() -> ColumnElement[int]:
    """Return the great-circle distance in metres, by the haversine formula; NULL for a shop without coordinates."""

    def radians(degrees: object) -> ColumnElement[float]:
        return func.radians(cast(degrees, Double))

    latitude = radians(bindparam("latitude", type_=Numeric))
    longitude = radians(bindparam("longitude", type_=Numeric))
    to_latitude, to_longitude = radians(Shop.latitude), radians(Shop.longitude)
    haversine = func.pow(func.sin((to_latitude - latitude) / 2), 2) + func.cos(latitude) * func.cos(
        to_latitude
    ) * func.pow(func.sin((to_longitude - longitude) / 2), 2)
    # For antipodes rounding may give more than 1, for which asin fails. LEAST ignores NULL, hence the CASE.
    metres = 2 * EARTH_RADIUS_M * func.asin(func.sqrt(func.least(haversine, 1.0)))
    return case((Shop.latitude.is_not(None), cast(func.round(metres), Integer)))


def _listing_with_distance(default_sort: str) -> Listing:
    distance = IntegerField(func.coalesce(_distance_m(), _DISTANCE_IF_UNKNOWN_M))
    return Listing(
        name="Shop",
        fields=_FIELDS,
        sort={"distance": distance},
        default_sort=default_sort,
        left_out=_LEFT_OUT,
        id_column=Shop.id,
    )


SHOPS_NEAR: Final = _listing_with_distance("distance")
"""`SHOPS` with the sort order "distance". No index serves it: all distances are computed, but a chain has few shops."""
ALL_SORTS: Final = _listing_with_distance("name")
"""For the documentation, which names that sort order although no place is given."""


@dataclass(frozen=True, slots=True)
class ShopView:
    """A shop with its week and its special days."""

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
    state: str
    delay_minutes: int | None
    state_until: datetime | None
    lead_seconds: int
    last_order_minutes: int
    slot_minutes: int
    seconds_per_slot: int | None
    auto_accept: bool
    created_at: datetime
    updated_at: datetime
    opening_intervals: tuple[Interval, ...]
    special_days: tuple[domain.SpecialDay, ...]
    capacity_exceptions: tuple[Sequence[int], ...]

    def shown_as_of(self, now: datetime) -> datetime:
        """Return the earliest known moment since which the JSON of the shop is the same as now; a key for caches.

        It is the begin of this minute, because opening hours begin and end with a minute, or the end of a status.
        """
        minute = now.replace(second=0, microsecond=0)
        return self.state_until if self.state_until and minute < self.state_until <= now else minute


def schedule_of(shop: Shop | ShopView) -> ShopSchedule:
    """Return the schedule of a shop, which is loaded with its week and its special days."""
    return ShopSchedule(
        hours=OpeningHours(
            ZoneInfo(shop.timezone),
            tuple(Interval(row.weekday, row.opens_minute, row.closes_minute) for row in shop.opening_intervals),
            {row.date: _special_day(row) for row in shop.special_days},
        ),
        status=ShopStatus(ShopState(shop.state), shop.delay_minutes, shop.state_until),
        lead=timedelta(seconds=shop.lead_seconds),
        last_order=timedelta(minutes=shop.last_order_minutes),
    )


def capacity_of(shop: Shop | ShopView) -> Capacity:
    """Return the capacity of a shop."""
    exceptions = (CapacityException(Interval(*span), seconds) for *span, seconds in shop.capacity_exceptions)
    return Capacity(shop.slot_minutes, shop.seconds_per_slot, tuple(exceptions))


def _special_day(row: SpecialDay | domain.SpecialDay) -> domain.SpecialDay:
    hours = tuple(DayInterval(each.opens_minute, each.closes_minute) for each in row.hours)
    return domain.SpecialDay(row.date, hours, takes_orders_ahead=row.takes_orders_ahead, note=row.note)


TAKES_ORDERS: Final[ColumnElement[bool]] = Shop.is_active.is_(True)
"""The condition that the public sees a shop and can order there."""


def visible_to(permissions: AbstractSet[str]) -> ColumnElement[bool]:
    """Return the condition of the shops that somebody with these permissions sees: active ones, or all for editors."""
    return true() if EDIT in permissions else TAKES_ORDERS


def _with_hours(statement: Select[Shop]) -> Select[Shop]:
    return statement.options(
        selectinload(Shop.opening_intervals), selectinload(Shop.special_days).selectinload(SpecialDay.hours)
    )


_WEEK: Final = (OpeningInterval.weekday, OpeningInterval.opens_minute, OpeningInterval.closes_minute)
_HOURS: Final = (SpecialInterval.opens_minute, SpecialInterval.closes_minute)
_HOURS_OF_DAY: Final = (
    select(func.jsonb_agg(aggregate_order_by(func.jsonb_build_array(*_HOURS), *_HOURS)))
    .where(SpecialInterval.special_day_id == SpecialDay.id)
    .scalar_subquery()
)
_SPECIAL_DAY: Final = func.jsonb_build_array(
    SpecialDay.date, _HOURS_OF_DAY, SpecialDay.takes_orders_ahead, SpecialDay.note
)
_JSON_FIELDS: Final = {"opening_intervals", "special_days", "capacity_exceptions"}
_COLUMNS: Final = (
    *(getattr(Shop, field.name) for field in fields(ShopView) if field.name not in _JSON_FIELDS),
    select(cast(func.jsonb_agg(aggregate_order_by(func.jsonb_build_array(*_WEEK), *_WEEK)), Text))
    .where(OpeningInterval.shop_id == Shop.id)
    .scalar_subquery()
    .label("week"),
    select(cast(func.jsonb_agg(aggregate_order_by(_SPECIAL_DAY, SpecialDay.date)), Text))
    .where(SpecialDay.shop_id == Shop.id)
    .scalar_subquery()
    .label("special_days"),
    cast(Shop.capacity_exceptions, Text).label("exceptions"),
)
ACTIVE: Final = select(*_COLUMNS).where(TAKES_ORDERS)
"""Active shops with their weeks and special days. `view_of` reads the rows."""
_ACTIVE_SHOP: Final = Statement(ACTIVE.where(Shop.id == bindparam("shop_id")))
_ALL_ACTIVE: Final = Statement(ACTIVE.order_by(case_folded(Shop.name), Shop.id))


def view_of(row: asyncpg.Record) -> ShopView:
    """Return the shop of a row that begins with `_COLUMNS`."""
    return _view_of(row[: len(_COLUMNS)])


@lru_cache(1_000)
def _view_of(values: tuple[Any, ...]) -> ShopView:
    *columns, week, days, exceptions = values
    intervals = tuple(Interval(*interval) for interval in json.loads(week or "[]"))
    special_days = tuple(_read_special_day(*day) for day in json.loads(days or "[]"))
    return ShopView(*(*columns, intervals, special_days, tuple(json.loads(exceptions))))


def _read_special_day(day: str, hours: Any, takes_orders_ahead: bool, note: str) -> domain.SpecialDay:  # noqa: FBT001
    intervals = tuple(DayInterval(*each) for each in hours or ())
    return domain.SpecialDay(date.fromisoformat(day), intervals, takes_orders_ahead=takes_orders_ahead, note=note)


async def get_active_shop(db: Executor, shop_id: UUID) -> ShopView:
    """Return an active shop."""
    return view_of(await _ACTIVE_SHOP.one(db, shop_id=shop_id))


async def get_schedule(db: Executor, shop_id: UUID) -> ShopSchedule:
    """Return the schedule of a shop, active or not."""
    return schedule_of(view_of(await _visible_shop(sees_all=True).one(db, shop_id=shop_id)))


_USED: Final = func.jsonb_build_array(cast(extract("epoch", WorkSlot.starts_at), BigInteger), WorkSlot.used_seconds)
USED_SECONDS: Final = (
    select(func.jsonb_agg(_USED))
    .where(WorkSlot.shop_id == Shop.id, WorkSlot.starts_at > bindparam("slots_since", type_=DateTime(timezone=True)))
    .scalar_subquery()
)
"""A column: what is booked at a shop in the slots that start after `slots_since`. `work_schedule_of` reads it."""
_SHOP_AND_USED: Final = Statement(select(*_COLUMNS, USED_SECONDS.label("used")).where(Shop.id == bindparam("shop_id")))


def work_schedule_of(shop: Shop | ShopView, used: Any) -> WorkSchedule:
    """Return the schedule of a shop with its capacity and what is booked. `used` is a value of `USED_SECONDS`."""
    seconds_by_start = {datetime.fromtimestamp(start, UTC): seconds for start, seconds in used or ()}
    return WorkSchedule(schedule_of(shop), capacity_of(shop), seconds_by_start)


async def get_work_schedule(db: Executor, shop_id: UUID, *, since: datetime) -> WorkSchedule:
    """Return the work schedule of a shop, active or not, with what is booked in slots that start after `since`."""
    row = await _SHOP_AND_USED.one(db, shop_id=shop_id, slots_since=since)
    return work_schedule_of(view_of(row), row["used"])


async def get_visible_shop(reader: Reader, shop_id: UUID, *, permissions: AbstractSet[str]) -> ShopView:
    """Return a shop. For the public, an inactive one is not found."""
    return view_of(await _visible_shop(sees_all=EDIT in permissions).one(reader, shop_id=shop_id))


@cache
def _visible_shop(*, sees_all: bool) -> Statement:
    return Statement((select(*_COLUMNS) if sees_all else ACTIVE).where(Shop.id == bindparam("shop_id")))


async def get_shop_served_by(reader: Reader, shop_id: UUID, *, actor: Actor) -> ShopView:
    """Return a shop for its staff. Raises ForbiddenError for an actor who doesn't serve it."""
    shop = view_of(await _visible_shop(sees_all=True).one(reader, shop_id=shop_id))
    if not actor.serves(shop_id):
        raise ForbiddenError("You can see this only of the shops you work for.")
    return shop


@dataclass(frozen=True, slots=True)
class DaySlots:
    """The slots of a day, and whether they are for the shop's staff, who see more of them."""

    date: date
    timezone: str
    slots: list[SlotState]
    is_for_staff: bool


@cache
def _visible_shop_with_used(*, sees_all: bool) -> Statement:
    shops = select(*_COLUMNS) if sees_all else ACTIVE
    return Statement(shops.add_columns(USED_SECONDS.label("used")).where(Shop.id == bindparam("shop_id")))


async def get_day_slots(
    reader: Reader, shop_id: UUID, *, day: date | None, actor: Actor | None, now: datetime
) -> DaySlots:
    """Return the slots of a day of the shop's calendar, today by default, as the actor may see them.

    Raises InvalidDateError for a day that is too far off.
    """
    staff = actor if actor and actor.is_verified else None
    statement = _visible_shop_with_used(sees_all=staff is not None and staff.may(EDIT))
    row = await statement.one(reader, shop_id=shop_id, slots_since=now - 2 * domain.MAX_PICKUP_AHEAD)
    shop = view_of(row)
    work = work_schedule_of(shop, row["used"])
    return DaySlots(
        date=day or work.schedule.hours.local_date(now),
        timezone=shop.timezone,
        slots=work.states_of(day or work.schedule.hours.local_date(now), now=now),
        is_for_staff=staff is not None and staff.serves(shop_id) and (staff.may(EDIT) or staff.may("orders:write")),
    )


_TAKES_ORDERS: Final = Statement(select(Shop.id).where(Shop.id == bindparam("shop_id"), TAKES_ORDERS))


async def takes_orders(reader: Reader, shop_id: UUID) -> bool:
    """Return whether the public can order at a shop."""
    return await _TAKES_ORDERS.row(reader, shop_id=shop_id) is not None


async def get_shop_for_update(session: AsyncSession, shop_id: UUID) -> Shop:
    """Lock a shop against other changes and return it with its hours. Orders are still taken there."""
    shop = await session.scalar(
        _with_hours(select(Shop).where(Shop.id == shop_id)).with_for_update(of=Shop, key_share=True),
        execution_options={"populate_existing": True},
    )
    if shop is None:
        raise NotFoundError
    await versions.check(session, key=Shop.id, value=shop_id)
    return shop


async def list_all_active(db: Executor) -> list[ShopView]:
    """Return every active shop, in order of their names."""
    return [view_of(row) for row in await _ALL_ACTIVE.rows(db)]


@dataclass(frozen=True, slots=True)
class ListedShop:
    """A shop of a list, and its distance from the place of the request, if there is one."""

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
    """Return a page of the shops that somebody with these permissions sees."""
    values: dict[str, Any] = {"now": now}
    if near is not None:
        values |= {"latitude": near.latitude, "longitude": near.longitude}
    if open_now is not None or SHOPS.asks(query, "is_open"):
        # Opening hours with zones and clock changes are computed in Python; shops are few.
        shops = map(view_of, await _visible_shops(sees_all=EDIT in permissions).rows(reader))
        values["open_ids"] = [shop.id for shop in shops if schedule_of(shop).hours.is_open(now)]
    statement = _list_statement(sees_all=EDIT in permissions, is_near=near is not None, open_now=open_now)
    page = await statement.page(reader, query, **values)
    return page.map(lambda row: ListedShop(view_of(row), row["distance_m"]))


@cache
def _visible_shops(*, sees_all: bool) -> Statement:
    return Statement(select(*_COLUMNS) if sees_all else ACTIVE)


@cache
def _list_statement(*, sees_all: bool, is_near: bool, open_now: bool | None) -> ListStatement:
    distance = _distance_m() if is_near else null()
    statement = (select(*_COLUMNS) if sees_all else ACTIVE).add_columns(distance.label("distance_m"))
    if open_now is not None:
        statement = statement.where(OPEN_NOW if open_now else not_(OPEN_NOW))
    return ListStatement(statement)
