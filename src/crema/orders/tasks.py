"""Tasks about orders: they expire orders that nobody accepts or picks up, and delete what is no longer needed."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from procrastinate import Blueprint, JobContext

from crema.db.tasks import HOUSEKEEPING, TaskContext, context_of
from crema.orders import queries
from crema.orders.service import closing, slots, transitions

blueprint: Final = Blueprint()


@dataclass(frozen=True, kw_only=True)
class OrderTaskContext(TaskContext):
    """What tasks about orders need.

    `erase_after` is how long the names of customers at the counter are kept. `accept_within` is the time, while the
    shop is open, after which an order expires that nobody accepts; 0 means never.
    """

    erase_after: timedelta
    accept_within: timedelta


@blueprint.periodic(cron="*/5 * * * *")
@blueprint.task(name="orders.expire", queue=HOUSEKEEPING, pass_context=True)
async def expire(job: JobContext, timestamp: int) -> None:
    """Expire ready orders that nobody picked up."""
    del timestamp
    context = context_of(job, TaskContext)
    async with context.sessions.begin() as session:
        await transitions.expire_unclaimed(session, now=context.clock())


@blueprint.periodic(cron="* * * * *")
@blueprint.task(
    name="orders.expire_unaccepted",
    queue=HOUSEKEEPING,
    queueing_lock="orders.expire_unaccepted",
    pass_context=True,
)
async def expire_unaccepted(job: JobContext, timestamp: int) -> None:
    """Expire orders that their shops didn't accept in time, in a transaction for each shop."""
    del timestamp
    context = context_of(job, OrderTaskContext)
    if not context.accept_within:
        return
    now = context.clock()
    async with context.sessions.begin() as session:
        shop_ids = await queries.list_shops_with_unaccepted(session, placed_before=now - context.accept_within)
    for shop_id in shop_ids:
        async with context.sessions.begin() as session:
            await transitions.expire_unaccepted(session, shop_id=shop_id, within=context.accept_within, now=now)


@blueprint.periodic(cron="45 3 * * *")
@blueprint.task(name="orders.forget_slots", queue=HOUSEKEEPING, queueing_lock="orders.forget_slots", pass_context=True)
async def forget_slots(job: JobContext, timestamp: int) -> None:
    """Delete the bookings of slots that are long past."""
    del timestamp
    context = context_of(job, TaskContext)
    await slots.forget(context.sessions, before=context.clock() - slots.KEPT_FOR)


@blueprint.periodic(cron="15 * * * *")
@blueprint.task(name="orders.erase_names", queue=HOUSEKEEPING, queueing_lock="orders.erase_names", pass_context=True)
async def erase_names(job: JobContext, timestamp: int) -> None:
    """Erase the names of those who ordered at the counter."""
    del timestamp
    context = context_of(job, OrderTaskContext)
    async with context.sessions.begin() as session:
        await closing.erase_names(session, taken_before=context.clock() - context.erase_after)
