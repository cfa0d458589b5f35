"""The worker: runs the tasks of the features, in a process of its own or beside the server.

Any number may run: a job is run by one of them, a periodic job is enqueued once a period, and jobs of a killed worker
are run by another. The tasks are in the `tasks.py` of the features.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
from procrastinate import App, Blueprint, JobContext, PsycopgConnector
from procrastinate.worker import Worker
from prometheus_client import Counter, Gauge
from sqlalchemy import make_url

from crema.accounts import tasks as accounts
from crema.accounts.service import alerts
from crema.accounts.tasks import AccountTaskContext, Erasure
from crema.db.tasks import HOUSEKEEPING, TaskContext, additional_context
from crema.demo import tasks as demo
from crema.events import tasks as events
from crema.events.service import consuming
from crema.events.service.consuming import Consumer
from crema.events.tasks import EventTaskContext
from crema.media.service import MediaService
from crema.menu import tasks as menu
from crema.menu.tasks import MediaTaskContext
from crema.notifications import tasks as notifications
from crema.notifications.tasks import MailTaskContext
from crema.orders import tasks as orders
from crema.orders.domain import EventKind
from crema.orders.service import closing, mails
from crema.orders.tasks import OrderTaskContext
from crema.support import tasks as support
from crema.support.service import deletion
from crema.support.tasks import SupportTaskContext

log = structlog.get_logger(__name__)

CONCURRENCY: Final = 4
"""Jobs at a time. A crash can send one mail of each twice: a job records each mail before it sends the next."""
DRAIN_SECONDS: Final = 3
"""How long running jobs may go on after a stop; what is interrupted is run again by another worker."""
RETRY_SECONDS: Final = 2
"""After the database was lost."""
FAILED_JOBS_HOURS: Final = 24
FAILURES: Final = Counter("crema_job_failures_total", "Failures of background jobs, tries included.", ["task"])
LAST_SUCCESS: Final = Gauge(
    "crema_job_last_success_timestamp_seconds",
    "When a job of this task last succeeded.",
    ["task"],
    multiprocess_mode="max",
)
blueprint: Final = Blueprint()
_BLUEPRINTS: Final = (
    *(events.blueprint, notifications.blueprint, accounts.blueprint, menu.blueprint, orders.blueprint),
    *(support.blueprint, demo.blueprint, blueprint),
)


@dataclass(frozen=True, kw_only=True)
class WorkerContext(
    AccountTaskContext, EventTaskContext, MailTaskContext, OrderTaskContext, SupportTaskContext, MediaTaskContext
):
    """What the worker and the tasks of all features need."""

    database_url: str
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


def consumers(*, shop_language: str) -> tuple[Consumer, ...]:
    """Return who reads the event log. `shop_language` is that of the mails to the shops."""
    return (Consumer("order_mails", frozenset(EventKind), partial(mails.mail_events, shop_language=shop_language)),)


def erasures(media: MediaService) -> tuple[Erasure, ...]:
    """Return the steps that erase what a deleted person wrote, in order."""
    return partial(deletion.erase, store=media.store), closing.erase


@blueprint.periodic(cron="* * * * * */20")
@blueprint.task(name="jobs.rescue", queue=HOUSEKEEPING, queueing_lock="jobs.rescue", pass_context=True)
async def rescue(job: JobContext, timestamp: int) -> None:
    """Retry the jobs of dead workers."""
    del timestamp
    for stalled in await job.app.job_manager.get_stalled_jobs():
        log.warning("job_rescued", job_id=stalled.id, task=stalled.task_name)
        await job.app.job_manager.retry_job(stalled)


@blueprint.periodic(cron="30 * * * *")
@blueprint.task(name="jobs.prune", queue=HOUSEKEEPING, queueing_lock="jobs.prune", pass_context=True)
async def prune(job: JobContext, timestamp: int) -> None:
    """Delete old jobs that failed; those that succeeded are deleted at once."""
    del timestamp
    await job.app.job_manager.delete_old_jobs(FAILED_JOBS_HOURS, include_failed=True)


def make_jobs(context: WorkerContext) -> App:
    """Return a procrastinate application with the tasks of all features."""
    conninfo = make_url(context.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    jobs = App(
        connector=PsycopgConnector(conninfo=conninfo, min_size=1, max_size=CONCURRENCY + 2, timeout=5),
        periodic_defaults={"max_delay": 600},
    )
    for each in _BLUEPRINTS:
        _add_tasks(jobs, each)
    return jobs


def _add_tasks(jobs: App, source: Blueprint) -> None:
    """Register the tasks of a blueprint under their own names.

    `App.add_tasks_from` would put a namespace before the names, once more for each application; jobs in the queue have
    names without one.
    """
    added = {
        name: jobs.task(
            name=name,
            queue=task.queue,
            queueing_lock=task.queueing_lock,
            retry=task.retry_strategy or False,
            pass_context=True,
        )(task.func)
        for name, task in source.tasks.items()
    }
    for periodic in source.periodic_registry.periodic_tasks.values():
        jobs.periodic(cron=periodic.cron)(added[periodic.task.name])


def _failure_middleware(
    context: TaskContext,
) -> Callable[[Callable[[], Awaitable[Any]], JobContext, Worker], Awaitable[Any]]:
    """Return a middleware that counts failures, and mails those of periodic jobs to the administrators, once a day.

    procrastinate logs each failure that isn't retried as an error.
    """

    async def watch(call_next: Callable[[], Awaitable[Any]], job: JobContext, worker: Worker) -> Any:
        task = job.job.task_name
        try:
            result = await call_next()
        except Exception as error:
            FAILURES.labels(task).inc()
            if any(name == task for name, _ in worker.app.periodic_registry.periodic_tasks):
                await _mail_administrators(context, task=task, error=error)
            raise
        LAST_SUCCESS.labels(task).set_to_current_time()
        return result

    return watch


async def _mail_administrators(context: TaskContext, *, task: str, error: Exception) -> None:
    now = context.clock()
    try:
        async with context.sessions.begin() as session:
            await alerts.notify_administrators(
                session,
                template="job_failed",
                context={"task": task, "error": type(error).__name__, "at": f"{now:%Y-%m-%d %H:%M} UTC"},
                dedup_key=f"job-failed:{task}:{now:%Y-%m-%d}",
            )
    except Exception as untold:  # noqa: BLE001 - the job's own failure is what must be seen
        log.warning("job_failure_untold", task=task, error=repr(untold)[:300])


async def run(context: WorkerContext, **options: Any) -> None:
    """Run jobs until cancelled, also after losses of the database; running jobs get DRAIN_SECONDS to finish."""
    consuming_task = asyncio.create_task(_consume(context), name="events")
    try:
        await _run_jobs(context, **options)
    finally:
        consuming_task.cancel()
        await asyncio.wait({consuming_task}, timeout=DRAIN_SECONDS)


async def _consume(context: WorkerContext) -> None:
    """Read the event log until cancelled, through losses of the database."""
    while True:
        try:
            await consuming.run(context.sessions, context.consumers, clock=context.clock)
        except Exception as error:  # noqa: BLE001 - whatever it was, mail must go on
            log.warning("consumers_interrupted", error=repr(error)[:300])
        await asyncio.sleep(RETRY_SECONDS)


async def _run_jobs(context: WorkerContext, **options: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    while not task.cancelling():  # a cancellation can show as a database error
        try:
            async with make_jobs(context).open_async() as jobs:
                await jobs.run_worker_async(
                    concurrency=CONCURRENCY,
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=DRAIN_SECONDS,
                    delete_jobs="successful",
                    additional_context=additional_context(context),
                    worker_middleware=[_failure_middleware(context)],
                    **options,
                )
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, mail must go on
            log.warning("worker_interrupted", error=repr(error)[:300])
        await asyncio.sleep(RETRY_SECONDS)


@asynccontextmanager
async def working(context: WorkerContext) -> AsyncIterator[None]:
    """Run the worker until this context ends."""
    task = asyncio.create_task(run(context), name="worker")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=DRAIN_SECONDS + 1)  # `wait_for` would wait for a task that can't end
