"""The nested objects and lists of a list's answer, which come from other rows, as fields to filter by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import ColumnElement, FromClause, Select

from crema.db.listing.fields import Column, ColumnField, Field, Parameter, PresenceField, is_true

Declared: TypeAlias = Mapping[str, Any]
"""Fields by name; nested ones as `One` and `Many`."""


@dataclass(frozen=True, eq=False)
class _Related:
    """Rows of `tables` that belong to the listed row, or to the row that encloses them, by the predicate `on`.

    `on` also limits the rows to those that the answer shows: nobody can filter by a row that they can't see.
    """

    tables: FromClause | type | Sequence[FromClause | type]
    on: ColumnElement[bool]

    def exists(self, *predicates: ColumnElement[bool]) -> ColumnElement[bool]:
        """Return the predicate that there is such a row."""
        return self._select(sa.literal_column("1")).where(*predicates).exists()

    def join(self, statement: Select[Any]) -> Select[Any]:
        """Return the statement joined with the rows."""
        return statement.select_from(*self._tables).where(self.on)

    def _select(self, column: Any) -> Select[Any]:
        return sa.select(column).select_from(*self._tables).where(self.on).correlate_except(*self._tables)

    @property
    def _tables(self) -> Sequence[Any]:
        return self.tables if isinstance(self.tables, Sequence) else [self.tables]


@dataclass(frozen=True, eq=False)
class One(_Related):
    """An object or a value of the answer, from at most one row; `nullable` if there may be none."""

    fields: Declared | ColumnField
    nullable: bool = False
    permission: str | None = field(default=None, kw_only=True)

    def sorted_by(self, sorted_: ColumnField, *, nullable: bool) -> ColumnField:
        """Return the field as an expression over the enclosing rows."""
        return replace(sorted_, column=self._select(sorted_.column).scalar_subquery(), nullable=nullable)


@dataclass(frozen=True, eq=False)
class Many(_Related):
    """A list in the answer: of objects with fields, or of values of one field.

    A filter matches if one element matches; several filters below one list must match the same element. `search_text`
    is a column with all texts of an element, which a search of the whole answer reads instead of each.
    """

    fields: Declared | ColumnField
    permission: str | None = field(default=None, kw_only=True)
    search_text: Column | None = field(default=None, kw_only=True)


class Leaf(NamedTuple):
    """A field of the answer, and the objects and lists that enclose it, the outermost first.

    `is_list`: it stands for the innermost list as a whole.
    """

    field: Field
    within: tuple[One | Many, ...] = ()
    is_list: bool = False

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators, in the order in which they are documented."""
        is_nullable = self.is_list or any(one.nullable for one in self.innermost_objects)
        own = self.field.operators
        return (*own, "isnull") if is_nullable and "isnull" not in own else own

    @property
    def innermost_objects(self) -> tuple[One, ...]:
        """The objects between the innermost list and the field."""
        objects: tuple[One, ...] = ()
        for related in reversed(self.within):
            if isinstance(related, Many):
                break
            objects = (related, *objects)
        return objects

    @property
    def sortable(self) -> ColumnField | None:
        """The expression to sort by; None if there may be several values."""
        if self.is_list or any(isinstance(related, Many) for related in self.within):
            return None
        if not isinstance(self.field, ColumnField) or not self.field.sorts:
            return None
        found = self.field
        for related in reversed(self.within):
            assert isinstance(related, One)
            found = related.sorted_by(found, nullable=found.nullable or related.nullable)
        return found

    def condition(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        """Return the predicate on the element of the innermost list, or on the listed row; see `surrounds`.

        A negating operator has to hold for all elements.
        """
        if not self.within:
            return self.field.condition(operator, operands)
        if operator == "isnull":
            return self._is_missing(is_missing=is_true(operands[0]))
        assert isinstance(self.field, ColumnField)
        if positive := self.field.positive(operator):
            return sa.not_(nested(self.within, self.field.match(positive, operands)))
        return self.field.match(operator, operands)

    def surrounds(self, operator: str) -> tuple[One | Many, ...]:
        """Return the objects and lists that the predicate of this operator has to be nested in."""
        assert not self.within or isinstance(self.field, ColumnField | PresenceField)
        if isinstance(self.field, ColumnField) and self.field.positive(operator):
            return ()
        if operator == "isnull":
            return self.within[:-1] if self.is_list else self.within[: len(self.within) - len(self.innermost_objects)]
        return self.within

    def _is_missing(self, *, is_missing: bool) -> ColumnElement[bool]:
        if self.is_list:
            present = self.within[-1].exists()
        elif self.innermost_objects:
            present = nested(self.innermost_objects, self.field.condition("isnull", [sa.false()]))
        else:
            return self.field.condition("isnull", [sa.true() if is_missing else sa.false()])
        return sa.not_(present) if is_missing else present


def nested(within: Sequence[One | Many], predicate: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the predicate that such rows exist, each inside the last, and `predicate` holds for the innermost."""
    for related in reversed(within):
        predicate = related.exists(predicate)
    return predicate


def together(parts: Sequence[tuple[Sequence[One | Many], ColumnElement[bool]]]) -> list[ColumnElement[bool]]:
    """Return predicates on the listed row; those inside the same list have to hold for one element of it."""
    found = [predicate for within, predicate in parts if not within]
    inside: dict[One | Many, list[tuple[Sequence[One | Many], ColumnElement[bool]]]] = {}
    for within, predicate in parts:
        if within:
            inside.setdefault(within[0], []).append((within[1:], predicate))
    return [*found, *(related.exists(*together(below)) for related, below in inside.items())]


def leaves(declared: Declared, within: tuple[One | Many, ...] = (), path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield every field with its path."""
    for name, each in declared.items():
        here = f"{path}{name}"
        if isinstance(each, Field):
            yield here, Leaf(each, within)
            continue
        inside = (*within, each)
        if isinstance(each.fields, ColumnField):
            yield here, Leaf(_reserved(each.fields, each.permission), inside, is_list=isinstance(each, Many))
            continue
        if isinstance(each, Many):
            yield here, Leaf(PresenceField(permission=each.permission), inside, is_list=True)
        for below, leaf in leaves(each.fields, inside, f"{here}."):
            yield below, leaf._replace(field=_reserved(leaf.field, each.permission))


def _reserved(each: Any, permission: str | None) -> Any:
    return replace(each, permission=each.permission or permission) if permission else each
