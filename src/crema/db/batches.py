"""Delete many rows in short transactions."""

from typing import Any, Final

from sqlalchemy import ColumnElement, CursorResult, Delete, delete, inspect, select, tuple_

from crema.db.base import Base
from crema.db.session import Sessions

BATCH: Final = 1_000


def delete_some(model: type[Base], *conditions: ColumnElement[bool], limit: int = BATCH) -> Delete:
    """Return a statement that deletes up to `limit` rows that meet all conditions. Rows that are locked are skipped."""
    key = inspect(model).primary_key
    chosen = (
        select(*key)
        .where(*conditions)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
        .prefix_with("MATERIALIZED", dialect="postgresql")  # evaluated once: each evaluation would lock other rows
    )
    return delete(model).where(tuple_(*key).in_(select(*chosen.c)))


async def delete_in_batches(
    sessions: Sessions, model: type[Base], *conditions: ColumnElement[bool], batch: int = BATCH
) -> int:
    """Delete all rows that meet all conditions, up to `batch` a transaction; return how many.

    No lock is held for longer than one batch takes. Rows that are locked are left for the next call.
    """
    statement = delete_some(model, *conditions, limit=batch)
    total = 0
    while True:
        async with sessions.begin() as session:
            result = await session.execute(statement)
        deleted = _count(result)
        total += deleted
        if deleted < batch:
            return total


def _count(result: Any) -> int:
    assert isinstance(result, CursorResult)
    return result.rowcount
