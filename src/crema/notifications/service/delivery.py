"""Delivering promised mail: at least once, never within a transaction, with one Message-ID."""

import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import ColumnElement, delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from crema.notifications import queries
from crema.notifications.domain import CODE_TEMPLATES, MAX_CONTENT_REFUSALS, InvalidAddressError, Refusal, back_off
from crema.notifications.models import UNDELIVERABLE, Mail
from crema.notifications.service.rendering import Stationery
from crema.notifications.service.senders import RefusedError, Sender

log = structlog.get_logger(__name__)

KEPT_DAYS: Final = 30
MAILS: Final = Counter("crema_mails_total", "Mails by how their delivery ended.", ["outcome"])
UNDELIVERED: Final = Gauge(
    "crema_mails_undelivered", "Mails of the last 30 days by status.", ["status"], multiprocess_mode="mostrecent"
)
OLDEST: Final = Gauge(
    "crema_mails_oldest_queued_seconds", "Age of the oldest queued mail.", multiprocess_mode="mostrecent"
)
_FIRST_PAUSE: Final = timedelta(seconds=5)
_LONGEST_PAUSE: Final = timedelta(minutes=1)


class RetryLaterError(Exception):
    """The mail was not sent; its job should run again at `at`."""

    def __init__(self, text: str, *, at: datetime) -> None:
        super().__init__(text)
        self.at = at


@dataclass(slots=True)
class Pause:
    """Keeps a process from asking a server that refuses everybody for each mail anew. One try at a time ends it."""

    until: datetime | None = None
    length: timedelta = timedelta(0)

    def lasts(self, now: datetime) -> bool:
        """Return whether no mail should be tried now."""
        return self.until is not None and now < self.until

    def begin(self, now: datetime) -> None:
        """Wait, twice as long as the last time; those whose try was under way meanwhile change nothing."""
        if not self.lasts(now):
            self.length = min(max(self.length * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            self.until = now + self.length

    def end(self) -> None:
        """The server has answered about a mail."""
        self.until, self.length = None, timedelta(0)


async def deliver(
    sessions: Sessions,
    sender: Sender,
    stationery: Stationery,
    *,
    mail_id: UUID,
    now: datetime,
    pause: Pause | None = None,
) -> None:
    """Deliver one mail; raise RetryLaterError when it should be tried again. One that isn't queued is left alone.

    The database is not held while the mail server thinks. A crash between the server's yes and our note of it sends
    the mail again, under the same Message-ID.
    """
    pause = pause or Pause()
    async with sessions() as session:
        mail = await queries.find_mail(session, mail_id)
    if mail is None or mail.status != "queued":
        return
    if now >= mail.expires_at:
        await _fail(sessions, mail, "expired", at=now)
        return
    if pause.until and pause.lasts(now):
        await _wait(sessions, mail, "the mail server refused other mails just now", at=pause.until + _spread(10))
    started = time.monotonic()
    try:
        await sender.send(stationery.message(mail))
    except RefusedError as error:
        refusal, text = error.refusal, _without_code(str(error), mail)
        _learn(pause, refusal, now + timedelta(seconds=time.monotonic() - started))
    except InvalidAddressError as error:
        refusal, text = Refusal.RECIPIENT, str(error)
    except Exception as error:  # noqa: BLE001 - whatever it was: a fault of ours must not lose the mail
        refusal, text = Refusal.LATER, _without_code(repr(error), mail)
    else:
        pause.end()
        context = mail.context if sender.keeps_context else {}
        sent = {"status": "sent", "sent_at": now, "context": context, "next_try_at": None, "failed_at": None}
        await _note(sessions, Mail.id == mail_id, tries=Mail.tries + 1, **sent)
        MAILS.labels("sent").inc()
        return
    ended = now + timedelta(seconds=time.monotonic() - started)
    await _refused(sessions, mail, refusal, text, now=ended)


def _learn(pause: Pause, refusal: Refusal, now: datetime) -> None:
    if refusal == Refusal.SERVER:
        pause.begin(now)
    else:
        pause.end()


async def _refused(sessions: Sessions, mail: Mail, refusal: Refusal, text: str, *, now: datetime) -> None:
    log.warning("mail_refused", mail_id=str(mail.id), refusal=refusal, tries=mail.tries + 1, error=text)
    tried = {"tries": Mail.tries + 1, "last_error": text}
    if refusal == Refusal.CONTENT:
        tried["content_refusals"] = Mail.content_refusals + 1
    is_final = refusal == Refusal.RECIPIENT or (
        refusal == Refusal.CONTENT and mail.content_refusals + 1 >= MAX_CONTENT_REFUSALS
    )
    if is_final:
        await _fail(sessions, mail, "failed", at=now, **tried)
        return
    spread = random.uniform(0.75, 1.25)  # noqa: S311 - not a secret
    await _wait(sessions, mail, text, at=now + back_off(mail.tries + 1, spread=spread), **tried)


async def _wait(sessions: Sessions, mail: Mail, text: str, *, at: datetime, **tried: Any) -> NoReturn:
    """Put the mail off, but not past the end of its life: then it is said to have expired."""
    at = min(at, mail.expires_at)
    await _note(sessions, (Mail.id == mail.id) & (Mail.status == "queued"), next_try_at=at, **tried)
    MAILS.labels("retried" if tried else "postponed").inc()
    raise RetryLaterError(text, at=at)


async def _fail(sessions: Sessions, mail: Mail, status: str, *, at: datetime, **tried: Any) -> None:
    kept = {} if status == "expired" and mail.template in CODE_TEMPLATES else mail.context
    ended = {"status": status, "failed_at": at, "next_try_at": None, "context": kept}
    await _note(sessions, (Mail.id == mail.id) & (Mail.status == "queued"), **ended, **tried)
    MAILS.labels("refused" if status == "failed" else status).inc()


async def _note(sessions: Sessions, where: ColumnElement[bool], **values: Any) -> None:
    async with sessions.begin() as session:
        await session.execute(update(Mail).where(where).values(**values))


def _spread(seconds: float) -> timedelta:
    return timedelta(seconds=random.uniform(0, seconds))  # noqa: S311 - not a secret


def _without_code(text: str, mail: Mail) -> str:
    """Cut an error to what is kept; a server may quote the subject, and the subject may hold a code."""
    code = mail.context.get("code")
    return (text.replace(code, "…") if isinstance(code, str) and code else text)[:300]


async def expire(session: AsyncSession, *, now: datetime) -> None:
    """End the life of mails whose jobs were lost, and empty what holds a code that is over."""
    is_over = Mail.expires_at <= now
    expired = {"status": "expired", "failed_at": now, "next_try_at": None}
    await session.execute(update(Mail).where(Mail.status == "queued", is_over).values(**expired))
    codes = Mail.status.in_(UNDELIVERABLE), Mail.template.in_(CODE_TEMPLATES), Mail.context != {}
    await session.execute(update(Mail).where(*codes, is_over).values(context={}))


async def measure(sessions: Sessions, *, now: datetime) -> None:
    """Bring the gauges up to date."""
    async with sessions() as session:
        counts, oldest = await queries.count_undelivered(session)
    for status in ("queued", "failed", "expired"):
        UNDELIVERED.labels(status).set(counts.get(status, 0))
    OLDEST.set((now - oldest).total_seconds() if oldest else 0)


async def prune(session: AsyncSession, *, now: datetime) -> None:
    """Forget mails that are a month old."""
    await session.execute(delete(Mail).where(Mail.created_at < now - timedelta(days=KEPT_DAYS)))
