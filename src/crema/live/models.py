"""Tables of sockets: tickets to get in, and who is connected."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from crema.db.base import Base, Created, Id


class SocketTicket(Base):
    """Lets one socket in, once, as the login that asked for it. Only the ticket's SHA-256 is kept."""

    __tablename__ = "socket_tickets"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ServerProcess(Base):
    """A process with clients. One that has not said so for a while is dead, and the records of its clients with it."""

    __tablename__ = "server_processes"

    id: Mapped[Id]
    seen_at: Mapped[Created]


class ConnectionRecord(Base):
    """One connected socket or event stream, and what it follows."""

    __tablename__ = "seats"  # as it was called when the table was made

    id: Mapped[Id]
    process_id: Mapped[UUID] = mapped_column(ForeignKey("server_processes.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    topic: Mapped[str] = mapped_column(String(60), index=True)
