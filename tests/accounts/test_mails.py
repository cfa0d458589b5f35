"""What administrators see of mails, and what they can do about those that weren't delivered."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import insert, select, text, update

from crema.accounts import queries
from crema.accounts.models import User
from crema.accounts.service import codes, failed_mails
from crema.db.session import Sessions
from crema.notifications.domain import CODE_TEMPLATES, LIFETIMES
from crema.notifications.models import Mail
from crema.notifications.service import delivery, resending
from crema.notifications.service.rendering import MailRenderer
from crema.notifications.service.senders import SmtpSender
from crema.web.state import DatabaseState
from fixtures.app import Clock, change_state, clients
from fixtures.database import statements
from fixtures.people import make_person
from fixtures.smtp import Sink, text_of

pytestmark = pytest.mark.anyio
MAIL_RENDERER = MailRenderer(
    sender="Crema <noreply@crema.example.com>", chain="Crema", link="https://crema.example.com"
)
CODE = {"code": "042137", "minutes": 15, "name": None}
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
async def admin(app: FastAPI) -> str:
    return (await make_person(app, email="admin@example.com", role="admin")).token


async def add(sessions: Sessions, **fields: Any) -> UUID:
    known = {"recipient": "anna@example.com", "template": "password_changed", "language": "en"}
    values = known | {"context": {"name": "Анна"}, "created_at": NOW, "queued_at": NOW} | fields
    async with sessions.begin() as session:
        mail_id: UUID = (await session.scalars(insert(Mail).values(values).returning(Mail.id))).one()
        return mail_id


async def count_jobs(sessions: Sessions) -> int:
    async with sessions() as session:
        return await session.scalar(text("SELECT count(*) FROM procrastinate_jobs")) or 0


async def test_m7_a_mail_is_shown_without_what_it_says(app: FastAPI, sessions: Sessions, admin: str) -> None:
    mail_id = await add(
        sessions, template="verification_code", context=CODE, tries=2, last_error="451 later", next_try_at=NOW
    )

    async with clients(app, admin) as [client]:
        page = (await client.get("/mails")).json()

    assert page["total"] == 1
    assert page["items"] == [
        {
            "id": str(mail_id),
            "recipient": "anna@example.com",
            "template": "verification_code",
            "language": "en",
            "status": "queued",
            "tries": 2,
            "last_error": "451 later",
            "created_at": "2026-11-23T09:00:00.000000Z",
            "next_try_at": "2026-11-23T09:00:00.000000Z",
            "expires_at": "2026-11-23T09:15:00.000000Z",
            "sent_at": None,
            "failed_at": None,
        }
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=failed", 1),
        ("status__in=failed,expired", 2),
        ("status=lost", 422),
        ("recipient__icontains=BORIS", 1),
        ("search=mailbox", 1),
        ("template=order_ready", 1),
        ("expires_at__lt=2026-11-23T10:00:01.000000Z", 1),
        ("failed_at__isnull=false&sort=-expires_at", 1),
        ("context__contains=042137", 422),
        ("dedup_key=x", 422),
    ],
)
async def test_mails_are_listed_in_the_language_of_lists(
    app: FastAPI, sessions: Sessions, admin: str, query: str, found: int
) -> None:
    await add(sessions, status="failed", last_error="550 no mailbox", failed_at=NOW)
    await add(sessions, status="expired", template="order_ready")
    await add(sessions, recipient="boris@example.com", status="sent", context={})

    async with clients(app, admin) as [client]:
        response = await client.get(f"/mails?{query}")

    assert (response.json()["total"] if response.status_code == 200 else response.status_code) == found


async def test_a_mail_that_failed_is_sent_again_with_a_life_of_its_own(
    app: FastAPI, sessions: Sessions, admin: str, clock: Clock, sink: Sink
) -> None:
    context = {"number": "A-042", "shop": "Арбат", "shop_address": "Арбат, 1"}
    mail_id = await add(sessions, template="order_ready", status="expired", context=context, tries=30, failed_at=NOW)
    clock.advance(days=1)

    async with clients(app, admin) as [client]:
        response = await client.post(f"/mail/{mail_id}/resend")

    assert response.status_code == 202
    shown = response.json()
    assert (shown["status"], shown["tries"], shown["failed_at"]) == ("queued", 0, None)
    assert shown["expires_at"] == "2026-11-24T10:00:00.000000Z"
    assert await count_jobs(sessions) == 1
    sender = SmtpSender(sink.url)
    await delivery.deliver(statements(sessions), sender, MAIL_RENDERER, mail_ids=[mail_id], now=clock.now)
    assert [message["Message-ID"] for message in sink.messages] == [f"<{mail_id}@crema.example.com>"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": "queued"}, "mail_not_failed"),
        ({"status": "sent", "context": {}}, "mail_not_failed"),
        ({"status": "failed", "context": {}}, "mail_over"),
        ({"status": "failed", "template": "verification_code", "context": CODE}, "mail_over"),
        ({"status": "expired", "template": "verification_code", "context": {}}, "mail_over"),
    ],
)
async def test_what_needs_or_can_have_no_other_try_is_not_sent_again(
    app: FastAPI, sessions: Sessions, admin: str, clock: Clock, fields: dict[str, Any], code: str
) -> None:
    mail_id = await add(sessions, **fields)
    clock.advance(minutes=15)

    async with clients(app, admin) as [client]:
        response = await client.post(f"/mail/{mail_id}/resend")

    assert (response.status_code, response.json()["code"]) == (409, code)
    assert await count_jobs(sessions) == 0


async def test_a_code_that_is_still_good_is_sent_again_and_lives_no_longer(
    app: FastAPI, sessions: Sessions, admin: str, clock: Clock
) -> None:
    mail_id = await add(sessions, template="verification_code", context=CODE, status="failed")
    clock.advance(minutes=14)

    async with clients(app, admin) as [client]:
        response = await client.post(f"/mail/{mail_id}/resend")

    assert (response.status_code, response.json()["expires_at"]) == (202, "2026-11-23T09:15:00.000000Z")


def test_a_mail_with_a_code_lives_as_long_as_the_code() -> None:
    assert {LIFETIMES[template] for template in CODE_TEMPLATES} == {codes.LIFETIME}


async def test_a_mail_that_is_not_there_is_not_found(app: FastAPI, admin: str) -> None:
    async with clients(app, admin) as [client]:
        response = await client.post("/mail/019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5/resend")

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_three_administrators_at_once_send_it_once(own_app: FastAPI, own_sessions: Sessions) -> None:
    token = (await make_person(own_app, email="admin@example.com", role="admin")).token
    mail_id = await add(own_sessions, status="failed")

    async with clients(own_app, *[token] * 3) as admins:
        answers = await asyncio.gather(*(client.post(f"/mail/{mail_id}/resend") for client in admins))

    assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
    assert await count_jobs(own_sessions) == 1


async def test_without_the_guard_they_would_send_it_three_times(
    own_app: FastAPI, own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "_may_be_resent", lambda _now: ())
    token = (await make_person(own_app, email="admin@example.com", role="admin")).token
    mail_id = await add(own_sessions, status="failed")

    async with clients(own_app, *[token] * 3) as admins:
        await asyncio.gather(*(client.post(f"/mail/{mail_id}/resend") for client in admins))

    assert await count_jobs(own_sessions) == 3


async def tell(sessions: Sessions, now: datetime) -> list[Mail]:
    async with sessions.begin() as session:
        await failed_mails.tell_admins(session, now=now)
        told = select(Mail).where(Mail.template == "mails_failed").order_by(Mail.created_at, Mail.recipient)
        return list(await session.scalars(told))


async def add_admins(sessions: Sessions, number: int = 2) -> None:
    async with sessions.begin() as session:
        role_id = await queries.get_role_id(session, "admin")
        rows = [{"email": f"admin{n}@example.com", "role_id": role_id, "verified_at": NOW} for n in range(number)]
        await session.execute(insert(User).values(rows))


async def test_administrators_hear_once_a_day_what_failed(sessions: Sessions, sink: Sink) -> None:
    await add_admins(sessions)
    morning = datetime(2026, 11, 24, 6, 5, tzinfo=UTC)
    await add(sessions, status="failed", last_error="550 no such user", failed_at=morning - timedelta(hours=1))
    await add(sessions, status="expired", failed_at=morning - timedelta(hours=20))
    await add(sessions, status="failed", failed_at=morning - timedelta(minutes=1))  # today's
    await add(sessions, status="failed", failed_at=morning - timedelta(hours=25))  # yesterday's
    await add(sessions, status="queued")

    for hours in (0, 1, 23.8):
        told = await tell(sessions, morning + timedelta(hours=hours))

    assert [mail.recipient for mail in told] == ["admin0@example.com", "admin1@example.com"]
    assert told[0].context["count"] == 2
    sender = SmtpSender(sink.url)
    await delivery.deliver(statements(sessions), sender, MAIL_RENDERER, mail_ids=[told[0].id], now=told[0].queued_at)
    assert "550 no such user" in text_of(sink.messages[0])
    assert "anna@example.com" in text_of(sink.messages[0])

    assert len(await tell(sessions, morning + timedelta(days=1))) == 4, "the next day has one failure of its own"


async def test_a_day_without_failures_is_not_spoken_of(sessions: Sessions) -> None:
    await add_admins(sessions)
    await add(sessions, status="sent", context={})

    assert await tell(sessions, NOW + timedelta(days=1)) == []


async def test_failed_words_about_failures_bring_about_no_others(sessions: Sessions) -> None:
    await add_admins(sessions, 1)
    await add(sessions, status="failed", failed_at=NOW)
    (told,) = await tell(sessions, NOW + timedelta(days=1))
    async with sessions.begin() as session:
        await session.execute(
            update(Mail).where(Mail.id == told.id).values(status="failed", failed_at=NOW + timedelta(days=1))
        )

    assert len(await tell(sessions, NOW + timedelta(days=2))) == 1


async def test_metrics_tell_what_waits_and_for_how_long(
    app: FastAPI, client: httpx2.AsyncClient, sessions: Sessions, clock: Clock
) -> None:
    await add(sessions, queued_at=NOW - timedelta(minutes=7))
    await add(sessions)
    await add(sessions, status="failed")

    metrics = (await client.get("/metrics")).text
    assert 'crema_mails_undelivered{status="queued"} 2.0' in metrics
    assert 'crema_mails_undelivered{status="failed"} 1.0' in metrics
    assert 'crema_mails_undelivered{status="expired"} 0.0' in metrics
    assert "crema_mails_oldest_queued_seconds 420.0" in metrics

    async with sessions.begin() as session:
        await session.execute(update(Mail).values(status="sent"))
    clock.advance(seconds=5)
    assert "crema_mails_oldest_queued_seconds 0.0" in (await client.get("/metrics")).text
    change_state(app, DatabaseState, sessions=None)
    clock.advance(seconds=4)
    assert (await client.get("/metrics")).status_code == 200, "asked again too soon, it doesn't ask the database"
