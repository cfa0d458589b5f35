"""Opening hours: a week of local wall time, turned into instants. And who the chain is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final, Self
from zoneinfo import ZoneInfo

from crema.core.errors import InvalidError

DAY: Final = 1440
WEEK: Final = 7 * DAY
MAX_INTERVALS_A_DAY: Final = 10
EARTH_RADIUS_M: Final = 6_371_008.8
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# An interval is at most a day long, so one that reaches today began yesterday, or the day before where the
# calendar skipped a day.
_LOOK_BACK: Final = 2
# Through tomorrow, which the clock may already have seen before it went back; there is mostly something. Else
# far enough for two days of hours that come once a week, although the calendar skipped one.
_HORIZONS: Final = (2, 23)


class OverlappingHoursError(InvalidError):
    """Two intervals of a week share time; Sunday's last may reach into Monday's first."""

    code = "overlapping_hours"
    title = "These opening hours overlap."
    advice = "Correct the intervals that the detail names."


class TooManyIntervalsError(InvalidError):
    """More intervals on one day than anybody needs."""

    code = "too_many_intervals"
    title = f"A day has at most {MAX_INTERVALS_A_DAY} intervals."
    advice = "Send fewer for that day."


class IncompleteCoordinatesError(InvalidError):
    """Only one of the two was given."""

    code = "incomplete_coordinates"
    title = "Only one of latitude and longitude is given."
    advice = "Send both, or neither."


@dataclass(frozen=True, slots=True)
class Chain:
    """Who the chain is, for everyone to see."""

    name: str
    description: str
    email: str | None
    phone: str | None
    social_links: Mapping[str, str]
    currency: str


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the map, in degrees."""

    latitude: Decimal
    longitude: Decimal


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
        return _wall_time(self.closes_minute if self.closes_minute <= DAY else self.closes_minute - DAY)

    @property
    def week_minutes(self) -> tuple[int, int]:
        """Begin and end in minutes from Monday's midnight; the end may pass the week's."""
        midnight = self.weekday * DAY
        return midnight + self.opens_minute, midnight + self.closes_minute

    def __str__(self) -> str:
        return f"{WEEKDAYS[self.weekday]} {self.opens_at}-{self.closes_at}"


def _wall_time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def interval(weekday: int, opens_at: str, closes_at: str) -> Interval:
    """Read wall times as people write them: closing at or before opening means the next day.

    ValueError where they are equal: a whole day is 00:00-24:00.
    """
    opens, closes = (int(wall[:2]) * 60 + int(wall[3:]) for wall in (opens_at, closes_at))
    if opens == closes:
        raise ValueError("opens and closes at the same time; a whole day is 00:00 to 24:00")
    return Interval(weekday, opens, closes if closes > opens else closes + DAY)


def check_week(intervals: Sequence[Interval]) -> None:
    """Refuse too many intervals on a day, and two that overlap."""
    if any(count > MAX_INTERVALS_A_DAY for count in Counter(each.weekday for each in intervals).values()):
        raise TooManyIntervalsError
    ordered = sorted(intervals)
    for earlier, later in pairwise(ordered):
        if later.week_minutes[0] < earlier.week_minutes[1]:
            raise OverlappingHoursError(f"{earlier} and {later} overlap.")
    if ordered and ordered[-1].week_minutes[1] - WEEK > ordered[0].week_minutes[0]:
        raise OverlappingHoursError(f"{ordered[-1]} and {ordered[0]} overlap.")


def check_coordinates(latitude: object | None, longitude: object | None) -> None:
    """Refuse half a place."""
    if (latitude is None) != (longitude is None):
        raise IncompleteCoordinatesError


@dataclass(frozen=True, slots=True)
class OpeningState:
    """How a shop stands at a moment: closed until `opens_at`, or open until `closes_at`.

    Both None: closed for good, or open for the whole next week.
    """

    is_open: bool
    opens_at: datetime | None
    closes_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """A shop's week in its zone. What it answers are instants in UTC; begins count as open, ends as closed.

    Where a clock change makes a wall time ambiguous we follow RFC 5545, section 3.3.5: a time that comes twice
    is its first occurrence, a time that is skipped is reckoned with the offset from before the change. So a shop
    that closes at 02:30 closes when its clock shows that for the first time, and does not open again when the
    hour repeats; one that opens at a skipped 02:30 opens at 03:30.
    """

    zone: ZoneInfo
    intervals: tuple[Interval, ...]

    def business_date(self, at: datetime) -> date:
        """Give the day of the shop that this moment belongs to: what is open past midnight is still the day before."""
        today = self._local_date(at)
        yesterday = today - timedelta(days=1)
        is_yesterdays = any(
            self._instant(yesterday, each.opens_minute) <= at < self._instant(yesterday, each.closes_minute)
            for each in self.intervals
            if each.weekday == yesterday.weekday() and self._happens(yesterday)
        )
        return yesterday if is_yesterdays else today

    def _local_date(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()

    def is_open(self, at: datetime) -> bool:
        """Whether it is open at this very moment."""
        return any(begin <= at < end for begin, end in self._stretches(at, days_ahead=_HORIZONS[0]))

    def next_opening(self, after: datetime) -> datetime | None:
        """Find when it opens next, strictly after this moment; None if it never closes, or never opens."""
        for days_ahead in _HORIZONS:
            for begin, _ in self._stretches(after, days_ahead=days_ahead):
                if begin > after:
                    return begin
        return None

    def closing_after(self, at: datetime) -> datetime | None:
        """Find when it closes next, strictly after this moment, be it open then or not.

        None if it is open for the whole next week, or never opens.
        """
        for days_ahead in _HORIZONS:
            # The last stretch isn't considered: it may go on past the horizon.
            for (begin, end), _ in pairwise(self._stretches(at, days_ahead=days_ahead)):
                if end > at:
                    return None if begin <= at and end - at > timedelta(days=7) else end
        return None

    def drops(self, pickup_at: datetime | None, *, new: Self, now: datetime) -> bool:
        """Whether an order that these hours allow is closed out by new ones; None is as soon as possible.

        What is late counts as wanted now. A shop that never opens any more closes out every order.
        """
        if not new.intervals:
            return bool(self.intervals)
        at = max(pickup_at or now, now)
        return self.is_open(at) and not new.is_open(at)

    def state(self, at: datetime) -> OpeningState:
        """Tell the public what it wants to know."""
        if self.is_open(at):
            return OpeningState(is_open=True, opens_at=None, closes_at=self.closing_after(at))
        return OpeningState(is_open=False, opens_at=self.next_opening(at), closes_at=None)

    def _stretches(self, at: datetime, *, days_ahead: int) -> list[tuple[datetime, datetime]]:
        """List the stretches of opening around `at` in order, those that adjoin or overlap made one."""
        today = self._local_date(at)
        found: list[tuple[datetime, datetime]] = []
        for begin, end in sorted(
            (self._instant(day, each.opens_minute), self._instant(day, each.closes_minute))
            for day in (today + timedelta(days=offset) for offset in range(-_LOOK_BACK, days_ahead))
            if self._happens(day)
            for each in self.intervals
            if each.weekday == day.weekday()
        ):
            if begin >= end:  # opens in a skipped hour, closes right after it
                continue
            if found and begin <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((begin, end))
        return found

    def _instant(self, day: date, minute: int) -> datetime:
        wall = datetime.combine(day, time.min) + timedelta(minutes=minute)
        return wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)

    def _happens(self, day: date) -> bool:
        """Whether the zone's calendar has this day: Apia went from the 29th of December 2011 to the 31st."""
        return self._local_date(self._instant(day, DAY // 2)) == day
