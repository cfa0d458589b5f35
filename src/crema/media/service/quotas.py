"""Counting uploads before they are read."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.service import throttle
from crema.accounts.service.throttle import TooManyAttemptsError
from crema.core.errors import TooManyError
from crema.media.domain import Quota

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)


class TooManyUploadsError(TooManyError):
    """The person has uploaded too many files in a minute, or too many bytes in a day."""

    code = "too_many_uploads"
    title = "Too many uploads."
    advice = "Try again after `retry_after` seconds."


async def count(session: AsyncSession, *, person_id: UUID, quota: Quota, size: int, now: datetime) -> None:
    """Count one upload of `size` bytes against a person's quota; raise TooManyUploadsError past a limit."""
    key = f"upload:{quota.purpose}:{person_id}"
    try:
        await throttle.count(session, key=f"{key}:minute", limit=quota.per_minute, window=_MINUTE, now=now)
    except TooManyAttemptsError as error:
        raise TooManyUploadsError(
            f"You can upload {quota.per_minute} files a minute.", retry_after=error.retry_after
        ) from error
    try:
        await throttle.count(session, key=f"{key}:day", limit=quota.bytes_per_day, window=_DAY, now=now, cost=size)
    except TooManyAttemptsError as error:
        raise TooManyUploadsError(
            f"You can upload {quota.bytes_per_day // 1024**2} MiB a day.", retry_after=error.retry_after
        ) from error
