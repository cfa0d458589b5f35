"""Delivering promised mail: at least once, never within a transaction, with one Message-ID."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from crema.notifications.models import Mail
from crema.notifications.service.rendering import Stationery
from crema.notifications.service.senders import RefusedError, Sender

log = structlog.get_logger(__name__)

MAX_TRIES: Final = 10
KEPT_DAYS: Final = 30
MAILS: Final = Counter("crema_mails_total", "Mails by how their delivery ended.", ["outcome"])


async def deliver(sessions: Sessions, sender: Sender, stationery: Stationery, *, mail_id: UUID, now: datetime) -> None:
    """Deliver one mail; raise when it should be tried again. One that was sent already is left alone.

    The database is not held while the mail server thinks. A crash between the server's yes and our note of it sends
    the mail again, under the same Message-ID.
    """
    async with sessions() as session:
        mail = await session.scalar(select(Mail).where(Mail.id == mail_id))
    if mail is None or mail.status != "queued":
        return
    try:
        await sender.send(stationery.message(mail))
    except RefusedError as error:
        await _note(sessions, mail_id, status="failed", tries=mail.tries + 1, last_error=str(error)[:300])
        MAILS.labels("refused").inc()
        log.warning("mail_refused", mail_id=str(mail_id), error=str(error)[:300])
        return
    except Exception as error:
        is_last = mail.tries + 1 >= MAX_TRIES
        status = "failed" if is_last else "queued"
        await _note(sessions, mail_id, status=status, tries=mail.tries + 1, last_error=repr(error)[:300])
        MAILS.labels("given_up" if is_last else "retried").inc()
        log.warning("mail_not_sent", mail_id=str(mail_id), tries=mail.tries + 1, error=repr(error)[:300])
        if is_last:
            return
        raise
    context = mail.context if sender.keeps_context else {}
    await _note(sessions, mail_id, status="sent", tries=mail.tries + 1, sent_at=now, context=context)
    MAILS.labels("sent").inc()


async def _note(sessions: Sessions, mail_id: UUID, **values: object) -> None:
    async with sessions.begin() as session:
        await session.execute(update(Mail).where(Mail.id == mail_id).values(**values))


async def prune(session: AsyncSession, *, now: datetime) -> None:
    """Forget mails that are a month old."""
    await session.execute(delete(Mail).where(Mail.created_at < now - timedelta(days=KEPT_DAYS)))
