"""A parsed list request, and the page that answers it.

Requests that differ in their values only have one shape and share a statement, compiled for the first of them.
"""

import asyncio
import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.page import Page
from crema.db.driver import Reader
from crema.db.listing.errors import TooCostlyError
from crema.db.listing.fields import ColumnField, Parameter
from crema.db.listing.related import Leaf, Many, One, together
from crema.db.statement import Statement

T = TypeVar("T")

BUDGET_SECONDS: Final = 2
"""How long a list may take that no index serves."""
KEPT_SHAPES: Final = 500
"""How many compiled statements are kept for a list, about 20 kB each."""


MAX_TOTAL: Final = 10_000
"""Matches are counted up to this number."""


class SortKey(NamedTuple):
    """One column of the order. Rows without a value come last, ascending or descending."""

    field: ColumnField
    descending: bool

    @property
    def order(self) -> ColumnElement[Any]:
        """The expression in ORDER BY."""
        column = self.field.sort_key
        if not self.descending:
            return column.asc()
        return column.desc().nulls_last() if self.field.nullable else column.desc()

    def is_same(self, value: Parameter | None) -> ColumnElement[bool]:
        """Return the predicate that a row has this value, or none if this is none."""
        return self.field.sort_key.is_(None) if value is None else self.field.sort_key == value

    def is_behind(self, value: Parameter | None) -> ColumnElement[bool]:
        """Return the predicate that a row comes after those with this value."""
        column = self.field.sort_key
        if value is None:
            return sa.false()
        behind = column < value if self.descending else column > value
        return sa.or_(behind, column.is_(None)) if self.field.nullable else behind


@dataclass(frozen=True, slots=True)
class Condition:
    """What one query parameter asks for.

    `build` returns the predicate, given the bound parameters that stand for `values` and the statement that selects all
    rows of the list. Conditions of one `shape` have the same predicate. It applies to rows inside of `within`.
    """

    shape: Hashable
    values: Sequence[Any]
    bind: Callable[[str], Parameter]
    build: Callable[[Sequence[Parameter], Select[Any]], ColumnElement[bool]]
    within: tuple[One | Many, ...] = ()
    leaf: Leaf | None = None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A parsed request. With a cursor `page` is None, and `after` holds the sort keys of the last row, if any.

    `sort` is the order as asked for, `keys` the same with the id as the last. `narrower` names filters that would make
    the request cheaper; it is None without filters, search and sort: such a request has no time limit.
    """

    conditions: Sequence[Condition]
    sort: str
    keys: Sequence[SortKey]
    size: int
    page: int | None
    after: Sequence[Any] | None
    narrower: Sequence[str] | None = None
    searches: bool = False

    @property
    def offset(self) -> int:
        """How many rows come before the page."""
        return 0 if self.page is None else (self.page - 1) * self.size

    @property
    def shape(self) -> Hashable:
        """Equal for all requests that one statement can answer."""
        conditions = tuple((condition.shape, len(condition.values)) for condition in self.conditions)
        missing = None if self.after is None else tuple(value is None for value in self.after)
        return conditions, self.sort, self.page is None, missing

    @property
    def values(self) -> dict[str, Any]:
        """The values of the statement's parameters."""
        values = {name: value for n, each in enumerate(self.conditions) for name, value in _named(n, each.values)}
        values.update(_named("after", self.after or ()))
        # One row more, to know whether the list goes on.
        return values | {"skipped": self.offset, "wanted": self.size + 1}

    def filter(self, statement: Select[T]) -> Select[T]:
        """Return the statement limited to the rows asked for. Run it with `values`."""
        parts = [
            (each.within, each.build([each.bind(name) for name, _ in _named(n, each.values)], statement))
            for n, each in enumerate(self.conditions)
        ]
        return statement.where(*together(parts))

    def page_statement(self, statement: Select[T]) -> Select[T]:
        """Return the statement limited to the page, in order, with the sort keys as its last columns."""
        return (
            self.filter(statement)
            .where(*self._after_cursor())
            .add_columns(*(key.field.sort_key for key in self.keys))
            .order_by(None)
            .order_by(*(key.order for key in self.keys))
            .offset(sa.bindparam("skipped", type_=sa.Integer()))
            .limit(sa.bindparam("wanted", type_=sa.Integer()))
        )

    def _after_cursor(self) -> Iterable[ColumnElement[bool]]:
        """Return the predicates that keep the rows after the cursor's."""
        if self.after is None:
            return []
        names = [name for name, _ in _named("after", self.after)]
        seen = [
            None if value is None else key.field.bind(name)
            for key, name, value in zip(self.keys, names, self.after, strict=True)
        ]
        directions = {key.descending for key in self.keys}
        if len(directions) == 1 and not any(key.field.nullable for key in self.keys):
            row, last = sa.tuple_(*(key.field.sort_key for key in self.keys)), sa.tuple_(*seen)
            return [row < last if directions.pop() else row > last]

        def behind(place: int) -> ColumnElement[bool]:
            ties = [key.is_same(value) for key, value in zip(self.keys[:place], seen[:place], strict=True)]
            return sa.and_(*ties, self.keys[place].is_behind(seen[place]))

        # The first condition follows from the second, but it is the one that an index can start from.
        return [*self._from_first(seen[0]), sa.or_(*map(behind, range(len(self.keys))))]

    def _from_first(self, value: Parameter | None) -> list[ColumnElement[bool]]:
        first, column = self.keys[0], self.keys[0].field.sort_key
        if value is None or first.field.nullable:
            return []
        return [column <= value if first.descending else column >= value]

    def count(self, statement: Select[Any]) -> Select[int]:
        """Return the statement that counts the rows asked for, up to one more than MAX_TOTAL."""
        counted: Select[Any] = self.filter(statement).with_only_columns(
            sa.literal_column("1"), maintain_column_froms=True
        )
        return sa.select(sa.func.count()).select_from(counted.order_by(None).limit(MAX_TOTAL + 1).subquery())

    def page_of(self, items: Sequence[T], *, keys: Sequence[Any], total: int | None) -> Page[T]:
        """Return the page of the rows of `page_statement`; `keys` are those of its last row if another follows."""
        return Page(
            items=items[: self.size],
            size=self.size,
            page=self.page,
            total=total if total is None or total <= MAX_TOTAL else None,
            total_at_least=None if total is None or total <= MAX_TOTAL else total,
            next_cursor=write_cursor(self.sort, self.keys, keys) if keys else None,
        )

    def total_if_last_page(self, rows: Sequence[Any]) -> int | None:
        """Return how many rows the list has if this page is its last, else None."""
        if self.page is not None and len(rows) <= self.size and (rows or self.page == 1):
            return self.offset + len(rows)
        return None


def _named(group: object, values: Iterable[T]) -> Iterable[tuple[str, T]]:
    return ((f"list_{group}_{n}", value) for n, value in enumerate(values))


@asynccontextmanager
async def _budget(query: ListQuery) -> AsyncIterator[None]:
    """Refuse a request that takes longer than BUDGET_SECONDS, unless it has no filter, search or sort."""
    if query.narrower is None:
        yield
        return
    try:
        async with asyncio.timeout(BUDGET_SECONDS):
            yield
    except (TimeoutError, asyncpg.QueryCanceledError) as error:
        raise TooCostlyError(query.narrower) from error


async def paginate(session: AsyncSession, statement: Select[T], query: ListQuery, **values: Any) -> Page[T]:
    """Return one page of what the statement selects, which is limited already to what the actor may see.

    `values` are those of the statement's own parameters. Costs one statement, and a second to count unless the page is
    the last.
    """
    values |= query.values
    await session.connection()  # waiting for one doesn't count as the list's time
    async with _budget(query):
        rows: Sequence[Any] = (await session.execute(query.page_statement(statement), values)).unique().all()
        total = query.total_if_last_page(rows)
        if total is None and query.page is not None:
            total = await session.scalar(query.count(statement), values)
    return query.page_of([row[0] for row in rows], keys=_keys(query, rows), total=total)


class ListStatement:
    """A list whose statement is compiled once for each shape of request, and run by asyncpg."""

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        self._statement = statement
        self._compiled: dict[Hashable, Statement] = {}

    async def page(self, reader: Reader, query: ListQuery, **values: Any) -> Page[asyncpg.Record]:
        """Return one page of rows, which begin with the selected columns; `values` are those of the own parameters.

        Costs one statement, and a second to count if the page is past the end.
        """
        values |= query.values
        reader = reader.planning_once if query.searches else reader
        async with _budget(query):
            rows = await self._prepared(query.shape, partial(self._page_statement, query)).rows(reader, **values)
            total = None if query.page is None else 0
            if query.page is not None and rows:
                total = min(rows[0]["list_total"], MAX_TOTAL + 1)
            elif query.page is not None and query.page > 1:
                counting = self._prepared((query.shape, "count"), partial(query.count, self._statement))
                total = (await counting.rows(reader, **values))[0][0]
        return query.page_of(rows, keys=_keys(query, rows), total=total)

    def _prepared(self, shape: Hashable, build: Callable[[], Select[Any]]) -> Statement:
        found = self._compiled.get(shape)
        if found is None:
            if len(self._compiled) >= KEPT_SHAPES:
                self._compiled.clear()
            found = self._compiled[shape] = Statement(build())
        return found

    def _page_statement(self, query: ListQuery) -> Select[Any]:
        if query.page is None:
            return query.page_statement(self._statement)
        # Counting in the same statement is cheap but reads every match: without a filter that is the whole table, while
        # an index serves the page and a count of its own.
        counted = sa.func.count().over() if query.conditions else query.count(self._statement).scalar_subquery()
        return query.page_statement(self._statement.add_columns(counted.label("list_total")))


def _keys(query: ListQuery, rows: Sequence[Any]) -> Sequence[Any]:
    """Return the sort keys of the page's last row, or nothing if no row follows."""
    return rows[query.size - 1][-len(query.keys) :] if len(rows) > query.size else ()


def write_cursor(sort: str, keys: Iterable[SortKey], values: Iterable[Any]) -> str:
    """Return a cursor: the sort, and the sort keys of the page's last row."""
    texts = (None if value is None else key.field.dump(value) for key, value in zip(keys, values, strict=True))
    noted = [sort, *texts]
    text = json.dumps(noted, ensure_ascii=False, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, sort: str, keys: Sequence[SortKey]) -> Sequence[Any]:
    """Return the sort keys in a cursor; ValueError if `write_cursor` can't have written it for this sort."""
    try:
        noted = json.loads(b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise ValueError("is not a cursor of this list") from None
    match noted:
        case [str() as noted_sort, *texts] if len(texts) == len(keys):
            if noted_sort != sort:
                raise ValueError("belongs to another sort: repeat the one it was made with")
            return [_loaded(key.field, text) for key, text in zip(keys, texts, strict=True)]
    raise ValueError("is not a cursor of this list")


def _loaded(field: ColumnField, text: object) -> Any:
    if text is None and field.nullable:
        return None
    if not isinstance(text, str):
        raise ValueError("is not a cursor of this list")  # noqa: TRY004 - of text that somebody sent
    return field.load(text)
