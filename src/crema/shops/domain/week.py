"""A shop's opening hours as they are written: a week of wall times, and dates that have hours of their own."""

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
"""Of one shop; past ones count until they are left out."""
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class OverlappingHoursError(InvalidError):
    """Two intervals of a week, or of the special days, share time; Sunday's last may reach into Monday's first."""

    code = "overlapping_hours"
    title = "These opening hours overlap."


class TooManyIntervalsError(InvalidError):
    """More intervals on one day than anybody needs."""

    code = "too_many_intervals"
    title = f"A day takes at most {MAX_INTERVALS_A_DAY} intervals."


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """One stretch of a week, in minutes from midnight of `weekday` (Monday is 0).

    `closes_minute` passes 1440 where the shop closes after midnight.
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
        """Begin and end in minutes from Monday's midnight; the end may pass the week's."""
        midnight = self.weekday * DAY
        return midnight + self.opens_minute, midnight + self.closes_minute

    def __str__(self) -> str:
        return f"{WEEKDAYS[self.weekday]} {self.opens_at}-{self.closes_at}"


@dataclass(frozen=True, slots=True, order=True)
class DayInterval:
    """One stretch of a single day, in minutes from its midnight, as `Interval` is of a weekday."""

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
    """A date with hours of its own, which replace those of its weekday; without any the shop is closed.

    Hours belong to the date on which they begin, wherever they end. `takes_orders_ahead`: False if orders for this
    date are taken only from its midnight on.
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
    """Read wall times as people write them: closing at or before opening means the next day.

    ValueError where they are equal: a whole day is 00:00-24:00.
    """
    return Interval(weekday, *_minutes(opens_at, closes_at))


def day_interval(opens_at: str, closes_at: str) -> DayInterval:
    """Read wall times of a single day, as `interval` does."""
    return DayInterval(*_minutes(opens_at, closes_at))


def _minutes(opens_at: str, closes_at: str) -> tuple[int, int]:
    opens, closes = (int(wall[:2]) * 60 + int(wall[3:]) for wall in (opens_at, closes_at))
    if opens == closes:
        raise ValueError("opens and closes at the same time; a whole day is 00:00 to 24:00")
    return opens, closes if closes > opens else closes + DAY


def check_week(intervals: Sequence[Interval]) -> None:
    """Refuse too many intervals on a day, and two that overlap."""
    _check_number(each.weekday for each in intervals)
    ordered = sorted(intervals)
    for earlier, later in pairwise(ordered):
        if later.week_minutes[0] < earlier.week_minutes[1]:
            raise OverlappingHoursError(f"{earlier} and {later} overlap.")
    if ordered and ordered[-1].week_minutes[1] - WEEK > ordered[0].week_minutes[0]:
        raise OverlappingHoursError(f"{ordered[-1]} and {ordered[0]} overlap.")


def check_special_days(special_days: Sequence[SpecialDay]) -> None:
    """Refuse too many intervals on a date, and two that overlap, of one date or of two.

    What reaches into a day of the week isn't compared: there the shop is simply open, and the week may change later.
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
