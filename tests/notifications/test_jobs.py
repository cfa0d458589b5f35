"""Mails that share a job: how many jobs and connections they take, and what they have to do with each other."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select, text, update

from crema.db.session import Sessions
from crema.notifications import service as notifications
from crema.notifications.models import Mail
from crema.notifications.service import MAILS_OF_JOB, OutgoingMail, delivery
from crema.notifications.service.delivery import RetryLaterError
from crema.notifications.service.rendering import MailRenderer
from crema.notifications.service.senders import SmtpSender
from crema.shops.models import Shop
from crema.worker import WorkerContext
from factories.orders import make_shop, make_simple_product, place
from factories.people import consume_events
from fixtures.database import statements
from fixtures.people import make_person
from fixtures.smtp import Sink, talking
from fixtures.worker import run_task

pytestmark = pytest.mark.anyio
MAIL_RENDERER = MailRenderer(
    sender="Crema <noreply@crema.example.com>", chain="Crema", link="https://crema.example.com"
)
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def recipients(number: int) -> list[str]:
    return [f"p{each:02}@example.com" for each in range(number)]


async def promise(sessions: Sessions, number: int) -> list[UUID]:
    mails = [OutgoingMail(to, "password_changed", "en", {"name": None}) for to in recipients(number)]
    async with sessions.begin() as session:
        await notifications.send(session, mails)
        await session.execute(update(Mail).values(created_at=NOW, queued_at=NOW))
    return [mail.id for mail in mails]


async def jobs(sessions: Sessions) -> list[dict[str, Any]]:
    async with sessions() as session:
        return list(await session.scalars(text("SELECT args FROM procrastinate_jobs ORDER BY id")))


async def mails(sessions: Sessions) -> list[Mail]:
    async with sessions() as session:
        return list(await session.scalars(select(Mail).order_by(Mail.recipient)))


async def deliver(
    sessions: Sessions, url: str, mail_ids: list[UUID], *, now: datetime = NOW, queued_by: datetime | None = None
) -> datetime | None:
    """Try once; tell when the job wants to run again."""
    try:
        await delivery.deliver(
            statements(sessions), SmtpSender(url), MAIL_RENDERER, mail_ids=mail_ids, now=now, queued_by=queued_by
        )
    except RetryLaterError as error:
        return error.at
    return None


async def test_the_mails_of_an_order_are_one_job_and_one_connection(
    customer: httpx2.AsyncClient, sessions: Sessions, sink: Sink
) -> None:
    app = customer._transport.app
    for name in ("a", "b"):
        await make_person(app, email=f"{name}@example.com", role="admin")
    shop = await make_shop(sessions)
    async with sessions.begin() as session:
        await session.execute(update(Shop).values(email="shop@example.com"))

    await place(customer, await make_simple_product(sessions), shop_id=str(shop))
    async with sessions.begin() as session:
        await consume_events(session)

    [job] = await jobs(sessions)
    assert len(job["mail_ids"]) == 4
    ids = [UUID(each) for each in job["mail_ids"]]
    queued_by = datetime.fromisoformat(job["queued_by"])
    assert await deliver(sessions, sink.url, ids, queued_by=queued_by, now=queued_by) is None
    assert [mail.status for mail in await mails(sessions)] == ["sent"] * 4
    assert sorted(message["To"] for message in sink.messages) == [mail.recipient for mail in await mails(sessions)]
    assert len({message["Message-ID"] for message in sink.messages}) == 4
    assert sink.greetings == 1


async def test_many_mails_are_several_jobs_of_each_mail_once(sessions: Sessions) -> None:
    ids = await promise(sessions, 2 * MAILS_OF_JOB + 1)

    made = [job["mail_ids"] for job in await jobs(sessions)]

    assert sorted(map(len, made)) == [1, MAILS_OF_JOB, MAILS_OF_JOB]
    assert sorted(UUID(each) for job in made for each in job) == sorted(ids)


async def test_no_mails_are_no_job(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await notifications.send(session, [], even_none=True)

    assert await jobs(sessions) == []


@pytest.mark.parametrize("refusal", ["550 5.1.1 no such user", "450 4.2.0 greylisted"])
async def test_a_refused_recipient_stops_no_other(sessions: Sessions, sink: Sink, refusal: str) -> None:
    ids = await promise(sessions, 3)
    sink.refusals["p01@example.com"] = refusal

    later = await deliver(sessions, sink.url, ids)

    found = await mails(sessions)
    assert [mail.status for mail in found] == ["sent", "queued" if later else "failed", "sent"]
    assert found[1].next_try_at == later
    assert [message["To"] for message in sink.messages] == ["p00@example.com", "p02@example.com"]
    assert sink.greetings == 1


async def test_content_that_is_refused_stops_no_other(sessions: Sessions, sink: Sink) -> None:
    ids = await promise(sessions, 2)
    sink.answers = ["554 5.7.1 looks like spam"]

    assert await deliver(sessions, sink.url, ids)

    assert sorted(mail.status for mail in await mails(sessions)) == ["queued", "sent"]
    assert sink.greetings == 1


async def test_the_earliest_mail_says_when_and_only_what_is_due_is_tried(sessions: Sessions, sink: Sink) -> None:
    first, second, third = await promise(sessions, 3)
    async with sessions.begin() as session:
        for mail_id, minutes in ((first, 3), (second, 1), (third, 2)):
            waits = update(Mail).where(Mail.id == mail_id)
            await session.execute(waits.values(next_try_at=NOW + timedelta(minutes=minutes)))

    later = await deliver(sessions, sink.url, [first, second, third], now=NOW + timedelta(minutes=2))
    assert later == NOW + timedelta(minutes=3)
    assert [mail.status for mail in await mails(sessions)] == ["queued", "sent", "sent"]

    early = NOW + timedelta(minutes=3, seconds=-1)
    assert await deliver(sessions, sink.url, [first], now=early) is None, "a clock that is behind stops nothing"
    assert len(sink.messages) == 3


async def test_a_server_that_ends_the_connection_gets_the_rest_over_another(sessions: Sessions) -> None:
    """Tried: a server that takes one message a connection. It refuses nothing, so nobody waits."""
    ids = await promise(sessions, 3)
    one_message = ("220 hello", "250 crema", "250 sender", "250 recipient", "354 go on", "250 taken", None)

    async with talking(*one_message) as url:
        assert await deliver(sessions, url, ids) is None

    assert [(mail.status, mail.tries) for mail in await mails(sessions)] == [("sent", 1)] * 3


async def test_what_was_resent_is_another_job_s(sessions: Sessions, sink: Sink) -> None:
    """Tried: resending a mail while the job that it failed in still waits for another: both would deliver it."""
    resent, waiting = await promise(sessions, 2)
    async with sessions.begin() as session:
        await session.execute(update(Mail).where(Mail.id == resent).values(queued_at=NOW + timedelta(hours=1)))

    at = NOW + timedelta(hours=2)
    await deliver(sessions, sink.url, [resent, waiting], now=at, queued_by=NOW)
    assert [message["To"] for message in sink.messages] == ["p01@example.com"]

    await deliver(sessions, sink.url, [resent, waiting], now=at)
    assert len(sink.messages) == 2, "twin: without the time both are delivered"


async def test_a_job_of_an_older_version_is_understood(
    worker_context: WorkerContext, own_sessions: Sessions, sink: Sink
) -> None:
    mail = OutgoingMail("anna@example.com", "password_changed", "en", {"name": None})
    async with own_sessions.begin() as session:
        await notifications.send(session, [mail])

    await run_task(worker_context, "notifications.deliver", mail_id=str(mail.id))

    assert [message["Message-ID"] for message in sink.messages] == [f"<{mail.id}@crema.example.com>"]
