"""Opening hours of pure tests: written as people write them, or drawn at random."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from crema.shops import domain
from crema.shops.domain import (
    DayInterval,
    Interval,
    OpeningHours,
    OverlappingHoursError,
    SpecialDay,
    day_interval,
    interval,
)

Specials = Mapping[str, tuple[tuple[str, str], ...]]

# Days around which clocks or calendars change, and some around which nothing does.
WINDOWS = [
    ("Europe/Berlin", date(2027, 3, 28)),
    ("Europe/Berlin", date(2027, 10, 31)),
    ("Europe/London", date(2027, 3, 28)),
    ("Europe/Lisbon", date(2027, 10, 31)),
    ("America/New_York", date(2027, 3, 14)),
    ("America/New_York", date(2027, 11, 7)),
    ("Asia/Kathmandu", date(2026, 11, 23)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("Europe/Moscow", date(2014, 10, 26)),
    ("Asia/Yekaterinburg", date(2011, 3, 27)),
    ("Australia/Lord_Howe", date(2027, 4, 4)),  # goes back by half an hour
    ("America/St_Johns", date(2006, 10, 29)),  # at 00:01, into the day before
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(zone: str, *intervals: tuple[int, str, str], special: Specials | None = None) -> OpeningHours:
    """Read a week, and dates with hours of their own: {"2026-12-31": (("10:00", "18:00"),)}; () is closed."""
    days = [
        SpecialDay(date.fromisoformat(day), tuple(day_interval(*each) for each in written))
        for day, written in (special or {}).items()
    ]
    return OpeningHours(ZoneInfo(zone), tuple(interval(*each) for each in intervals), {day.date: day for day in days})


def daily(zone: str, opens_at: str, closes_at: str, special: Specials | None = None) -> OpeningHours:
    return hours(zone, *((weekday, opens_at, closes_at) for weekday in range(7)), special=special)


# With a liking for the small hours, where clocks change.
_MINUTE = st.one_of(st.integers(0, 1439), st.sampled_from([0, 60, 90, 119, 120, 121, 150, 179, 180, 210, 240]))
_LENGTH = st.one_of(st.integers(1, 1440), st.sampled_from([1, 29, 30, 60, 1440]))


@st.composite
def weeks(draw: st.DrawFn) -> list[Interval]:
    """Draw any valid week."""
    chosen: list[Interval] = []
    for weekday, opens, lasts in draw(st.lists(st.tuples(st.integers(0, 6), _MINUTE, _LENGTH), max_size=9)):
        candidate = Interval(weekday, opens, opens + lasts)
        try:
            domain.check_week([*chosen, candidate])
        except OverlappingHoursError:
            continue
        chosen.append(candidate)
    return chosen


@st.composite
def special_days(draw: st.DrawFn, around: date) -> dict[date, SpecialDay]:
    """Draw valid special days within a few days of this one."""
    chosen: dict[date, SpecialDay] = {}
    for offset, stretches, takes_orders_ahead in draw(
        st.lists(
            st.tuples(st.integers(-4, 4), st.lists(st.tuples(_MINUTE, _LENGTH), max_size=2), st.booleans()), max_size=4
        )
    ):
        day = around + timedelta(days=offset)
        taken = tuple(sorted(DayInterval(opens, opens + lasts) for opens, lasts in stretches))
        candidate = chosen | {day: SpecialDay(day, taken, takes_orders_ahead=takes_orders_ahead)}
        try:
            domain.check_special_days([*candidate.values()])
        except OverlappingHoursError:
            continue
        chosen = candidate
    return chosen
