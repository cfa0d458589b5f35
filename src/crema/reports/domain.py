"""Local days of shops as spans of instants. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from crema.core.errors import InvalidError

MAX_DAYS: Final = 92
_STEP: Final = timedelta(minutes=15)
"""Since 1972, offsets from UTC have been multiples of 15 minutes, and have changed at such times."""
_MAX_OFFSET: Final = timedelta(hours=15)
"""No zone has a larger offset from UTC."""


class InvalidPeriodError(InvalidError):
    """The last day is before the first, or the period is too long."""

    code = "invalid_period"
    title = "The report's period is not valid."
    advice = f"Send `to` on or after `from`, at most {MAX_DAYS} days in all."


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time in which a zone has the same offset from UTC. `ends_at` is excluded."""

    begins_at: datetime
    ends_at: datetime
    offset: timedelta


def check_period(first: date, last: date) -> None:
    """Raise InvalidPeriodError for a last day before the first, and for a period that is too long."""
    days = (last - first).days + 1
    if days < 1:
        raise InvalidPeriodError("Send `to` on or after `from`.")
    if days > MAX_DAYS:
        raise InvalidPeriodError(f"This period has {days} days. Send at most {MAX_DAYS}.")


@lru_cache(256)
def local_spans(zone: ZoneInfo, first: date, last: date) -> tuple[Span, ...]:
    """Return the time from `first` to `last` in a zone, divided into spans where the offset changes."""
    spans: list[Span] = []
    at = datetime.combine(first, time.min, UTC) - _MAX_OFFSET
    end = datetime.combine(last, time.max, UTC) + _MAX_OFFSET
    while at < end:
        local = at.astimezone(zone)
        offset = local.utcoffset() or timedelta()
        if first <= local.date() <= last:
            if spans and spans[-1].ends_at == at and spans[-1].offset == offset:
                spans[-1] = Span(spans[-1].begins_at, at + _STEP, offset)
            else:
                spans.append(Span(at, at + _STEP, offset))
        at += _STEP
    return tuple(spans)
