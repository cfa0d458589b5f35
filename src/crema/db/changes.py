"""Which transaction wrote a row last: live feeds resume from it.

A time or a counter would miss a transaction that begins first and commits last. A position is the oldest transaction
that was open at the time of reading: whatever commits later has this id or a higher one.
"""

from datetime import datetime
from typing import Annotated, Final

from sqlalchemy import BigInteger, ColumnElement, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, mapped_column

CURRENT_TRANSACTION: Final = cast(cast(func.pg_current_xact_id(), Text), BigInteger)
"""The id of the transaction that a statement is part of."""

ChangedIn = Annotated[
    int,
    mapped_column(BigInteger, server_default="0", default=CURRENT_TRANSACTION, onupdate=CURRENT_TRANSACTION),
]
"""The id of the transaction that wrote the row last."""
WrittenIn = Annotated[int, mapped_column(BigInteger, default=CURRENT_TRANSACTION)]
"""The id of the transaction that wrote a row which is never changed."""


async def get_position(session: AsyncSession) -> tuple[int, datetime]:
    """Return the oldest transaction that may still commit, and the database's time.

    Everything that older transactions wrote can be read already; what appears later was written by this one or a
    later one. Call it before the statements whose results the position stands for.
    """
    oldest = func.pg_snapshot_xmin(func.pg_current_snapshot())
    row = (await session.execute(select(cast(cast(oldest, Text), BigInteger), func.now()))).one()
    return row[0], row[1]


def changed_since(column: InstrumentedAttribute[int], transaction: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Return the predicate that `transaction` or a later one wrote the row.

    Higher ids than the next one are of the database that a backup was taken of, and don't match.
    """
    next_one = func.pg_snapshot_xmax(func.pg_current_snapshot())
    return (column >= transaction) & (column < cast(cast(next_one, Text), BigInteger))
