"""JSON of shops and of the chain."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from importlib.resources import files
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import MISSING, AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.config import JsonDict

from crema.schemas import (
    Email,
    Flag,
    Input,
    Instant,
    IsActive,
    Line,
    MatchesPattern,
    Name,
    OptionalLine,
    OptionalSlug,
    Output,
    Phone,
    Replacement,
)
from crema.shops import domain
from crema.shops.domain import (
    DEFAULT_SLOT_MINUTES,
    LEAD_SECONDS,
    MAX_CAPACITY_EXCEPTIONS,
    MAX_DELAY_MINUTES,
    MAX_INTERVALS_A_DAY,
    MAX_SECONDS_PER_SLOT,
    MAX_SPECIAL_DAYS,
    MIN_DELAY_MINUTES,
    Chain,
    HandoverCode,
    ShopSchedule,
    ShopState,
)

# Zones of the package tzdata, not of the machine, so that every server knows the same ones.
ZONES: Final = frozenset((files("tzdata") / "zones").read_text().split())

FIRST_SPECIAL_DAY: Final = date(2020, 1, 1)
LAST_SPECIAL_DAY: Final = date(2099, 12, 31)
_WALL_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
_COMPUTED_FIELDS: Final = {"hours", "special_days", "is_open", "opens_at", "closes_at", "status"}
_ARBAT: Final[JsonDict] = {
    "name": "Арбат",
    "slug": "arbat",
    "address": "Москва, Арбат, 10",
    "timezone": "Europe/Moscow",
    "latitude": 55.751244,
    "longitude": 37.598306,
    "phone": "+74951234567",
    "email": "arbat@crema.example.com",
    "is_active": True,
}


def _known_zone(name: str) -> str:
    if name not in ZONES:
        raise ValueError("is not a time zone of the IANA database, such as Europe/Moscow")
    return name


def _parse_degrees(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("degrees are a number")  # noqa: TRY004 - pydantic wants ValueError
    return Decimal(str(value))


def _to_six_decimals(degrees: Decimal) -> Decimal:
    return round(degrees, 6)  # a tenth of a metre


Latitude = Annotated[
    Decimal,
    BeforeValidator(_parse_degrees),
    Field(ge=-90, le=90),
    AfterValidator(_to_six_decimals),
    WithJsonSchema({"type": "number", "minimum": -90, "maximum": 90, "examples": [55.751244]}),
]
Longitude = Annotated[
    Decimal,
    BeforeValidator(_parse_degrees),
    Field(ge=-180, le=180),
    AfterValidator(_to_six_decimals),
    WithJsonSchema({"type": "number", "minimum": -180, "maximum": 180, "examples": [37.598306]}),
]
Address = Annotated[Line, Field(max_length=300, examples=["Москва, Арбат, 10"])]
Timezone = Annotated[str, AfterValidator(_known_zone), Field(max_length=60, examples=["Europe/Moscow"])]
LatitudeOrNone = Annotated[Latitude | None, Field(description="Send both `latitude` and `longitude`, or neither.")]
OrderEmail = Annotated[Email | None, Field(description="Gets a mail for every order that is placed at this shop.")]


class ShopIn(Input):
    """A new shop. Its hours are set by a route of their own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _ARBAT,
                {"name": "Маяк", "address": "Владивосток, ул. Алеутская, 11", "timezone": "Asia/Vladivostok"},
            ]
        }
    )

    name: Name
    slug: OptionalSlug = None
    address: Address
    timezone: Timezone
    latitude: LatitudeOrNone = None
    longitude: Longitude | None = None
    phone: Phone | None = None
    email: OrderEmail = None
    is_active: IsActive = True


class ShopPatch(Input):
    """The fields of a shop to change; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"phone": "+74957654321"}, {"is_active": False}]})

    name: Name | MISSING = MISSING
    slug: OptionalSlug | MISSING = MISSING
    address: Address | MISSING = MISSING
    timezone: Timezone | MISSING = MISSING
    latitude: LatitudeOrNone | MISSING = MISSING
    longitude: Longitude | MISSING | None = MISSING
    phone: Phone | MISSING | None = MISSING
    email: OrderEmail | MISSING = MISSING
    is_active: IsActive | MISSING = MISSING


OpensAt = Annotated[
    str, MatchesPattern(f"^{_WALL_TIME}$", "send a time from 00:00 to 23:59"), Field(examples=["08:00"])
]
ClosesAt = Annotated[
    str,
    MatchesPattern(f"^({_WALL_TIME}|24:00)$", "send a time from 00:00 to 24:00"),
    Field(
        description="Up to 24:00. A time before `opens_at` is on the next day. A whole day is 00:00 to 24:00.",
        examples=["22:00"],
    ),
]


SecondsPerSlot = Annotated[int, Field(strict=True, ge=0, le=MAX_SECONDS_PER_SLOT, examples=[1200])]


class IntervalIn(Input):
    """An opening period of the week. A day may have several."""

    weekday: int = Field(strict=True, ge=0, le=6, description="Monday is 0.", examples=[0])
    opens_at: OpensAt
    closes_at: ClosesAt

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        self.interval()
        return self

    def interval(self) -> domain.Interval:
        """Return the interval as a value of the domain."""
        return domain.interval(self.weekday, self.opens_at, self.closes_at)


class HoursIn(Input):
    """The whole week, in the shop's local time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "hours": [
                        {"weekday": 0, "opens_at": "08:00", "closes_at": "22:00"},
                        {"weekday": 4, "opens_at": "08:00", "closes_at": "02:00"},
                        {"weekday": 5, "opens_at": "10:00", "closes_at": "24:00"},
                    ]
                }
            ]
        }
    )

    hours: list[IntervalIn] = Field(
        max_length=7 * MAX_INTERVALS_A_DAY,
        description=f"At most {MAX_INTERVALS_A_DAY} a day, without overlaps. An empty list: never open.",
    )


class IntervalOut(Output):
    """An opening period of the week, in the shop's local time."""

    weekday: int = Field(description="Monday is 0.", examples=[0])
    opens_at: str = Field(examples=["08:00"])
    closes_at: str = Field(description="A time before `opens_at` is on the next day.", examples=["22:00"])


class DayIntervalIn(Input):
    """An opening period of a special day."""

    opens_at: OpensAt
    closes_at: ClosesAt

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        self.interval()
        return self

    def interval(self) -> domain.DayInterval:
        """Return the interval as a value of the domain."""
        return domain.day_interval(self.opens_at, self.closes_at)


def _require_date_format(value: object) -> object:
    """Return the value if it is a date as text.

    Pydantic would also accept seconds since 1970, and times at midnight.
    """
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        return value
    raise ValueError("send a date such as 2026-12-31")


def _plausible_date(day: date) -> date:
    """Return the date; ValueError for years that must be a typing error. Past dates are allowed: GET returns them."""
    if not FIRST_SPECIAL_DAY <= day <= LAST_SPECIAL_DAY:
        raise ValueError(f"send a date from {FIRST_SPECIAL_DAY} to {LAST_SPECIAL_DAY}")
    return day


CalendarDay = Annotated[date, BeforeValidator(_require_date_format)]
SpecialDate = Annotated[
    date,
    BeforeValidator(_require_date_format),
    AfterValidator(_plausible_date),
    Field(description="By the shop's calendar.", examples=["2026-12-31"]),
]


class SpecialDayIn(Input):
    """A date on which the shop has other hours than its week says, or is closed."""

    date: SpecialDate
    is_closed: Flag = Field(default=False, description="Whether it is closed all day; then there are no `hours`.")
    hours: list[DayIntervalIn] = Field(
        default=[],
        max_length=MAX_INTERVALS_A_DAY,
        description="Instead of the hours of its weekday. Hours belong to the date on which they begin, so hours that "
        "began on the evening before and end after midnight stay as they are.",
    )
    takes_orders_ahead: Flag = Field(
        default=True, description="False: orders for this date are taken only from its midnight on."
    )
    note: Annotated[OptionalLine, Field(max_length=200)] = Field(
        default="", description="For everyone to read.", examples=["Happy New Year!"]
    )

    @model_validator(mode="after")
    def _is_closed_or_has_hours(self) -> Self:
        if self.is_closed and self.hours:
            raise ValueError("a closed day has no hours: leave them out, or send is_closed false")
        if not self.is_closed and not self.hours:
            raise ValueError("send the hours of this day, or is_closed true")
        return self

    def special_day(self) -> domain.SpecialDay:
        """Return the special day as a value of the domain."""
        hours = tuple(sorted(each.interval() for each in self.hours))
        return domain.SpecialDay(self.date, hours, takes_orders_ahead=self.takes_orders_ahead, note=self.note)


def _unique_dates(special_days: list[SpecialDayIn]) -> list[SpecialDayIn]:
    if len({each.date for each in special_days}) < len(special_days):
        raise ValueError("send each date once")
    return special_days


class SpecialDaysIn(Input):
    """All special days of a shop."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "special_days": [
                        {
                            "date": "2026-12-31",
                            "hours": [{"opens_at": "10:00", "closes_at": "18:00"}],
                            "takes_orders_ahead": False,
                            "note": "С наступающим!",
                        },
                        {"date": "2027-01-01", "is_closed": True},
                    ]
                }
            ]
        }
    )

    special_days: Annotated[list[SpecialDayIn], AfterValidator(_unique_dates)] = Field(
        max_length=MAX_SPECIAL_DAYS,
        description="Each date once. They replace all special days of the shop. Past dates are allowed.",
    )


class DayIntervalOut(Output):
    """An opening period of a special day, in the shop's local time."""

    opens_at: str = Field(examples=["10:00"])
    closes_at: str = Field(description="A time before `opens_at` is on the next day.", examples=["18:00"])


class SpecialDayOut(Output):
    """A date whose hours replace those of its weekday."""

    date: Annotated[date, Field(examples=["2026-12-31"])]
    is_closed: bool
    hours: list[DayIntervalOut]
    takes_orders_ahead: bool = Field(description="False: orders for this date are taken only from its midnight on.")
    note: str


DelayMinutes = Annotated[
    int,
    Field(
        strict=True,
        ge=MIN_DELAY_MINUTES,
        le=MAX_DELAY_MINUTES,
        description="How much longer orders take at a busy shop. It is required for `busy`, and only allowed there.",
        examples=[10],
    ),
]


class StatusPatch(Input):
    """The status that staff set for their shop. With `state` a new status begins; fields that are left out are null."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"state": "busy", "delay_minutes": 10},
                {"state": "paused"},
                {"state": "open"},
            ]
        }
    )

    state: ShopState | MISSING = Field(
        default=MISSING,
        description="`busy`: orders take `delay_minutes` longer. `paused`: no orders for as soon as possible, and none "
        "for a time before `until`. `open`: neither. Opening hours count in any state.",
    )
    delay_minutes: DelayMinutes | MISSING | None = MISSING
    until: Instant | MISSING | None = Field(
        default=MISSING,
        description="When a busy or paused shop is open again by itself; null: when somebody sets `open`.",
    )


class ShopStatusOut(Output):
    """The present status of the shop, as its staff set it."""

    state: ShopState = Field(
        description="`paused`: no orders for as soon as possible, and none for a time before `until`."
    )
    delay_minutes: int | None = Field(description="How much longer orders take now.", examples=[10])
    until: Instant | None = Field(description="When the shop is open again by itself; null if that isn't known.")


class ShopOut(Output):
    """A shop, with its status and whether it is open at this moment."""

    id: UUID
    slug: str = Field(examples=["arbat"])
    name: str = Field(examples=["Арбат"])
    address: str = Field(examples=["Москва, Арбат, 10"])
    latitude: float | None = Field(examples=[55.751244])
    longitude: float | None = Field(examples=[37.598306])
    phone: str | None = Field(examples=["+74951234567"])
    email: str | None = Field(
        description="Gets a mail for every order. null for those who don't edit shops.",
        examples=["arbat@crema.example.com"],
    )
    timezone: str = Field(examples=["Europe/Moscow"])
    hours: list[IntervalOut]
    special_days: list[SpecialDayOut] = Field(description="In order of their dates, also past ones.")
    is_open: bool = Field(description="Whether it is within its opening hours, whatever its `status` is.")
    opens_at: Instant | None = Field(description="When a closed shop opens next; null if it never does.")
    closes_at: Instant | None = Field(description="When an open shop closes; null if not within a week.")
    status: ShopStatusOut
    is_active: bool
    created_at: Instant
    updated_at: Instant

    @classmethod
    def at(cls, now: datetime, *, shop: Any, schedule: ShopSchedule, **more: Any) -> Self:
        """Return a shop as it is at this moment. `more` are values for fields, also for those of a subclass."""
        hours, state = schedule.hours, schedule.hours.state(now)
        stored = {name: getattr(shop, name) for name in cls.model_fields.keys() - _COMPUTED_FIELDS - more.keys()}
        return cls.model_validate(
            stored
            | more
            | {
                "hours": hours.intervals,
                "special_days": [day for _, day in sorted(hours.special_days.items())],
                "is_open": state.is_open,
                "opens_at": state.opens_at,
                "closes_at": state.closes_at,
                "status": schedule.status.at(now),
            }
        )


class ReplaceShop(ShopIn, Replacement):
    """A shop as a PUT sends it. Its hours are set by a route of their own."""

    shows = ShopOut
    ignored = frozenset({"updated_at", "is_open", "opens_at", "closes_at", "status"})


class ListedShopOut(ShopOut):
    """A shop of a list."""

    distance_m: int | None = Field(
        description="Metres from `near` in a straight line; null without `near`, and for a shop without coordinates.",
        examples=[420],
    )


class CapacityExceptionIn(Input):
    """A period of every week in which slots hold another amount of work."""

    weekday: int = Field(strict=True, ge=0, le=6, description="Monday is 0.", examples=[0])
    begins: OpensAt = Field(alias="from")
    ends: ClosesAt = Field(alias="to", description="Up to 24:00. A time before `from` is on the next day.")
    seconds_per_slot: SecondsPerSlot

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        self.exception()
        return self

    def exception(self) -> domain.CapacityException:
        """Return the exception as a value of the domain."""
        return domain.CapacityException(domain.interval(self.weekday, self.begins, self.ends), self.seconds_per_slot)


class CapacityExceptionOut(Output):
    """A period of every week in which slots hold another amount of work."""

    model_config = ConfigDict(serialize_by_alias=True)

    weekday: int = Field(description="Monday is 0.", examples=[0])
    begins: str = Field(serialization_alias="from", examples=["08:00"])
    ends: str = Field(
        serialization_alias="to", description="A time before `from` is on the next day.", examples=["10:00"]
    )
    seconds_per_slot: int


class CapacityOut(Output):
    """How much work a shop takes."""

    slot_minutes: int = Field(examples=[10])
    seconds_per_slot: int | None = Field(description="Of work in a slot; null: no limit.", examples=[1200])
    exceptions: list[CapacityExceptionOut]
    lead_seconds: int = Field(examples=[120])
    last_order_minutes: int = Field(examples=[0])
    auto_accept: bool

    @classmethod
    def of(cls, shop: Any) -> Self:
        """Return the capacity of a shop's row."""
        exceptions = [(domain.Interval(*span), seconds) for *span, seconds in shop.capacity_exceptions]
        return cls(
            slot_minutes=shop.slot_minutes,
            seconds_per_slot=shop.seconds_per_slot,
            exceptions=[
                CapacityExceptionOut(
                    weekday=span.weekday, begins=span.opens_at, ends=span.closes_at, seconds_per_slot=seconds
                )
                for span, seconds in exceptions
            ],
            lead_seconds=shop.lead_seconds,
            last_order_minutes=shop.last_order_minutes,
            auto_accept=shop.auto_accept,
        )


class ReplaceCapacity(Replacement):
    """How much work a shop takes. Work is counted in seconds: a product's `preparation_seconds` times its quantity."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "slot_minutes": 10,
                    "seconds_per_slot": 1200,
                    "exceptions": [{"weekday": 0, "from": "08:00", "to": "10:00", "seconds_per_slot": 2400}],
                    "lead_seconds": 120,
                    "last_order_minutes": 0,
                    "auto_accept": False,
                }
            ]
        }
    )

    shows = CapacityOut
    ignored = frozenset()

    slot_minutes: Literal[5, 10, 15, 20, 30, 60] = Field(
        DEFAULT_SLOT_MINUTES, description="How long a slot is. Slots begin at full hours of the shop's clock."
    )
    seconds_per_slot: SecondsPerSlot | None = Field(
        None, description="Seconds of work that fit into a slot: two baristas do 1200 in ten minutes. null: no limit."
    )
    exceptions: list[CapacityExceptionIn] = Field(
        default=[],
        max_length=MAX_CAPACITY_EXCEPTIONS,
        description="Periods of the week with another capacity. They begin and end with a slot, and don't overlap.",
    )
    lead_seconds: Annotated[int, Field(strict=True, ge=0, le=86_400)] = Field(
        LEAD_SECONDS, description="The time from placing an order to the start of its first drink."
    )
    last_order_minutes: Annotated[int, Field(strict=True, ge=0, le=1440)] = Field(
        0, description="How many minutes before closing orders for as soon as possible end."
    )
    auto_accept: Flag = Field(default=False, description="Whether orders are accepted as they are placed.")

    def capacity(self) -> domain.Capacity:
        """Return the capacity as a value of the domain."""
        exceptions = tuple(sorted((each.exception() for each in self.exceptions), key=lambda each: each.interval))
        return domain.Capacity(self.slot_minutes, self.seconds_per_slot, exceptions)


class SlotOut(Output):
    """A slot of a shop's day."""

    starts_at: Instant
    ends_at: Instant
    is_available: bool = Field(description="Whether a small order for this slot would be taken.")
    reason: HandoverCode | None = Field(description="Why it is not available.")
    capacity_seconds: int | None = Field(
        description="For the shop's staff: how many seconds of work fit; null: no limit. Always null for others."
    )
    used_seconds: int | None = Field(description="For the shop's staff: how many seconds are booked. null for others.")


class DaySlotsOut(Output):
    """The slots of a day of the shop's calendar."""

    date: Annotated[date, Field(examples=["2026-11-27"])]
    timezone: str = Field(examples=["Europe/Moscow"])
    slots: list[SlotOut]

    @classmethod
    def of(cls, day: Any) -> Self:
        """Return the slots of a day. Only the shop's staff see how much is booked."""
        sees_work = day.is_for_staff
        return cls(
            date=day.date,
            timezone=day.timezone,
            slots=[
                SlotOut(
                    starts_at=each.slot.starts_at,
                    ends_at=each.slot.ends_at,
                    is_available=each.refusal is None,
                    reason=each.refusal,
                    capacity_seconds=each.slot.capacity_seconds if sees_work else None,
                    used_seconds=each.used_seconds if sees_work else None,
                )
                for each in day.slots
            ],
        )


class ContactsOut(Output):
    """How to reach the chain."""

    email: str | None = Field(examples=["hello@crema.example.com"])
    phone: str | None = Field(examples=["+74951234567"])


class InfoOut(Output):
    """Who the chain is, and its shops: what a front end shows before anybody logs in."""

    name: str = Field(examples=["Crema"])
    description: str = Field(examples=["Coffee to take away, ordered ahead."])
    contacts: ContactsOut
    currency: str = Field(description="Of all amounts; ISO 4217.", examples=["RUB"])
    social_links: dict[str, str] = Field(examples=[{"telegram": "https://t.me/crema"}])
    shops: list[ShopOut]

    @classmethod
    def of(cls, chain: Chain, shops: Sequence[bytes]) -> bytes:
        """Return the JSON. `shops` are JSON already."""
        start = cls(
            name=chain.name,
            description=chain.description,
            contacts=ContactsOut.model_validate(chain),
            currency=chain.currency,
            social_links=dict(chain.social_links),
            shops=[],
        ).model_dump_json()
        return start.removesuffix("]}").encode() + b",".join(shops) + b"]}"
