"""Finds what docs/openapi.json breaks for those who call the API as it was last released.

Compares it with docs/openapi-released.json and prints a sentence for each break. What is meant to break is entered in
docs/api-changes.md, under "Unreleased": a list item with that sentence in backticks. `--renew` makes today's
description the released one: at a release, in the commit that sets its version.

Descriptions, examples and the order of things don't count. A keyword of JSON Schema that isn't known here fails the
check, so that none is passed over.
"""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parents[1] / "docs"
CURRENT: Final = DOCS / "openapi.json"
RELEASED: Final = DOCS / "openapi-released.json"
CHANGES: Final = DOCS / "api-changes.md"

METHODS: Final = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
NAMED: Final = "#/components/schemas/"

# Bounds of what a request may hold: whether the new one, which is not the old one, takes less.
LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
OTHER: Final = ("pattern", "multipleOf", "uniqueItems")

FORMATS: Final = ("format", "contentMediaType", "contentEncoding")
SHAPE: Final = {"$ref", "anyOf", "oneOf", "type", "enum", "const", "properties", "required", "items"}
PROSE: Final = {"title", "description", "default", "example", "examples", "deprecated"}
KNOWN: Final = {*LOWER, *UPPER, *OTHER, *FORMATS, *SHAPE, *PROSE, "additionalProperties", "readOnly"}

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a schema stands: in an operation, or in a schema with a name of its own, and which way it goes."""

    base: str
    path: str = ""
    sent: bool = False
    named: bool = False

    def below(self, part: str) -> "Place":
        return replace(self, path=f"{self.path}{part}")

    def __str__(self) -> str:
        if self.named:
            return f"{self.base}{self.path} in {'requests' if self.sent else 'answers'}"
        return f"{self.base}, {self.path.lstrip('.')}" if self.path else self.base


class Comparison:
    """The breaks between two descriptions."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self.old, self.new = old, new
        self.seen: set[tuple[str, str, bool]] = set()

    def breaks(self) -> list[str]:
        """A sentence for each break, once each, in the order of the paths."""
        return list(dict.fromkeys(self._paths()))

    def _paths(self) -> Iterator[str]:
        for path, old in self.old["paths"].items():
            new = self.new["paths"].get(path)
            if new is None:
                yield f"{path}: the path is gone"
                continue
            for method in sorted(METHODS & set(old)):
                name = f"{method.upper()} {path}"
                if method not in new:
                    yield f"{name}: the operation is gone"
                else:
                    yield from self._operation(name, old[method], new[method])

    def _operation(self, name: str, old: Schema, new: Schema) -> Iterator[str]:
        if old.get("operationId") != new.get("operationId"):
            yield f"{name}: the operation's id is {new.get('operationId')}, was {old.get('operationId')}"
        if _is_public(old) and not _is_public(new):
            yield f"{name}: needs a login now"
        yield from self._parameters(name, old.get("parameters", []), new.get("parameters", []))
        yield from self._body(f"{name}, body", old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            if status not in new["responses"]:
                yield f"{name}: the status {status} is gone"
            else:
                yield from self._answer(f"{name}, {status}", answer, new["responses"][status])

    def _parameters(self, name: str, old: list[Schema], new: list[Schema]) -> Iterator[str]:
        before, now = _parameters_by_name(old), _parameters_by_name(new)
        for key, parameter in before.items():
            if key not in now:
                yield f"{name}, {key}: is gone"
                continue
            other = now[key]
            if other.get("required") and not parameter.get("required"):
                yield f"{name}, {key}: is required now"
            if any(parameter.get(how) != other.get(how) for how in ("style", "explode")):
                yield f"{name}, {key}: lists or objects are written in another style"
            yield from self._schema(Place(f"{name}, {key}", sent=True), parameter["schema"], other["schema"])
        for key, parameter in now.items():
            if key not in before and parameter.get("required"):
                yield f"{name}, {key}: is new, and required"

    def _body(self, name: str, old: Schema | None, new: Schema | None) -> Iterator[str]:
        if new is None:
            if old is not None:
                yield f"{name}: is gone"
            return
        if new.get("required") and not (old or {}).get("required"):
            yield f"{name}: is required now"
        if old is not None:
            yield from self._content(Place(name, sent=True), old["content"], new["content"])

    def _answer(self, name: str, old: Schema, new: Schema) -> Iterator[str]:
        old, new = _referred(self.old, old), _referred(self.new, new)
        headers = new.get("headers", {})
        for header, value in old.get("headers", {}).items():
            if header not in headers:
                yield f"{name}: the header {header} is gone"
            else:
                was, now = _referred(self.old, value), _referred(self.new, headers[header])
                yield from self._schema(Place(f"{name}, header {header}"), was["schema"], now["schema"])
        yield from self._content(Place(name), old.get("content", {}), new.get("content", {}))

    def _content(self, place: Place, old: Schema, new: Schema) -> Iterator[str]:
        for media, value in old.items():
            if media not in new:
                yield f"{place}: {media} is gone"
            else:
                yield from self._schema(place, value.get("schema", {}), new[media].get("schema", {}))

    def _schema(self, place: Place, old: Schema, new: Schema) -> Iterator[str]:
        """Compare what may stand in one place: one of several alternatives, null among them."""
        pair = list(_flat(self.old, old)), list(_flat(self.new, new))
        several = {kind for side in pair for kind, count in Counter(kind for kind, _ in side).items() if count > 1}
        before, now = ({_label(*each, several): each[1] for each in side} for side in pair)
        if lost := _incompatible(set(before), set(now), sent=place.sent):
            yield f"{place}: {lost}"
        for kind in before:
            if kind in now:
                yield from self._named(place, before[kind], now[kind])

    def _named(self, place: Place, old: Schema, new: Schema) -> Iterator[str]:
        """Follow references. A schema with a name is compared once for each direction."""
        was, now = (schema.get("$ref", "").removeprefix(NAMED) for schema in (old, new))
        if was and was != now:
            is_renamed = now and was not in self.new["components"]["schemas"]
            yield (
                f"{was}: is called {now} now" if is_renamed else f"{place}: its schema is {now or 'inline'}, was {was}"
            )
        if was and now:
            if (key := (was, now, place.sent)) in self.seen:
                return
            self.seen.add(key)
            place = Place(now, sent=place.sent, named=True)
        yield from self._shape(place, _resolved(self.old, old), _resolved(self.new, new))

    def _shape(self, place: Place, old: Schema, new: Schema) -> Iterator[str]:
        for name in FORMATS:
            if old.get(name) != new.get(name):
                yield f"{place}: its {name} is {new.get(name, 'none')}, was {old.get(name, 'none')}"
        yield from _values(place, old, new)
        if place.sent:
            yield from _narrowed(place, old, new)
        yield from self._properties(place, old, new)
        if "items" in old or "items" in new:
            yield from self._schema(place.below("[]"), old.get("items", {}), new.get("items", {}))

    def _properties(self, place: Place, old: Schema, new: Schema) -> Iterator[str]:
        before, now = old.get("properties", {}), new.get("properties", {})
        required, needed = set(old.get("required", [])), set(new.get("required", []))
        for name, schema in before.items():
            field = place.below(f".{name}")
            if name not in now:
                yield f"{field}: the field is gone"
                continue
            if place.sent and name in needed - required:
                yield f"{field}: is required now"
            if not place.sent and name in required - needed:
                yield f"{field}: may be missing now"
            if place.sent and now[name].get("readOnly") and not schema.get("readOnly"):
                yield f"{field}: can't be written any more"
            yield from self._schema(field, schema, now[name])
        for name in sorted(needed - set(before)):
            if place.sent:
                yield f"{place.below(f'.{name}')}: is new, and required"
        yield from self._entries(place, old, new)

    def _entries(self, place: Place, old: Schema, new: Schema) -> Iterator[str]:
        """Compare fields of any name, whose schema is `additionalProperties`."""
        before, now = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from self._schema(place.below("{}"), before, now)
        elif (before and not now) if place.sent else isinstance(before, dict):
            yield f"{place}: fields of other names are gone"
        elif isinstance(now, dict) and place.sent and before:
            yield f"{place}: takes other fields of one type only"


def _is_public(operation: Schema) -> bool:
    return not operation.get("security") or {} in operation["security"]


def _parameters_by_name(parameters: list[Schema]) -> dict[str, Schema]:
    return {
        f"{each['in']} parameter {each['name'].lower() if each['in'] == 'header' else each['name']}": each
        for each in parameters
    }


def _referred(document: Schema, part: Schema) -> Schema:
    """The answer or header itself, where this is a reference."""
    while "$ref" in part:
        kind, name = part["$ref"].split("/")[-2:]
        part = document["components"][kind][name]
    return part


def _resolved(document: Schema, schema: Schema) -> Schema:
    """The schema itself, where this is a reference. Fails for what isn't understood here."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].removeprefix(NAMED)]
    if unknown := {key for key in schema if key not in KNOWN and not key.startswith("x-")}:
        sys.exit(f"tools/breaking_changes.py has to learn what {', '.join(sorted(unknown))} means in a schema")
    return schema


def _flat(document: Schema, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Each alternative with its type."""
    shown = _resolved(document, schema)
    if some := shown.get("anyOf") or shown.get("oneOf"):
        for each in some:
            yield from _flat(document, each)
    elif isinstance(shown.get("type"), list):
        yield from ((each, {**shown, "type": each}) for each in shown["type"])
    else:
        yield shown.get("type", "any value"), schema


def _label(kind: str, schema: Schema, several: set[str]) -> str:
    """What tells an alternative from the others: its type, and its name or format where several are of that type."""
    return f"{kind} {schema.get('$ref', '').removeprefix(NAMED) or schema.get('format')}" if kind in several else kind


def _incompatible(old: set[str], new: set[str], *, sent: bool) -> str:
    """What a caller of before would not be understood in, or not understand; empty if there is nothing."""
    changed = old - new if sent else new - old
    if not changed:
        return ""
    if not (old & new) - {"null"}:
        return f"its type is {_listed(new)}, was {_listed(old)}"
    return f"{_listed(changed)} is no longer taken" if sent else f"may be {_listed(changed)} now"


def _values(place: Place, old: Schema, new: Schema) -> Iterator[str]:
    """Breaks in what is listed as `enum` or `const`. A value more in an answer is none: docs/versions.md."""
    before, now = _listed_values(old), _listed_values(new)
    if before is not None and now is None and not place.sent:
        yield f"{place}: its values are no longer a list"
    if not place.sent or now is None:
        return
    if before is None:
        yield f"{place}: takes only {_listed(now)} now"
    elif lost := [value for value in before if value not in now]:
        yield f"{place}: the value {_listed(lost)} is gone"


def _listed_values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _narrowed(place: Place, old: Schema, new: Schema) -> Iterator[str]:
    """Bounds that take less than before."""
    narrower: Iterable[tuple[tuple[str, ...], Callable[[Any, Any], bool]]] = (
        (LOWER, lambda before, now: now > before),
        (UPPER, lambda before, now: now < before),
        (OTHER, lambda before, now: now != before),
    )
    for names, less in narrower:
        for name in names:
            if name in new and (name not in old or less(old[name], new[name])):
                yield f"{place}: its {name} is {new[name]}, was {old.get(name, 'none')}"


def _listed(values: Iterable[Any]) -> str:
    return " or ".join(sorted(map(str, values)))


def allowed(text: str) -> list[str]:
    """The sentences in backticks under "Unreleased"."""
    unreleased = text.partition("\n## Unreleased\n")[2].partition("\n## ")[0]
    return re.findall(r"^\s*- `(.+)`$", unreleased, re.MULTILINE)


def complaints(old: Schema, new: Schema, changes: str) -> list[str]:
    """What the check has to say: breaks that aren't entered, and entries of what isn't a break."""
    found, entered = Comparison(old, new).breaks(), allowed(changes)
    return [
        *(f"breaks what {old['info']['version']} was: {each}" for each in found if each not in entered),
        *(f"docs/api-changes.md lists what is no break: {each}" for each in entered if each not in found),
    ]


def main() -> int:
    """Compare, or renew."""
    if sys.argv[1:] == ["--renew"]:
        shutil.copyfile(CURRENT, RELEASED)
        return 0
    old, new = (json.loads(path.read_text()) for path in (RELEASED, CURRENT))
    found = complaints(old, new, CHANGES.read_text())
    for each in found:
        print(each, file=sys.stderr)
    if found:
        print("A break that is meant is entered in docs/api-changes.md, which says how.", file=sys.stderr)
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())
