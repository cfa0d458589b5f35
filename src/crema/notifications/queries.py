"""Every SELECT about mails."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, DateTime, Uuid, any_, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db.driver import Reader
from crema.db.listing import (
    ChoiceField,
    EmailField,
    InstantField,
    IntegerField,
    Listing,
    ListQuery,
    ListStatement,
    TextField,
    UuidField,
)
from crema.db.statement import Executor, Statement, into
from crema.notifications.domain import FAILED_TEMPLATE, QueuedMail
from crema.notifications.models import STATUSES, UNDELIVERABLE, Mail

MAILS: Final = Listing(
    name="Mail",
    fields={
        "id": UuidField(Mail.id),
        "recipient": EmailField(Mail.recipient),
        "template": TextField(Mail.template, searched=False, example="order_ready"),
        "language": ChoiceField(Mail.language, choices=["en", "ru"]),
        "status": ChoiceField(Mail.status, choices=list(STATUSES)),
        "tries": IntegerField(Mail.tries),
        "last_error": TextField(Mail.last_error, nullable=True, example="451"),
        "created_at": InstantField(Mail.created_at),
        "next_try_at": InstantField(Mail.next_try_at, nullable=True),
        "expires_at": InstantField(Mail.expires_at),
        "sent_at": InstantField(Mail.sent_at, nullable=True),
        "failed_at": InstantField(Mail.failed_at, nullable=True),
    },
    default_sort="-created_at",
    id_column=Mail.id,
)


@dataclass(frozen=True, slots=True)
class MailView:
    """A mail and its status, without its text."""

    id: UUID
    recipient: str
    template: str
    language: str
    status: str
    tries: int
    last_error: str | None
    created_at: datetime
    next_try_at: datetime | None
    expires_at: datetime
    sent_at: datetime | None
    failed_at: datetime | None


_MAILS: Final = ListStatement(select(*(getattr(Mail, field.name).label(field.name) for field in fields(MailView))))


async def list_mails(reader: Reader, *, query: ListQuery) -> Page[MailView]:
    """Return a page of mails."""
    return (await _MAILS.page(reader, query)).map(into(MailView))


async def find_mail(session: AsyncSession, mail_id: UUID) -> Mail | None:
    """Return a mail, read again from the database."""
    return await session.get(Mail, mail_id, populate_existing=True)


async def get_mail(session: AsyncSession, mail_id: UUID) -> Mail:
    """Return a mail, read again from the database."""
    mail = await find_mail(session, mail_id)
    if mail is None:
        raise NotFoundError
    return mail


_QUEUED_BY: Final = bindparam("queued_by", type_=DateTime(timezone=True))
_QUEUED: Final = Statement(
    select(*(getattr(Mail, field.name) for field in fields(QueuedMail)))
    .where(
        Mail.id == any_(bindparam("mail_ids", type_=ARRAY(Uuid))),
        Mail.status == "queued",
        _QUEUED_BY.is_(None) | (Mail.queued_at <= _QUEUED_BY),
    )
    .order_by(Mail.id)
)
_as_queued_mail: Final = into(QueuedMail)


async def list_queued(db: Executor, mail_ids: Sequence[UUID], *, queued_by: datetime | None) -> list[QueuedMail]:
    """Return those of these mails that wait to be delivered and were queued by then; None means at any time."""
    return [_as_queued_mail(row) for row in await _QUEUED.rows(db, mail_ids=mail_ids, queued_by=queued_by)]


async def list_latest(session: AsyncSession, *, limit: int = 50) -> list[Mail]:
    """Return the latest mails that can still be read, newest first."""
    readable = select(Mail).where(Mail.context != {})
    return list(await session.scalars(readable.order_by(Mail.created_at.desc(), Mail.id.desc()).limit(limit)))


async def count_undelivered(session: AsyncSession) -> tuple[dict[str, int], datetime | None]:
    """Return the number of unsent mails by status, and the time since which the oldest queued one waits."""
    rows = (
        await session.execute(
            select(Mail.status, func.count(), func.min(Mail.queued_at))
            .where(Mail.status != "sent")
            .group_by(Mail.status)
        )
    ).all()
    return {status: number for status, number, _ in rows}, next(
        (at for status, _, at in rows if status == "queued"), None
    )


def _failed(since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        Mail.status.in_(UNDELIVERABLE),
        Mail.failed_at >= since,
        Mail.failed_at < until,
        Mail.template != FAILED_TEMPLATE,
    )


async def count_failed(session: AsyncSession, *, since: datetime, until: datetime) -> int:
    """Return how many mails failed in this time, without mails about failed mails."""
    return await session.scalar(select(func.count()).select_from(Mail).where(*_failed(since, until))) or 0


async def list_failed(session: AsyncSession, *, since: datetime, until: datetime, limit: int) -> list[Mail]:
    """Return the mails that `count_failed` counts, oldest first."""
    failed = select(Mail).where(*_failed(since, until)).order_by(Mail.failed_at, Mail.id).limit(limit)
    return list(await session.scalars(failed))
