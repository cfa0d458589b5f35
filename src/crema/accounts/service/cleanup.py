"""Forgetting: unverified people who never came back, and what nobody needs any more."""

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
_ORDERS: Final = table("orders", column("user_id"))  # a feature above us: known by name only, as foreign keys are


_is_attempt: Final = and_(OneTimeCode.purpose == REGISTRATION, OneTimeCode.spent_at.is_(None))


def _forgotten(older_than: timedelta, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        User.verified_at.is_(None),
        User.deleted_at.is_(None),
        User.created_at < now - older_than,
        or_(User.kept_until.is_(None), User.kept_until <= now),
        ~exists().where(OneTimeCode.user_id == User.id, _is_attempt, OneTimeCode.created_at >= now - older_than),
        ~exists().where(_ORDERS.c.user_id == User.id),
    )


async def count_unverified(session: AsyncSession, *, older_than: timedelta, now: datetime) -> int:
    """Count whom `delete_unverified` would delete."""
    return await session.scalar(select(func.count()).select_from(User).where(*_forgotten(older_than, now))) or 0


async def delete_unverified(session: AsyncSession, *, older_than: timedelta, now: datetime, batch: int = BATCH) -> int:
    """Delete up to `batch` people who did not verify in time; return how many. Their addresses are free again.

    One statement decides and deletes: the rows are locked and judged at once, those someone is busy with, such as
    a verification, are skipped.
    """
    due = (
        select(User.id)
        .where(*_forgotten(older_than, now))
        .order_by(User.created_at)
        .limit(batch)
        .with_for_update(of=User, skip_locked=True)
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")  # once, or each look would lock another batch
    )
    deleted = await session.scalars(delete(User).where(User.id.in_(select(due.c.id))).returning(User.id))
    count = len(deleted.all())
    if count:
        DELETED.inc(count)
        log.info("unverified_deleted", count=count)
    return count


async def find_to_erase(session: AsyncSession, *, deleted_before: datetime) -> UUID | None:
    """Lock somebody who deleted their account before then and whose texts are still there; None if there is nobody.

    Those another worker is busy with are skipped.
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
    """Forget the logins of a deleted person, and note that nothing of theirs is left."""
    await session.execute(delete(Session).where(Session.user_id == user_id))
    await session.execute(update(User).where(User.id == user_id).values(erased_at=now, updated_at=User.updated_at))


async def prune(sessions: Sessions, *, attempts_kept: timedelta, now: datetime, batch: int = batches.BATCH) -> None:
    """Delete codes, counters, refresh tokens and logins that are of no use to anyone, up to `batch` a transaction.

    Of a login that goes on all refresh tokens stay: a spent one, however old, shows that it was stolen. Of one that is
    over none is needed. Attempts to register are forgotten `attempts_kept` after they were made.
    """
    delete_all = partial(batches.delete_in_batches, sessions, batch=batch)
    month_ago = now - timedelta(days=30)
    over = select(Session.id).where(now >= OVER_AT)
    await delete_all(RefreshToken, RefreshToken.session_id.in_(over))
    await delete_all(Session, month_ago > OVER_AT)
    await delete_all(OneTimeCode, OneTimeCode.expires_at < now - timedelta(days=1), ~_is_attempt)
    forgotten = (OneTimeCode.created_at < now - attempts_kept, OneTimeCode.expires_at <= now)
    await delete_all(OneTimeCode, _is_attempt, *forgotten)
    await delete_all(Throttle, Throttle.window_ends_at < now)
