"""Counting tries in the database, where all processes see them and a restart doesn't reset them.

A transaction that needs both locks counters before people and their codes.
"""

from datetime import datetime, timedelta
from math import ceil
from typing import Final

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import Throttle
from crema.core.errors import TooManyError

DELAY_STEP: Final = timedelta(seconds=5)
MAX_WAITING: Final = 2
"""When a network has used up its tries, one more is allowed each `DELAY_STEP`, and so many may wait for it."""


class TooManyAttemptsError(TooManyError):
    """The tries of this time window are used up."""

    code = "too_many_attempts"
    title = "Too many attempts."
    advice = "Try again after `retry_after` seconds."


async def count(
    session: AsyncSession, *, key: str, limit: int, window: timedelta, now: datetime, cost: int = 1
) -> None:
    """Add `cost` to a counter; raise TooManyAttemptsError past the limit, until the window ends.

    It is one statement, so that parallel tries are counted, too. A refused try need not be committed: the counter
    stays at its limit.
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
    """Count one try; return the seconds to wait before it may be made: 0 up to `limit` in a `window`.

    Past the limit one try is allowed each `DELAY_STEP`, and up to `MAX_WAITING` may wait; raise TooManyAttemptsError
    for more. The caller waits, and must hold neither a connection nor an admission to hash meanwhile.
    """
    try:
        await count(session, key=key, limit=limit, window=window, now=now)
    except TooManyAttemptsError:
        pass
    else:
        return 0.0
    next_free = func.greatest(Throttle.window_ends_at, now) + DELAY_STEP
    statement = (
        insert(Throttle)
        .values(key=f"{key}:next", hits=1, window_ends_at=now + DELAY_STEP)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={"hits": 1, "window_ends_at": next_free},
            where=Throttle.window_ends_at <= now + DELAY_STEP * MAX_WAITING,
        )
        .returning(Throttle.window_ends_at)
    )
    ends_at = await session.scalar(statement)
    if ends_at is None:
        raise TooManyAttemptsError(retry_after=max(1, ceil(DELAY_STEP.total_seconds())))
    return max(0.0, (ends_at - DELAY_STEP - now).total_seconds())


async def mark(session: AsyncSession, *, key: str, window: timedelta, now: datetime) -> None:
    """Record that something happened: `is_marked` returns True until the window ends."""
    statement = insert(Throttle).values(key=key, hits=0, window_ends_at=now + window)
    ends_at = statement.excluded.window_ends_at
    await session.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"window_ends_at": ends_at}))


async def is_marked(session: AsyncSession, *, key: str, now: datetime) -> bool:
    """Return whether this was recorded, and its window hasn't ended."""
    found = select(Throttle.key).where(Throttle.key == key, Throttle.window_ends_at > now)
    return await session.scalar(found) is not None


async def refund(session: AsyncSession, *, key: str) -> None:
    """Subtract one try, because it was right."""
    await session.execute(update(Throttle).where(Throttle.key == key).values(hits=func.greatest(Throttle.hits - 1, 0)))


async def reset(session: AsyncSession, *, key: str) -> None:
    """Delete a counter, so that counting starts at zero."""
    await session.execute(delete(Throttle).where(Throttle.key == key))
