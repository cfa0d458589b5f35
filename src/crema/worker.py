"""The second process, or a task of the first: delivers mail and keeps schedules.

As many may run as you like: a job is taken once, a schedule's job is enqueued once a period, and what a killed
worker left behind is taken up by another.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from procrastinate import App, BaseRetryStrategy, JobContext, PsycopgConnector, RetryDecision
from procrastinate.jobs import Job
from procrastinate.worker import Worker
from prometheus_client import Counter, Gauge
from sqlalchemy import delete, make_url

from crema.accounts.service import alerts, cleanup, failed_mails
from crema.db.idempotency import IdempotencyRecord
from crema.db.session import Sessions
from crema.demo.chain import load
from crema.demo.seed import PAINT, paint
from crema.media.service import MediaService
from crema.menu.service import images
from crema.notifications.domain import back_off
from crema.notifications.service import DELIVER, QUEUE, delivery
from crema.notifications.service.rendering import Stationery
from crema.notifications.service.senders import Sender
from crema.orders.service import closing, moving
from crema.support import queries as chats
from crema.support.service import attachments, leaving, letters

log = structlog.get_logger(__name__)

CONCURRENCY: Final = 4
"""Jobs at a time. It bounds how many mails a crash can send twice."""
DRAIN_SECONDS: Final = 3
"""Jobs under way get so long to finish; what is cut off is taken up by the next worker."""
HOUSEKEEPING: Final = "housekeeping"
FINISHED_JOBS_HOURS: Final = 24
IDEMPOTENCY_HOURS: Final = 48
FAILURES: Final = Counter("crema_job_failures_total", "Failures of background jobs, tries included.", ["task"])
LAST_SUCCESS: Final = Gauge(
    "crema_job_last_success_timestamp_seconds",
    "When a job of this task last succeeded.",
    ["task"],
    multiprocess_mode="max",
)


@dataclass(frozen=True, slots=True)
class Duties:
    """What the worker needs to do its work."""

    database_url: str
    sessions: Sessions
    sender: Sender
    stationery: Stationery
    media: MediaService
    unverified_ttl: timedelta
    erase_after: timedelta
    chat_url: str


class WhenDue(BaseRetryStrategy):
    """Run a mail's job again when its delivery says so."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        if isinstance(exception, delivery.RetryLaterError):
            return RetryDecision(retry_at=exception.at)
        wait = back_off(job.attempts + 1, spread=random.uniform(0.75, 1.25))  # noqa: S311 - not a secret
        return RetryDecision(retry_in={"seconds": int(wait.total_seconds())})


def make_jobs(duties: Duties) -> App:
    """Register every job on a procrastinate application of its own."""
    conninfo = make_url(duties.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    jobs = App(
        connector=PsycopgConnector(conninfo=conninfo, min_size=1, max_size=CONCURRENCY + 2, timeout=5),
        periodic_defaults={"max_delay": 600},
    )

    _add_errands(jobs, duties)
    _add_schedules(jobs, duties)
    _add_erasure(jobs, duties)
    _add_mail_schedules(jobs, duties)
    return jobs


def _add_errands(jobs: App, duties: Duties) -> None:
    """Add what requests ask for."""
    pause = delivery.Pause()

    @jobs.task(name=DELIVER, queue=QUEUE, retry=WhenDue())
    async def deliver(mail_id: str) -> None:
        await delivery.deliver(
            duties.sessions,
            duties.sender,
            duties.stationery,
            mail_id=UUID(mail_id),
            now=datetime.now(UTC),
            pause=pause,
        )

    @jobs.task(name=PAINT, queue=HOUSEKEEPING)
    async def paint_demo() -> None:
        await paint(duties.sessions, chain=load(), media=duties.media, now=datetime.now(UTC))


def _add_schedules(jobs: App, duties: Duties) -> None:
    """Add what has to be done every so often, by whichever worker is free."""

    @jobs.periodic(cron="*/10 * * * *")
    @jobs.task(name="accounts.cleanup", queue=HOUSEKEEPING, pass_context=False)
    async def clean_accounts(timestamp: int) -> None:
        del timestamp
        now, deleted = datetime.now(UTC), cleanup.BATCH
        while deleted == cleanup.BATCH:
            async with duties.sessions.begin() as session:
                deleted = await cleanup.delete_unverified(session, older_than=duties.unverified_ttl, now=now)
        async with duties.sessions.begin() as session:
            await cleanup.prune(session, now=now)

    @jobs.periodic(cron="*/5 * * * *")
    @jobs.task(name="orders.expire", queue=HOUSEKEEPING)
    async def expire_orders(timestamp: int) -> None:
        del timestamp
        async with duties.sessions.begin() as session:
            await moving.expire_unclaimed(session, now=datetime.now(UTC))

    @jobs.periodic(cron="* * * * * */20")
    @jobs.task(name="support.mail_unread", queue=HOUSEKEEPING, queueing_lock="support.mail_unread")
    async def mail_unread(timestamp: int) -> None:
        del timestamp
        async with duties.sessions.begin() as session:
            await letters.mail_unread(session, chat_url=duties.chat_url, now=datetime.now(UTC))

    @jobs.periodic(cron="30 * * * *")
    @jobs.task(name="records.prune", queue=HOUSEKEEPING)
    async def prune_records(timestamp: int) -> None:
        del timestamp
        now = datetime.now(UTC)
        async with duties.sessions.begin() as session:
            await delivery.prune(session, now=now)
            old = IdempotencyRecord.created_at < now - timedelta(hours=IDEMPOTENCY_HOURS)
            await session.execute(delete(IdempotencyRecord).where(old))
        await jobs.job_manager.delete_old_jobs(FINISHED_JOBS_HOURS, include_failed=True)

    @jobs.periodic(cron="45 * * * *")
    @jobs.task(name="media.sweep", queue=HOUSEKEEPING)
    async def sweep_media(timestamp: int) -> None:
        del timestamp
        now = datetime.now(UTC)
        swept = await images.sweep(duties.sessions, duties.media.store, now=now)
        await attachments.sweep(duties.sessions, duties.media.store, now=now)
        if swept.missing:
            log.error("pictures_without_files", keys=swept.missing)

    @jobs.periodic(cron="* * * * * */20")
    @jobs.task(name="jobs.rescue", queue=HOUSEKEEPING, queueing_lock="jobs.rescue")
    async def rescue_stalled(timestamp: int) -> None:
        del timestamp
        for job in await jobs.job_manager.get_stalled_jobs():
            log.warning("job_rescued", job_id=job.id, task=job.task_name)
            await jobs.job_manager.retry_job(job)


def _add_erasure(jobs: App, duties: Duties) -> None:
    """Add the erasure of what deleted people wrote, and of the names of those who ordered at the counter."""

    @jobs.periodic(cron="15 * * * *")
    @jobs.task(name="accounts.erase", queue=HOUSEKEEPING, queueing_lock="accounts.erase")
    async def erase_deleted(timestamp: int) -> None:
        del timestamp
        async with duties.sessions.begin() as session:
            await closing.erase_names(session, taken_before=datetime.now(UTC) - duties.erase_after)
        while await _erase_somebody(duties, now=datetime.now(UTC)):
            pass


async def _erase_somebody(duties: Duties, *, now: datetime) -> bool:
    """Erase what one deleted person wrote, whose time has come; False if there is nobody.

    Files go first: while they can't be deleted the rows stay, and the next run tries again.
    """
    async with duties.sessions.begin() as session:
        user_id = await cleanup.find_to_erase(session, deleted_before=now - duties.erase_after)
        if user_id is None:
            return False
        for key in await chats.list_files_of(session, customer_id=user_id):
            with suppress(FileNotFoundError):
                await duties.media.store.delete_async(key)
        await leaving.erase(session, user_id=user_id)
        await closing.erase(session, user_id=user_id)
        await cleanup.finish_erasing(session, user_id=user_id, now=now)
    log.info("deleted_person_erased", user_id=str(user_id))
    return True


def _watching(duties: Duties) -> Callable[[Callable[[], Awaitable[Any]], JobContext, Worker], Awaitable[Any]]:
    """Make the middleware that has failures seen: counted and, of periodic jobs, told to the administrators once a day.

    procrastinate logs each failure that isn't tried again as an error.
    """

    async def watch(call_next: Callable[[], Awaitable[Any]], context: JobContext, worker: Worker) -> Any:
        task = context.job.task_name
        try:
            result = await call_next()
        except Exception as error:
            FAILURES.labels(task).inc()
            if any(name == task for name, _ in worker.app.periodic_registry.periodic_tasks):
                await _tell(duties, task=task, error=error)
            raise
        LAST_SUCCESS.labels(task).set_to_current_time()
        return result

    return watch


async def _tell(duties: Duties, *, task: str, error: Exception) -> None:
    now = datetime.now(UTC)
    try:
        async with duties.sessions.begin() as session:
            await alerts.tell_administrators(
                session,
                template="job_failed",
                context={"task": task, "error": type(error).__name__, "at": f"{now:%Y-%m-%d %H:%M} UTC"},
                dedup_key=f"job-failed:{task}:{now:%Y-%m-%d}",
            )
    except Exception as untold:  # noqa: BLE001 - the job's own failure is what must be seen
        log.warning("job_failure_untold", task=task, error=repr(untold)[:300])


def _add_mail_schedules(jobs: App, duties: Duties) -> None:
    """Add what has to be done about mails every so often."""

    @jobs.periodic(cron="* * * * *")
    @jobs.task(name="mails.expire", queue=HOUSEKEEPING, queueing_lock="mails.expire")
    async def expire_mails(timestamp: int) -> None:
        del timestamp
        async with duties.sessions.begin() as session:
            await delivery.expire(session, now=datetime.now(UTC))

    @jobs.periodic(cron="5 * * * *")
    @jobs.task(name="mails.tell_admins", queue=HOUSEKEEPING)
    async def tell_admins(timestamp: int) -> None:
        del timestamp
        async with duties.sessions.begin() as session:
            await failed_mails.tell_admins(session, now=datetime.now(UTC))


async def run(duties: Duties, **options: Any) -> None:
    """Work until cancelled, through losses of the database; then finish what is under way, for DRAIN_SECONDS."""
    task = asyncio.current_task()
    assert task is not None
    while not task.cancelling():  # a cancellation may come out as an error of the database's
        try:
            async with make_jobs(duties).open_async() as jobs:
                await jobs.run_worker_async(
                    concurrency=CONCURRENCY,
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=DRAIN_SECONDS,
                    delete_jobs="successful",
                    worker_middleware=[_watching(duties)],
                    **options,
                )
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, mail must go on
            log.warning("worker_interrupted", error=repr(error)[:300])
        await asyncio.sleep(2)


@asynccontextmanager
async def working(duties: Duties) -> AsyncIterator[None]:
    """Run the worker beside the body of this context."""
    task = asyncio.create_task(run(duties), name="worker")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=DRAIN_SECONDS + 1)  # `wait_for` would wait for a task that can't end
