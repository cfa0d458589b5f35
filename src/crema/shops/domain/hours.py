"""Opening hours of a shop, converted from local times to instants."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Self
from zoneinfo import ZoneInfo

from crema.shops.domain.week import DAY, Interval, SpecialDay

# An interval is at most a day long. So one that reaches today began yesterday, or the day before if the zone's
# calendar skipped a day.
_LOOK_BACK: Final = 2
# How many days ahead to look. Until tomorrow at first, where something is mostly found. Then far enough to find two
# openings of a shop that opens once a week, even if the calendar skips one between them.
_HORIZONS: Final = (2, 23)
# Special days may close the shop for longer than that. An opening more than two years ahead isn't looked for.
_FARTHEST: Final = 750


_LONGEST_CLOSURE: Final = timedelta(days=21)
"""How far back to look for opening hours."""


@dataclass(frozen=True, slots=True)
class OpeningState:
    """Whether a shop is open at a moment, and until when: closed until `opens_at`, or open until `closes_at`.

    If both are None, it never opens again, or it is open for the whole next week.
    """

    is_open: bool
    opens_at: datetime | None
    closes_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """A shop's week and its special days, in its zone. Methods return instants in UTC.

    The shop is open at the begin of an interval, and closed at its end. A special day replaces the intervals that begin
    on its date. An interval that began on the evening before and ends after midnight stays, because it belongs to the
    day before. In the same way, a special day's own hours may reach into the next day.

    If a clock change makes a local time ambiguous, RFC 5545, section 3.3.5, counts: a time that comes twice is its
    first occurrence, and a time that is skipped is computed with the offset before the change. So a shop that closes at
    02:30 closes when its clock shows 02:30 for the first time, and doesn't open again when the hour repeats. One that
    opens at a skipped 02:30 opens at 03:30.
    """

    zone: ZoneInfo
    intervals: tuple[Interval, ...]
    special_days: Mapping[date, SpecialDay] = field(default_factory=dict)

    def local_date(self, at: datetime) -> date:
        """Return the date that the shop's calendar shows at this moment."""
        return at.astimezone(self.zone).date()

    def business_date(self, at: datetime) -> date:
        """Return the day to which this moment belongs. Opening hours after midnight belong to the day before."""
        today = self.local_date(at)
        yesterday = today - timedelta(days=1)
        is_yesterdays = any(begin <= at < end for begin, end in self._openings_of(yesterday))
        return yesterday if is_yesterdays else today

    def special_day_at(self, at: datetime) -> SpecialDay | None:
        """Return the special day to which this moment belongs; None if it belongs to none."""
        return self.special_days.get(self.business_date(at))

    def end_of_business_day(self, at: datetime) -> datetime:
        """Return when the present opening hours of this moment's business date end; the next midnight if closed."""
        ends = [end for begin, end in self._openings_of(self.business_date(at)) if begin <= at < end]
        return max(ends, default=self.midnight_of(self.local_date(at) + timedelta(days=1)))

    def midnight_of(self, day: date) -> datetime:
        """Return the instant at which this date begins at the shop."""
        return self._instant(day, 0)

    def is_open(self, at: datetime) -> bool:
        """Return whether it is open at this moment."""
        today = self.local_date(at)
        return any(begin <= at < end for begin, end in self._open_periods(today, days_ahead=_HORIZONS[0]))

    def next_opening(self, after: datetime) -> datetime | None:
        """Return when it opens next, strictly after this moment; None if it never closes, or never opens."""
        today = self.local_date(after)
        for days_ahead in self._horizons(today):
            for begin, _ in self._open_periods(today, days_ahead=days_ahead):
                if begin > after:
                    return begin
        return None

    def closing_after(self, at: datetime) -> datetime | None:
        """Return when it closes next, strictly after this moment, whether it is open at this moment or not.

        None if it is open for the whole next week, or never opens.
        """
        today, in_a_week = self.local_date(at), at + timedelta(days=7)
        for days_ahead in self._horizons(today):
            periods = self._open_periods(today, days_ahead=days_ahead)
            if any(begin <= at and end > in_a_week for begin, end in periods):
                return None
            # An interval that reaches the horizon may be continued after it.
            horizon = self.midnight_of(today + timedelta(days=days_ahead))
            for _, end in periods:
                if at < end < horizon:
                    return end
        return None

    def closes_out(self, pickup_at: datetime | None, *, new: Self, now: datetime) -> bool:
        """Return whether the shop is open at a pick-up time by these hours, and closed by the new ones.

        A `pickup_at` of None is as soon as possible. A pick-up time that has passed counts as now. If the shop never
        opens again by the new hours, this is true for every pick-up time.
        """
        if not new._opens_from(now):
            return self._opens_from(now)
        at = max(pickup_at or now, now)
        return self.is_open(at) and not new.is_open(at)

    def open_since(self, end: datetime, duration: timedelta) -> datetime | None:
        """Return the moment since which the shop has been open for `duration` in total, up to `end`.

        None if that is longer ago than `_LONGEST_CLOSURE`.
        """
        for begins_at, ends_at in reversed(self.openings_between(end - _LONGEST_CLOSURE, end)):
            closes_at = min(ends_at, end)
            if closes_at - begins_at >= duration:
                return closes_at - duration
            duration -= closes_at - begins_at
        return None

    def openings_between(self, begin: datetime, end: datetime) -> Sequence[tuple[datetime, datetime]]:
        """Return the opening periods between two moments, in order. The first may begin before, the last end after."""
        today = self.local_date(begin)
        days_ahead = (self.local_date(end) - today).days + _HORIZONS[0]
        return [each for each in self._open_periods(today, days_ahead=days_ahead) if each[1] > begin and each[0] <= end]

    def state(self, at: datetime) -> OpeningState:
        """Return whether it is open at this moment, and until when."""
        if self.is_open(at):
            return OpeningState(is_open=True, opens_at=None, closes_at=self.closing_after(at))
        return OpeningState(is_open=False, opens_at=self.next_opening(at), closes_at=None)

    def _opens_from(self, now: datetime) -> bool:
        """Return whether it is open now, or ever again."""
        return bool(self.intervals) or self.is_open(now) or self.next_opening(now) is not None

    def _horizons(self, today: date) -> Iterator[int]:
        """Yield how many days ahead to look: first few, and at last beyond all special days."""
        yield from _HORIZONS
        if self.special_days:
            days_to_last = (max(self.special_days) - today).days + _HORIZONS[-1]
            if days_to_last > _HORIZONS[-1]:
                yield min(days_to_last, _FARTHEST)

    def _open_periods(self, today: date, *, days_ahead: int) -> list[tuple[datetime, datetime]]:
        """Return the opening periods around this date in order. Periods that adjoin or overlap are merged."""
        days = (today + timedelta(days=offset) for offset in range(-_LOOK_BACK, days_ahead))
        found: list[tuple[datetime, datetime]] = []
        for begin, end in sorted(opening for day in days for opening in self._openings_of(day)):
            if found and begin <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((begin, end))
        return found

    def _openings_of(self, day: date) -> Sequence[tuple[datetime, datetime]]:
        """Return the opening periods that begin on a date; none if the zone's calendar skipped the date."""
        if not self._exists_in_zone(day):
            return ()
        special = self.special_days.get(day)
        hours = [each for each in self.intervals if each.weekday == day.weekday()] if special is None else special.hours
        openings = ((self._instant(day, each.opens_minute), self._instant(day, each.closes_minute)) for each in hours)
        # If both ends are in an hour that the clock skips, no time is left.
        return [(begin, end) for begin, end in openings if begin < end]

    def _instant(self, day: date, minute: int) -> datetime:
        wall = datetime.combine(day, time.min) + timedelta(minutes=minute)
        return wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)

    def _exists_in_zone(self, day: date) -> bool:
        """Return whether the zone's calendar has this day: Apia went from the 29th of December 2011 to the 31st."""
        return self.local_date(self._instant(day, DAY // 2)) == day
