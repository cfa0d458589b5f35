"""Declare a list, and parse the query parameters of a request for it."""

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
    Column,
    ColumnField,
    Comparison,
    Field,
    InstantField,
    Parameter,
    TextField,
    UuidField,
    boolean,
    integer,
    items,
    like_folded,
    like_pattern,
    reject_unstorable,
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
    """What a list can be filtered, searched and sorted by, declared field by field.

    `fields` are those of the answer, by name. A list is sorted by those with one value an item, and searched in those
    that people read. `extra_filters` are filters that no answer shows, `extra_searched` further texts. `sort` holds
    orders that are no field, or replace a field's own. `search_text` is one text of all searched ones, stored with the
    item: a search of everything reads it instead. `older_names` maps older short names to fields. `left_out` names
    fields of answers that can't be asked for, with the reason. Every order ends with the id. `name` is what OpenAPI
    calls an item.
    """

    def __init__(  # noqa: PLR0913 - it is a table
        self,
        *,
        name: str,
        fields: Declared,
        default_sort: str,
        id_column: Column | ColumnField,
        extra_filters: Mapping[str, Field] | None = None,
        sort: Mapping[str, ColumnField] | None = None,
        extra_searched: Declared | None = None,
        search_text: One | None = None,
        older_names: Mapping[str, str] | None = None,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.leaves = dict(leaves({**fields, **(extra_filters or {})}))
        self.fields = {name: leaf.field for name, leaf in self.leaves.items()}
        self.documented = _filters(self.leaves)
        self._older = _older_names(older_names or {}, self.documented)
        self.filters = self.documented | {short: self.documented[name] for short, name in self._older.items()}
        self.has_instants = any(isinstance(field, InstantField) for field in self.fields.values())
        self.left_out = left_out or {}
        sortable = {name: leaf.sortable for name, leaf in self.leaves.items()}
        self.sort = {name: field for name, field in sortable.items() if field is not None} | dict(sort or {})
        self.search = _searched_texts({**self.leaves, **dict(leaves(extra_searched or {}))})
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
        extra_parameters: Collection[str] = (),
    ) -> ListQuery:
        """Return the parsed query string, or raise an InvalidError. The caller reads the `extra_parameters`."""
        given = self._given(parameters, permissions, extra_parameters)
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
        """Return the names of all query parameters that these permissions allow."""
        gates = self._gates.intersection(permissions)
        if gates not in self._allowed:
            filters = [name for name, each in self.filters.items() if _open_to(permissions, each.field)]
            searching = _SEARCHING if self.search_columns(permissions) else ()
            zone = ["tz"] if self.has_instants else []
            self._allowed[gates] = dict.fromkeys([*filters, *searching, *zone, *_PAGING])
        return self._allowed[gates].keys()

    def asks(self, query: ListQuery, name: str) -> bool:
        """Return whether a request filters or sorts by this field."""
        leaf = self.leaves[name]
        return any(each.leaf is leaf for each in query.conditions) or any(
            key.field is self.sort.get(name) for key in query.keys
        )

    def _suggestion(self, permissions: Collection[str]) -> Sequence[str]:
        return [name for name, field in self.fields.items() if field.indexed and _open_to(permissions, field)]

    def _given(
        self, parameters: Iterable[tuple[str, str]], permissions: Collection[str], extra: Collection[str]
    ) -> dict[str, str]:
        known = self.parameters(permissions)
        given: dict[str, list[str]] = {}
        for written, text in parameters:
            name = self._plain(written)
            if name not in known and name not in extra:
                raise UnknownFilterError(written, [*known, *extra])
            given.setdefault(name, []).append(text)
        faults: dict[str, str] = {}
        for name, texts in given.items():
            if len(texts) > 1 and (fault := self._fault_of_repetition(name, texts)):
                faults[name] = fault
        if faults:
            raise InvalidFilterError(faults)
        return {name: ",".join(texts) for name, texts in given.items() if name not in extra}

    def _plain(self, written: str) -> str:
        """Return the plain name of a parameter: `filter[price__gte]` is `price__gte`, `sort[]` is `sort`."""
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
        """Return what is wrong with a repeated parameter, or None. A list is written `a,b` or repeated."""
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
                    else Comparison(operator, [boolean(given[name])])
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
                    values=[like_pattern(word)],
                    bind=_text,
                    build=partial(self._found, texts),
                )

    def _texts(self, searched: Iterable[Leaf]) -> Sequence[Leaf]:
        """Return one text for the whole answer, or for each list in it, where such a text is stored."""
        if self.search_text is None:
            return _gathered(searched)
        assert isinstance(self.search_text.fields, ColumnField)
        return [Leaf(self.search_text.fields, (self.search_text,))]

    def _found(
        self, searched: Sequence[Leaf], parameters: Sequence[Parameter], statement: Select[Any]
    ) -> ColumnElement[bool]:
        """Return the predicate that one of these texts matches.

        Where some are in other tables, each gets a statement of its own: an index can serve it, but not an OR of them.
        """
        if not any(leaf.within for leaf in searched):
            return sa.or_(*(like_folded(_column(leaf), parameters[0]) for leaf in searched))
        if len(searched) == 1:
            return nested(searched[0].within, like_folded(_column(searched[0]), parameters[0]))
        branches = []
        direct = [like_folded(_column(leaf), parameters[0]) for leaf in searched if not leaf.within]
        rows = statement.with_only_columns(self.id.column, maintain_column_froms=True).order_by(None)
        if direct:
            branches.append(rows.where(sa.or_(*direct)))
        for leaf in searched:
            if leaf.within:
                inside = rows
                for related in leaf.within:
                    inside = related.join(inside)
                branches.append(inside.where(like_folded(_column(leaf), parameters[0])))
        return self.id.column.in_(sa.union(*(branch.correlate(None) for branch in branches)))

    def search_columns(self, permissions: Collection[str]) -> Mapping[str, Leaf]:
        """Return the texts that these permissions may search, by name."""
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


def _condition(name: str, leaf: Leaf, reading: Comparison) -> Condition:
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
        lambda parameters, _: leaf.condition(operator, parameters),
        surrounding,
        leaf,
    )


def _missing(leaf: Leaf, value: Parameter, *_: object) -> ColumnElement[bool]:
    return leaf.condition("isnull", [value])


def _text_of(related: One | Many) -> Column | None:
    return related.search_text if isinstance(related, Many) else None


def _gathered(searched: Iterable[Leaf]) -> Sequence[Leaf]:
    """Return the searched texts, with one for all texts of a list where it is stored."""
    found: dict[object, Leaf] = {}
    for leaf in searched:
        for number, related in enumerate(leaf.within, 1):
            if (text := _text_of(related)) is not None:
                found[related] = Leaf(TextField(text), leaf.within[:number])
                break
        else:
            found[leaf] = leaf
    return [*found.values()]


def _text(name: str) -> Parameter:
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
"""How many characters a letter and its accents have before they are composed to one."""


def _words(text: str) -> Sequence[str]:
    if len(text) > MAX_DECOMPOSED * SEARCH_LENGTH[1]:  # composing costs the square of the accents in a row
        raise ValueError(f"is not {SEARCH_LENGTH[0]} to {SEARCH_LENGTH[1]} characters long")
    text = unicodedata.normalize("NFC", reject_unstorable(text)).strip()
    if not SEARCH_LENGTH[0] <= len(text) <= SEARCH_LENGTH[1]:
        raise ValueError(f"is not {SEARCH_LENGTH[0]} to {SEARCH_LENGTH[1]} characters long")
    words = text.split()
    if len(words) > MAX_WORDS:
        raise ValueError(f"has more than {MAX_WORDS} words")
    return words
