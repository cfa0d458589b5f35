"""Tickets to get in, the records of who is connected, and the heartbeat of the process that holds them."""

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
from crema.db import events
from crema.live import queries
from crema.live.domain import MAX_CONNECTIONS, TICKET_LIFETIME
from crema.live.models import ConnectionRecord, ServerProcess, SocketTicket

RETRY_SECONDS: Final = 15


class TooManySocketsError(TooManyError):
    """A sixth event stream. A sixth socket takes the place of the person's oldest instead."""

    code = "too_many_sockets"
    title = f"You already have {MAX_CONNECTIONS} open connections."
    advice = "Close one of them first."


async def issue_ticket(session: AsyncSession, *, actor: Actor, now: datetime) -> str:
    """Make a ticket for one connection within TICKET_LIFETIME, and sweep out those nobody used."""
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
    """Use a ticket up and tell whose it was, by person and login; of many at once one succeeds."""
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
    session: AsyncSession, *, connection_id: UUID, process_id: UUID, user_id: UUID, topic: str, replaces: bool
) -> None:
    """Record a connected client, and tell those who follow the topic. A person's are counted one after another.

    Beyond MAX_CONNECTIONS the person's oldest lose their place, and the processes that hold them close them when they
    look next; unless it `replaces`, TooManySocketsError is raised.
    """
    await _lock_connections(session, user_id=user_id)
    if not replaces and await queries.count_connections(session, user_id=user_id) >= MAX_CONNECTIONS:
        raise TooManySocketsError(retry_after=RETRY_SECONDS)
    oldest = queries.oldest_beyond(MAX_CONNECTIONS - 1, user_id=user_id)
    deleted = delete(ConnectionRecord).where(ConnectionRecord.id.in_(oldest)).returning(ConnectionRecord.topic)
    topics = {topic, *await session.scalars(deleted)}
    session.add(ConnectionRecord(id=connection_id, process_id=process_id, user_id=user_id, topic=topic))
    await session.flush()
    events.publish(session, topics=sorted(topics))


async def _lock_connections(session: AsyncSession, *, user_id: UUID) -> None:
    await session.execute(func.pg_advisory_xact_lock(func.hashtextextended(str(user_id), 0)).select())


async def remove_connection(session: AsyncSession, *, connection_id: UUID, topic: str) -> None:
    """Delete the record of a client that left, and tell those who follow the topic."""
    await session.execute(delete(ConnectionRecord).where(ConnectionRecord.id == connection_id))
    events.publish(session, topics=[topic])


async def heartbeat(session: AsyncSession, *, process_id: UUID) -> bool:
    """Say that this process lives; False when it had been given up for dead, and lost its records."""
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
    """Record the clients of a process that had been given up: id, person and topic of each."""
    session.add_all(
        ConnectionRecord(id=connection_id, process_id=process_id, user_id=user_id, topic=topic)
        for connection_id, user_id, topic in connections
    )
    await session.flush()


async def remove_process(session: AsyncSession, *, process_id: UUID) -> None:
    """Delete a process that ends, with the records of its clients."""
    await session.execute(delete(ServerProcess).where(ServerProcess.id == process_id))


async def remove_dead_processes(session: AsyncSession) -> None:
    """Delete the processes that have said nothing for too long, with the records of their clients."""
    await session.execute(delete(ServerProcess).where(~queries.is_alive()))
