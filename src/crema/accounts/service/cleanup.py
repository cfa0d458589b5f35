"""Deleting unverified people, and codes, counters and logins that are over."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy import ColumnElement, and_, column, delete, exists, func, or_, select, table, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import OVER_AT, OneTimeCode, RefreshToken, Session, Throttle, User
from crema.accounts.service.codes import REGISTRATION
from crema.db import batches
from crema.db.session import Sessions

log = structlog.get_logger(__name__)

BATCH: Final = 500
DELETED: Final = Counter("crema_unverified_deleted_total", "Unverified people deleted because they were too old.")
_ORDERS: Final = table("orders", column("user_id"))  # of a feature above: accounts can't import it


_is_attempt: Final = and_(OneTimeCode.purpose == REGISTRATION, OneTimeCode.spent_at.is_(None))


def _expired_unverified(older_than: timedelta, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        User.verified_at.is_(None),
        User.deleted_at.is_(None),
        User.created_at < now - older_than,
        or_(User.kept_until.is_(None), User.kept_until <= now),
        ~exists().where(OneTimeCode.user_id == User.id, _is_attempt, OneTimeCode.created_at >= now - older_than),
        ~exists().where(_ORDERS.c.user_id == User.id),
    )


async def count_unverified(session: AsyncSession, *, older_than: timedelta, now: datetime) -> int:
    """Return how many people `delete_unverified` would delete."""
    return (
        await session.scalar(select(func.count()).select_from(User).where(*_expired_unverified(older_than, now))) or 0
    )


async def delete_unverified(session: AsyncSession, *, older_than: timedelta, now: datetime, batch: int = BATCH) -> int:
    """Delete up to `batch` people who did not verify in time; return how many. Their addresses are free again.

    One statement selects, locks and deletes. It skips rows that another transaction has locked, for instance a
    verification.
    """
    due = (
        select(User.id)
        .where(*_expired_unverified(older_than, now))
        .order_by(User.created_at)
        .limit(batch)
        .with_for_update(of=User, skip_locked=True)
        .cte("due")
        .prefix_with(
            "MATERIALIZED", dialect="postgresql"
        )  # evaluated once, or each evaluation would lock another batch
    )
    deleted = await session.scalars(delete(User).where(User.id.in_(select(due.c.id))).returning(User.id))
    count = len(deleted.all())
    if count:
        DELETED.inc(count)
        log.info("unverified_deleted", count=count)
    return count


async def lock_next_to_erase(session: AsyncSession, *, deleted_before: datetime) -> UUID | None:
    """Lock a person deleted before `deleted_before` whose texts are not erased yet; return their id, or None.

    People whom another worker has locked are skipped.
    """
    due = (
        select(User.id)
        .where(User.deleted_at.is_not(None), User.erased_at.is_(None), User.deleted_at < deleted_before)
        .order_by(User.deleted_at)
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True)
    )
    return await session.scalar(due)


async def finish_erasing(session: AsyncSession, *, user_id: UUID, now: datetime) -> None:
    """Delete the logins of a deleted person, and record that everything of theirs is erased."""
    await session.execute(delete(Session).where(Session.user_id == user_id))
    await session.execute(update(User).where(User.id == user_id).values(erased_at=now, updated_at=User.updated_at))


async def prune(sessions: Sessions, *, attempts_kept: timedelta, now: datetime, batch: int = batches.BATCH) -> None:
    """Delete codes, counters, refresh tokens and logins that are over, up to `batch` rows per transaction.

    All refresh tokens of an active login stay: if a used one is sent again, however old, it was stolen. None is needed
    once the login is over. Registration attempts are deleted `attempts_kept` after they were made.
    """
    delete_all = partial(batches.delete_in_batches, sessions, batch=batch)
    month_ago = now - timedelta(days=30)
    over = select(Session.id).where(now >= OVER_AT)
    await delete_all(RefreshToken, RefreshToken.session_id.in_(over))
    await delete_all(Session, month_ago > OVER_AT)
    await delete_all(OneTimeCode, OneTimeCode.expires_at < now - timedelta(days=1), ~_is_attempt)
    is_old_attempt = (OneTimeCode.created_at < now - attempts_kept, OneTimeCode.expires_at <= now)
    await delete_all(OneTimeCode, _is_attempt, *is_old_attempt)
    await delete_all(Throttle, Throttle.window_ends_at < now)
