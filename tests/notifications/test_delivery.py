"""Delivering promised mail to a real SMTP server."""

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from crema.db.session import Sessions
from crema.notifications import service as notifications
from crema.notifications.models import Mail
from crema.notifications.service import OutgoingMail, delivery
from crema.notifications.service.rendering import MailRenderer
from crema.notifications.service.senders import ConsoleSender, Sender, SmtpSender
from fixtures.database import statements
from fixtures.smtp import Sink, text_of

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
MAIL_RENDERER = MailRenderer(
    sender="Crema <noreply@crema.example.com>", chain="Crema", link="https://crema.example.com"
)
CODE = {"code": "042137", "minutes": 15}


async def promise(sessions: Sessions, **fields: Any) -> UUID:
    mail = OutgoingMail(**{"recipient": "anna@example.com", "template": "verification_code", "language": "ru"} | fields)
    async with sessions.begin() as session:
        await notifications.send(session, [mail])
        await session.execute(update(Mail).values(created_at=NOW, queued_at=NOW))
        return (await session.scalars(select(Mail.id).order_by(Mail.id.desc()))).first() or UUID(int=0)


async def deliver(sessions: Sessions, sender: Sender, mail_id: UUID) -> Mail:
    await delivery.deliver(statements(sessions), sender, MAIL_RENDERER, mail_ids=[mail_id], now=NOW)
    return await look(sessions, mail_id)


async def look(sessions: Sessions, mail_id: UUID) -> Mail:
    async with sessions() as session:
        return await session.get_one(Mail, mail_id)


async def test_a_mail_arrives_whole_and_its_context_is_forgotten(sessions: Sessions, sink: Sink) -> None:
    mail_id = await promise(sessions, context=CODE)

    mail = await deliver(sessions, SmtpSender(sink.url), mail_id)

    (message,) = sink.messages
    assert (mail.status, mail.tries, mail.context) == ("sent", 1, {})
    assert mail.sent_at
    assert NOW <= mail.sent_at < NOW + timedelta(minutes=1)
    assert message["Message-ID"] == f"<{mail_id}@crema.example.com>"
    assert (message["From"], message["To"]) == ("Crema <noreply@crema.example.com>", "anna@example.com")
    assert message["Subject"] == "042137 — ваш код для Crema"
    assert "Ваш код: 042137" in text_of(message)
    html = message.get_body(("html",))
    assert isinstance(html, EmailMessage)
    assert "042137" in html.get_content()


async def test_a_mail_sent_already_is_left_alone(sessions: Sessions, sink: Sink) -> None:
    mail_id = await promise(sessions, context=CODE)
    for _ in range(2):
        await deliver(sessions, SmtpSender(sink.url), mail_id)

    assert len(sink.messages) == 1


async def test_a_server_that_is_busy_gets_the_same_message_later(sessions: Sessions, sink: Sink) -> None:
    mail_id = await promise(sessions, context=CODE)
    sink.answers = ["451 later, please"]

    with pytest.raises(Exception, match="451"):
        await deliver(sessions, SmtpSender(sink.url), mail_id)
    waiting = await look(sessions, mail_id)
    assert (waiting.status, waiting.tries, waiting.context) == ("queued", 1, CODE)

    assert (await deliver(sessions, SmtpSender(sink.url), mail_id)).status == "sent"
    assert [message["Message-ID"] for message in sink.messages] == [f"<{mail_id}@crema.example.com>"]


async def test_r9_a_final_no_parks_the_mail(sessions: Sessions, sink: Sink) -> None:
    mail_id = await promise(sessions, context=CODE)
    sink.refusals["RCPT"] = "550 no such person"

    mail = await deliver(sessions, SmtpSender(sink.url), mail_id)

    assert (mail.status, mail.tries) == ("failed", 1)
    assert "no such person" in (mail.last_error or "")


async def test_r9_one_dedup_key_is_one_mail_and_one_job(sessions: Sessions) -> None:
    for _ in range(3):
        await promise(sessions, context=CODE, dedup_key="order:1")

    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Mail)) == 1
        assert await session.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == 1


async def test_what_is_rolled_back_was_never_promised(sessions: Sessions) -> None:
    async with sessions() as session:
        await notifications.send(session, [OutgoingMail("anna@example.com", "verification_code", "ru", CODE)])
        await session.rollback()

    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Mail)) == 0
        assert await session.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == 0


async def test_the_console_shows_the_mail_and_keeps_it(sessions: Sessions, capsys: pytest.CaptureFixture[str]) -> None:
    mail = await deliver(sessions, ConsoleSender(), await promise(sessions, context=CODE))

    assert (mail.status, mail.context) == ("sent", CODE)
    assert "042137" in capsys.readouterr().out


async def test_m1_line_breaks_never_become_headers(sessions: Sessions, sink: Sink) -> None:
    mail_id = await promise(
        sessions,
        template="order_cancelled",
        context={"number": "A-001\r\nBcc: evil@example.com", "shop": "x", "reason": ""},
    )

    await deliver(sessions, SmtpSender(sink.url), mail_id)

    assert [message["Bcc"] for message in sink.messages] == [None]
    assert sink.recipients == [["anna@example.com"]]


@pytest.mark.parametrize(
    "url",
    [
        *("http://x", "smtp://", "mail.example.com", "", "smtp://host:port", "smtp://[::1", "smtp://u:p/w@host"),
        "smtp+plain://user:secret@host",
        "smtp://host?tls=off",
    ],
)
def test_refuses_what_is_no_smtp_url_and_repeats_no_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"SMTP URL|no password") as refused:
        SmtpSender(url)
    assert "secret" not in str(refused.value)
