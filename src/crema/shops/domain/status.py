"""The status of a shop, set by its staff: busy or paused, and until when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from crema.core.errors import InvalidError

MIN_DELAY_MINUTES: Final = 1
MAX_DELAY_MINUTES: Final = 240
"""A shop with a longer delay should be paused."""


class ShopState(StrEnum):
    """The state that staff set for a shop. It doesn't depend on opening hours."""

    OPEN = "open"
    BUSY = "busy"
    PAUSED = "paused"


class InvalidStatusError(InvalidError):
    """The parts of a status contradict each other, or its end has passed. `errors` names the field."""

    code = "invalid_status"
    title = "The parts of this status contradict each other."
    advice = "Correct the field that `errors` names."

    def __init__(self, field: str, message: str) -> None:
        errors = [{"loc": ["body", field], "msg": message, "type": self.code}]
        super().__init__(f"{field} {message}.", errors=errors)


@dataclass(frozen=True, slots=True)
class ShopStatus:
    """The state that staff have set. While it is busy, orders take `delay_minutes` longer.

    The status ends by itself at `until`; None: when somebody changes it.
    """

    state: ShopState = ShopState.OPEN
    delay_minutes: int | None = None
    until: datetime | None = None

    @property
    def delay(self) -> timedelta:
        """How much longer orders take at a busy shop; zero otherwise."""
        return timedelta(minutes=self.delay_minutes or 0)

    def at(self, now: datetime) -> "ShopStatus":
        """Return the status at this moment: open again from `until` on."""
        return self if self.until is None or now < self.until else NORMAL


NORMAL: Final = ShopStatus()


def check_status(status: ShopStatus, *, now: datetime) -> None:
    """Raise InvalidStatusError if the delay or the end don't go with the state, or if the end has passed."""
    is_busy = status.state == ShopState.BUSY
    if is_busy and status.delay_minutes is None:
        raise InvalidStatusError("delay_minutes", "is needed for a busy shop")
    if not is_busy and status.delay_minutes is not None:
        raise InvalidStatusError("delay_minutes", "belongs to a busy shop: leave it out, or send null")
    if status.state == ShopState.OPEN and status.until is not None:
        raise InvalidStatusError("until", "belongs to a busy or a paused shop: leave it out, or send null")
    if status.until is not None and status.until <= now:
        raise InvalidStatusError("until", "is past")
