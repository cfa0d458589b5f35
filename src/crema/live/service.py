"""Changes of tickets, of connection records, and of the server process that they belong to."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, literal_column
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.core.errors import TooManyError
from crema.db import hints
from crema.live import queries
from crema.live.domain import MAX_CONNECTIONS, TICKET_LIFETIME
from crema.live.models import ConnectionRecord, ServerProcess, SocketTicket

RETRY_SECONDS: Final = 15


class TooManySocketsError(TooManyError):
    """The person opened an event stream too many. A socket too many closes their oldest connection instead."""

    code = "too_many_sockets"
    title = f"You already have {MAX_CONNECTIONS} open connections."
    advice = "Close one of them first."


async def issue_ticket(session: AsyncSession, *, actor: Actor, now: datetime) -> str:
    """Return a new ticket, valid once within TICKET_LIFETIME. Expired tickets are deleted."""
    ticket = secrets.token_urlsafe(32)
    await session.execute(delete(SocketTicket).where(SocketTicket.expires_at < now))
    session.add(
        SocketTicket(
            digest=_digest(ticket),
            user_id=actor.user_id,
            session_id=actor.session_id,
            expires_at=now + TICKET_LIFETIME,
        )
    )
    await session.flush()
    return ticket


async def redeem_ticket(session: AsyncSession, *, ticket: str, now: datetime) -> tuple[UUID, UUID] | None:
    """Delete a ticket and return its user and session id, or None. Of several at once only one gets them."""
    row = (
        await session.execute(
            delete(SocketTicket)
            .where(SocketTicket.digest == _digest(ticket), SocketTicket.expires_at > now)
            .returning(SocketTicket.user_id, SocketTicket.session_id)
        )
    ).one_or_none()
    return (row.user_id, row.session_id) if row else None


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


async def add_connection(
    session: AsyncSession, *, connection_id: UUID, process_id: UUID, user_id: UUID, topic: str, replaces_oldest: bool
) -> None:
    """Add the record of a connection, and publish a hint to its topic. A person's connections are locked first.

    Beyond MAX_CONNECTIONS, the records of the person's oldest connections are deleted, and their processes close them
    at the next check. Unless it `replaces_oldest`, TooManySocketsError is raised.
    """
    await _lock_connections(session, user_id=user_id)
    if not replaces_oldest and await queries.count_connections(session, user_id=user_id) >= MAX_CONNECTIONS:
        raise TooManySocketsError(retry_after=RETRY_SECONDS)
    oldest = queries.select_surplus(MAX_CONNECTIONS - 1, user_id=user_id)
    deleted = delete(ConnectionRecord).where(ConnectionRecord.id.in_(oldest)).returning(ConnectionRecord.topic)
    topics = {topic, *await session.scalars(deleted)}
    session.add(ConnectionRecord(id=connection_id, process_id=process_id, user_id=user_id, topic=topic))
    await session.flush()
    hints.publish(session, topics=sorted(topics))


async def _lock_connections(session: AsyncSession, *, user_id: UUID) -> None:
    await session.execute(func.pg_advisory_xact_lock(func.hashtextextended(str(user_id), 0)).select())


async def remove_connection(session: AsyncSession, *, connection_id: UUID, topic: str) -> None:
    """Delete the record of a closed connection, and publish a hint to its topic."""
    await session.execute(delete(ConnectionRecord).where(ConnectionRecord.id == connection_id))
    hints.publish(session, topics=[topic])


async def heartbeat(session: AsyncSession, *, process_id: UUID) -> bool:
    """Record that this process is alive; return False if its row had been deleted, and its connections with it."""
    statement = insert(ServerProcess).values(id=process_id, seen_at=func.now())
    was_there = await session.scalar(
        statement.on_conflict_do_update(index_elements=["id"], set_={"seen_at": func.now()}).returning(
            literal_column("xmax <> 0")
        )
    )
    return bool(was_there)


async def restore_connections(
    session: AsyncSession, *, process_id: UUID, connections: Collection[tuple[UUID, UUID, str]]
) -> None:
    """Add the connections of a process whose row had been deleted: id, user id and topic of each."""
    session.add_all(
        ConnectionRecord(id=connection_id, process_id=process_id, user_id=user_id, topic=topic)
        for connection_id, user_id, topic in connections
    )
    await session.flush()


async def remove_process(session: AsyncSession, *, process_id: UUID) -> None:
    """Delete a process that ends, with its connections."""
    await session.execute(delete(ServerProcess).where(ServerProcess.id == process_id))


async def remove_dead_processes(session: AsyncSession) -> None:
    """Delete the processes that count as dead, with their connections."""
    await session.execute(delete(ServerProcess).where(~queries.is_alive()))
