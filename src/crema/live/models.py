"""Tables of tickets for sockets, and of connections."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from crema.db.base import Base, Created, Id


class SocketTicket(Base):
    """A ticket that authenticates one socket, once, as the login that requested it. Only its SHA-256 is stored."""

    __tablename__ = "socket_tickets"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ServerProcess(Base):
    """A server process. Without a heartbeat for a while it counts as dead, and its connections as closed."""

    __tablename__ = "server_processes"

    id: Mapped[Id]
    seen_at: Mapped[Created]


class ConnectionRecord(Base):
    """One open socket or event stream, and its topic."""

    __tablename__ = "seats"  # the name when the table was created

    id: Mapped[Id]
    process_id: Mapped[UUID] = mapped_column(ForeignKey("server_processes.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    topic: Mapped[str] = mapped_column(String(60), index=True)
