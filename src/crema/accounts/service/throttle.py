"""Counting tries in the database, where all processes see them and no restart forgets them.

Counters are locked before people and their codes, by whoever needs both.
"""

from datetime import datetime, timedelta
from math import ceil
from typing import Final

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import Throttle
from crema.core.errors import TooManyError

DELAY: Final = timedelta(seconds=5)
PLACES: Final = 2
"""Past the tries of a network, one is let through each `DELAY`, and two wait for that."""


class TooManyAttemptsError(TooManyError):
    """The limit of this window is used up."""

    code = "too_many_attempts"
    title = "Too many attempts."
    advice = "Try again after `retry_after` seconds."


async def count(
    session: AsyncSession, *, key: str, limit: int, window: timedelta, now: datetime, cost: int = 1
) -> None:
    """Count one try, or what it costs; raise TooManyAttemptsError past the limit, until the window ends.

    One statement, so that rivals count too. A refused try needn't be kept: the count stands at its limit anyway.
    """
    is_over = Throttle.window_ends_at <= now
    statement = (
        insert(Throttle)
        .values(key=key, hits=cost, window_ends_at=now + window)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={
                "hits": case((is_over, cost), else_=Throttle.hits + cost),
                "window_ends_at": case((is_over, now + window), else_=Throttle.window_ends_at),
            },
        )
        .returning(Throttle.hits, Throttle.window_ends_at)
    )
    hits, ends_at = (await session.execute(statement)).one()
    if hits > limit:
        raise TooManyAttemptsError(retry_after=max(1, ceil((ends_at - now).total_seconds())))


async def count_or_delay(
    session: AsyncSession,
    *,
    key: str,
    limit: int,
    window: timedelta,
    now: datetime,
) -> float:
    """Count one try; return the seconds to wait before it may be made: none up to `limit` in a `window`.

    Past the limit, tries are let through one each `DELAY`, with up to `PLACES` waiting; raise
    TooManyAttemptsError for more. The wait is the caller's: it must hold neither a connection nor a turn to hash.
    """
    try:
        await count(session, key=key, limit=limit, window=window, now=now)
    except TooManyAttemptsError:
        pass
    else:
        return 0.0
    next_free = func.greatest(Throttle.window_ends_at, now) + DELAY
    statement = (
        insert(Throttle)
        .values(key=f"{key}:next", hits=1, window_ends_at=now + DELAY)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={"hits": 1, "window_ends_at": next_free},
            where=Throttle.window_ends_at <= now + DELAY * PLACES,
        )
        .returning(Throttle.window_ends_at)
    )
    ends_at = await session.scalar(statement)
    if ends_at is None:
        raise TooManyAttemptsError(retry_after=max(1, ceil(DELAY.total_seconds())))
    return max(0.0, (ends_at - DELAY - now).total_seconds())


async def mark(session: AsyncSession, *, key: str, window: timedelta, now: datetime) -> None:
    """Note that something happened; `is_marked` says so until the window ends."""
    statement = insert(Throttle).values(key=key, hits=0, window_ends_at=now + window)
    ends_at = statement.excluded.window_ends_at
    await session.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"window_ends_at": ends_at}))


async def is_marked(session: AsyncSession, *, key: str, now: datetime) -> bool:
    """Whether this was noted, and its window hasn't ended."""
    found = select(Throttle.key).where(Throttle.key == key, Throttle.window_ends_at > now)
    return await session.scalar(found) is not None


async def forgive(session: AsyncSession, *, key: str) -> None:
    """Take one try back: it was a right one."""
    await session.execute(update(Throttle).where(Throttle.key == key).values(hits=func.greatest(Throttle.hits - 1, 0)))


async def forget(session: AsyncSession, *, key: str) -> None:
    """Start counting anew."""
    await session.execute(delete(Throttle).where(Throttle.key == key))
