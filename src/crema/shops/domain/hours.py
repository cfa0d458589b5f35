"""Opening hours of a shop, turned from its wall times into instants."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Self
from zoneinfo import ZoneInfo

from crema.shops.domain.week import DAY, Interval, SpecialDay

# An interval is at most a day long, so one that reaches today began yesterday, or the day before where the
# calendar skipped a day.
_LOOK_BACK: Final = 2
# Through tomorrow, which the clock may already have seen before it went back; there is mostly something. Else
# far enough for two days of hours that come once a week, although the calendar skipped one.
_HORIZONS: Final = (2, 23)
# Special days may close the shop for longer than that. What is farther off than two years isn't looked for.
_FARTHEST: Final = 750


_LONGEST_CLOSURE: Final = timedelta(days=21)
"""So far back it is looked for when a shop was open."""


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
    """A shop's week and its special days, in its zone. What it answers are instants in UTC.

    Begins count as open, ends as closed. A special day replaces what begins on its date. What began on the evening
    before and goes on past midnight stays: it is the day before's. Its own hours reach into the next day likewise.

    Where a clock change makes a wall time ambiguous we follow RFC 5545, section 3.3.5: a time that comes twice
    is its first occurrence, a time that is skipped is reckoned with the offset from before the change. So a shop
    that closes at 02:30 closes when its clock shows that for the first time, and does not open again when the
    hour repeats; one that opens at a skipped 02:30 opens at 03:30.
    """

    zone: ZoneInfo
    intervals: tuple[Interval, ...]
    special_days: Mapping[date, SpecialDay] = field(default_factory=dict)

    def local_date(self, at: datetime) -> date:
        """Return the date that the shop's calendar shows at this moment."""
        return at.astimezone(self.zone).date()

    def business_date(self, at: datetime) -> date:
        """Return the day that this moment belongs to: what is open past midnight is still the day before's."""
        today = self.local_date(at)
        yesterday = today - timedelta(days=1)
        is_yesterdays = any(begin <= at < end for begin, end in self._openings_of(yesterday))
        return yesterday if is_yesterdays else today

    def special_day_at(self, at: datetime) -> SpecialDay | None:
        """Return the special day that this moment belongs to, if it does."""
        return self.special_days.get(self.business_date(at))

    def end_of_business_day(self, at: datetime) -> datetime:
        """Return when the hours of this moment's business date that are open now end, or the next midnight."""
        ends = [end for begin, end in self._openings_of(self.business_date(at)) if begin <= at < end]
        return max(ends, default=self.midnight_of(self.local_date(at) + timedelta(days=1)))

    def midnight_of(self, day: date) -> datetime:
        """Return the instant at which this date begins at the shop."""
        return self._instant(day, 0)

    def is_open(self, at: datetime) -> bool:
        """Return whether it is open at this very moment."""
        today = self.local_date(at)
        return any(begin <= at < end for begin, end in self._stretches(today, days_ahead=_HORIZONS[0]))

    def next_opening(self, after: datetime) -> datetime | None:
        """Return when it opens next, strictly after this moment; None if it never closes, or never opens."""
        today = self.local_date(after)
        for days_ahead in self._horizons(today):
            for begin, _ in self._stretches(today, days_ahead=days_ahead):
                if begin > after:
                    return begin
        return None

    def closing_after(self, at: datetime) -> datetime | None:
        """Return when it closes next, strictly after this moment, be it open then or not.

        None if it is open for the whole next week, or never opens.
        """
        today, in_a_week = self.local_date(at), at + timedelta(days=7)
        for days_ahead in self._horizons(today):
            stretches = self._stretches(today, days_ahead=days_ahead)
            if any(begin <= at and end > in_a_week for begin, end in stretches):
                return None
            # One that reaches the horizon may go on past it.
            horizon = self.midnight_of(today + timedelta(days=days_ahead))
            for _, end in stretches:
                if at < end < horizon:
                    return end
        return None

    def drops(self, pickup_at: datetime | None, *, new: Self, now: datetime) -> bool:
        """Return whether an order that these hours allow is closed out by new ones; None is as soon as possible.

        What is late counts as wanted now. A shop that never opens any more closes out every order.
        """
        if not new._opens_from(now):
            return self._opens_from(now)
        at = max(pickup_at or now, now)
        return self.is_open(at) and not new.is_open(at)

    def open_since(self, end: datetime, duration: timedelta) -> datetime | None:
        """Return from when on the shop has been open for `duration` in all, up to `end`; None if that is weeks ago."""
        for begins_at, ends_at in reversed(self.openings_between(end - _LONGEST_CLOSURE, end)):
            closes_at = min(ends_at, end)
            if closes_at - begins_at >= duration:
                return closes_at - duration
            duration -= closes_at - begins_at
        return None

    def openings_between(self, begin: datetime, end: datetime) -> Sequence[tuple[datetime, datetime]]:
        """Return when it is open in a stretch of time, in order. The first may begin and the last end outside it."""
        today = self.local_date(begin)
        days_ahead = (self.local_date(end) - today).days + _HORIZONS[0]
        return [each for each in self._stretches(today, days_ahead=days_ahead) if each[1] > begin and each[0] <= end]

    def state(self, at: datetime) -> OpeningState:
        """Return what the public wants to know."""
        if self.is_open(at):
            return OpeningState(is_open=True, opens_at=None, closes_at=self.closing_after(at))
        return OpeningState(is_open=False, opens_at=self.next_opening(at), closes_at=None)

    def _opens_from(self, now: datetime) -> bool:
        """Return whether it is open now, or ever again."""
        return bool(self.intervals) or self.is_open(now) or self.next_opening(now) is not None

    def _horizons(self, today: date) -> Iterator[int]:
        """Yield how many days ahead to look: little at first, and at last past all special days."""
        yield from _HORIZONS
        if self.special_days:
            past_all = (max(self.special_days) - today).days + _HORIZONS[-1]
            if past_all > _HORIZONS[-1]:
                yield min(past_all, _FARTHEST)

    def _stretches(self, today: date, *, days_ahead: int) -> list[tuple[datetime, datetime]]:
        """List the stretches of opening around this date in order, those that adjoin or overlap made one."""
        days = (today + timedelta(days=offset) for offset in range(-_LOOK_BACK, days_ahead))
        found: list[tuple[datetime, datetime]] = []
        for begin, end in sorted(opening for day in days for opening in self._openings_of(day)):
            if found and begin <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((begin, end))
        return found

    def _openings_of(self, day: date) -> Sequence[tuple[datetime, datetime]]:
        """List what begins on a date of the shop's calendar, if that has it."""
        if not self._happens(day):
            return ()
        special = self.special_days.get(day)
        hours = [each for each in self.intervals if each.weekday == day.weekday()] if special is None else special.hours
        openings = ((self._instant(day, each.opens_minute), self._instant(day, each.closes_minute)) for each in hours)
        # One that opens in a skipped hour and closes right after it doesn't happen.
        return [(begin, end) for begin, end in openings if begin < end]

    def _instant(self, day: date, minute: int) -> datetime:
        wall = datetime.combine(day, time.min) + timedelta(minutes=minute)
        return wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)

    def _happens(self, day: date) -> bool:
        """Return whether the zone's calendar has this day: Apia went from the 29th of December 2011 to the 31st."""
        return self.local_date(self._instant(day, DAY // 2)) == day
