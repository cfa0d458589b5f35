"""A shop's opening hours in its local time: those of a week, and those of special days."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from crema.core.errors import InvalidError

DAY: Final = 1440
WEEK: Final = 7 * DAY
MAX_INTERVALS_A_DAY: Final = 10
MAX_SPECIAL_DAYS: Final = 100
"""How many special days a shop may have, including past ones."""
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class OverlappingHoursError(InvalidError):
    """Two intervals of a week, or of special days, overlap. Sunday's last interval may overlap Monday's first."""

    code = "overlapping_hours"
    title = "These opening hours overlap."
    advice = "Correct the intervals that the detail names."


class TooManyIntervalsError(InvalidError):
    """A day has more intervals than are allowed."""

    code = "too_many_intervals"
    title = f"A day has at most {MAX_INTERVALS_A_DAY} intervals."
    advice = "Send fewer intervals for that day."


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """An opening period of a week, in minutes from midnight of `weekday` (Monday is 0).

    `closes_minute` is more than 1440 if the shop closes after midnight.
    """

    weekday: int
    opens_minute: int
    closes_minute: int

    @property
    def opens_at(self) -> str:
        """Wall time, HH:MM."""
        return _wall_time(self.opens_minute)

    @property
    def closes_at(self) -> str:
        """Wall time, HH:MM; at or before `opens_at` it is the next day's. Midnight is 24:00."""
        return _closing_time(self.closes_minute)

    @property
    def week_minutes(self) -> tuple[int, int]:
        """Begin and end in minutes from Monday's midnight. The end may be in the next week."""
        midnight = self.weekday * DAY
        return midnight + self.opens_minute, midnight + self.closes_minute

    def __str__(self) -> str:
        return f"{WEEKDAYS[self.weekday]} {self.opens_at}-{self.closes_at}"


@dataclass(frozen=True, slots=True, order=True)
class DayInterval:
    """An opening period of a single date, in minutes from its midnight, as in `Interval`."""

    opens_minute: int
    closes_minute: int

    @property
    def opens_at(self) -> str:
        """Wall time, HH:MM."""
        return _wall_time(self.opens_minute)

    @property
    def closes_at(self) -> str:
        """Wall time, HH:MM; at or before `opens_at` it is the next day's. Midnight is 24:00."""
        return _closing_time(self.closes_minute)


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A date whose hours replace those of its weekday; without any hours the shop is closed.

    Hours belong to the date on which they begin. `takes_orders_ahead` is False if orders for this date are taken only
    from its midnight on.
    """

    date: date
    hours: tuple[DayInterval, ...] = ()
    takes_orders_ahead: bool = True
    note: str = ""

    @property
    def is_closed(self) -> bool:
        """Whether the shop doesn't open on this date."""
        return not self.hours


def _wall_time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _closing_time(minute: int) -> str:
    return _wall_time(minute if minute <= DAY else minute - DAY)


def interval(weekday: int, opens_at: str, closes_at: str) -> Interval:
    """Return the interval between two wall times HH:MM. A closing time before the opening time is on the next day.

    Raises ValueError if they are equal; a whole day is 00:00-24:00.
    """
    return Interval(weekday, *_minutes(opens_at, closes_at))


def day_interval(opens_at: str, closes_at: str) -> DayInterval:
    """Return the interval between two wall times of a single date, as `interval` does."""
    return DayInterval(*_minutes(opens_at, closes_at))


def _minutes(opens_at: str, closes_at: str) -> tuple[int, int]:
    opens, closes = (int(wall[:2]) * 60 + int(wall[3:]) for wall in (opens_at, closes_at))
    if opens == closes:
        raise ValueError("opens and closes at the same time; a whole day is 00:00 to 24:00")
    return opens, closes if closes > opens else closes + DAY


def check_week(intervals: Sequence[Interval]) -> None:
    """Raise an error for too many intervals on a day, and for two that overlap."""
    _check_number(each.weekday for each in intervals)
    ordered = sorted(intervals)
    for earlier, later in pairwise(ordered):
        if later.week_minutes[0] < earlier.week_minutes[1]:
            raise OverlappingHoursError(f"{earlier} and {later} overlap.")
    if ordered and ordered[-1].week_minutes[1] - WEEK > ordered[0].week_minutes[0]:
        raise OverlappingHoursError(f"{ordered[-1]} and {ordered[0]} overlap.")


def check_special_days(special_days: Sequence[SpecialDay]) -> None:
    """Raise an error for too many intervals on a date, and for two that overlap, of one date or of two.

    Overlaps with intervals of the week are allowed: the shop is open then, and the week may change later.
    """
    intervals = sorted((day.date, each) for day in special_days for each in day.hours)
    _check_number(day for day, _ in intervals)
    for (day, earlier), (next_day, later) in pairwise(intervals):
        if (next_day - day).days * DAY + later.opens_minute < earlier.closes_minute:
            raise OverlappingHoursError(f"{_dated(day, earlier)} and {_dated(next_day, later)} overlap.")


def _check_number(days: Iterable[object]) -> None:
    if any(count > MAX_INTERVALS_A_DAY for count in Counter(days).values()):
        raise TooManyIntervalsError


def _dated(day: date, hours: DayInterval) -> str:
    return f"{day} {hours.opens_at}-{hours.closes_at}"
