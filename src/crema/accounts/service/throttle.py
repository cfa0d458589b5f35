"""Counting tries in the database, where all processes see them and no restart forgets them.

Counters are locked before people and their codes, by whoever needs both.
"""

from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import case, delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import Throttle
from crema.core.errors import TooManyError


class TooManyAttemptsError(TooManyError):
    """The limit of this window is used up."""

    code = "too_many_attempts"
    title = "Too many attempts."


async def count(
    session: AsyncSession, *, key: str, limit: int, window: timedelta, now: datetime, amount: int = 1
) -> None:
    """Count one try, or `amount` of something; raise TooManyAttemptsError past the limit, until the window ends.

    One statement, so that rivals count too. A refused try needn't be kept: the count stands at its limit anyway.
    """
    is_over = Throttle.window_ends_at <= now
    statement = (
        insert(Throttle)
        .values(key=key, hits=amount, window_ends_at=now + window)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={
                "hits": case((is_over, amount), else_=Throttle.hits + amount),
                "window_ends_at": case((is_over, now + window), else_=Throttle.window_ends_at),
            },
        )
        .returning(Throttle.hits, Throttle.window_ends_at)
    )
    hits, ends_at = (await session.execute(statement)).one()
    if hits > limit:
        raise TooManyAttemptsError(retry_after=max(1, ceil((ends_at - now).total_seconds())))


async def forgive(session: AsyncSession, *, key: str) -> None:
    """Take one try back: it was a right one."""
    await session.execute(update(Throttle).where(Throttle.key == key).values(hits=func.greatest(Throttle.hits - 1, 0)))


async def forget(session: AsyncSession, *, key: str) -> None:
    """Start counting anew."""
    await session.execute(delete(Throttle).where(Throttle.key == key))
