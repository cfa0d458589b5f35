"""Declaring a list, and reading the parameters of a request for it."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from crema.db.listing.errors import (
    InvalidCursorError,
    InvalidFilterError,
    InvalidSortError,
    PageTooDeepError,
    UnknownFilterError,
)
from crema.db.listing.fields import (
    Bound,
    Column,
    ColumnField,
    Field,
    Searched,
    UuidField,
    containing,
    integer,
    items,
    search_in,
    storable,
)
from crema.db.listing.query import Condition, ListQuery, SortKey, read_cursor

MAX_FILTERS: Final = 10
MAX_SORT: Final = 3
MAX_SIZE: Final = 100
DEFAULT_SIZE: Final = 20
MAX_OFFSET: Final = 10_000
MAX_PAGE: Final = 2**31 - 1
SEARCH_LENGTH: Final = (2, 64)
MAX_WORDS: Final = 8

LISTS: Final = frozenset({"in", "not_in", "between"})
"""Operators that take several values."""
_SEARCHING: Final = ("search", "search_fields")
_PAGING: Final = ("sort", "page", "size", "cursor")


class Filter(NamedTuple):
    """What one query parameter asks of one field."""

    field: Field
    operator: str


class Listing:
    """The fields of a resource that lists may be filtered, searched and sorted by, each written down by hand.

    `sort` names fields, or maps names to fields of its own; they are never NULL. A searched column that bears
    the name of a field is for the same people as the field; a `Searched` says for whom it is. The id ends every order.
    """

    def __init__(
        self,
        *,
        fields: Mapping[str, Field],
        sort: Mapping[str, ColumnField] | Sequence[str],
        default_sort: str,
        id_column: Column | ColumnField,
        search: Mapping[str, Column | Searched] | None = None,
    ) -> None:
        self.fields = fields
        self.filters = {
            name if operator == "eq" else f"{name}__{operator}": Filter(field, operator)
            for name, field in fields.items()
            for operator in field.operators
        }
        if taken := self.filters.keys() & {*_SEARCHING, *_PAGING}:
            raise ValueError(f"names of the language itself: {taken}")
        self.sort = {name: _sortable(field) for name, field in _named(sort, fields).items()}
        self.search = search or {}
        self.id = id_column if isinstance(id_column, ColumnField) else UuidField(id_column)
        self.default_sort = default_sort
        self._sort_keys(default_sort, ())  # fails at import if it is not for everybody

    def parse(
        self,
        parameters: Iterable[tuple[str, str]],
        *,
        permissions: Collection[str] = (),
        also: Collection[str] = (),
    ) -> ListQuery:
        """Understand a query string, or raise an InvalidError. Parameters in `also` are the caller's to read."""
        given = self._given(parameters, permissions, also)
        faults: dict[str, str] = {}
        conditions = [*self._filtered(given, faults), *self._searched(given, permissions, faults)]
        size = _number(given, "size", DEFAULT_SIZE, MAX_SIZE, faults)
        page = None if "cursor" in given else _number(given, "page", 1, MAX_PAGE, faults)
        if "cursor" in given and "page" in given:
            faults["page"] = "can't stand beside cursor"
        if faults:
            raise InvalidFilterError(faults)
        if page is not None and (page - 1) * size > MAX_OFFSET:
            raise PageTooDeepError({"page": f"starts past row {MAX_OFFSET}: walk there with cursor="})
        sort = given.get("sort", self.default_sort)
        keys = self._sort_keys(sort, permissions)
        after = None
        if cursor := given.get("cursor"):
            try:
                after = read_cursor(cursor, sort, keys)
            except ValueError as fault:
                raise InvalidCursorError({"cursor": str(fault)}) from None
        return ListQuery(conditions, sort, keys, size, page, after)

    def parameters(self, permissions: Collection[str]) -> list[str]:
        """Name every query parameter that those with these permissions may use."""
        filters = [name for name, (field, _) in self.filters.items() if _open_to(permissions, field)]
        return [*filters, *(_SEARCHING if self.search_columns(permissions) else ()), *_PAGING]

    def _given(
        self, parameters: Iterable[tuple[str, str]], permissions: Collection[str], also: Collection[str]
    ) -> dict[str, str]:
        allowed = [*self.parameters(permissions), *also]
        known = frozenset(allowed)
        given: dict[str, list[str]] = {}
        for name, text in parameters:
            if name not in known:
                raise UnknownFilterError(name, allowed)
            given.setdefault(name, []).append(text)
        faults: dict[str, str] = {}
        for name, texts in given.items():
            if len(texts) > 1 and (fault := self._fault_of_repetition(name, texts)):
                faults[name] = fault
        if faults:
            raise InvalidFilterError(faults)
        return {name: ",".join(texts) for name, texts in given.items() if name not in also}

    def _fault_of_repetition(self, name: str, texts: Sequence[str]) -> str | None:
        """Say why these can't stand for one list. A list may come with commas or repeated: `a,b` or `a` and `b`."""
        if name in ("sort", "search_fields"):
            return "names the same twice" if len(set(texts)) < len(texts) else None
        if name not in self.filters or self.filters[name].operator not in LISTS:
            return "is given twice"
        try:
            for text in texts:
                items(text)
        except ValueError as fault:
            return str(fault)
        return None

    def _filtered(self, given: Mapping[str, str], faults: dict[str, str]) -> Iterable[Condition]:
        wanted = [(name, self.filters[name]) for name in given if name in self.filters]
        if len(wanted) > MAX_FILTERS:
            excess = f"is one filter too many: {MAX_FILTERS} are allowed"
            raise InvalidFilterError({name: excess for name, _ in wanted[MAX_FILTERS:]})
        for name, (field, operator) in wanted:
            try:
                yield _condition(name, field, operator, field.read(operator, given[name]))
            except ValueError as fault:
                faults[name] = str(fault)

    def _searched(
        self, given: Mapping[str, str], permissions: Collection[str], faults: dict[str, str]
    ) -> Iterable[Condition]:
        columns = self.search_columns(permissions)
        if "search_fields" in given:
            narrowed = given["search_fields"].split(",")
            if not columns.keys() >= set(narrowed):
                faults["search_fields"] = f"is not a list of some of {', '.join(columns)}"
                return
            columns = {name: columns[name] for name in narrowed}
        if "search" in given:
            try:
                words = _words(given["search"])
            except ValueError as fault:
                faults["search"] = str(fault)
                return
            found = tuple(columns.values())
            for word in words:
                yield Condition(
                    shape=("search", tuple(columns)),
                    bound=[containing(word)],
                    bind=_text,
                    build=lambda bound: sa.or_(*(search_in(column, bound[0]) for column in found)),
                )

    def search_columns(self, permissions: Collection[str]) -> Mapping[str, Column | Searched]:
        """Give what those with these permissions search in."""
        gates = self.search_gates
        return {name: each for name, each in self.search.items() if gates[name] is None or gates[name] in permissions}

    @property
    def search_gates(self) -> Mapping[str, str | None]:
        """Tell which permission each searched text needs, if any."""
        declared = {name: self.fields.get(name, each) for name, each in self.search.items()}
        return {
            name: each.permission if isinstance(each, Field | Searched) else None for name, each in declared.items()
        }

    def _sort_keys(self, sort: str, permissions: Collection[str]) -> Sequence[SortKey]:
        allowed = {name: field for name, field in self.sort.items() if _open_to(permissions, field)}
        parts = sort.split(",", MAX_SORT)
        names = [part.removeprefix("-") for part in parts]
        if len(names) > MAX_SORT or len(set(names)) < len(names) or not allowed.keys() >= set(names):
            fault = (
                f"takes up to {MAX_SORT} different fields of {', '.join(allowed)}, comma-separated, a minus before "
                f"those that go down, such as -{next(iter(allowed), 'created_at')}"
            )
            raise InvalidSortError({"sort": fault}, allowed=list(allowed))
        keys = [SortKey(allowed[name], part != name) for part, name in zip(parts, names, strict=True)]
        return [*keys, SortKey(self.id, keys[-1].descending)]


def _condition(name: str, field: Field, operator: str, operands: Sequence[Any]) -> Condition:
    build = partial(field.condition, operator)
    if operator == "isnull":
        return Condition((name, operands[0]), [], field.bind, lambda _: build(operands))
    return Condition(name, operands, field.bind, build)


def _text(name: str) -> Bound:
    return sa.bindparam(name, type_=sa.Text())


def _named(sort: Mapping[str, ColumnField] | Sequence[str], fields: Mapping[str, Field]) -> Mapping[str, Field]:
    return sort if isinstance(sort, Mapping) else {name: fields[name] for name in sort}


def _sortable(field: Field) -> ColumnField:
    if not isinstance(field, ColumnField) or field.nullable:
        raise TypeError("a list is sorted by columns that are never NULL")
    return field


def _open_to(permissions: Collection[str], field: Field) -> bool:
    return field.permission is None or field.permission in permissions


def _number(given: Mapping[str, str], name: str, default: int, maximum: int, faults: dict[str, str]) -> int:
    try:
        return integer(given[name], 1, maximum) if name in given else default
    except ValueError as fault:
        faults[name] = str(fault)
        return default


MAX_DECOMPOSED: Final = 4
"""Characters that compose to one: a letter and its accents, as they are written apart."""


def _words(text: str) -> Sequence[str]:
    if len(text) > MAX_DECOMPOSED * SEARCH_LENGTH[1]:  # composing costs the square of the accents in a row
        raise ValueError(f"is not {SEARCH_LENGTH[0]} to {SEARCH_LENGTH[1]} characters long")
    text = unicodedata.normalize("NFC", storable(text)).strip()
    if not SEARCH_LENGTH[0] <= len(text) <= SEARCH_LENGTH[1]:
        raise ValueError(f"is not {SEARCH_LENGTH[0]} to {SEARCH_LENGTH[1]} characters long")
    words = text.split()
    if len(words) > MAX_WORDS:
        raise ValueError(f"has more than {MAX_WORDS} words")
    return words
