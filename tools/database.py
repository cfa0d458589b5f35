"""Draws the database for README.md and docs/database.md, from the metadata of its tables."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ForeignKeyConstraint, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapper

from crema.db.base import Base
from crema.tables import metadata

SHORT_TYPES: Final = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}


@dataclass(frozen=True, slots=True)
class Feature:
    """A package and its tables: first those that most foreign keys point to, which the others belong to."""

    name: str
    description: str
    mappers: tuple[Mapper[object], ...]

    @property
    def tables(self) -> list[Table]:
        """The tables."""
        return [mapper.local_table for mapper in self.mappers if isinstance(mapper.local_table, Table)]


def _features() -> list[Feature]:
    """Return the packages that have tables, by name."""
    links = [link.referred_table.name for table in metadata.tables.values() for link in table.foreign_key_constraints]
    found: dict[str, list[Mapper[object]]] = {}
    for mapper in sorted(
        Base.registry.mappers, key=lambda it: (-links.count(str(it.local_table)), str(it.local_table))
    ):
        found.setdefault(mapper.class_.__module__.split(".")[1], []).append(mapper)
    return [
        Feature(name, "\n\n".join(dict.fromkeys(_summary(mapper) for mapper in mappers)), tuple(mappers))
        for name, mappers in sorted(found.items())
    ]


def _summary(mapper: Mapper[object]) -> str:
    """Return the first paragraph of what the module of a table says."""
    return str(sys.modules[mapper.class_.__module__].__doc__).split("\n\n")[0]


def overview() -> str:
    """Return a picture of the features, their tables without link tables, and which feature's rows point to which.

    An arrow that follows from others is left out: where support points to orders and orders to shops, support may
    point to shops, too.
    """
    features = _features()
    owner = {table.name: feature.name for feature in features for table in feature.tables}
    lines = ['%%{init: {"flowchart": {"nodeSpacing": 15, "rankSpacing": 30}}}%%', "flowchart TB"]
    for feature in features:
        tables = [table.name for table in feature.tables if not _is_link(table)]
        lines.append(f'  {feature.name}["<b>{feature.name}</b><br/>{"<br/>".join(tables)}"]')
    links: dict[str, set[str]] = {feature.name: set() for feature in features}
    for table in metadata.tables.values():
        parents = {owner[link.referred_table.name] for link in table.foreign_key_constraints}
        links[owner[table.name]] |= parents - {owner[table.name]}
    for child, parents in links.items():
        lines += [f"  {child} --> {parent}" for parent in sorted(parents) if not _is_implied(parent, parents, links)]
    return "\n".join(["```mermaid", *lines, "```"])


def _is_implied(parent: str, parents: set[str], links: Mapping[str, set[str]]) -> bool:
    """Return whether one of the other parents leads to this one. Features point down only, so there is no circle."""
    return any(
        parent in links[other] or _is_implied(parent, links[other], links) for other in parents if other != parent
    )


def _is_link(table: Table) -> bool:
    """Return whether the table holds pairs of rows of two others."""
    return len([column for column in table.primary_key.columns if column.foreign_keys]) > 1


def sections() -> str:
    """Return a section for each feature: its tables with what they hold, and their columns and links as a diagram."""
    written = []
    for feature in _features():
        rows = ["| table | what it holds |", "|---|---|"]
        for mapper in feature.mappers:
            meaning = str(mapper.class_.__doc__).split("\n\n")[0].replace("\n", " ")
            rows.append(f"| `{mapper.local_table}` | {meaning} |")
        written.append("\n\n".join([f"## {feature.name}", feature.description, "\n".join(rows), _diagram(feature)]))
    return "\n\n".join(written)


def _diagram(feature: Feature) -> str:
    """Return the feature's tables with their columns; tables of other features only as what they point to."""
    lines = ["erDiagram"]
    for table in feature.tables:
        lines += [f"  {table.name} {{", *(f"    {each}" for each in _columns(table)), "  }"]
    for table in feature.tables:
        lines += [f"  {_link(table, link)}" for link in sorted(table.foreign_key_constraints, key=_first_column)]
    return "\n".join(["```mermaid", *lines, "```"])


def _columns(table: Table) -> list[str]:
    lines = []
    for column in table.columns:
        kind = str(column.type.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        kind = SHORT_TYPES.get(kind, kind).replace(", ", "-")  # Mermaid takes no comma and no space within a type
        keys = [
            name
            for name, is_one in {
                "PK": column.primary_key,
                "FK": bool(column.foreign_keys),
                "UK": not column.primary_key and frozenset({column.name}) in _unique_sets(table),
            }.items()
            if is_one
        ]
        lines.append(" ".join(filter(None, [kind, column.name, ",".join(keys), '"nullable"' * bool(column.nullable)])))
    return lines


def _link(table: Table, link: ForeignKeyConstraint) -> str:
    """Return a foreign key: whether it may be null, and whether one row or many may have the same."""
    columns = [column.name for column in link.columns]
    parent = "|o" if any(column.nullable for column in link.columns) else "||"
    child = "o|" if frozenset(columns) in _unique_sets(table) else "o{"
    return f"{link.referred_table.name} {parent}--{child} {table.name} : {'_and_'.join(columns)}"


def _unique_sets(table: Table) -> set[frozenset[str]]:
    """Return which columns together are unique over all rows; a unique index over some of the rows doesn't count."""
    sets = {frozenset(column.name for column in table.primary_key.columns)}
    sets |= {
        frozenset(column.name for column in each.columns)
        for each in table.constraints
        if isinstance(each, UniqueConstraint)
    }
    return sets | {
        frozenset(re.sub(r".*\.", "", str(expression)) for expression in index.expressions)
        for index in table.indexes
        if index.unique and index.dialect_options["postgresql"]["where"] is None
    }


def _first_column(link: ForeignKeyConstraint) -> str:
    return next(column.name for column in link.columns)
