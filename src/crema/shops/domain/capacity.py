"""How much work a shop can do: slots of its local time, and how many seconds of work fit into each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from crema.core.errors import InvalidError
from crema.shops.domain.week import WEEK, Interval

SLOT_MINUTES: Final = (5, 10, 15, 20, 30, 60)
"""Lengths that slots may have. Each divides an hour, so that slots begin at the same minutes of every hour."""
LONGEST_SLOT: Final = timedelta(minutes=max(SLOT_MINUTES))
DEFAULT_SLOT_MINUTES: Final = 10
MAX_SECONDS_PER_SLOT: Final = 100_000
MAX_CAPACITY_EXCEPTIONS: Final = 70
_SECOND: Final = timedelta(seconds=1)


class InvalidCapacityError(InvalidError):
    """Exceptions that overlap, or that don't begin and end with a slot. `errors` names the first that is wrong."""

    code = "invalid_capacity"
    title = "The exceptions overlap, or don't begin and end with a slot."
    advice = "Change the exception that `errors` names."

    def __init__(self, index: int, message: str) -> None:
        errors = [{"loc": ["body", "exceptions", index], "msg": message, "type": self.code}]
        super().__init__(f"exceptions[{index}] {message}.", errors=errors)


@dataclass(frozen=True, slots=True)
class CapacityException:
    """A period of every week in which slots hold another amount of work than usual."""

    interval: Interval
    seconds_per_slot: int

    def holds_at(self, week_minute: int) -> bool:
        """Return whether it holds at this minute from Monday's midnight."""
        begin, end = self.interval.week_minutes
        return begin <= week_minute < end or begin <= week_minute + WEEK < end


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many seconds of work fit into a slot, as the shop's managers set it; None is no limit."""

    slot_minutes: int = DEFAULT_SLOT_MINUTES
    seconds_per_slot: int | None = None
    exceptions: tuple[CapacityException, ...] = ()

    @property
    def is_limited(self) -> bool:
        """Whether there is any time in which work is limited."""
        return self.seconds_per_slot is not None or bool(self.exceptions)

    @property
    def slot_length(self) -> timedelta:
        """How long a slot lasts."""
        return timedelta(minutes=self.slot_minutes)

    def seconds_at(self, wall: datetime) -> int | None:
        """Return how many seconds of work a whole slot holds that begins at this wall time."""
        minute = wall.weekday() * 1440 + wall.hour * 60 + wall.minute
        return next((each.seconds_per_slot for each in self.exceptions if each.holds_at(minute)), self.seconds_per_slot)


def check_capacity(capacity: Capacity) -> None:
    """Raise InvalidCapacityError for exceptions that don't begin and end with a slot, or that overlap."""
    periods = sorted((each.interval.week_minutes, index) for index, each in enumerate(capacity.exceptions))
    for (begin, end), index in periods:
        if begin % capacity.slot_minutes or end % capacity.slot_minutes:
            raise InvalidCapacityError(index, f"must begin and end with a slot of {capacity.slot_minutes} minutes")
    for ((_, end), _), ((begin, _), index) in pairwise(periods):
        if begin < end:
            raise InvalidCapacityError(index, "overlaps another one")
    if periods and periods[-1][0][1] - WEEK > periods[0][0][0]:
        raise InvalidCapacityError(periods[0][1], "overlaps another one")


@dataclass(frozen=True, slots=True)
class Slot:
    """A period of time into which work is booked.

    `openings` are the parts of it in which the shop is open. A whole slot, which lasts `length`, holds
    `seconds_per_slot` of work; None is no limit.
    """

    starts_at: datetime
    ends_at: datetime
    length: timedelta
    seconds_per_slot: int | None
    openings: tuple[tuple[datetime, datetime], ...]

    def capacity_from(self, start: datetime) -> int | None:
        """Return how many seconds of work fit into what is open of it from `start` on; None is no limit."""
        if self.seconds_per_slot is None:
            return None
        left = sum(((end - max(begin, start)) for begin, end in self.openings if end > start), timedelta())
        return int(self.seconds_per_slot * left / self.length)

    @property
    def capacity_seconds(self) -> int | None:
        """How many seconds of work it holds; None is no limit."""
        return self.capacity_from(self.starts_at)

    def filled_at(self, used_seconds: int, *, start: datetime) -> datetime:
        """Return when so much work is done if it is begun at `start`, or as soon as the shop opens in this slot.

        Without a limit it is done by one barista.
        """
        opens_at = next((max(begin, start) for begin, end in self.openings if end > start), self.ends_at)
        if self.seconds_per_slot is None:
            return opens_at + timedelta(seconds=used_seconds)
        return min(opens_at + self.length * used_seconds / max(1, self.seconds_per_slot), self.ends_at)


@dataclass(frozen=True, slots=True)
class SlotBooking:
    """Seconds of work of one order in the slot that starts then, which may hold `limit` seconds after the booking."""

    starts_at: datetime
    seconds: int
    limit: int


@dataclass(frozen=True, slots=True)
class SlotGrid:
    """The slots of a shop's local wall time. They follow each other without gaps; `openings` are when the shop is open.

    Where the clock changes by less than a slot, the change cuts a slot in two.
    """

    zone: ZoneInfo
    capacity: Capacity
    openings: Sequence[tuple[datetime, datetime]]

    def slot_at(self, at: datetime) -> Slot:
        """Return the slot that contains a moment, which is in UTC."""
        length = self.capacity.slot_length
        wall = at.astimezone(self.zone)
        since_midnight = timedelta(
            hours=wall.hour, minutes=wall.minute, seconds=wall.second, microseconds=wall.microsecond
        )
        starts_at = at - since_midnight % length
        ends_at = starts_at + length
        if self._offset(starts_at) != self._offset(at):
            starts_at = self._first_moment_of(self._offset(at), after=starts_at, before=at)
        if self._offset(ends_at - _SECOND) != self._offset(at):
            ends_at = self._first_moment_of(self._offset(ends_at - _SECOND), after=starts_at, before=ends_at)
        return Slot(
            starts_at=starts_at,
            ends_at=ends_at,
            length=length,
            seconds_per_slot=self.capacity.seconds_at(starts_at.astimezone(self.zone)),
            openings=tuple(
                (max(begin, starts_at), min(end, ends_at))
                for begin, end in self.openings
                if begin < ends_at and end > starts_at
            ),
        )

    def forwards(self, begin: datetime) -> Iterator[Slot]:
        """Yield the slot that contains `begin`, and those after it."""
        while True:
            slot = self.slot_at(begin)
            yield slot
            begin = slot.ends_at

    def backwards(self, end: datetime) -> Iterator[Slot]:
        """Yield the slot that contains `end`, and those before it."""
        while True:
            slot = self.slot_at(end)
            yield slot
            end = slot.starts_at - timedelta.resolution

    def _offset(self, at: datetime) -> timedelta | None:
        return at.astimezone(self.zone).utcoffset()

    def _first_moment_of(self, offset: timedelta | None, *, after: datetime, before: datetime) -> datetime:
        """Return the first whole second that has this offset from UTC, which `after` has not and `before` has."""
        low, high = after, before
        while high - low > _SECOND:
            middle = low + (high - low) // _SECOND // 2 * _SECOND
            low, high = (low, middle) if self._offset(middle) == offset else (middle, high)
        return low + _SECOND
