"""Local days of shops as instants. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from crema.core.errors import InvalidError

MAX_DAYS: Final = 92
_STEP: Final = timedelta(minutes=15)
"""Since 1972 every zone has been a multiple of a quarter of an hour away from UTC, and has changed at one."""
_WIDEST: Final = timedelta(hours=15)
"""No zone is further away from UTC."""


class InvalidPeriodError(InvalidError):
    """The last day is before the first, or there are too many days."""

    code = "invalid_period"
    title = "The report's period is not valid."
    advice = f"Send `to` on or after `from`, at most {MAX_DAYS} days in all."


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a zone keeps one offset from UTC. It ends before `ends_at`."""

    begins_at: datetime
    ends_at: datetime
    offset: timedelta


def check_period(first: date, last: date) -> None:
    """Refuse a last day before the first, and more days than a report covers."""
    days = (last - first).days + 1
    if days < 1:
        raise InvalidPeriodError("Send `to` on or after `from`.")
    if days > MAX_DAYS:
        raise InvalidPeriodError(f"These are {days} days: send at most {MAX_DAYS}.")


@lru_cache(256)
def local_spans(zone: ZoneInfo, first: date, last: date) -> tuple[Span, ...]:
    """Return the time whose date in the zone is from `first` to `last`, a new span wherever the offset changes."""
    spans: list[Span] = []
    at = datetime.combine(first, time.min, UTC) - _WIDEST
    end = datetime.combine(last, time.max, UTC) + _WIDEST
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
