"""Resends mails that could not be delivered."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, case, or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError
from crema.notifications import queries
from crema.notifications.domain import CODE_TEMPLATES
from crema.notifications.models import UNDELIVERABLE, Mail
from crema.notifications.service import defer_delivery


class MailNotFailedError(ConflictError):
    """The mail was sent already, or is waiting to be sent."""

    code = "mail_not_failed"
    title = "Only a mail that failed or expired can be sent again."
    advice = "Leave mails with another status as they are."


class MailOverError(ConflictError):
    """The content of the mail is out of date, or no longer stored."""

    code = "mail_over"
    title = "This mail can't be sent again."
    advice = "Let the person ask for a new mail."


async def resend(session: AsyncSession, *, mail_id: UUID, now: datetime) -> Mail:
    """Queue a mail again that failed or expired, with a new life. A code keeps its expiry."""
    holds_code = Mail.template.in_(CODE_TEMPLATES)
    queued = (
        update(Mail)
        .where(Mail.id == mail_id, *_may_be_resent(now))
        .values(
            status="queued",
            queued_at=case((holds_code, Mail.queued_at), else_=now),
            tries=0,
            content_refusals=0,
            failed_at=None,
            next_try_at=now,
        )
        .returning(Mail.id, Mail.queued_at)
        .cte("queued")
    )
    is_queued = (await session.execute(defer_delivery(queued))).one().mails
    mail = await queries.get_mail(session, mail_id)
    if not is_queued:
        raise _refusal(mail)
    return mail


def _may_be_resent(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        Mail.status.in_(UNDELIVERABLE),
        Mail.context != {},
        or_(Mail.template.not_in(CODE_TEMPLATES), Mail.expires_at > now),
    )


def _refusal(mail: Mail) -> ConflictError:
    if mail.status not in UNDELIVERABLE:
        return MailNotFailedError(f"The mail is {mail.status}.")
    if mail.template in CODE_TEMPLATES:
        return MailOverError("Its code has expired; the person can ask for a new one.")
    return MailOverError("Its content is no longer kept.")
