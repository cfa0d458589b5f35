"""Every SELECT about connections."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, String, any_, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.live.models import ConnectionRecord, ServerProcess

DEAD_AFTER: Final = timedelta(seconds=15)
"""A process without a heartbeat for so long counts as dead, by the clock of the database."""


def is_alive() -> ColumnElement[bool]:
    """Return the condition that a process is alive."""
    return ServerProcess.seen_at > func.now() - DEAD_AFTER


async def count_connections(session: AsyncSession, *, user_id: UUID) -> int:
    """Return the number of a person's connections, in all processes."""
    statement = select(func.count()).select_from(ConnectionRecord).join(ServerProcess)
    return await session.scalar(statement.where(ConnectionRecord.user_id == user_id, is_alive())) or 0


async def find_connections(session: AsyncSession, *, process_id: UUID) -> set[UUID] | None:
    """Return the ids of a process's connections, or None if the process has no row any more."""
    ids = select(ConnectionRecord.id).where(ConnectionRecord.process_id == ServerProcess.id).scalar_subquery()
    row = (
        await session.execute(select(func.array(ids)).select_from(ServerProcess).where(ServerProcess.id == process_id))
    ).one_or_none()
    return None if row is None else set(row[0])


def select_surplus(limit: int, *, user_id: UUID) -> Select[UUID]:
    """Return the SELECT of a person's connection ids except the newest `limit`, in all processes that are alive."""
    mine = select(ConnectionRecord.id).join(ServerProcess).where(ConnectionRecord.user_id == user_id, is_alive())
    return mine.order_by(ConnectionRecord.id.desc()).offset(limit)


async def list_present(session: AsyncSession, *, topics: Collection[str]) -> dict[str, set[UUID]]:
    """Return the people who follow each of these topics, in all processes."""
    statement = select(ConnectionRecord.topic, ConnectionRecord.user_id).join(ServerProcess)
    statement = statement.where(ConnectionRecord.topic == any_(literal([*topics], ARRAY(String))), is_alive())
    present: dict[str, set[UUID]] = {}
    for topic, user_id in await session.execute(statement):
        present.setdefault(topic, set()).add(user_id)
    return present
