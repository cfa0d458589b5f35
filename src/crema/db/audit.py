"""The audit log: who changed what, and what happened to logins.

Rows are only added: the application's database role can neither change nor delete them (`db.roles`).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Index, String
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crema.db.base import Base, Created, Id


class AuditEvent(Base):
    """One change by staff, or one security event.

    `action` is method and path of a change (`PATCH /product/{product_id}`), the event's name otherwise (`login`).
    `subject` are the ids in the path.
    `details` hold what was sent, without personal data. There are no foreign keys: events outlive their objects.
    """

    __tablename__ = "audit_events"

    id: Mapped[Id]
    actor_id: Mapped[UUID | None]
    actor_role: Mapped[str | None] = mapped_column(String(60))
    action: Mapped[str] = mapped_column(String(80))
    subject: Mapped[dict[str, Any]]
    details: Mapped[dict[str, Any]]
    network: Mapped[str] = mapped_column(String(64), server_default="")
    request_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[Created]


Index("ix_audit_events_created_at_id", AuditEvent.created_at, AuditEvent.id)
Index("ix_audit_events_actor_id_created_at", AuditEvent.actor_id, AuditEvent.created_at)
Index("ix_audit_events_action_created_at", AuditEvent.action, AuditEvent.created_at)


def add_security_event(
    session: AsyncSession, action: str, *, user_id: UUID | None, now: datetime, is_by_them: bool = True, **details: Any
) -> None:
    """Add an event about somebody's login or credentials, in the session's transaction.

    `user_id` is theirs, None if nobody has the address that was tried; `is_by_them`: they did it themselves. The
    network and the request id are taken from structlog's context.
    """
    context = structlog.contextvars.get_contextvars()
    session.add(
        AuditEvent(
            actor_id=user_id if is_by_them else None,
            action=action,
            subject={"user_id": str(user_id) if user_id else None},
            details=details,
            network=context.get("client", ""),
            request_id=context.get("request_id"),
            created_at=now,
        )
    )
