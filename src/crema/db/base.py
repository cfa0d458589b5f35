"""The declarative base and the column types every table shares."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from uuid import UUID

import uuid_utils.compat
from sqlalchemy import DateTime, Index, MetaData, Numeric, Text, func
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, mapped_column
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

_source: ContextVar[Iterator[UUID] | None] = ContextVar("source_of_ids", default=None)


def new_id() -> UUID:
    """Return a UUIDv7. It grows with time: indexes stay compact, and ids sort as rows were made."""
    source = _source.get()
    return uuid_utils.compat.uuid7() if source is None else next(source)


@contextmanager
def ids_from(source: Iterator[UUID]) -> Iterator[None]:
    """Let `new_id` take its ids from this source, for the demo chain, whose ids are known beforehand."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


Id = Annotated[UUID, mapped_column(primary_key=True, default=new_id)]
Money = Annotated[Decimal, mapped_column(Numeric(16, 2))]
Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Created = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Updated = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now(), onupdate=func.now())]


class Base(DeclarativeBase):
    """Base of all models. Constraints have predictable names, which migrations and error handling use."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    # What the database computes at an UPDATE comes back with it, instead of being read lazily, which async can't.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - declared so by SQLAlchemy
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: postgresql.JSONB,
        list[str]: postgresql.ARRAY(postgresql.TEXT),
    }


class case_folded(FunctionElement[str]):  # noqa: N801 - used as the function it stands for
    """Return a text in lower case with е for ё, as names are searched, sorted and indexed.

    The collation C sorts Ё before А, which is wrong in Russian. The two letters are literals, not parameters: only so
    can an index on the expression serve a generic plan.
    """

    type = Text()
    inherit_cache = True


@compiles(case_folded)
def _compile_case_folded(element: case_folded, compiler: Any, **options: Any) -> str:
    return f"replace(lower({compiler.process(element.clauses, **options)}), 'ё', 'е')"


def trigram_index(name: str, column: InstrumentedAttribute[Any], *, where: ColumnElement[bool] | None = None) -> Index:
    """Return an index that serves every operator of a text field of a list, and its search."""
    folded = case_folded(column).label("folded")
    return Index(
        name, folded, postgresql_using="gin", postgresql_ops={"folded": "gin_trgm_ops"}, postgresql_where=where
    )
