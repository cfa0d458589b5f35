"""Versions of rows: `xmin`, the id of the transaction that wrote a row last, which PostgreSQL keeps by itself.

Whatever changes a thing writes its row, be it only `updated_at`. A change that is meant for one version says so by
`expect`; the query that locks the row calls `check`. Decision 17 says why so.
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
from crema.db.statement import Statement, Where

Key = InstrumentedAttribute[UUID]
"""The column by which a thing's row is found."""
_EXPECTED: Final = "expected_version"


@dataclass(slots=True)
class _Expected:
    model: type[Base]
    versions: frozenset[str]
    is_checked: bool = False


class UncheckedVersionError(RuntimeError):
    """A change was meant for one version, and whatever made it looked at none: a defect."""


COLUMN: Final[ColumnElement[str]] = cast(literal_column("xmin"), Text).label("version")
"""What `name` makes a version of, in statements of one table."""


def name(version: str, key: UUID) -> str:
    """Name a version of one thing: another thing's, written by the same transaction, is called otherwise."""
    return f"{version}-{key.hex[-8:]}"


def model_of(key: Key) -> type[Base]:
    """Return the model that a column belongs to."""
    model: type[Base] = key.parent.class_
    return model


@lru_cache
def _version_of(key: Key, *, lock: bool) -> Statement:
    statement = select(COLUMN).select_from(model_of(key)).where(key == bindparam("key"))
    return Statement(statement.with_for_update(key_share=True) if lock else statement)


async def find(where: Where, *, key: Key, value: UUID, lock: bool = False) -> str | None:
    """Name the version of the row whose `key` has this value; None if there is no such row."""
    row = await _version_of(key, lock=lock).row(where, key=value)
    return None if row is None else name(row[0], value)


def expect(session: AsyncSession, model: type[Base], versions: frozenset[str]) -> None:
    """Let this transaction change the row of `model` only if it is one of these versions when it is locked."""
    session.info[_EXPECTED] = _Expected(model, versions)


async def check(where: Where, *, key: Key, value: UUID) -> None:
    """Refuse what is meant for another version than the row is. Call it with the row's lock, before any change.

    It locks the row, too, where nothing else has.
    """
    expected: _Expected | None = where.info.get(_EXPECTED) if isinstance(where, AsyncSession) else None
    if expected is None or expected.is_checked or expected.model is not model_of(key):
        return
    version = await find(where, key=key, value=value, lock=True)
    if version is None or version not in expected.versions:
        raise PreconditionFailedError
    expected.is_checked = True


def ensure_checked(session: AsyncSession) -> None:
    """Fail where `expect` was called and `check` was not: a condition is never passed over in silence."""
    expected: Any = session.info.get(_EXPECTED)
    if expected is not None and not expected.is_checked:
        raise UncheckedVersionError(expected.model.__name__)
