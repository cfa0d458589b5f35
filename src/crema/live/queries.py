"""Every SELECT about who is connected."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, String, any_, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.live.models import ConnectionRecord, ServerProcess

DEAD_AFTER: Final = timedelta(seconds=15)
"""A process that was not seen for so long holds no sockets any more. The database's clock counts."""


def is_alive() -> ColumnElement[bool]:
    """Limit to processes that live."""
    return ServerProcess.seen_at > func.now() - DEAD_AFTER


async def count_connections(session: AsyncSession, *, user_id: UUID) -> int:
    """Count a person's sockets, in all processes."""
    statement = select(func.count()).select_from(ConnectionRecord).join(ServerProcess)
    return await session.scalar(statement.where(ConnectionRecord.user_id == user_id, is_alive())) or 0


async def find_connections(session: AsyncSession, *, process_id: UUID) -> set[UUID] | None:
    """Return the ids of a process's clients, or None when the process itself is not known any more."""
    ids = select(ConnectionRecord.id).where(ConnectionRecord.process_id == ServerProcess.id).scalar_subquery()
    row = (
        await session.execute(select(func.array(ids)).select_from(ServerProcess).where(ServerProcess.id == process_id))
    ).one_or_none()
    return None if row is None else set(row[0])


def oldest_beyond(limit: int, *, user_id: UUID) -> Select[UUID]:
    """Select the ids of a person's clients but for the newest `limit`, in all processes that live."""
    mine = select(ConnectionRecord.id).join(ServerProcess).where(ConnectionRecord.user_id == user_id, is_alive())
    return mine.order_by(ConnectionRecord.id.desc()).offset(limit)


async def list_present(session: AsyncSession, *, topics: Collection[str]) -> dict[str, set[UUID]]:
    """Tell who follows each of these topics, in all processes."""
    statement = select(ConnectionRecord.topic, ConnectionRecord.user_id).join(ServerProcess)
    statement = statement.where(ConnectionRecord.topic == any_(literal([*topics], ARRAY(String))), is_alive())
    present: dict[str, set[UUID]] = {}
    for topic, user_id in await session.execute(statement):
        present.setdefault(topic, set()).add(user_id)
    return present
