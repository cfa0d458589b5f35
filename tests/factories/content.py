"""What is in the tables, to see that nothing has changed there."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Select, Text, cast, func, literal, literal_column, select, table
from sqlalchemy.dialects.postgresql import aggregate_order_by

from crema import tables


def content(*, but: Collection[str] = ()) -> Select[str]:
    """Make a statement that digests all rows of all tables, the queue of jobs among them, but for some tables."""
    return select(
        func.concat_ws(",", *map(_digest, [*sorted({*tables.metadata.tables} - {*but}), "procrastinate_jobs"]))
    )


def _digest(name: str) -> ColumnElement[str]:
    row = cast(literal_column(name), Text)
    return (
        select(func.md5(func.string_agg(row, aggregate_order_by(literal(","), row))))
        .select_from(table(name))
        .scalar_subquery()
    )
