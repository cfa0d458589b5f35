"""Whether a shop can hand over an order at a time, and if not, why, and when it can. Pure functions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from crema.shops.domain.capacity import Slot, SlotBooking
from crema.shops.domain.hours import OpeningHours
from crema.shops.domain.status import NORMAL, ShopState, ShopStatus

LEAD_SECONDS: Final = 120
"""The time from placing an order to the start of its first drink, unless a shop sets another."""


class HandoverCode(StrEnum):
    """Why a shop can't hand over an order at a time."""

    SHOP_CLOSED = "shop_closed"
    SHOP_PAUSED = "shop_paused"
    OUTSIDE_OPENING_HOURS = "outside_opening_hours"
    NO_ORDERS_AHEAD = "no_orders_ahead"
    TOO_SOON = "too_soon"
    SLOT_FULL = "slot_full"


@dataclass(frozen=True, slots=True)
class Handover:
    """An order can be handed over: it is estimated to be ready at `ready_at`.

    `bookings` are the work that has to be booked for it, at a shop whose capacity is limited.
    """

    ready_at: datetime
    bookings: tuple[SlotBooking, ...] = ()


@dataclass(frozen=True, slots=True)
class HandoverRefusal:
    """Why an order can't be handed over at a time.

    `until`: when the reason ends; None if nobody knows. `next_at`: the next time for which the same order would be
    taken, from the time that was asked for on; None if there is none. `next_slot` is the slot of that time, if slots
    are full.
    """

    code: HandoverCode
    detail: str
    until: datetime | None
    next_at: datetime | None
    next_slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class ShopSchedule:
    """Everything that decides when a shop hands over orders.

    `lead` is the time from placing an order to the start of its first drink. Orders for as soon as possible end
    `last_order` before closing.
    """

    hours: OpeningHours
    status: ShopStatus = NORMAL
    lead: timedelta = timedelta(seconds=LEAD_SECONDS)
    last_order: timedelta = timedelta()

    def soonest(self, now: datetime, work: timedelta) -> datetime:
        """Return when an order that takes this much work is ready if it is begun now."""
        return now + self.lead + self.status.at(now).delay + work

    def check_handover(
        self, pickup_at: datetime | None, *, now: datetime, work: timedelta
    ) -> Handover | HandoverRefusal:
        """Return whether an order that is placed now and takes this much work can be handed over, or why not.

        A `pickup_at` of None is as soon as possible.
        """
        if pickup_at is None:
            return self._refusal_for_now(now, work) or Handover(self.soonest(now, work))
        return self._refusal_at(pickup_at, now=now, work=work) or Handover(pickup_at)

    def _refusal_for_now(self, now: datetime, work: timedelta) -> HandoverRefusal | None:
        status = self.status.at(now)
        if not self.hours.is_open(now):
            code, detail, until = HandoverCode.SHOP_CLOSED, "The shop is closed now.", self.hours.next_opening(now)
        elif status.state == ShopState.PAUSED:
            code, detail, until = HandoverCode.SHOP_PAUSED, "The shop takes no orders just now.", status.until
        elif self._is_after_last_order(now):
            code, detail, until = HandoverCode.SHOP_CLOSED, "The shop is about to close.", self.hours.next_opening(now)
        else:
            return None
        return HandoverRefusal(code, detail, until, self._next_handover(now, now=now, work=work))

    def _is_after_last_order(self, now: datetime) -> bool:
        closes_at = self.hours.closing_after(now)
        return closes_at is not None and closes_at - self.last_order <= now

    def _refusal_at(self, pickup_at: datetime, *, now: datetime, work: timedelta) -> HandoverRefusal | None:
        found = self._obstacle_at(pickup_at, now=now)
        if found is None:
            if pickup_at >= self.soonest(now, work):
                return None
            found = HandoverCode.TOO_SOON, "The order can't be ready by then.", self.soonest(now, work)
        code, detail, until = found
        return HandoverRefusal(code, detail, until, self._next_handover(pickup_at, now=now, work=work))

    def _obstacle_at(self, at: datetime, *, now: datetime) -> tuple[HandoverCode, str, datetime | None] | None:
        """Return why no order at all is handed over at this time, and until when; None if orders are."""
        if not self.hours.is_open(at):
            return (
                HandoverCode.OUTSIDE_OPENING_HOURS,
                "The shop is closed at that time.",
                self.hours.next_opening(at),
            )
        special = self.hours.special_day_at(at)
        if special is not None and not special.takes_orders_ahead and self.hours.local_date(now) < special.date:
            detail = f"Orders for {special.date} are taken on that day only."
            return HandoverCode.NO_ORDERS_AHEAD, detail, self.hours.midnight_of(special.date)
        status = self.status.at(now)
        if status.at(at).state == ShopState.PAUSED:
            return HandoverCode.SHOP_PAUSED, "The shop takes no orders for that time.", status.until
        return None

    def _next_handover(self, after: datetime, *, now: datetime, work: timedelta) -> datetime | None:
        """Return the first time, not before `after`, for which an order that is placed now would be taken."""
        at: datetime | None = max(after, self.soonest(now, work))
        while at is not None and (found := self._obstacle_at(at, now=now)) is not None:
            code, _, until = found
            # A day that takes no orders ahead is skipped, because its orders can't be placed now.
            at = self.hours.end_of_business_day(at) if code == HandoverCode.NO_ORDERS_AHEAD else until
        return at
