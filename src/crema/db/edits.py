"""Write the changes that a client sends for a row, and turn violated constraints into refusals."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pydantic import MISSING, BaseModel
from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import CremaError
from crema.db.base import Base
from crema.schemas import Input


async def apply_changes(
    session: AsyncSession,
    row: Base,
    changes: Input,
    *,
    now: datetime,
    but: Collection[str] = (),
    kept_if_none: Collection[str] = (),
) -> None:
    """Set the columns of `row` that `changes` has a value for, and `updated_at`; flush.

    A field is written to the column of its name; parts of a field's own schema are written as JSON. What is MISSING
    stays, and so does what is None in `kept_if_none`. Fields in `but`, and those that are no columns, are the caller's.
    """
    columns = inspect(type(row)).column_attrs
    values = {name: getattr(changes, name) for name in type(changes).model_fields if name not in but}
    for name, value in (values | {"updated_at": now}).items():
        is_kept = value is MISSING or (value is None and name in kept_if_none)
        if name in columns and not is_kept:
            setattr(row, name, _stored(value))
    await session.flush()


def _stored(value: Any) -> Any:
    """Return what a column holds of a field: of a schema of its own, or of a list of those, the JSON."""
    if isinstance(value, list):
        return [_stored(each) for each in value]
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


@contextmanager
def raise_on_constraint(refusal: CremaError, *constraints: str) -> Iterator[None]:
    """Raise `refusal` if one of these constraints is violated inside this context.

    The transaction is lost in any case.
    """
    try:
        yield
    except IntegrityError as error:
        cause = error.orig.__cause__ if error.orig else None
        if getattr(cause, "constraint_name", None) in constraints:
            raise refusal from None
        raise
