"""Mail servers that refuse: what is refused for good, what waits, and what other mails have to do with it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from crema.db.session import Sessions
from crema.notifications import service as notifications
from crema.notifications.domain import MAX_BACK_OFF
from crema.notifications.models import Mail
from crema.notifications.service import OutgoingMail, delivery
from crema.notifications.service.delivery import Pause, RetryLaterError
from crema.notifications.service.rendering import MailRenderer
from crema.notifications.service.senders import Sender, SmtpSender
from fixtures.database import statements
from fixtures.ports import free_port
from fixtures.smtp import CERTIFICATE, Sink, server_tls, serving, talking, trusting_tls

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
MAIL_RENDERER = MailRenderer(
    sender="Crema <noreply@crema.example.com>", chain="Crema", link="https://crema.example.com"
)
CODE = {"code": "042137", "minutes": 15, "name": "Анна"}
READY = {"number": "A-042", "shop": "Арбат", "shop_address": "Арбат, 1"}
NO_END = ("password_changed", {"name": None})
"""A template whose mails are worth sending for five days."""


async def promise(
    sessions: Sessions, template: str = NO_END[0], context: dict[str, Any] = NO_END[1], to: str = "anna@example.com"
) -> UUID:
    mail = OutgoingMail(to, template, "en", context)
    async with sessions.begin() as session:
        await notifications.send(session, [mail])
        await session.execute(update(Mail).where(Mail.id == mail.id).values(created_at=NOW, queued_at=NOW))
    return mail.id


async def look(sessions: Sessions, mail_id: UUID) -> Mail:
    async with sessions() as session:
        return await session.get_one(Mail, mail_id)


async def attempt(
    sessions: Sessions, sender: Sender, mail_id: UUID, *, now: datetime = NOW, pause: Pause | None = None
) -> Mail:
    """Try once, whatever comes of it."""
    try:
        await delivery.deliver(statements(sessions), sender, MAIL_RENDERER, mail_ids=[mail_id], now=now, pause=pause)
    except RetryLaterError as error:
        later = error.at
    else:
        later = None
    mail = await look(sessions, mail_id)
    assert mail.next_try_at == later
    return mail


async def try_until_it_ends(sessions: Sessions, sender: Sender, mail_id: UUID) -> tuple[Mail, datetime]:
    """Try whenever it is due; give the mail and when its last try was."""
    now = NOW
    for _ in range(1_000):
        mail = await attempt(sessions, sender, mail_id, now=now)
        if mail.status != "queued":
            return mail, now
        assert mail.next_try_at is not None
        assert mail.next_try_at > now
        now = mail.next_try_at
    raise AssertionError("it never ends")


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("EHLO", "554 5.7.1 not you"),
        ("MAIL", "530 5.7.0 Must issue a STARTTLS command first"),
        ("MAIL", "530 5.7.0 Authentication required"),
        ("MAIL", "550 5.1.8 sender's domain not found"),
        ("MAIL", "451 4.3.2 later"),
        ("RCPT", "550 5.4.5 Daily user sending quota exceeded"),
        ("RCPT", "550 5.7.1 relaying denied"),
        ("RCPT", "552 5.2.2 mailbox full"),
        ("RCPT", "554 transaction failed"),
        ("RCPT", "452 4.5.3 too many recipients"),
        ("RCPT", "450 4.2.0 greylisted"),
        ("DATA", "550 5.4.5 Daily user sending quota exceeded"),
        ("DATA", "451 4.7.1 later"),
        ("DATA", "554 5.3.0 out of order"),
    ],
)
async def test_m6_a_refusal_that_is_not_the_recipient_s_lets_the_mail_wait(
    sessions: Sessions, sink: Sink, stage: str, reply: str
) -> None:
    mail_id = await promise(sessions)
    sink.refusals[stage] = reply

    for _ in range(12):
        mail = await attempt(sessions, SmtpSender(sink.url), mail_id)
    assert (mail.status, mail.tries) == ("queued", 12)
    assert reply[:3] in (mail.last_error or "")

    sink.refusals.clear()
    mail = await attempt(sessions, SmtpSender(sink.url), mail_id)
    assert (mail.status, mail.context) == ("sent", {})
    assert len(sink.messages) == 1


@pytest.mark.parametrize(
    "replies",
    [
        ["554 5.7.1 no service for you"],
        ["421 too many connections"],
        [None],
        ["220 hello", "554 5.5.1 no", "554 5.5.1 no"],
        ["220 hello", "250 hello", "250 ok", "250 ok", None],
        ["220 hello", "250 hello", "250 ok", "250 ok", "354 go on", None],
    ],
    ids=["greeting 554", "greeting 421", "cut at once", "EHLO and HELO refused", "cut at DATA", "cut within DATA"],
)
async def test_m6_a_talk_that_breaks_off_lets_the_mail_wait(sessions: Sessions, replies: list[str | None]) -> None:
    mail_id = await promise(sessions)

    async with talking(*replies) as url:
        mail = await attempt(sessions, SmtpSender(url), mail_id)

    assert (mail.status, mail.tries, mail.context) == ("queued", 1, NO_END[1])
    assert mail.last_error


@pytest.mark.parametrize("replies", [[], ["220 hello"], ["220 hello", "250 hello", "250 ok", "250 ok"]])
async def test_m6_a_server_that_says_nothing_is_left(sessions: Sessions, replies: list[str]) -> None:
    mail_id = await promise(sessions)

    async with talking(*replies) as url:
        mail = await attempt(sessions, SmtpSender(url, timeout=0.2), mail_id)

    assert (mail.status, mail.tries) == ("queued", 1)


async def test_m6_a_server_that_drips_is_left_at_the_deadline(sessions: Sessions) -> None:
    mail_id = await promise(sessions)

    async with talking("220-wait", *["220-wait"] * 50) as url:
        mail = await attempt(sessions, SmtpSender(url, timeout=60, deadline=0.3), mail_id)

    assert (mail.status, mail.tries) == ("queued", 1)


@pytest.mark.parametrize(
    "reply",
    ["550 no such user", "550 5.1.1 no such user", "553 5.1.3 bad address", "550 5.1.2 no such host", "551 moved"],
)
async def test_m6_a_recipient_who_is_refused_is_final(sessions: Sessions, sink: Sink, reply: str) -> None:
    mail_id = await promise(sessions)
    sink.refusals["RCPT"] = reply

    mail = await attempt(sessions, SmtpSender(sink.url), mail_id)

    assert (mail.status, mail.tries, mail.failed_at is not None) == ("failed", 1, True)
    assert mail.last_error == reply
    assert mail.context == NO_END[1], "it may be sent again"


@pytest.mark.parametrize("reply", ["554 5.7.1 looks like spam", "552 5.3.4 too large", "554 no", "550 5.1.1 nobody"])
async def test_m6_content_that_is_refused_fails_after_five_tries(sessions: Sessions, sink: Sink, reply: str) -> None:
    mail_id = await promise(sessions)
    sink.refusals["DATA"] = reply

    statuses = [(await attempt(sessions, SmtpSender(sink.url), mail_id)).status for _ in range(5)]

    assert statuses == ["queued", "queued", "queued", "queued", "failed"]


async def test_m6_an_outage_before_does_not_count_against_the_content(sessions: Sessions, sink: Sink) -> None:
    mail_id = await promise(sessions)
    nowhere = SmtpSender(f"smtp+plain://127.0.0.1:{free_port()}")
    for _ in range(20):
        await attempt(sessions, nowhere, mail_id)
    sink.refusals["DATA"] = "554 5.7.1 looks like spam"

    assert (await attempt(sessions, SmtpSender(sink.url), mail_id)).status == "queued"


async def test_m6_a_poison_mail_holds_up_no_other(sessions: Sessions, sink: Sink) -> None:
    pause = Pause()
    poison, other = await promise(sessions, to="poison@example.com"), await promise(sessions)
    async with talking("220 hello", "250 hello", "250 ok", "250 ok", "354 go on", None) as url:
        await attempt(sessions, SmtpSender(url), poison, pause=pause)
    sink.refusals["poison@example.com"] = "550 5.7.1 your kind of message is not wanted"
    await attempt(sessions, SmtpSender(sink.url), poison, pause=pause)

    mail = await attempt(sessions, SmtpSender(sink.url), other, pause=pause)

    assert mail.status == "sent"
    assert (await look(sessions, poison)).status == "queued"


async def test_m6_while_the_server_refuses_everybody_it_is_not_asked_for_each_mail(
    sessions: Sessions, sink: Sink
) -> None:
    pause = Pause()
    mail_ids = [await promise(sessions, to=f"p{number}@example.com") for number in range(5)]
    sink.refusals["MAIL"] = "530 5.7.0 Authentication required"

    mails = [await attempt(sessions, SmtpSender(sink.url), mail_id, pause=pause) for mail_id in mail_ids]

    assert [mail.tries for mail in mails] == [1, 0, 0, 0, 0]
    assert {mail.status for mail in mails} == {"queued"}

    sink.refusals.clear()
    for mail in mails:
        assert mail.next_try_at is not None
        after = max(mail.next_try_at, pause.until or NOW)
        assert after <= NOW + timedelta(minutes=1)
        await attempt(sessions, SmtpSender(sink.url), mail.id, now=after, pause=pause)
    assert sorted(sink.recipients) == [[f"p{number}@example.com"] for number in range(5)]


async def test_m6_a_mail_that_we_can_t_make_does_not_end_the_pause(sessions: Sessions, sink: Sink) -> None:
    pause = Pause()
    broken, other = await promise(sessions, "order_ready", {"number": "A-042"}), await promise(sessions)
    pause.begin(NOW - timedelta(seconds=5))
    await attempt(sessions, SmtpSender(sink.url), broken, pause=pause)
    pause.begin(NOW)

    mail = await attempt(sessions, SmtpSender(sink.url), other, pause=pause)

    assert (mail.status, mail.tries, pause.length) == ("queued", 0, timedelta(seconds=10))


async def test_m6_without_the_pause_each_mail_asks_it(sessions: Sessions, sink: Sink) -> None:
    mail_ids = [await promise(sessions, to=f"p{number}@example.com") for number in range(5)]
    sink.refusals["MAIL"] = "530 5.7.0 Authentication required"

    mails = [await attempt(sessions, SmtpSender(sink.url), mail_id) for mail_id in mail_ids]

    assert [mail.tries for mail in mails] == [1, 1, 1, 1, 1]


def test_m6_pauses_grow_and_end_with_the_first_answer() -> None:
    pause, now, lengths = Pause(), NOW, []
    for _ in range(6):
        pause.begin(now)
        assert pause.lasts(now)
        lengths.append(pause.length.total_seconds())
        now += pause.length
        assert not pause.lasts(now)
    assert lengths == [5, 10, 20, 40, 60, 60]

    pause.end()
    pause.begin(now)
    assert pause.length == timedelta(seconds=5)


async def test_m6_a_server_that_is_away_for_an_hour_loses_nothing(sessions: Sessions, sink: Sink) -> None:
    mail_id = await promise(sessions)
    sink.refusals["RCPT"] = "451 4.3.0 later"
    now = NOW
    while now < NOW + timedelta(hours=1):
        mail = await attempt(sessions, SmtpSender(sink.url), mail_id, now=now)
        assert mail.next_try_at is not None
        assert mail.next_try_at - now <= MAX_BACK_OFF * 1.25 + timedelta(seconds=5)
        now = mail.next_try_at
    assert 10 <= mail.tries <= 20, "neither forgotten nor hammered"

    sink.refusals.clear()
    assert (await attempt(sessions, SmtpSender(sink.url), mail_id, now=now)).status == "sent"


@pytest.mark.parametrize(
    ("kind", "context", "life"),
    [
        ("verification_code", CODE, timedelta(minutes=15)),
        ("order_ready", READY, timedelta(hours=1)),
        (*NO_END, timedelta(days=5)),
    ],
)
async def test_m6_what_is_past_its_life_expires_and_is_not_sent_late(
    sessions: Sessions, sink: Sink, kind: str, context: dict[str, Any], life: timedelta
) -> None:
    mail_id = await promise(sessions, kind, context)
    nowhere = SmtpSender(f"smtp+plain://127.0.0.1:{free_port()}")

    mail, ended = await try_until_it_ends(sessions, nowhere, mail_id)

    assert (mail.status, mail.next_try_at, ended - NOW) == ("expired", None, life)
    assert mail.context == ({} if "code" in context else context)
    assert (await attempt(sessions, SmtpSender(sink.url), mail_id, now=ended)).status == "expired"
    assert sink.messages == []


async def test_m7_codes_do_not_lie_around_after_their_end(sessions: Sessions, sink: Sink) -> None:
    refused, lost, other = (
        await promise(sessions, "verification_code", CODE),
        await promise(sessions, "password_reset", CODE),
        await promise(sessions),
    )
    sink.refusals["RCPT"] = "550 5.1.1 no such user"
    await attempt(sessions, SmtpSender(sink.url), refused)
    await attempt(sessions, SmtpSender(sink.url), other)

    for minutes, left in ((14, CODE), (15, {})):
        async with sessions.begin() as session:
            await delivery.expire(session, now=NOW + timedelta(minutes=minutes))
        assert (await look(sessions, refused)).context == left
        assert (await look(sessions, lost)).context == left

    async with sessions() as session:
        statuses = {mail.id: mail.status for mail in await session.scalars(select(Mail))}
    assert statuses == {refused: "failed", lost: "expired", other: "failed"}
    assert (await look(sessions, other)).context == NO_END[1]


async def test_m7_an_error_that_quotes_the_code_is_kept_without_it(sessions: Sessions, sink: Sink) -> None:
    mail_id = await promise(sessions, "verification_code", CODE)
    sink.refusals["DATA"] = "554 5.7.1 spam: 042137 is your code"

    mail = await attempt(sessions, SmtpSender(sink.url), mail_id)

    assert mail.last_error == "554 5.7.1 spam: … is your code"


async def test_m6_a_template_that_fails_does_not_lose_the_mail(sessions: Sessions, sink: Sink) -> None:
    mail_id = await promise(sessions, "order_ready", {"number": "A-042"})

    mail = await attempt(sessions, SmtpSender(sink.url), mail_id)

    assert (mail.status, mail.tries) == ("queued", 1)
    assert "shop" in (mail.last_error or "")


@pytest.mark.parametrize("enable_utf8", [True, False])
async def test_m3_a_domain_travels_in_ace(sessions: Sessions, enable_utf8: bool) -> None:  # noqa: FBT001
    mail_id = await promise(sessions, to="user@почта.рф")

    with serving(enable_SMTPUTF8=enable_utf8) as sink:
        mail = await attempt(sessions, SmtpSender(sink.url), mail_id)

        assert mail.status == "sent"
        assert sink.recipients == [["user@xn--80a1acny.xn--p1ai"]]
        assert sink.messages[0]["To"] == "user@xn--80a1acny.xn--p1ai"


async def test_m3_an_address_in_cyrillic_needs_smtputf8(sessions: Sessions) -> None:
    first, second = await promise(sessions, to="анна@почта.рф"), await promise(sessions, to="анна@почта.рф")

    with serving(enable_SMTPUTF8=True) as sink:
        assert (await attempt(sessions, SmtpSender(sink.url), first)).status == "sent"
        assert sink.recipients == [["анна@xn--80a1acny.xn--p1ai"]]
    with serving(enable_SMTPUTF8=False) as sink:
        mail = await attempt(sessions, SmtpSender(sink.url), second)
        assert mail.status == "failed"
        assert "SMTPUTF8" in (mail.last_error or "")
        assert sink.messages == []


def with_password(sink: Sink) -> str:
    return sink.url.replace("://", "://user:secret@")


async def test_m4_a_password_goes_through_starttls(sessions: Sessions) -> None:
    mail_id = await promise(sessions)

    with serving(scheme="smtp", tls_context=server_tls(), require_starttls=True) as sink:
        mail = await attempt(sessions, SmtpSender(with_password(sink), tls_context=trusting_tls()), mail_id)

    assert mail.status == "sent"
    assert sink.logins == [(b"user", b"secret")]


async def test_m6_a_password_that_is_refused_lets_all_mails_wait(sessions: Sessions) -> None:
    first, second, pause = await promise(sessions), await promise(sessions), Pause()

    with serving(scheme="smtp", tls_context=server_tls()) as sink:
        sink.refusals["AUTH"] = "535"
        sender = SmtpSender(with_password(sink), tls_context=trusting_tls())
        mails = [await attempt(sessions, sender, mail_id, pause=pause) for mail_id in (first, second)]

    assert [(mail.status, mail.tries) for mail in mails] == [("queued", 1), ("queued", 0)]
    assert (mails[0].last_error or "").startswith("535")
    assert "secret" not in (mails[0].last_error or "")


async def test_m4_a_server_whose_starttls_was_stripped_gets_nothing(sessions: Sessions) -> None:
    mail_id = await promise(sessions)

    with serving(scheme="smtp", auth_require_tls=False) as sink:
        mail = await attempt(sessions, SmtpSender(with_password(sink)), mail_id)

    assert mail.status == "queued"
    assert "STARTTLS" in (mail.last_error or "").upper()
    assert (sink.logins, sink.messages) == ([], [])


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_m4_a_certificate_nobody_vouches_for_gets_nothing(sessions: Sessions, scheme: str) -> None:
    mail_id = await promise(sessions)
    tls = {"tls_context": server_tls()} if scheme == "smtp" else {"ssl_context": server_tls()}

    with serving(scheme=scheme, **tls) as sink:
        mail = await attempt(sessions, SmtpSender(with_password(sink)), mail_id)

    assert mail.status == "queued"
    assert "certificate" in (mail.last_error or "").lower()
    assert (sink.logins, sink.messages) == ([], [])


async def test_m4_smtps_speaks_tls_from_the_first_byte(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    mail_id = await promise(sessions)

    with serving(scheme="smtps", ssl_context=server_tls()) as sink:
        mail = await attempt(sessions, SmtpSender(sink.url), mail_id)

    assert mail.status == "sent"
