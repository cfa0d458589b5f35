"""Limits of how fast and how much a person may write, counted in the database for all processes."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.accounts.service import throttle
from crema.accounts.service.throttle import TooManyAttemptsError
from crema.core.errors import TooManyError
from crema.db.session import commit_now
from crema.live.domain import FRAMES_PER_SECOND

REQUESTS_A_SECOND: Final = FRAMES_PER_SECOND
"""Requests that a person may send over HTTP; a socket accepts as many frames."""
BYTES_A_DAY: Final = 50 * 1024 * 1024
"""Bytes of a person's messages and notes. Files have quotas of their own: `media.domain.CHAT_QUOTA`."""
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)


class RateLimitedError(TooManyError):
    """Messages, notes and receipts were sent too fast over HTTP. A socket has the same limit."""

    code = "rate_limited"
    title = "Too many requests to the support chat."
    advice = f"Send at most {REQUESTS_A_SECOND} a second."


class ChatQuotaExceededError(TooManyError):
    """The messages and notes of a person have reached the limit of the day."""

    code = "chat_quota_exceeded"
    title = f"You have written {BYTES_A_DAY // 1024**2} MiB within a day."
    advice = "Try again after `retry_after` seconds."


async def count_request(session: AsyncSession, *, actor: Actor, now: datetime) -> None:
    """Count one request; raise RateLimitedError past REQUESTS_A_SECOND.

    Commits the count at once, so that parallel requests are refused without waiting for the first to end.
    """
    key = f"chat-requests:{actor.user_id}"
    try:
        await throttle.count(session, key=key, limit=REQUESTS_A_SECOND, window=_SECOND, now=now)
    except TooManyAttemptsError as error:
        raise RateLimitedError(retry_after=error.retry_after) from error
    await commit_now(session)


async def count_bytes(session: AsyncSession, *, actor: Actor, size: int, now: datetime) -> None:
    """Count what is to be stored; raise ChatQuotaExceededError past BYTES_A_DAY. A refused text doesn't count."""
    key = f"chat-bytes:{actor.user_id}"
    try:
        await throttle.count(session, key=key, limit=BYTES_A_DAY, window=_DAY, now=now, cost=size)
    except TooManyAttemptsError as error:
        raise ChatQuotaExceededError(retry_after=error.retry_after) from error
