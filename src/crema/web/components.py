"""Rewrites the schemas of OpenAPI and AsyncAPI documents for generators of clients.

Pydantic and FastAPI make the documents. Here schemas get names for programmers, and fields that are always there become
required.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Schema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/"
_PAGE: Final = re.compile(r"PageOut[\[_](\w+?)(?:Out)?[\]_]")
_VERBS: Final = frozenset({"LogIn", "LogOut"})
_SCHEMAS_BY_NAME: Final = ("properties", "patternProperties", "$defs")
_SCHEMA_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE_SCHEMA: Final = ("items", "additionalProperties", "not")


def public_name(key: str) -> str:
    """Return the public name of a schema of Pydantic's: `Product` for `ProductOut`.

    A model with different schemas for input and output is `…Input` as input. An input model that is also an output is
    `…Export` there.
    """
    if page := _PAGE.fullmatch(key):
        return f"{page[1]}Page"
    if key.endswith("-Input"):
        return public_name(key.removesuffix("-Input")).removesuffix("Input") + "Input"
    if key.endswith("In-Output"):
        return f"{key.removesuffix('In-Output')}Export"
    key = key.removesuffix("-Output")
    if key in _VERBS:
        return key
    if key.endswith("In"):
        return f"{key.removesuffix('In')}Input"
    return key.removesuffix("Out")


def rewrite(schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the component schemas under their public names, without defaults and without titles of parts.

    Raise ValueError for two that would have one name. References have to be renamed by `rename_references`.
    """
    rewritten: dict[str, Schema] = {}
    for key, schema in schemas.items():
        name = public_name(key)
        if name in rewritten or "__" in name:
            raise ValueError(f"{key}: give the class another name, {name} is taken or not a name")
        rewritten[name] = {"title": name} | without_defaults(schema)
        if f"{key.removesuffix('-Output')}-Input" in schemas:  # they were written for what is taken
            rewritten[name].pop("examples", None) if key.endswith("-Output") else None
    return dict(sorted(rewritten.items()))


def without_defaults(schema: Schema) -> Schema:
    """Return a schema without titles, and with defaults in descriptions only.

    Generators make a property with a `default` required, and name the types of parts by titles: two parts with the
    title `Status` became one type.
    """

    def plain(part: Schema) -> Schema:
        kept = {name: value for name, value in part.items() if name not in {"title", "default"}}
        default = part.get("default")
        if default is not None and default != [] and "const" not in part:
            words = f"By default `{json.dumps(default, ensure_ascii=False)}`."
            kept["description"] = f"{kept['description']} {words}" if "description" in kept else words
        return kept

    return map_schema(schema, plain)


def map_schema(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return the schema with `change` applied to it and to every schema in it. Examples are not schemas."""
    mapped = change(schema)
    for keyword in _SCHEMAS_BY_NAME:
        if keyword in mapped:
            mapped[keyword] = {name: _map_part(part, change) for name, part in mapped[keyword].items()}
    for keyword in _SCHEMA_LISTS:
        if keyword in mapped:
            mapped[keyword] = [_map_part(part, change) for part in mapped[keyword]]
    for keyword in _ONE_SCHEMA:
        if keyword in mapped:
            mapped[keyword] = _map_part(mapped[keyword], change)
    return mapped


def _map_part(part: Any, change: Callable[[Schema], Schema]) -> Any:
    return map_schema(part, change) if isinstance(part, dict) else part


def rename_references(document: Any) -> Any:
    """Return the document with every reference to a component schema under its public name."""
    if isinstance(document, list):
        return [rename_references(part) for part in document]
    if not isinstance(document, dict):
        return document
    renamed = {name: rename_references(part) for name, part in document.items()}
    reference = renamed.get("$ref")
    if isinstance(reference, str) and reference.startswith(REFERENCE):
        renamed["$ref"] = REFERENCE + public_name(reference.removeprefix(REFERENCE))
    return renamed


def lift(schemas: dict[str, Schema], operation: Mapping[str, Any]) -> None:
    """Move the objects of the operation's `deepObject` parameters to the component schemas, under their titles."""
    for parameter in operation.get("parameters", ()):
        if parameter.get("style") == "deepObject" and "$ref" not in parameter["schema"]:
            schema = parameter["schema"]
            name = schema["title"]
            if schemas.setdefault(name, schema) != schema:
                raise ValueError(f"two different filters are called {name}")
            parameter["schema"] = {"$ref": REFERENCE + name}


def subschemas(schema: Schema) -> Iterator[Schema]:
    """Yield the schema and every schema in it."""
    found: list[Schema] = []

    def note(part: Schema) -> Schema:
        found.append(part)
        return dict(part)

    map_schema(schema, note)
    return iter(found)


def is_list(operation: Mapping[str, Any]) -> bool:
    """Return whether the operation is a list with filters."""
    return any(parameter.get("style") == "deepObject" for parameter in operation.get("parameters", ()))
