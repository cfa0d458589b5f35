"""Every SELECT about who is connected."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.live.models import SeatTaken, ServerProcess

DEAD_AFTER: Final = timedelta(seconds=15)
"""A process that was not seen for so long holds no sockets any more. The database's clock counts."""


def is_alive() -> ColumnElement[bool]:
    """Limit to processes that live."""
    return ServerProcess.seen_at > func.now() - DEAD_AFTER


async def count_seats(session: AsyncSession, *, user_id: UUID) -> int:
    """Count a person's sockets, in all processes."""
    statement = select(func.count()).select_from(SeatTaken).join(ServerProcess)
    return await session.scalar(statement.where(SeatTaken.user_id == user_id, is_alive())) or 0


async def list_present(session: AsyncSession, *, topic: str) -> set[UUID]:
    """Tell who follows a topic, in all processes."""
    statement = select(SeatTaken.user_id).join(ServerProcess).where(SeatTaken.topic == topic, is_alive())
    return set(await session.scalars(statement))
