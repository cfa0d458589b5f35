"""Tasks about orders: what nobody fetched, and names that are no longer needed."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from procrastinate import Blueprint, JobContext

from crema.db.tasks import HOUSEKEEPING, TaskContext, context_of
from crema.orders.service import closing, transitions

blueprint: Final = Blueprint()


@dataclass(frozen=True, kw_only=True)
class OrderTaskContext(TaskContext):
    """What tasks about orders need. `erase_after` is how long the names of customers at the counter are kept."""

    erase_after: timedelta


@blueprint.periodic(cron="*/5 * * * *")
@blueprint.task(name="orders.expire", queue=HOUSEKEEPING, pass_context=True)
async def expire(job: JobContext, timestamp: int) -> None:
    """Expire ready orders that nobody fetched."""
    del timestamp
    context = context_of(job, TaskContext)
    async with context.sessions.begin() as session:
        await transitions.expire_unclaimed(session, now=context.clock())


@blueprint.periodic(cron="15 * * * *")
@blueprint.task(name="orders.erase_names", queue=HOUSEKEEPING, queueing_lock="orders.erase_names", pass_context=True)
async def erase_names(job: JobContext, timestamp: int) -> None:
    """Erase the names of those who ordered at the counter."""
    del timestamp
    context = context_of(job, OrderTaskContext)
    async with context.sessions.begin() as session:
        await closing.erase_names(session, taken_before=context.clock() - context.erase_after)
