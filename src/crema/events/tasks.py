"""Tasks about the event log: handling again what failed, and forgetting what is old."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from procrastinate import Blueprint, JobContext, RetryStrategy

from crema.db.tasks import HOUSEKEEPING, TaskContext, context_of
from crema.events.service import consuming
from crema.events.service.consuming import HANDLE_AGAIN, Consumer

blueprint: Final = Blueprint()
_RETRIES: Final = 20


@dataclass(frozen=True, kw_only=True)
class EventTaskContext(TaskContext):
    """What tasks about events need: who reads the log."""

    consumers: Sequence[Consumer]


@blueprint.task(
    name=HANDLE_AGAIN,
    queue=HOUSEKEEPING,
    retry=RetryStrategy(max_attempts=_RETRIES, exponential_wait=2),
    pass_context=True,
)
async def handle_again(job: JobContext, consumer: str, event_id: str) -> None:
    """Handle an event that failed, waiting twice as long after each failure, for two weeks at most."""
    context = context_of(job, EventTaskContext)
    (found,) = (each for each in context.consumers if each.name == consumer)
    await consuming.handle_again(context.sessions, found, event_id=UUID(event_id))


@blueprint.periodic(cron="30 * * * *")
@blueprint.task(name="events.prune", queue=HOUSEKEEPING, queueing_lock="events.prune", pass_context=True)
async def prune(job: JobContext, timestamp: int) -> None:
    """Forget events that are two weeks old."""
    del timestamp
    context = context_of(job, TaskContext)
    await consuming.prune(context.sessions, now=context.clock())
