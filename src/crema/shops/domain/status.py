"""How a shop's staff say that it is busy or paused, and until when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from crema.core.errors import InvalidError

MIN_DELAY_MINUTES: Final = 1
MAX_DELAY_MINUTES: Final = 240
"""A shop that is busier than that is paused."""


class ShopState(StrEnum):
    """What staff say of a shop; it says nothing about its opening hours."""

    OPEN = "open"
    BUSY = "busy"
    PAUSED = "paused"


class InvalidStatusError(InvalidError):
    """A status whose parts don't fit each other, or whose end is past. `errors` names the field."""

    code = "invalid_status"
    title = "This is no status that a shop can have."

    def __init__(self, field: str, message: str) -> None:
        errors = [{"loc": ["body", field], "msg": message, "type": self.code}]
        super().__init__(f"{field} {message}.", errors=errors)


@dataclass(frozen=True, slots=True)
class ShopStatus:
    """The state that staff have set. `delay_minutes` are added while it is busy.

    It ends by itself at `until`; None: when somebody ends it.
    """

    state: ShopState = ShopState.OPEN
    delay_minutes: int | None = None
    until: datetime | None = None

    @property
    def delay(self) -> timedelta:
        """What a busy shop adds to the time until an order is ready."""
        return timedelta(minutes=self.delay_minutes or 0)

    def at(self, now: datetime) -> "ShopStatus":
        """Return the status at this moment: open again from `until` on."""
        return self if self.until is None or now < self.until else NORMAL


NORMAL: Final = ShopStatus()


def check_status(status: ShopStatus, *, now: datetime) -> None:
    """Refuse a busy shop without a delay, a delay or an end where there is none, and an end that is past."""
    is_busy = status.state == ShopState.BUSY
    if is_busy and status.delay_minutes is None:
        raise InvalidStatusError("delay_minutes", "is needed for a busy shop")
    if not is_busy and status.delay_minutes is not None:
        raise InvalidStatusError("delay_minutes", "belongs to a busy shop: leave it out, or send null")
    if status.state == ShopState.OPEN and status.until is not None:
        raise InvalidStatusError("until", "belongs to a busy or a paused shop: leave it out, or send null")
    if status.until is not None and status.until <= now:
        raise InvalidStatusError("until", "is past")
