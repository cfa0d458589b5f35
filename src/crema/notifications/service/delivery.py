"""Delivers queued mails at least once, outside of transactions, with the same Message-ID at every try."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import Boolean, DateTime, SmallInteger, String, Uuid, bindparam, case, func, literal_column, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.batches import delete_in_batches
from crema.db.driver import Reader
from crema.db.session import Sessions
from crema.db.statement import Statement
from crema.notifications import queries
from crema.notifications.domain import (
    CODE_TEMPLATES,
    InvalidAddressError,
    Outcome,
    QueuedMail,
    Refusal,
    choose_due,
    expiry_of,
    outcome_of_refusal,
)
from crema.notifications.models import UNDELIVERABLE, Mail
from crema.notifications.service.rendering import MailRenderer
from crema.notifications.service.senders import Connection, RefusedError, Sender

log = structlog.get_logger(__name__)

RETENTION_DAYS: Final = 30
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
    """A mail was not sent. Its job should run again at `at`."""

    def __init__(self, text: str, *, at: datetime) -> None:
        super().__init__(text)
        self.at = at


@dataclass(slots=True)
class Pause:
    """A pause after a mail server refused everybody. One mail at a time tries whether it is over."""

    until: datetime | None = None
    length: timedelta = timedelta(0)

    def lasts(self, now: datetime) -> bool:
        """Return whether no mail should be tried now."""
        return self.until is not None and now < self.until

    def begin(self, now: datetime) -> None:
        """Begin a pause twice as long as the last one. A pause that lasts already is not extended."""
        if not self.lasts(now):
            self.length = min(max(self.length * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            self.until = now + self.length

    def end(self) -> None:
        """End the pause, because the server has answered about a mail."""
        self.until, self.length = None, timedelta(0)


async def deliver(
    db: Reader,
    sender: Sender,
    mail_renderer: MailRenderer,
    *,
    mail_ids: Sequence[UUID],
    now: datetime,
    queued_by: datetime | None = None,
    pause: Pause | None = None,
) -> None:
    """Deliver those of these mails that wait, one after another. RetryLaterError if any has to be tried again.

    A mail that is refused doesn't stop the others. Mails that were queued after `queued_by` belong to another job.

    `db` must run each statement in a transaction of its own, so that no transaction waits for the mail server. A crash
    after the server has accepted a mail, and before that is recorded, sends it again with the same Message-ID.
    """
    pause, clock = pause or Pause(), _Clock(now)
    mails = await queries.list_queued(db, mail_ids, queued_by=queued_by)
    waiting = {mail.id: mail.next_try_at for mail in mails}
    said = "the mail server refused other mails just now"
    async with sender.connect() as connection:
        for mail in choose_due(mails, now=now):
            outcome = await _attempt(connection, mail_renderer, mail, clock=clock, pause=pause)
            await _save_outcome(db, mail, outcome, keeps_sent=sender.keeps_context)
            waiting[mail.id], said = outcome.next_try_at, outcome.error or said
    times = [at for at in waiting.values() if at is not None]
    if times:
        raise RetryLaterError(said, at=min(times))


class _Clock:
    """The time in a job: that of its beginning, and the time measured since then."""

    def __init__(self, now: datetime) -> None:
        self._began, self._started = now, time.monotonic()

    def __call__(self) -> datetime:
        return self._began + timedelta(seconds=time.monotonic() - self._started)


async def _attempt(
    connection: Connection, mail_renderer: MailRenderer, mail: QueuedMail, *, clock: _Clock, pause: Pause
) -> Outcome:
    """Try to deliver a mail, unless it has expired or deliveries pause, and return the outcome."""
    began = clock()
    if began >= mail.expires_at:
        return expiry_of(mail, now=began)
    if pause.until and pause.lasts(began):
        at = min(pause.until + _jitter(10), mail.expires_at)
        return Outcome(status="queued", was_tried=False, next_try_at=at)
    try:
        await connection.send(mail_renderer.message(mail))
    except RefusedError as error:
        refusal, text = error.refusal, _without_code(str(error), mail)
        _update_pause(pause, refusal, clock())
    except InvalidAddressError as error:
        refusal, text = Refusal.RECIPIENT, str(error)
    except Exception as error:  # noqa: BLE001 - whatever it was: a fault of ours must not lose the mail
        refusal, text = Refusal.LATER, _without_code(repr(error), mail)
    else:
        pause.end()
        return Outcome(status="sent", was_tried=True, ended_at=began)
    log.warning("mail_refused", mail_id=str(mail.id), refusal=refusal, tries=mail.tries + 1, error=text)
    jitter = random.uniform(0.75, 1.25)  # noqa: S311 - not a secret
    return outcome_of_refusal(mail, refusal, error=text, now=clock(), jitter=jitter)


def _update_pause(pause: Pause, refusal: Refusal, now: datetime) -> None:
    if refusal == Refusal.SERVER:
        pause.begin(now)
    else:
        pause.end()


_SAVE_OUTCOME: Final = Statement(
    update(Mail)
    .where(
        Mail.id == bindparam("mail_id", type_=Uuid),
        # A mail that the server has accepted was sent, even if it has expired meanwhile.
        (Mail.status == "queued") | bindparam("was_sent", type_=Boolean),
    )
    .values(
        status=bindparam("new_status", type_=String),
        tries=Mail.tries + bindparam("new_tries", type_=SmallInteger),
        content_refusals=Mail.content_refusals + bindparam("new_content_refusals", type_=SmallInteger),
        last_error=func.coalesce(bindparam("new_error", type_=String), Mail.last_error),
        next_try_at=bindparam("new_next_try_at", type_=DateTime(timezone=True)),
        sent_at=bindparam("new_sent_at", type_=DateTime(timezone=True)),
        failed_at=bindparam("new_failed_at", type_=DateTime(timezone=True)),
        context=case((bindparam("keeps_context", type_=Boolean), Mail.context), else_=literal_column("'{}'::jsonb")),
    )
)


async def _save_outcome(db: Reader, mail: QueuedMail, outcome: Outcome, *, keeps_sent: bool) -> None:
    """Record the outcome of a mail. With `keeps_sent` its context stays after sending."""
    was_sent = outcome.status == "sent"
    await _SAVE_OUTCOME.rows(
        db,
        mail_id=mail.id,
        was_sent=was_sent,
        new_status=outcome.status,
        new_tries=int(outcome.was_tried),
        new_content_refusals=int(outcome.was_content_refused),
        new_error=outcome.error,
        new_next_try_at=outcome.next_try_at,
        new_sent_at=outcome.ended_at if was_sent else None,
        new_failed_at=None if was_sent else outcome.ended_at,
        keeps_context=keeps_sent if was_sent else outcome.keeps_context,
    )
    MAILS.labels(_label_of(outcome)).inc()


def _label_of(outcome: Outcome) -> str:
    if outcome.status == "queued":
        return "retried" if outcome.was_tried else "postponed"
    return "refused" if outcome.status == "failed" else outcome.status


def _jitter(seconds: float) -> timedelta:
    return timedelta(seconds=random.uniform(0, seconds))  # noqa: S311 - not a secret


def _without_code(text: str, mail: QueuedMail) -> str:
    """Return an error as it is stored, without codes: a server may quote the subject, which may contain one."""
    code = mail.context.get("code")
    return (text.replace(code, "…") if isinstance(code, str) and code else text)[:300]


async def expire(session: AsyncSession, *, now: datetime) -> None:
    """Expire mails whose jobs were lost, and empty the contexts with codes that have expired."""
    is_over = Mail.expires_at <= now
    expired = {"status": "expired", "failed_at": now, "next_try_at": None}
    await session.execute(update(Mail).where(Mail.status == "queued", is_over).values(**expired))
    codes = Mail.status.in_(UNDELIVERABLE), Mail.template.in_(CODE_TEMPLATES), Mail.context != {}
    await session.execute(update(Mail).where(*codes, is_over).values(context={}))


async def measure(sessions: Sessions, *, now: datetime) -> None:
    """Update the gauges."""
    async with sessions() as session:
        counts, oldest = await queries.count_undelivered(session)
    for status in ("queued", "failed", "expired"):
        UNDELIVERED.labels(status).set(counts.get(status, 0))
    OLDEST.set((now - oldest).total_seconds() if oldest else 0)


async def prune(sessions: Sessions, *, now: datetime) -> None:
    """Delete mails that are a month old."""
    await delete_in_batches(sessions, Mail, Mail.created_at < now - timedelta(days=RETENTION_DAYS))
