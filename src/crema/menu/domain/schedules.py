"""When something is sold: periods of a shop's local week, which may be limited to some dates."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

DAY: Final = 1440
_ONE_DAY: Final = timedelta(days=1)
# A window is at most a day long. So one that reaches today began yesterday, or the day before if the zone's calendar
# skipped a day.
_LOOK_BACK: Final = 2
# Between dates that begin or end a window, everything repeats after a week; one day more for a skipped day.
_LOOK_AHEAD: Final = 8


@dataclass(frozen=True, slots=True)
class Window:
    """A period of some days of the week (Monday is 0), in minutes from midnight.

    `to_minute` is more than 1440 if it ends after midnight. Days before `starts_on` or after `ends_on` don't have it.
    """

    weekdays: tuple[int, ...]
    from_minute: int
    to_minute: int
    starts_on: date | None = None
    ends_on: date | None = None

    def begins_on(self, day: date) -> bool:
        """Return whether it begins on this day."""
        return (
            day.weekday() in self.weekdays
            and (self.starts_on is None or self.starts_on <= day)
            and (self.ends_on is None or day <= self.ends_on)
        )


def parse_window(written: Mapping[str, Any]) -> Window:
    """Return the window of an object with `weekdays`, wall times `from` and `to`, dates `starts_on` and `ends_on`.

    A window whose end is before its begin ends on the next day. Raises ValueError if both are the same time (a whole
    day is 00:00-24:00), and if `ends_on` is before `starts_on`.
    """
    begin, end = (int(wall[:2]) * 60 + int(wall[3:]) for wall in (written["from"], written["to"]))
    if begin == end:
        raise ValueError("begins and ends at the same time; a whole day is 00:00 to 24:00")
    first, last = (date.fromisoformat(day) if day else None for day in (written["starts_on"], written["ends_on"]))
    if first and last and last < first:
        raise ValueError("ends_on is before starts_on")
    return Window(tuple(sorted(written["weekdays"])), begin, end if end > begin else end + DAY, first, last)


Schedule: TypeAlias = tuple[Window, ...]
"""Something is sold during any of these windows; always if there are none."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """When a product is sold: as its own schedule allows, and as one of its categories and all above that one allow.

    `category_schedules` has, for each category, the schedules on the path from it to the root. It is empty if some
    category has no schedule on its path.
    """

    own: Schedule = ()
    category_schedules: tuple[tuple[Schedule, ...], ...] = ()

    def allows(self, at: datetime, zone: ZoneInfo) -> bool:
        """Return whether the product is sold at this moment in this zone."""
        if not _is_within(self.own, at, zone):
            return False
        return not self.category_schedules or any(
            all(_is_within(schedule, at, zone) for schedule in path) for path in self.category_schedules
        )

    def next_change(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        """Return when sale begins or ends next, strictly after a moment; None: never."""
        is_allowed = self.allows(after, zone)
        moments = sorted({each for each in self._boundaries(after, zone) if each > after})
        return next((each for each in moments if self.allows(each, zone) != is_allowed), None)

    def _boundaries(self, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield begins and ends of windows, around a moment and around every later date with which a window begins.

        Between these dates everything repeats weekly.
        """
        windows = [window for schedule in self._schedules() for window in schedule]
        today = after.astimezone(zone).date()
        dates = {today, *(each.starts_on for each in windows if each.starts_on and each.starts_on > today)}
        days = {first + offset * _ONE_DAY for first in dates for offset in range(-_LOOK_BACK, _LOOK_AHEAD + 1)}
        for day in days:
            for window in windows:
                if window.begins_on(day):
                    yield instant(day, window.from_minute, zone)
                    yield instant(day, window.to_minute, zone)

    def _schedules(self) -> Iterable[Schedule]:
        yield self.own
        for path in self.category_schedules:
            yield from path


ALWAYS: Final = Timetable()


def _is_within(schedule: Schedule, at: datetime, zone: ZoneInfo) -> bool:
    if not schedule:
        return True
    today = at.astimezone(zone).date()
    return any(
        instant(day, window.from_minute, zone) <= at < instant(day, window.to_minute, zone)
        for day in (today - offset * _ONE_DAY for offset in range(_LOOK_BACK + 1))
        for window in schedule
        if window.begins_on(day)
    )


def instant(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """Return the moment of a wall time; if the time comes twice, the first (RFC 5545, section 3.3.5)."""
    wall = datetime.combine(day, time.min) + timedelta(minutes=minute)
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
