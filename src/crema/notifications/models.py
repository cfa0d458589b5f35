"""The outbox: a mail is a row first, written with the change that causes it."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from crema.db.base import Base, Created, Id


class Mail(Base):
    """One message to one address. Its id is the Message-ID, the same at every try.

    `context` is what the template needs, as JSON; it is emptied once an SMTP server has taken the message,
    because it may hold a code.
    """

    __tablename__ = "mails"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'sent', 'failed')", "status"),
        Index("ix_mails_created_at", "created_at"),
    )

    id: Mapped[Id]
    dedup_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    recipient: Mapped[str] = mapped_column(String(254))
    template: Mapped[str] = mapped_column(String(60))
    language: Mapped[str] = mapped_column(String(2))
    context: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(10), server_default="queued")
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    last_error: Mapped[str | None] = mapped_column(String(300))
    created_at: Mapped[Created]
    sent_at: Mapped[datetime | None]
