"""The outbox. A mail is first a row, which is written together with the change that causes it."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ColumnElement, Index, SmallInteger, String, case
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from crema.db.base import Base, Created, Id
from crema.notifications.domain import LIFETIMES, MAX_LIFETIME, lifetime

STATUSES = ("queued", "sent", "failed", "expired")
UNDELIVERABLE = ("failed", "expired")
"""How a mail ends that was not sent."""


class Mail(Base):
    """A message to one address. Its id is the Message-ID, which is the same at every try.

    `context` is what the template needs, as JSON. It is emptied when an SMTP server has accepted the message.
    If it holds a code, it is also emptied when the code expires. The context of other failed mails stays, so that they
    can be resent. `queued_at` is when the mail was written or resent; its life begins then.
    """

    __tablename__ = "mails"
    __table_args__ = (
        CheckConstraint(f"status IN {STATUSES}", "status"),
        Index("ix_mails_created_at", "created_at"),
        Index("ix_mails_status_queued_at", "status", "queued_at", postgresql_where="status <> 'sent'"),
    )

    id: Mapped[Id]
    dedup_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    recipient: Mapped[str] = mapped_column(String(254))
    template: Mapped[str] = mapped_column(String(60))
    language: Mapped[str] = mapped_column(String(2))
    context: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(10), server_default="queued")
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    content_refusals: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    last_error: Mapped[str | None] = mapped_column(String(300))
    created_at: Mapped[Created]
    queued_at: Mapped[Created]
    next_try_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]

    @hybrid_property
    def expires_at(self) -> datetime:
        """The time after which the mail is no longer worth sending."""
        return self.queued_at + lifetime(self.template)

    @expires_at.inplace.expression
    @classmethod
    def _expires_at(cls) -> ColumnElement[datetime]:
        return cls.queued_at + case(LIFETIMES, value=cls.template, else_=MAX_LIFETIME)
