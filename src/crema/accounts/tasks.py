"""Tasks about accounts: cleaning up, erasing, and mails to administrators."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import structlog
from procrastinate import Blueprint, JobContext
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.service import cleanup, failed_mails
from crema.db.batches import delete_in_batches
from crema.db.idempotency import IdempotencyRecord
from crema.db.tasks import HOUSEKEEPING, TaskContext, context_of

log = structlog.get_logger(__name__)
blueprint: Final = Blueprint()
IDEMPOTENCY_RECORDS_KEPT: Final = timedelta(hours=48)


class Erasure(Protocol):
    """Erases what a deleted person wrote in one feature, first what can't be rolled back, for instance files."""

    async def __call__(self, session: AsyncSession, *, user_id: UUID) -> None: ...


@dataclass(frozen=True, kw_only=True)
class AccountTaskContext(TaskContext):
    """The settings and hooks of these tasks.

    People who don't verify their address are deleted after `unverified_ttl`. What deleted people wrote is erased after
    `erase_after`, by the `erasures` of the features above.
    """

    unverified_ttl: timedelta
    erase_after: timedelta
    erasures: Sequence[Erasure]


@blueprint.periodic(cron="*/10 * * * *")
@blueprint.task(name="accounts.cleanup", queue=HOUSEKEEPING, pass_context=True)
async def clean_up(job: JobContext, timestamp: int) -> None:
    """Delete people who did not verify their address in time, and codes, logins and counters that are over."""
    del timestamp
    context = context_of(job, AccountTaskContext)
    now, deleted = context.clock(), cleanup.BATCH
    while deleted == cleanup.BATCH:
        async with context.sessions.begin() as session:
            deleted = await cleanup.delete_unverified(session, older_than=context.unverified_ttl, now=now)
    await cleanup.prune(context.sessions, attempts_kept=context.unverified_ttl, now=now)


@blueprint.periodic(cron="30 * * * *")
@blueprint.task(name="records.prune", queue=HOUSEKEEPING, pass_context=True)
async def prune_records(job: JobContext, timestamp: int) -> None:
    """Delete old responses that were stored for an Idempotency-Key."""
    del timestamp
    context = context_of(job, TaskContext)
    is_old = IdempotencyRecord.created_at < context.clock() - IDEMPOTENCY_RECORDS_KEPT
    await delete_in_batches(context.sessions, IdempotencyRecord, is_old)


@blueprint.periodic(cron="15 * * * *")
@blueprint.task(name="accounts.erase", queue=HOUSEKEEPING, queueing_lock="accounts.erase", pass_context=True)
async def erase(job: JobContext, timestamp: int) -> None:
    """Erase what deleted people wrote, one person per transaction."""
    del timestamp
    context = context_of(job, AccountTaskContext)
    while await _erase_one(context, now=context.clock()):
        pass


async def _erase_one(context: AccountTaskContext, *, now: datetime) -> bool:
    """Erase what one deleted person wrote, if it is due; return False if there is no such person."""
    async with context.sessions.begin() as session:
        user_id = await cleanup.lock_next_to_erase(session, deleted_before=now - context.erase_after)
        if user_id is None:
            return False
        for erasure in context.erasures:
            await erasure(session, user_id=user_id)
        await cleanup.finish_erasing(session, user_id=user_id, now=now)
    log.info("deleted_person_erased", user_id=str(user_id))
    return True


@blueprint.periodic(cron="5 * * * *")
@blueprint.task(name="mails.tell_admins", queue=HOUSEKEEPING, pass_context=True)
async def tell_admins(job: JobContext, timestamp: int) -> None:
    """Mail the administrators, once a day, which mails failed."""
    del timestamp
    context = context_of(job, TaskContext)
    async with context.sessions.begin() as session:
        await failed_mails.tell_admins(session, now=context.clock())
