"""Into which slots of a shop the work of an order is booked, never more than fits into each. Pure functions.

The work of an order with a pick-up time goes into the slot that contains that time. What the slot can't hold goes into
the slots before it, back to when the shop opened, or to the earliest moment at which the order could be begun. An
order as soon as possible takes what is free from that moment on. Of a slot that has begun only the share that is left
counts, and all work booked there counts as still to be done: nobody knows how much of it has been made.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import Final

from crema.core.errors import InvalidError
from crema.shops.domain.capacity import LONGEST_SLOT, Capacity, Slot, SlotBooking, SlotGrid
from crema.shops.domain.handover import Handover, HandoverCode, HandoverRefusal, ShopSchedule

MAX_PICKUP_AHEAD: Final = timedelta(days=7)
"""How far ahead an order can be placed, and a free slot is looked for."""
_LEAST_WORK: Final = timedelta(seconds=1)


class InvalidDateError(InvalidError):
    """A day is too long ago, or too far ahead."""

    code = "invalid_date"
    title = "There are no slots of that day."
    advice = f"Send a date from {MAX_PICKUP_AHEAD.days} days ago to {MAX_PICKUP_AHEAD.days} days ahead."


@dataclass(frozen=True, slots=True)
class SlotState:
    """A slot and how much is booked.

    `refusal` is why even the smallest order for it is refused; None if it is taken.
    """

    slot: Slot
    used_seconds: int
    refusal: HandoverCode | None


@dataclass(frozen=True, slots=True)
class WorkSchedule:
    """When a shop hands over orders, how much work it can do, and what is booked: seconds by the start of the slot."""

    schedule: ShopSchedule
    capacity: Capacity = field(default_factory=Capacity)
    used: Mapping[datetime, int] = field(default_factory=dict)

    def plan(self, pickup_at: datetime | None, *, now: datetime, work: timedelta) -> Handover | HandoverRefusal:
        """Return whether an order that is placed now and takes this much work can be handed over, or why not.

        A `pickup_at` of None is as soon as possible. A `Handover` says when the order is ready, and what has to be
        booked in which slots.
        """
        found = self.schedule.check_handover(pickup_at, now=now, work=work)
        if not self.capacity.is_limited:
            return found
        if isinstance(found, HandoverRefusal):
            next_fit = found.next_at and self._next_fit(found.next_at, now=now, work=work)
            return replace(found, next_at=next_fit[1] if next_fit else None)
        start = self.schedule.soonest(now, timedelta())
        plan = self._plan_at(pickup_at, start, work) if pickup_at else self._plan_soonest(now, start, work)
        return plan or self._slot_full(pickup_at or start, now=now, work=work)

    def slot_at(self, at: datetime) -> Slot:
        """Return the slot that contains a moment."""
        return self._grid(at, at).slot_at(at)

    def without(self, bookings: Iterable[SlotBooking]) -> "WorkSchedule":
        """Return the schedule without what one order has booked."""
        own = {each.starts_at: each.seconds for each in bookings}
        return replace(self, used={start: seconds - own.get(start, 0) for start, seconds in self.used.items()})

    def states_of(self, day: date, *, now: datetime) -> list[SlotState]:
        """Return the slots of a day of the shop's calendar for which orders may be placed at all.

        Raises InvalidDateError if it is more than `MAX_PICKUP_AHEAD` away.
        """
        hours = self.schedule.hours
        if abs(day - hours.local_date(now)) > MAX_PICKUP_AHEAD:
            raise InvalidDateError
        return self._states(hours.midnight_of(day), hours.midnight_of(day + timedelta(days=1)), now=now)

    def book_anyway(self, at: datetime, *, now: datetime, work: timedelta) -> tuple[SlotBooking, ...]:
        """Return what is booked for an order that has been promised for this time, even if it doesn't fit.

        What is late is made from now on.
        """
        start = self.schedule.soonest(now, timedelta())
        at = max(at, start)
        plan = self._plan_at(at, start, work)
        if plan is not None:
            return plan.bookings
        return _bookings([(self._grid(at, at).slot_at(at), _seconds(work))], start)

    def _states(self, begin: datetime, end: datetime, *, now: datetime) -> list[SlotState]:
        grid, start = self._grid(begin, end), self.schedule.soonest(now, timedelta())
        free = {slot.starts_at for slot, _ in self._slots_with_room(grid, start=start, until=end, work=_LEAST_WORK)}
        return [
            SlotState(slot, self.used.get(slot.starts_at, 0), self._refusal_of(slot, now, free=free))
            for slot in _until(end, grid.forwards(begin))
        ]

    def _refusal_of(self, slot: Slot, now: datetime, *, free: Container[datetime]) -> HandoverCode | None:
        """Return why no order is taken for the last moment of a slot at which the shop is open; None if it is taken."""
        if not slot.openings:
            return HandoverCode.OUTSIDE_OPENING_HOURS
        at = slot.openings[-1][1] - timedelta.resolution
        found = self.schedule.check_handover(at, now=now, work=_LEAST_WORK)
        if isinstance(found, HandoverRefusal):
            return found.code
        return None if slot.starts_at in free else HandoverCode.SLOT_FULL

    def _plan_at(self, pickup_at: datetime, start: datetime, work: timedelta) -> Handover | None:
        """Book the work into the slot that contains `pickup_at` and those before it; None if it doesn't fit."""
        grid = self._grid(start, pickup_at)
        earliest = max([start, *(begin for begin, _ in grid.openings if begin <= pickup_at)])
        slots = takewhile(lambda slot: slot.ends_at > earliest, grid.backwards(pickup_at))
        filled = self._fill(slots, start, work)
        return None if filled is None else Handover(pickup_at, _bookings(reversed(filled), start))

    def _plan_soonest(self, now: datetime, start: datetime, work: timedelta) -> Handover | None:
        """Book the work into the first slots that have room before the shop closes; None if it doesn't fit."""
        grid = self._grid(now, start)
        closes_at = min(end for _, end in grid.openings if end > now)
        filled = self._fill(_until(closes_at, grid.forwards(start)), start, work)
        if filled is None:
            return None
        ready_at = self.schedule.soonest(now, work)
        for slot, seconds in filled[-1:]:
            used = self.used.get(slot.starts_at, 0) + seconds
            ready_at = max(ready_at, slot.filled_at(used, start=start))
        return Handover(ready_at, _bookings(filled, start))

    def _fill(self, slots: Iterable[Slot], start: datetime, work: timedelta) -> list[tuple[Slot, int]] | None:
        """Return how much of the work goes into which of these slots, taken in turn; None if it doesn't fit."""
        rest, filled = _seconds(work), list[tuple[Slot, int]]()
        for slot in slots if rest else ():
            taken = int(min(rest, self._room(slot, start)))
            if taken:
                filled.append((slot, taken))
            rest -= taken
            if not rest:
                break
        return None if rest else filled

    def _slot_full(self, after: datetime, *, now: datetime, work: timedelta) -> HandoverRefusal:
        slot, at = self._next_fit(after, now=now, work=work) or (None, None)
        return HandoverRefusal(
            HandoverCode.SLOT_FULL, "The shop has no room for this order at that time.", at, at, slot
        )

    def _next_fit(self, after: datetime, *, now: datetime, work: timedelta) -> tuple[Slot, datetime] | None:
        """Return the first slot and time, not before `after`, for which an order that is placed now would be taken."""
        until, soonest = now + MAX_PICKUP_AHEAD, self.schedule.soonest(now, work)
        start = self.schedule.soonest(now, timedelta())
        for slot, opens_at in self._slots_with_room(self._grid(start, until), start=start, until=until, work=work):
            at = max(slot.starts_at, opens_at, after, soonest)
            if at >= slot.ends_at or at > until:
                continue
            found = self.schedule.check_handover(at, now=now, work=work)
            if isinstance(found, Handover):
                return slot, at
            if found.next_at is None:
                return None
            after = found.next_at
        return None

    def _slots_with_room(
        self, grid: SlotGrid, *, start: datetime, until: datetime, work: timedelta
    ) -> Iterator[tuple[Slot, datetime]]:
        """Yield the slots for which this work fits, and since when the shop is open then."""
        for opens_at, closes_at in grid.openings:
            rest: float = _seconds(work)
            for slot in _until(min(closes_at, until), grid.forwards(max(opens_at, start))):
                rest -= self._room(slot, start)
                if rest <= 0:
                    yield slot, opens_at

    def _room(self, slot: Slot, start: datetime) -> float:
        """Return how many more seconds of work fit into a slot from `start` on; infinity where there is no limit."""
        capacity = slot.capacity_from(start)
        return float("inf") if capacity is None else max(0, capacity - self.used.get(slot.starts_at, 0))

    def _grid(self, begin: datetime, end: datetime) -> SlotGrid:
        hours = self.schedule.hours
        openings = hours.openings_between(begin - LONGEST_SLOT, end + LONGEST_SLOT)
        return SlotGrid(hours.zone, self.capacity, openings)


def shrink(bookings: Iterable[SlotBooking], work: timedelta) -> tuple[SlotBooking, ...]:
    """Return what stays booked for an order that takes less work now: the latest part of its bookings."""
    rest, kept = _seconds(work), list[SlotBooking]()
    for booking in sorted(bookings, key=lambda each: each.starts_at, reverse=True):
        seconds = min(rest, booking.seconds)
        rest -= seconds
        if seconds:
            kept.append(replace(booking, seconds=seconds))
    return tuple(reversed(kept))


def booking_changes(before: Iterable[SlotBooking], after: Iterable[SlotBooking]) -> tuple[SlotBooking, ...]:
    """Return what has to be booked, and given back, in order of the slots. Seconds to give back are negative."""
    old, new = ({each.starts_at: each for each in bookings} for bookings in (before, after))
    found = []
    for start in sorted(old.keys() | new.keys()):
        seconds = (new[start].seconds if start in new else 0) - (old[start].seconds if start in old else 0)
        if seconds:
            found.append(replace(new.get(start) or old[start], seconds=seconds))
    return tuple(found)


def _until(end: datetime, slots: Iterable[Slot]) -> Iterator[Slot]:
    return takewhile(lambda slot: slot.starts_at < end, slots)


def _bookings(filled: Iterable[tuple[Slot, int]], start: datetime) -> tuple[SlotBooking, ...]:
    """Return what has to be booked. Slots without a limit need no booking."""
    found = ((slot, seconds, slot.capacity_from(start)) for slot, seconds in filled)
    return tuple(SlotBooking(slot.starts_at, seconds, limit) for slot, seconds, limit in found if limit is not None)


def _seconds(work: timedelta) -> int:
    return int(work.total_seconds())
