"""Versions of rows: `xmin`, the id of the transaction that wrote a row last, which PostgreSQL keeps.

Every change of an object writes its row, if only `updated_at`. `expect` limits a transaction to one version of a row;
the query that locks the row calls `check`. Decision 17 gives the reasons.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Text, bindparam, cast, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from crema.core.errors import PreconditionFailedError
from crema.db.base import Base
from crema.db.statement import Executor, Statement

Key = InstrumentedAttribute[UUID]
"""The column by which a row is found."""
_EXPECTED: Final = "expected_version"


@dataclass(slots=True)
class _Expected:
    model: type[Base]
    versions: frozenset[str]
    is_checked: bool = False


class UncheckedVersionError(RuntimeError):
    """A defect: a change was limited to one version, and no query checked it."""


COLUMN: Final[ColumnElement[str]] = cast(literal_column("xmin"), Text).label("version")
"""The column to select for `name`, in statements of one table."""


def name(version: str, key: UUID) -> str:
    """Return the name of a row's version. Rows written by one transaction have different names."""
    return f"{version}-{key.hex[-8:]}"


def model_of(key: Key) -> type[Base]:
    """Return the model that a column belongs to."""
    model: type[Base] = key.parent.class_
    return model


@lru_cache
def _version_of(key: Key, *, lock: bool) -> Statement:
    statement = select(COLUMN).select_from(model_of(key)).where(key == bindparam("key"))
    return Statement(statement.with_for_update(key_share=True) if lock else statement)


async def find(db: Executor, *, key: Key, value: UUID, lock: bool = False) -> str | None:
    """Return the version's name of the row whose `key` has this value, or None without such a row."""
    row = await _version_of(key, lock=lock).row(db, key=value)
    return None if row is None else name(row[0], value)


def expect(session: AsyncSession, model: type[Base], versions: frozenset[str]) -> None:
    """Let this transaction change a row of `model` only if it has one of these versions when it is locked."""
    session.info[_EXPECTED] = _Expected(model, versions)


async def check(db: Executor, *, key: Key, value: UUID) -> None:
    """Refuse a change that was meant for another version. Call it with the row locked, before any change.

    It locks the row, too.
    """
    expected: _Expected | None = db.info.get(_EXPECTED) if isinstance(db, AsyncSession) else None
    if expected is None or expected.is_checked or expected.model is not model_of(key):
        return
    version = await find(db, key=key, value=value, lock=True)
    if version is None or version not in expected.versions:
        raise PreconditionFailedError
    expected.is_checked = True


def ensure_checked(session: AsyncSession) -> None:
    """Raise UncheckedVersionError if `expect` was called and `check` was not."""
    expected: Any = session.info.get(_EXPECTED)
    if expected is not None and not expected.is_checked:
        raise UncheckedVersionError(expected.model.__name__)
