"""Reading the event log: each consumer handles each event, in the order of their transactions, at least once.

A consumer's position is a transaction id, as that of the live feeds (`db.changes`): a counter or a time would pass over
what begins first and commits last. What the handler writes and the new position are one transaction, so that a crash
repeats nothing. Only after a backup was restored, whose transaction ids mean nothing any more, are the events of a day
handled again: handlers must be idempotent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy import Text, bindparam, func, not_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db import changes, jobs
from crema.db.batches import delete_in_batches
from crema.db.session import Sessions
from crema.db.statement import Statement
from crema.db.tasks import HOUSEKEEPING
from crema.events import queries
from crema.events.models import Event, EventConsumer
from crema.events.queries import LoggedEvent

log = structlog.get_logger(__name__)

BATCH: Final = 200
"""Events handled in one transaction."""
POLL_SECONDS: Final = 1
"""How often a consumer looks for new events."""
HANDLED_AGAIN: Final = timedelta(days=1)
"""How far back a consumer begins again in a database that was restored from a backup."""
KEPT: Final = timedelta(days=14)
HANDLE_AGAIN: Final = "events.handle_again"
HANDLED: Final = Counter("crema_events_handled_total", "Events of the log that a consumer has handled.", ["consumer"])

Handler = Callable[[AsyncSession, Sequence[LoggedEvent]], Awaitable[None]]
"""Does what follows from these events, in the transaction of the session. Doing it again must change nothing."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """What follows from events of these kinds. `name` is that of its row in `event_consumers`."""

    name: str
    kinds: frozenset[str]
    handle: Handler


async def consume(sessions: Sessions, consumer: Consumer, *, now: datetime, limit: int = BATCH) -> int:
    """Handle the next events; return how many. 0 also while another process handles them.

    One that fails holds up no other: it is left to a job, which tries it again for about two weeks.
    """
    try:
        return await _consume(sessions, consumer, consumer.handle, now=now, limit=limit)
    except Exception as error:  # noqa: BLE001 - one of the events, whatever it was, must not stop the rest
        log.warning("events_failed", consumer=consumer.name, error=repr(error)[:300])
        return await _consume(sessions, consumer, _one_by_one(consumer), now=now, limit=limit)


async def _consume(sessions: Sessions, consumer: Consumer, handle: Handler, *, now: datetime, limit: int) -> int:
    async with sessions.begin() as session:
        count = await handle_next(session, replace(consumer, handle=handle), now=now, limit=limit)
    HANDLED.labels(consumer.name).inc(count)
    return count


async def handle_next(session: AsyncSession, consumer: Consumer, *, now: datetime, limit: int = BATCH) -> int:
    """Handle the next events in the caller's transaction; return how many. Whatever fails is raised."""
    # Locking the consumer is a write. A worker that has nothing to do would make the server flush its log every second.
    if not await queries.has_work(session, consumer.name, kinds=consumer.kinds):
        return 0
    state = await queries.find_consumer_for_update(session, consumer.name)
    if state is None:
        return 0
    oldest_open, _ = await changes.get_position(session)
    if state.transaction > oldest_open:
        await _begin_again(session, state, oldest_open=oldest_open)
    events = await queries.list_unhandled(session, state, kinds=consumer.kinds, limit=limit)
    if events:
        await consumer.handle(session, events)
    last = events[-1].transaction if len(events) == limit else oldest_open
    await _advance(session, state, events, to=min(last, oldest_open), now=now)
    return len(events)


async def _advance(
    session: AsyncSession, state: EventConsumer, events: Sequence[LoggedEvent], *, to: int, now: datetime
) -> None:
    """Note what was handled: everything that transactions before `to` wrote, and some of what later ones did."""
    handled = [*state.handled_ids, *(event.id for event in events)]
    if handled:
        state.transaction = to
        state.handled_ids = [*await queries.list_written_since(session, handled, transaction=to)]
        state.updated_at = now


async def _begin_again(session: AsyncSession, state: EventConsumer, *, oldest_open: int) -> None:
    """Number the log anew after a backup was restored: transactions of another server are later than all of this one.

    What was logged within HANDLED_AGAIN counts as written now, and is handled; what is older is past.
    """
    log.warning("events_renumbered", consumer=state.name)
    is_recent = Event.created_at >= state.updated_at - HANDLED_AGAIN
    await session.execute(update(Event).where(is_recent).values(transaction=changes.CURRENT_TRANSACTION))
    await session.execute(update(Event).where(not_(is_recent)).values(transaction=0))
    state.transaction, state.handled_ids = oldest_open, []


def _one_by_one(consumer: Consumer) -> Handler:
    """Return a handler that takes each event by itself and leaves those that fail to a job."""

    async def handle(session: AsyncSession, events: Sequence[LoggedEvent]) -> None:
        for event in events:
            try:
                async with session.begin_nested():
                    await consumer.handle(session, [event])
            except Exception as error:  # noqa: BLE001 - whatever it was, the others must go on
                log.warning("event_failed", consumer=consumer.name, event_id=str(event.id), error=repr(error)[:300])
                await _RETRY.rows(session, consumer=consumer.name, event_id=str(event.id))

    return handle


_ARGUMENTS: Final = select(
    func.jsonb_build_object(
        *("consumer", bindparam("consumer", type_=Text)), *("event_id", bindparam("event_id", type_=Text))
    ).label("arguments")
).subquery()
_RETRY: Final = Statement(select(jobs.defer(HANDLE_AGAIN, queue=HOUSEKEEPING, arguments=_ARGUMENTS.c.arguments)))


async def handle_again(sessions: Sessions, consumer: Consumer, *, event_id: UUID) -> None:
    """Handle an event that failed; raise what it fails with."""
    async with sessions.begin() as session:
        event = await queries.find_event(session, event_id)
        if event is not None:
            await consumer.handle(session, [event])


async def run(sessions: Sessions, consumers: Sequence[Consumer], *, clock: Callable[[], datetime]) -> None:
    """Handle events as they come, until cancelled. Where several processes do, each event is one's."""
    while True:
        for consumer in consumers:
            while await consume(sessions, consumer, now=clock()) == BATCH:
                pass
        await asyncio.sleep(POLL_SECONDS)


async def prune(sessions: Sessions, *, now: datetime) -> None:
    """Forget events that are older than KEPT."""
    await delete_in_batches(sessions, Event, Event.created_at < now - KEPT)
