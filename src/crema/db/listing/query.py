"""A list request that has been understood, and the page it gets."""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.page import Page
from crema.db.listing.fields import Column, ColumnField

T = TypeVar("T")


class SortKey(NamedTuple):
    """One column of the order. It is never NULL, so that every two rows compare."""

    field: ColumnField
    descending: bool


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What to list: `page` is None when walking by cursor, `after` then holds the last row's keys, if any.

    `sort` is the order as asked for, `keys` the same with the id as the last.
    """

    conditions: Sequence[ColumnElement[bool]]
    sort: str
    keys: Sequence[SortKey]
    size: int
    page: int | None
    after: Sequence[Any] | None

    @property
    def offset(self) -> int:
        """How many rows the page skips."""
        return 0 if self.page is None else (self.page - 1) * self.size


async def paginate(session: AsyncSession, statement: Select[T], query: ListQuery) -> Page[T]:
    """Read one page of what the statement selects. It already carries what the actor may see.

    Costs one statement, and a second to count when `page` doesn't happen to show the end.
    """
    filtered = statement.where(*query.conditions)
    columns = [key.field.sort_key for key in query.keys]
    window = (
        filtered.where(*_after(query))
        .add_columns(*columns)
        .order_by(None)
        .order_by(*(sa.desc(key.field.sort_key) if key.descending else key.field.sort_key for key in query.keys))
        .offset(query.offset)
        .limit(query.size + 1)  # one more, to know whether the list goes on
    )
    rows: Sequence[Any] = (await session.execute(window)).unique().all()
    shown = rows[: query.size]
    more = len(rows) > query.size
    if query.page is None:
        total = None
    elif not more and (rows or query.page == 1):
        total = query.offset + len(rows)
    else:
        total = await session.scalar(sa.select(sa.func.count()).select_from(filtered.order_by(None).subquery()))
    return Page(
        items=[row[0] for row in shown],
        size=query.size,
        page=query.page,
        total=total,
        next_cursor=write_cursor(query.sort, query.keys, shown[-1][-len(columns) :]) if more else None,
    )


def _after(query: ListQuery) -> Iterable[ColumnElement[bool]]:
    """Keep the rows that the order puts behind `after`."""
    if query.after is None:
        return []
    columns: list[Column] = [key.field.sort_key for key in query.keys]
    seen = [key.field.bind(value) for key, value in zip(query.keys, query.after, strict=True)]
    directions = {key.descending for key in query.keys}
    if len(directions) == 1:
        row, last = sa.tuple_(*columns), sa.tuple_(*seen)
        return [row < last if directions.pop() else row > last]

    def beyond(place: int) -> ColumnElement[bool]:
        ties = [columns[n] == seen[n] for n in range(place)]
        column, value = columns[place], seen[place]
        return sa.and_(*ties, column < value if query.keys[place].descending else column > value)

    # The first condition follows from the second, but it is the one that an index can start from.
    first = columns[0] <= seen[0] if query.keys[0].descending else columns[0] >= seen[0]
    return [first, sa.or_(*map(beyond, range(len(columns))))]


def write_cursor(sort: str, keys: Iterable[SortKey], values: Iterable[Any]) -> str:
    """Note where a page ended: the order, and the last row's values in it."""
    noted = [sort, *(key.field.dump(value) for key, value in zip(keys, values, strict=True))]
    text = json.dumps(noted, ensure_ascii=False, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, sort: str, keys: Sequence[SortKey]) -> Sequence[Any]:
    """Give back the values; ValueError for whatever `write_cursor` would not have written for this order."""
    try:
        noted = json.loads(b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise ValueError("is not a cursor of this list") from None
    match noted:
        case [str() as noted_sort, *texts] if len(texts) == len(keys) and all(isinstance(t, str) for t in texts):
            if noted_sort == sort:
                return [key.field.load(text) for key, text in zip(keys, texts, strict=True)]
            raise ValueError("belongs to another sort: repeat the one it was made with")
    raise ValueError("is not a cursor of this list")
