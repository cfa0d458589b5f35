"""Declaring a list, and reading the parameters of a request for it."""

import re
import unicodedata
import zoneinfo
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select

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
    InstantField,
    Reading,
    TextField,
    UuidField,
    boolean,
    containing,
    integer,
    items,
    like,
    storable,
)
from crema.db.listing.query import Condition, ListQuery, SortKey, read_cursor
from crema.db.listing.related import Declared, Leaf, Many, One, leaves, nested

MAX_FILTERS: Final = 10
MAX_SORT: Final = 3
MAX_SIZE: Final = 100
DEFAULT_SIZE: Final = 20
MAX_OFFSET: Final = 10_000
MAX_PAGE: Final = 2**31 - 1
SEARCH_LENGTH: Final = (1, 64)
MAX_WORDS: Final = 8

LISTS: Final = frozenset({"in", "not_in", "between"})
"""Operators that take several values."""
_SEARCHING: Final = ("search", "search_fields")
_PAGING: Final = ("sort", "page", "size", "cursor")
_LISTED: Final = ("sort", "search_fields")
_OWN: Final = {"tz", "filter", *_SEARCHING, *_PAGING}
_IN_BRACKETS: Final = re.compile(r"filter\[([^\[\]]+)\]")


class Filter(NamedTuple):
    """What one query parameter asks of one field."""

    leaf: Leaf
    operator: str

    @property
    def field(self) -> Field:
        """The field without what is around it."""
        return self.leaf.field


def _filters(declared: Mapping[str, Leaf]) -> dict[str, Filter]:
    """Return the filters by their names in a query string."""
    return {
        name if operator == "eq" else f"{name}__{operator}": Filter(leaf, operator)
        for name, leaf in declared.items()
        for operator in leaf.operators
    }


def _older_names(older: Mapping[str, str], filters: Iterable[str]) -> dict[str, str]:
    """Return the filters that older names of fields stand for."""
    return {
        f"{short}{filter_.removeprefix(path)}": filter_
        for short, path in older.items()
        for filter_ in filters
        if filter_ == path or filter_.startswith(f"{path}__")
    }


def _searched_texts(declared: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """Return the texts that a search looks through."""
    return {name: leaf for name, leaf in declared.items() if isinstance(leaf.field, TextField) and leaf.field.searched}


class Listing:
    """What a list may be filtered, searched and sorted by: what its answers show, each field written down by hand.

    `fields` names them as the answer does. Those with one value per item sort; texts that people read are searched.
    `also` are filters that no answer shows, `sort` are orders that are no field, or replace a field's own, and
    `search_also` are texts besides. `search_text` is one text of all of them, kept beside the item: a search of the
    whole answer looks through it instead. `older` gives older short names of fields. `left_out` names what answers
    show and nobody can ask for, and why. The id ends every order. `name` is what an item is called in OpenAPI.
    """

    def __init__(  # noqa: PLR0913 - it is a table
        self,
        *,
        name: str,
        fields: Declared,
        default_sort: str,
        id_column: Column | ColumnField,
        also: Mapping[str, Field] | None = None,
        sort: Mapping[str, ColumnField] | None = None,
        search_also: Declared | None = None,
        search_text: One | None = None,
        older: Mapping[str, str] | None = None,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.leaves = dict(leaves({**fields, **(also or {})}))
        self.fields = {name: leaf.field for name, leaf in self.leaves.items()}
        self.documented = _filters(self.leaves)
        self._older = _older_names(older or {}, self.documented)
        self.filters = self.documented | {short: self.documented[name] for short, name in self._older.items()}
        self.has_instants = any(isinstance(field, InstantField) for field in self.fields.values())
        self.left_out = left_out or {}
        sortable = {name: leaf.sortable for name, leaf in self.leaves.items()}
        self.sort = {name: field for name, field in sortable.items() if field is not None} | dict(sort or {})
        self.search = _searched_texts({**self.leaves, **dict(leaves(search_also or {}))})
        self.search_text = search_text
        if search_text and any(leaf.field.permission for leaf in self.search.values()):
            raise ValueError("one text is for everybody alike")
        self.id = id_column if isinstance(id_column, ColumnField) else UuidField(id_column)
        self.default_sort = default_sort
        self._allowed: dict[frozenset[str], Mapping[str, None]] = {}
        self._gates = frozenset(
            leaf.field.permission for leaf in (*self.leaves.values(), *self.search.values()) if leaf.field.permission
        )
        if taken := self.filters.keys() & _OWN:
            raise ValueError(f"names of the language itself: {taken}")
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
        zone = _zone(given, faults)
        conditions = [*self._filtered(given, zone, faults), *self._searched(given, permissions, faults)]
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
        is_usual = not conditions and sort == self.default_sort
        narrower = None if is_usual else self._suggestion(permissions)
        return ListQuery(conditions, sort, keys, size, page, after, narrower, searches="search" in given)

    def parameters(self, permissions: Collection[str]) -> Collection[str]:
        """Name every query parameter that those with these permissions may use."""
        gates = self._gates.intersection(permissions)
        if gates not in self._allowed:
            filters = [name for name, each in self.filters.items() if _open_to(permissions, each.field)]
            searching = _SEARCHING if self.search_columns(permissions) else ()
            zone = ["tz"] if self.has_instants else []
            self._allowed[gates] = dict.fromkeys([*filters, *searching, *zone, *_PAGING])
        return self._allowed[gates].keys()

    def asks(self, query: ListQuery, name: str) -> bool:
        """Tell whether a request filters or sorts by this field."""
        leaf = self.leaves[name]
        return any(each.leaf is leaf for each in query.conditions) or any(
            key.field is self.sort.get(name) for key in query.keys
        )

    def _suggestion(self, permissions: Collection[str]) -> Sequence[str]:
        return [name for name, field in self.fields.items() if field.indexed and _open_to(permissions, field)]

    def _given(
        self, parameters: Iterable[tuple[str, str]], permissions: Collection[str], also: Collection[str]
    ) -> dict[str, str]:
        known = self.parameters(permissions)
        given: dict[str, list[str]] = {}
        for written, text in parameters:
            name = self._plain(written)
            if name not in known and name not in also:
                raise UnknownFilterError(written, [*known, *also])
            given.setdefault(name, []).append(text)
        faults: dict[str, str] = {}
        for name, texts in given.items():
            if len(texts) > 1 and (fault := self._fault_of_repetition(name, texts)):
                faults[name] = fault
        if faults:
            raise InvalidFilterError(faults)
        return {name: ",".join(texts) for name, texts in given.items() if name not in also}

    def _plain(self, written: str) -> str:
        """Give a parameter's own name: `filter[price__gte]` is `price__gte`, `sort[]` is `sort`."""
        name = written
        if name.endswith("[]") and self._takes_several(name[:-2]):
            name = name[:-2]
        if (inside := _IN_BRACKETS.fullmatch(name)) and inside[1] in self.filters:
            name = inside[1]
        return self._older.get(name, name)

    def _takes_several(self, name: str) -> bool:
        if name in _LISTED:
            return True
        inside = _IN_BRACKETS.fullmatch(name)
        filter_ = self.filters.get(inside[1] if inside else name)
        return filter_ is not None and filter_.operator in LISTS

    def _fault_of_repetition(self, name: str, texts: Sequence[str]) -> str | None:
        """Say why these can't stand for one list. A list may come with commas or repeated: `a,b` or `a` and `b`."""
        if name in _LISTED:
            return "names the same twice" if len(set(texts)) < len(texts) else None
        if name not in self.filters or self.filters[name].operator not in LISTS:
            return "is given twice"
        try:
            for text in texts:
                items(text)
        except ValueError as fault:
            return str(fault)
        return None

    def _filtered(self, given: Mapping[str, str], zone: tzinfo, faults: dict[str, str]) -> Iterable[Condition]:
        wanted = [(name, self.filters[name]) for name in given if name in self.filters]
        if len(wanted) > MAX_FILTERS:
            excess = f"is one filter too many: {MAX_FILTERS} are allowed"
            raise InvalidFilterError({name: excess for name, _ in wanted[MAX_FILTERS:]})
        for name, (leaf, operator) in wanted:
            try:
                reading = (
                    leaf.field.read(operator, given[name], zone=zone)
                    if operator != "isnull"
                    else Reading(operator, [boolean(given[name])])
                )
            except ValueError as fault:
                faults[name] = str(fault)
                continue
            yield _condition(name, leaf, reading)

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
            texts = [*columns.values()] if "search_fields" in given else self._texts(columns.values())
            for word in words:
                yield Condition(
                    shape=("search", "search_fields" in given, tuple(columns)),
                    bound=[containing(word)],
                    bind=_text,
                    build=partial(self._found, texts),
                )

    def _texts(self, searched: Iterable[Leaf]) -> Sequence[Leaf]:
        """Take the text of the whole answer, or of each list, for all that are in it, where there is one."""
        if self.search_text is None:
            return _gathered(searched)
        assert isinstance(self.search_text.fields, ColumnField)
        return [Leaf(self.search_text.fields, (self.search_text,))]

    def _found(self, searched: Sequence[Leaf], bound: Sequence[Bound], statement: Select[Any]) -> ColumnElement[bool]:
        """Find a word in any of these texts.

        Where some are other rows', each has a statement of its own, which an index can serve; an OR of them none could.
        """
        if not any(leaf.within for leaf in searched):
            return sa.or_(*(like(_column(leaf), bound[0]) for leaf in searched))
        if len(searched) == 1:
            return nested(searched[0].within, like(_column(searched[0]), bound[0]))
        branches = []
        direct = [like(_column(leaf), bound[0]) for leaf in searched if not leaf.within]
        rows = statement.with_only_columns(self.id.column, maintain_column_froms=True).order_by(None)
        if direct:
            branches.append(rows.where(sa.or_(*direct)))
        for leaf in searched:
            if leaf.within:
                inside = rows
                for related in leaf.within:
                    inside = related.join(inside)
                branches.append(inside.where(like(_column(leaf), bound[0])))
        return self.id.column.in_(sa.union(*(branch.correlate(None) for branch in branches)))

    def search_columns(self, permissions: Collection[str]) -> Mapping[str, Leaf]:
        """Give what those with these permissions search in."""
        return {name: leaf for name, leaf in self.search.items() if _open_to(permissions, leaf.field)}

    def _sort_keys(self, sort: str, permissions: Collection[str]) -> Sequence[SortKey]:
        allowed = {name: field for name, field in self.sort.items() if _open_to(permissions, field)}
        parts = sort.split(",", MAX_SORT)
        names = [part.removeprefix("-") for part in parts]
        if len(names) > MAX_SORT or len(set(names)) < len(names) or not allowed.keys() >= set(names):
            fault = (
                f"takes up to {MAX_SORT} different fields of {', '.join(allowed)}, comma-separated, a minus before "
                f"those that go down, such as {self.default_sort}"
            )
            raise InvalidSortError({"sort": fault}, allowed=list(allowed))
        keys = [SortKey(allowed[name], part != name) for part, name in zip(parts, names, strict=True)]
        return [*keys, SortKey(self.id, keys[-1].descending)]


def _condition(name: str, leaf: Leaf, reading: Reading) -> Condition:
    operator, operands = reading
    surrounding = leaf.surrounds(operator)
    if operator == "isnull":
        value = sa.true() if operands[0] else sa.false()
        build = partial(_missing, leaf, value)
        return Condition((name, operands[0]), [], leaf.field.bind, build, surrounding, leaf)
    return Condition(
        (name, operator),
        operands,
        leaf.field.bind,
        lambda bound, _: leaf.condition(operator, bound),
        surrounding,
        leaf,
    )


def _missing(leaf: Leaf, value: Bound, *_: object) -> ColumnElement[bool]:
    return leaf.condition("isnull", [value])


def _text_of(related: One | Many) -> Column | None:
    return related.search_text if isinstance(related, Many) else None


def _gathered(searched: Iterable[Leaf]) -> Sequence[Leaf]:
    """Take one text for all of a list's, where there is one."""
    found: dict[object, Leaf] = {}
    for leaf in searched:
        for number, related in enumerate(leaf.within, 1):
            if (text := _text_of(related)) is not None:
                found[related] = Leaf(TextField(text), leaf.within[:number])
                break
        else:
            found[leaf] = leaf
    return [*found.values()]


def _text(name: str) -> Bound:
    return sa.bindparam(name, type_=sa.Text())


def _column(leaf: Leaf) -> Column:
    assert isinstance(leaf.field, ColumnField)
    return leaf.field.column


@lru_cache(1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _zone(given: Mapping[str, str], faults: dict[str, str]) -> tzinfo:
    name = given.get("tz", "UTC")
    if name in _zones():
        return zoneinfo.ZoneInfo(name)
    faults["tz"] = "is not the name of a time zone such as Europe/Moscow"
    return UTC


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
