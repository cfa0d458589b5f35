"""The worker on a database of its own: what is committed is delivered, whatever happens on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from obstore.store import LocalStore
from procrastinate.jobs import Job
from sqlalchemy import select, text, update

from crema import worker
from crema.db.session import Sessions
from crema.media.service import MediaService
from crema.media.service.rendering import Renderer
from crema.notifications import service as notifications
from crema.notifications.domain import back_off
from crema.notifications.models import Mail
from crema.notifications.service import Letter
from crema.notifications.service.delivery import RetryLaterError
from crema.notifications.service.rendering import Stationery
from crema.notifications.service.senders import SmtpSender
from crema.worker import Duties
from fixtures.smtp import Sink

pytestmark = pytest.mark.anyio
CODE = {"code": "042137", "minutes": 15, "name": None}


@pytest.fixture
def duties(database_url: str, own_sessions: Sessions, sink: Sink, tmp_path: Path) -> Duties:
    return Duties(
        database_url=database_url,
        sessions=own_sessions,
        sender=SmtpSender(sink.url),
        stationery=Stationery("Crema <noreply@crema.example.com>", "Crema", "http://127.0.0.1:8000"),
        media=MediaService(LocalStore(tmp_path), Renderer()),
        unverified_ttl=timedelta(hours=48),
        erase_after=timedelta(days=30),
        chat_url="http://127.0.0.1:8000",
    )


@asynccontextmanager
async def working(duties: Duties) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run(duties, fetch_job_polling_interval=0.1))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def promise(sessions: Sessions, recipient: str = "anna@example.com") -> None:
    async with sessions.begin() as session:
        await notifications.send(session, [Letter(recipient, "verification_code", "en", CODE)])


async def await_statuses(sessions: Sessions, *wanted: str) -> None:
    async with asyncio.timeout(20):
        while True:
            async with sessions() as session:
                if tuple(await session.scalars(select(Mail.status).order_by(Mail.id))) == wanted:
                    return
            await asyncio.sleep(0.05)


async def await_rest(sessions: Sessions) -> None:
    """Wait until no job is under way: one whose end is cut off is another test's."""
    async with asyncio.timeout(20):
        while True:
            async with sessions() as session:
                if not await session.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'")):
                    return
            await asyncio.sleep(0.05)


async def test_r9_a_committed_mail_is_delivered_and_a_rolled_back_one_never_was(
    duties: Duties, own_sessions: Sessions, sink: Sink
) -> None:
    async with own_sessions() as session:
        await notifications.send(session, [Letter("nobody@example.com", "verification_code", "en", CODE)])
        await session.rollback()

    async with working(duties):
        await promise(own_sessions)
        await await_statuses(own_sessions, "sent")

    assert [message["To"] for message in sink.messages] == ["anna@example.com"]


async def test_r9_two_workers_deliver_every_mail_once(duties: Duties, own_sessions: Sessions, sink: Sink) -> None:
    async with working(duties), working(duties):
        for number in range(20):
            await promise(own_sessions, f"p{number}@example.com")
        await await_statuses(own_sessions, *["sent"] * 20)

    assert len({message["Message-ID"] for message in sink.messages}) == len(sink.messages) == 20


async def test_a_busy_mail_server_is_tried_again(duties: Duties, own_sessions: Sessions, sink: Sink) -> None:
    sink.answers = ["451 later, please"]

    async with working(duties):
        await promise(own_sessions)
        await await_statuses(own_sessions, "sent")

    async with own_sessions() as session:
        assert await session.scalar(select(Mail.tries)) == 2


async def test_it_survives_the_loss_of_its_connections(
    duties: Duties, own_sessions: Sessions, database_url: str
) -> None:
    async with working(duties):
        await promise(own_sessions)
        await await_statuses(own_sessions, "sent")
        await await_rest(own_sessions)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await own_sessions.kw["bind"].dispose()  # the test's own connections are lost, too
        await promise(own_sessions)
        await await_statuses(own_sessions, "sent", "sent")


async def test_r9_what_a_killed_worker_was_doing_is_taken_up(duties: Duties, own_sessions: Sessions) -> None:
    await promise(own_sessions)
    async with own_sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO procrastinate_workers (id, last_heartbeat) OVERRIDING SYSTEM VALUE"
                " VALUES (4242, now() - interval '1 hour')"
            )
        )
        await session.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 4242"))

    async with worker.make_jobs(duties).open_async() as jobs:
        await jobs.tasks["jobs.rescue"].func(0)
    async with working(duties):
        await await_statuses(own_sessions, "sent")


async def test_unverified_people_are_deleted_on_schedule(duties: Duties, own_sessions: Sessions) -> None:
    async with own_sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO users (id, email, role_id, created_at) SELECT gen_random_uuid(), age || '@example.com',"
                " roles.id, now() - age * interval '1 hour' FROM roles, generate_series(47, 49, 2) age"
                " WHERE roles.name = 'user'"
            )
        )

    async with worker.make_jobs(duties).open_async() as jobs:
        await jobs.tasks["accounts.cleanup"].func(0)

    async with own_sessions() as session:
        assert list(await session.scalars(text("SELECT email FROM users"))) == ["47@example.com"]


async def test_m7_codes_are_emptied_and_failures_told_on_schedule(duties: Duties, own_sessions: Sessions) -> None:
    await promise(own_sessions)
    await promise(own_sessions, "boris@example.com")
    async with own_sessions.begin() as session:
        old = datetime.now(UTC) - timedelta(days=1)
        await session.execute(update(Mail).values(queued_at=old))
        await session.execute(
            text(
                "INSERT INTO users (id, email, role_id, verified_at) SELECT gen_random_uuid(), 'admin@example.com', id,"
                " now() FROM roles WHERE name = 'admin'"
            )
        )

    async with worker.make_jobs(duties).open_async() as jobs:
        await jobs.tasks["mails.expire"].func(0)
        async with own_sessions.begin() as session:
            await session.execute(update(Mail).values(failed_at=old))
        await jobs.tasks["mails.tell_admins"].func(0)
        await jobs.tasks["mails.tell_admins"].func(0)

    async with own_sessions() as session:
        mails = list(await session.scalars(select(Mail).order_by(Mail.id)))
    assert [(mail.status, mail.context) for mail in mails[:2]] == [("expired", {})] * 2
    assert [(mail.recipient, mail.context["count"]) for mail in mails[2:]] == [("admin@example.com", 2)]


@pytest.mark.parametrize(("tries", "seconds"), [(1, 2), (4, 16), (10, 1024), (11, 1800), (1_000, 1800)])
def test_retries_wait_twice_as_long_each_time_up_to_half_an_hour(tries: int, seconds: int) -> None:
    assert back_off(tries, spread=1) == timedelta(seconds=seconds)
    assert back_off(tries, spread=0.75) < back_off(tries, spread=1) < back_off(tries, spread=1.25)


def test_a_job_runs_again_when_its_delivery_says_so() -> None:
    job = Job(id=1, queue="mail", lock=None, queueing_lock=None, task_name="x", attempts=30)
    at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

    decision = worker.WhenDue().get_retry_decision(exception=RetryLaterError("451", at=at), job=job)
    unforeseen = worker.WhenDue().get_retry_decision(exception=OSError(), job=job)

    assert decision.retry_at == at
    assert unforeseen.retry_at
    assert unforeseen.retry_at > datetime.now(UTC)
