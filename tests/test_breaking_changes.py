"""`make check` finds every kind of break of the released description, and lets compatible changes pass."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from breaking_changes import Comparison, allowed, complaints

ROOT = Path(__file__).parents[1]

Change = Callable[[dict[str, Any]], object]


def description() -> dict[str, Any]:
    """A small API: a cup by id, cups in a list, a cup put in."""
    cup = {"$ref": "#/components/schemas/Cup"}
    answers = {
        "200": {"content": {"application/json": {"schema": cup}}, "headers": {"ETag": {"schema": {"type": "string"}}}}
    }
    cup_id = {"in": "path", "name": "cup_id", "required": True, "schema": {"type": "string", "format": "uuid"}}
    kind = {"in": "query", "name": "kind", "schema": {"$ref": "#/components/schemas/Kind"}}
    sizes = {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 9}
    size_in = {"in": "query", "name": "size__in", "style": "form", "explode": True, "schema": sizes}
    locale = {"in": "header", "name": "Accept-Language", "schema": {"type": "string"}}
    name = {"type": "string", "maxLength": 40, "minLength": 1, "pattern": "^[A-Z]"}
    note = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    form = {"type": "object", "properties": {"file": {"type": "string", "contentMediaType": "image/png"}}}
    document = {
        "info": {"version": "1.2.0"},
        "paths": {
            "/cup/{cup_id}": {
                "get": {"operationId": "see_cup", "parameters": [cup_id], "responses": answers | {"404": {}}},
                "delete": {"operationId": "delete_cup", "parameters": [cup_id], "responses": {"204": {}}},
            },
            "/cups": {
                "get": {"operationId": "list_cups", "parameters": [kind, size_in, locale], "responses": answers},
                "post": {
                    "operationId": "create_cup",
                    "requestBody": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/CupInput"}},
                            "multipart/form-data": {"schema": form},
                        },
                    },
                    "responses": {"201": answers["200"]},
                },
            },
        },
        "components": {
            "schemas": {
                "Kind": {"type": "string", "enum": ["paper", "own"]},
                "Maker": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
                "Cup": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string", "format": "uuid"},
                        "name": {"type": "string", "maxLength": 40},
                        "kind": {"$ref": "#/components/schemas/Kind"},
                        "note": note,
                        "maker": {"$ref": "#/components/schemas/Maker"},
                        "parts": {
                            "type": "array",
                            "items": {"type": "object", "properties": {"ml": {"type": "integer"}}},
                        },
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    },
                    "required": ["id", "name", "kind"],
                },
                "CupInput": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "name": name,
                        "kind": {"$ref": "#/components/schemas/Kind"},
                        "note": note,
                        "ml": {"type": "integer", "minimum": 50, "maximum": 500},
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    },
                    "required": ["name"],
                },
            },
        },
    }
    copy: dict[str, Any] = json.loads(json.dumps(document))  # no part of it stands in two places
    return copy


def operation(changed: dict[str, Any], method: str = "get", path: str = "/cups") -> dict[str, Any]:
    found: dict[str, Any] = changed["paths"][path][method]
    return found


def parameter(changed: dict[str, Any], name: str = "size__in") -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in operation(changed)["parameters"] if each["name"] == name)
    return found


def schema(changed: dict[str, Any], name: str = "Cup") -> dict[str, Any]:
    found: dict[str, Any] = changed["components"]["schemas"][name]
    return found


def field(changed: dict[str, Any], name: str, of: str = "Cup") -> dict[str, Any]:
    found: dict[str, Any] = schema(changed, of)["properties"][name]
    return found


def call_it_mug(changed: dict[str, Any]) -> None:
    changed["components"]["schemas"]["Mug"] = schema(changed)
    changed.update(json.loads(json.dumps(changed).replace('schemas/Cup"', 'schemas/Mug"')))
    del changed["components"]["schemas"]["Cup"]


SIZES_PLAIN = {"in": "query", "name": "sizes", "schema": {"type": "array", "items": {"type": "integer"}}}
SHOP = {"in": "query", "name": "shop", "schema": {"type": "string"}}
CUP_INPUT = {"$ref": "#/components/schemas/CupInput"}
BREAKS: dict[str, tuple[Change, str]] = {
    "a path is removed": (
        lambda it: it["paths"].pop("/cup/{cup_id}"),
        "/cup/{cup_id}: the path is gone",
    ),
    "an operation is removed": (
        lambda it: it["paths"]["/cup/{cup_id}"].pop("delete"),
        "DELETE /cup/{cup_id}: the operation is gone",
    ),
    "an operation's id is changed": (
        lambda it: operation(it).update(operationId="get_cups"),
        "GET /cups: the operation's id is get_cups, was list_cups",
    ),
    "a public operation asks for a login": (
        lambda it: operation(it).update(security=[{"Password": []}]),
        "GET /cups: needs a login now",
    ),
    "a status is removed": (
        lambda it: operation(it, "get", "/cup/{cup_id}")["responses"].pop("404"),
        "GET /cup/{cup_id}: the status 404 is gone",
    ),
    "a header of an answer is removed": (
        lambda it: operation(it)["responses"]["200"]["headers"].clear(),
        "GET /cups, 200: the header ETag is gone",
    ),
    "an answer is of another media type": (
        lambda it: operation(it)["responses"]["200"].update(content={"text/csv": {}}),
        "GET /cups, 200: application/json is gone",
    ),
    "a parameter is removed": (
        lambda it: operation(it)["parameters"].remove(parameter(it, "kind")),
        "GET /cups, query parameter kind: is gone",
    ),
    "a parameter becomes required": (
        lambda it: parameter(it, "kind").update(required=True),
        "GET /cups, query parameter kind: is required now",
    ),
    "a required parameter is added": (
        lambda it: operation(it)["parameters"].append(SHOP | {"required": True}),
        "GET /cups, query parameter shop: is new, and required",
    ),
    "a parameter's list is written with commas": (
        lambda it: parameter(it).update(explode=False),
        "GET /cups, query parameter size__in: lists or objects are written in another style",
    ),
    "a parameter's items are of another type": (
        lambda it: parameter(it)["schema"]["items"].update(type="string"),
        "GET /cups, query parameter size__in, []: its type is string, was integer",
    ),
    "a parameter takes fewer items": (
        lambda it: parameter(it)["schema"].update(maxItems=5),
        "GET /cups, query parameter size__in: its maxItems is 5, was 9",
    ),
    "a body becomes required": (
        lambda it: operation(it, "post")["requestBody"].update(required=True),
        "POST /cups, body: is required now",
    ),
    "a body is removed": (
        lambda it: operation(it, "post").pop("requestBody"),
        "POST /cups, body: is gone",
    ),
    "a body is taken in one media type less": (
        lambda it: operation(it, "post")["requestBody"]["content"].pop("multipart/form-data"),
        "POST /cups, body: multipart/form-data is gone",
    ),
    "an upload is of another media type": (
        lambda it: operation(it, "post")["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"][
            "file"
        ].update(contentMediaType="image/webp"),
        "POST /cups, body, file: its contentMediaType is image/webp, was image/png",
    ),
    "a body's field is removed": (
        lambda it: schema(it, "CupInput")["properties"].pop("note"),
        "CupInput.note in requests: the field is gone",
    ),
    "a body's field becomes required": (
        lambda it: schema(it, "CupInput")["required"].append("kind"),
        "CupInput.kind in requests: is required now",
    ),
    "a required field is added to a body": (
        lambda it: schema(it, "CupInput").update(
            properties=schema(it, "CupInput")["properties"] | {"lid": {"type": "boolean"}}, required=["name", "lid"]
        ),
        "CupInput.lid in requests: is new, and required",
    ),
    "a body's field becomes read-only": (
        lambda it: field(it, "note", "CupInput").update(readOnly=True),
        "CupInput.note in requests: can't be written any more",
    ),
    "a body's field takes null no longer": (
        lambda it: field(it, "note", "CupInput")["anyOf"].pop(),
        "CupInput.note in requests: null is no longer taken",
    ),
    "a body's field takes less": (
        lambda it: field(it, "ml", "CupInput").update(minimum=100),
        "CupInput.ml in requests: its minimum is 100, was 50",
    ),
    "a body's field has a bound where it had none": (
        lambda it: field(it, "ml", "CupInput").update(multipleOf=10),
        "CupInput.ml in requests: its multipleOf is 10, was none",
    ),
    "a body's field has another pattern": (
        lambda it: field(it, "name", "CupInput").update(pattern="^[a-z]"),
        "CupInput.name in requests: its pattern is ^[a-z], was ^[A-Z]",
    ),
    "a body's map takes no names of one's own": (
        lambda it: field(it, "labels", "CupInput").update(additionalProperties=False),
        "CupInput.labels in requests: fields of other names are gone",
    ),
    "a value of a request's enum is removed": (
        lambda it: schema(it, "Kind")["enum"].remove("own"),
        "Kind in requests: the value own is gone",
    ),
    "a request's free text becomes an enum": (
        lambda it: field(it, "name", "CupInput").update(enum=["small", "large"]),
        "CupInput.name in requests: takes only large or small now",
    ),
    "a field of an answer is removed": (
        lambda it: schema(it)["properties"].pop("note"),
        "Cup.note in answers: the field is gone",
    ),
    "a field of a named part of an answer is removed": (
        lambda it: schema(it, "Maker").update(properties={}, required=[]),
        "Maker.name in answers: the field is gone",
    ),
    "a field inside a list of an answer is removed": (
        lambda it: field(it, "parts")["items"]["properties"].clear(),
        "Cup.parts[].ml in answers: the field is gone",
    ),
    "a field of an answer may be missing": (
        lambda it: schema(it)["required"].remove("name"),
        "Cup.name in answers: may be missing now",
    ),
    "a field of an answer may be null": (
        lambda it: field(it, "id").update(type=["string", "null"]),
        "Cup.id in answers: may be null now",
    ),
    "a field of an answer is of another type": (
        lambda it: field(it, "name").update(type="integer"),
        "Cup.name in answers: its type is integer, was string",
    ),
    "a field of an answer is of another format": (
        lambda it: field(it, "id").update(format="date"),
        "Cup.id in answers: its format is date, was uuid",
    ),
    "a map's values in an answer are of another type": (
        lambda it: field(it, "labels")["additionalProperties"].update(type="number"),
        "Cup.labels{} in answers: its type is number, was string",
    ),
    "an answer's enum becomes free text": (
        lambda it: schema(it, "Kind").pop("enum"),
        "Kind in answers: its values are no longer a list",
    ),
    "a field of an answer may be of one schema more": (
        lambda it: field(it, "maker").update(anyOf=[{"$ref": field(it, "maker").pop("$ref")}, CUP_INPUT]),
        "Cup.maker in answers: may be object CupInput now",
    ),
    "a schema is renamed": (
        call_it_mug,
        "Cup: is called Mug now",
    ),
    "a field of an answer has another schema": (
        lambda it: field(it, "maker").update(CUP_INPUT),
        "Cup.maker in answers: its schema is CupInput, was Maker",
    ),
}

COMPATIBLE: dict[str, Change] = {
    "nothing is changed": lambda it: it,
    "a path is added": lambda it: it["paths"].update({"/lids": {"get": {"operationId": "list_lids", "responses": {}}}}),
    "an operation is added": lambda it: it["paths"]["/cups"].update(
        put={"operationId": "replace_cups", "responses": {"204": {}}}
    ),
    "an operation is deprecated": lambda it: operation(it).update(deprecated=True),
    "an operation is described otherwise": lambda it: operation(it).update(summary="Cups", tags=["Cups"]),
    "an operation lets anonymous people in, too": lambda it: operation(it).update(security=[{"Password": []}, {}]),
    "a status is added": lambda it: operation(it)["responses"].update({"429": {}}),
    "a header is added to an answer": lambda it: operation(it)["responses"]["200"]["headers"].update(
        {"Age": {"schema": {"type": "integer"}}}
    ),
    "an answer comes in one media type more": lambda it: operation(it)["responses"]["200"]["content"].update(
        {"text/csv": {}}
    ),
    "an optional parameter is added": lambda it: operation(it)["parameters"].append(SIZES_PLAIN),
    "parameters stand in another order": lambda it: operation(it)["parameters"].reverse(),
    "a header parameter is in small letters": lambda it: parameter(it, "Accept-Language").update(
        name="accept-language"
    ),
    "a required parameter becomes optional": lambda it: operation(it, "delete", "/cup/{cup_id}")["parameters"][
        0
    ].update(required=False),
    "a parameter takes more items": lambda it: parameter(it)["schema"].update(maxItems=50, minItems=0),
    "an optional field is added to a body": lambda it: schema(it, "CupInput")["properties"].update(
        lid={"type": "boolean"}
    ),
    "a body's field becomes optional": lambda it: schema(it, "CupInput").pop("required"),
    "a body's field takes null, too": lambda it: field(it, "ml", "CupInput").update(type=["integer", "null"]),
    "a body's field takes more": lambda it: field(it, "ml", "CupInput").update(minimum=10, maximum=900),
    "a body's field loses its pattern": lambda it: field(it, "name", "CupInput").pop("pattern"),
    "a body takes fields of any name": lambda it: schema(it, "CupInput").pop("additionalProperties"),
    "an enum has a value more": lambda it: schema(it, "Kind")["enum"].append("glass"),
    "an enum's values stand in another order": lambda it: schema(it, "Kind")["enum"].reverse(),
    "a field is added to an answer": lambda it: schema(it)["properties"].update(lid={"type": "boolean"}),
    "a required field is added to an answer": lambda it: schema(it).update(
        properties=schema(it)["properties"] | {"lid": {"type": "boolean"}}, required=[*schema(it)["required"], "lid"]
    ),
    "a field of an answer is always there": lambda it: schema(it)["required"].append("note"),
    "a field of an answer is never null": lambda it: field(it, "note")["anyOf"].pop(),
    "a field of an answer may be longer": lambda it: field(it, "name").update(maxLength=80),
}


@pytest.mark.parametrize(("change", "sentence"), BREAKS.values(), ids=BREAKS)
def test_a_break_is_found(change: Change, sentence: str) -> None:
    changed = description()
    change(changed)

    assert Comparison(description(), changed).breaks() == [sentence]


@pytest.mark.parametrize("change", COMPATIBLE.values(), ids=COMPATIBLE)
def test_a_compatible_change_passes(change: Change) -> None:
    changed = description()
    change(changed)

    assert Comparison(description(), changed).breaks() == []


def test_a_keyword_that_is_not_known_fails_the_check() -> None:
    changed = description()
    field(changed, "ml", "CupInput")["dependentSchemas"] = {}

    with pytest.raises(SystemExit, match="dependentSchemas"):
        Comparison(description(), changed).breaks()


def scalars(node: Any, at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every text, number and boolean of a schema, references not followed."""
    if node.get("type") in ("string", "integer", "number", "boolean"):
        yield at, node
    for name, each in node.get("properties", {}).items():
        yield from scalars(each, f"{at}.{name}")
    for each in node.get("anyOf", []):
        yield from scalars(each, at)
    if "items" in node:
        yield from scalars(node["items"], f"{at}[]")


def test_no_field_of_our_own_description_is_passed_over() -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    changed = deepcopy(document)
    expected = set()
    for name, each in changed["components"]["schemas"].items():
        for at, scalar in scalars(each, name):
            scalar["format"] = "another"
            expected.add(at)

    found = {each.partition(" in ")[0] for each in Comparison(document, changed).breaks() if "format" in each}

    assert len(expected) > 1_000
    assert expected - found == set()
    assert Comparison(document, document).breaks() == []


ENTERED = """# Changes

## Unreleased

- `DELETE /cup/{cup_id}: the operation is gone`

  Cups aren't thrown away any more.

## 1.1.0

- `/lids: the path is gone`
"""


def test_a_break_that_is_entered_passes_and_no_other() -> None:
    changed = description()
    del changed["paths"]["/cup/{cup_id}"]["delete"]

    assert complaints(description(), changed, ENTERED) == []

    del changed["paths"]["/cups"]
    assert complaints(description(), changed, ENTERED) == ["breaks what 1.2.0 was: /cups: the path is gone"]


def test_an_entry_of_an_earlier_version_excuses_nothing() -> None:
    assert allowed(ENTERED) == ["DELETE /cup/{cup_id}: the operation is gone"]


def test_an_entry_of_what_is_no_break_is_told() -> None:
    (told,) = complaints(description(), description(), ENTERED)

    assert told == "docs/api-changes.md lists what is no break: DELETE /cup/{cup_id}: the operation is gone"


def test_the_command_fails_until_the_break_is_entered_and_renew_makes_it_the_released_one(tmp_path: Path) -> None:
    for folder, names in {
        "tools": ["breaking_changes.py"],
        "docs": ["openapi.json", "openapi-released.json", "api-changes.md"],
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            shutil.copy(ROOT / folder / name, tmp_path / folder / name)

    def check(*options: str) -> tuple[int, str]:
        command = [sys.executable, str(tmp_path / "tools" / "breaking_changes.py"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
        return done.returncode, done.stderr

    before = check()
    description_file, changes = tmp_path / "docs" / "openapi.json", tmp_path / "docs" / "api-changes.md"
    document = json.loads(description_file.read_text())
    del document["paths"]["/menu"]["get"]
    description_file.write_text(json.dumps(document))
    refused = check()
    entry = "## Unreleased\n\n- `GET /menu: the operation is gone`\n"
    changes.write_text(changes.read_text().replace("## Unreleased\n", entry, 1))
    entered = check()
    renewed = check("--renew")
    after = check()

    assert before == (0, "")
    assert refused[0] == 1
    assert "GET /menu: the operation is gone\n" in refused[1]
    assert entered == renewed == (0, "")
    assert after[0] == 1  # the entry belongs under the version that was released
    assert "lists what is no break: GET /menu" in after[1]
