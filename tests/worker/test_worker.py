"""The worker on a database of its own: what is committed is delivered, whatever happens on the way."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from procrastinate.jobs import Job
from sqlalchemy import select, text, update

from crema.db.session import Sessions
from crema.notifications import service as notifications
from crema.notifications.domain import back_off
from crema.notifications.models import Mail
from crema.notifications.service import OutgoingMail
from crema.notifications.service.delivery import RetryLaterError
from crema.notifications.tasks import DeliveryRetry
from crema.worker import WorkerContext
from fixtures.smtp import Sink
from fixtures.worker import run_task, working

pytestmark = pytest.mark.anyio
CODE = {"code": "042137", "minutes": 15, "name": None}


async def promise(sessions: Sessions, recipient: str = "anna@example.com") -> None:
    async with sessions.begin() as session:
        await notifications.send(session, [OutgoingMail(recipient, "verification_code", "en", CODE)])


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
    worker_context: WorkerContext, own_sessions: Sessions, sink: Sink
) -> None:
    async with own_sessions() as session:
        await notifications.send(session, [OutgoingMail("nobody@example.com", "verification_code", "en", CODE)])
        await session.rollback()

    async with working(worker_context):
        await promise(own_sessions)
        await await_statuses(own_sessions, "sent")

    assert [message["To"] for message in sink.messages] == ["anna@example.com"]


async def test_r9_two_workers_deliver_every_mail_once(
    worker_context: WorkerContext, own_sessions: Sessions, sink: Sink
) -> None:
    async with working(worker_context), working(worker_context):
        for number in range(20):
            await promise(own_sessions, f"p{number}@example.com")
        await await_statuses(own_sessions, *["sent"] * 20)

    assert len({message["Message-ID"] for message in sink.messages}) == len(sink.messages) == 20


async def test_a_busy_mail_server_is_tried_again(
    worker_context: WorkerContext, own_sessions: Sessions, sink: Sink
) -> None:
    sink.answers = ["451 later, please"]

    async with working(worker_context):
        await promise(own_sessions)
        await await_statuses(own_sessions, "sent")

    async with own_sessions() as session:
        assert await session.scalar(select(Mail.tries)) == 2


async def test_it_survives_the_loss_of_its_connections(
    worker_context: WorkerContext, own_sessions: Sessions, database_url: str
) -> None:
    async with working(worker_context):
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


async def test_r9_what_a_killed_worker_was_doing_is_taken_up(
    worker_context: WorkerContext, own_sessions: Sessions
) -> None:
    await promise(own_sessions)
    async with own_sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO procrastinate_workers (id, last_heartbeat) OVERRIDING SYSTEM VALUE"
                " VALUES (4242, now() - interval '1 hour')"
            )
        )
        await session.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 4242"))

    await run_task(worker_context, "jobs.rescue", timestamp=0)
    async with working(worker_context):
        await await_statuses(own_sessions, "sent")


async def test_unverified_people_are_deleted_on_schedule(worker_context: WorkerContext, own_sessions: Sessions) -> None:
    async with own_sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO users (id, email, role_id, created_at) SELECT gen_random_uuid(), age || '@example.com',"
                " roles.id, now() - age * interval '1 hour' FROM roles, generate_series(47, 49, 2) age"
                " WHERE roles.name = 'user'"
            )
        )

    await run_task(worker_context, "accounts.cleanup", timestamp=0)

    async with own_sessions() as session:
        assert list(await session.scalars(text("SELECT email FROM users"))) == ["47@example.com"]


async def test_m7_codes_are_emptied_and_failures_told_on_schedule(
    worker_context: WorkerContext, own_sessions: Sessions
) -> None:
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

    await run_task(worker_context, "mails.expire", timestamp=0)
    async with own_sessions.begin() as session:
        await session.execute(update(Mail).values(failed_at=old))
    for _ in range(2):
        await run_task(worker_context, "mails.tell_admins", timestamp=0)

    async with own_sessions() as session:
        mails = list(await session.scalars(select(Mail).order_by(Mail.id)))
    assert [(mail.status, mail.context) for mail in mails[:2]] == [("expired", {})] * 2
    assert [(mail.recipient, mail.context["count"]) for mail in mails[2:]] == [("admin@example.com", 2)]


@pytest.mark.parametrize(("tries", "seconds"), [(1, 2), (4, 16), (10, 1024), (11, 1800), (1_000, 1800)])
def test_retries_wait_twice_as_long_each_time_up_to_half_an_hour(tries: int, seconds: int) -> None:
    assert back_off(tries, jitter=1) == timedelta(seconds=seconds)
    assert back_off(tries, jitter=0.75) < back_off(tries, jitter=1) < back_off(tries, jitter=1.25)


def test_a_job_runs_again_when_its_delivery_says_so() -> None:
    job = Job(id=1, queue="mail", lock=None, queueing_lock=None, task_name="x", attempts=30)
    at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

    decision = DeliveryRetry().get_retry_decision(exception=RetryLaterError("451", at=at), job=job)
    unforeseen = DeliveryRetry().get_retry_decision(exception=OSError(), job=job)

    assert decision.retry_at == at
    assert unforeseen.retry_at
    assert unforeseen.retry_at > datetime.now(UTC)
