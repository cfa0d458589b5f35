"""What generators of clients stumble over isn't in our descriptions, OpenAPI's and AsyncAPI's alike."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from crema.app import create_app
from crema.schemas import Input
from crema.settings import Settings
from crema.web.components import REFERENCE, subschemas
from crema.web.docs import Documents
from crema.web.state import state_of

pytestmark = pytest.mark.anyio
METHODS = ("get", "post", "put", "patch", "delete")
NULL = {"type": "null"}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("documents")
    app = create_app(Settings(_env_file=None, data_dir=folder, run_worker=False))
    return {"openapi": app.openapi(), "asyncapi": state_of(app, Documents).asyncapi().content}


BOTH = pytest.mark.parametrize("kind", ["openapi", "asyncapi"])


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def reached(document: dict[str, Any], part: Any) -> set[str]:
    """Name the component schemas that a part of the document refers to, however deep."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    left = [part]
    while left:
        part = left.pop()
        if isinstance(part, list):
            left += part
        elif isinstance(part, dict):
            left += part.values()
            name = str(part.get("$ref", "")).removeprefix(REFERENCE)
            if name in schemas and name not in found:
                found.add(name)
                left.append(schemas[name])
    return found


def answers(documents: dict[str, Any], kind: str) -> set[str]:
    document = documents[kind]
    if kind == "openapi":
        return reached(document, [operation["responses"] for _, operation in operations(document)])
    sent = [operation["messages"] for operation in document["operations"].values() if operation["action"] == "send"]
    names = {message["$ref"].rpartition("/")[2] for messages in sent for message in messages}
    return reached(document, [document["components"]["messages"][name] for name in names])


@BOTH
def test_a_schema_is_called_what_a_programmer_would_call_it(documents: dict[str, Any], kind: str) -> None:
    schemas = documents[kind]["components"]["schemas"]

    assert [name for name in schemas if not re.fullmatch(r"([A-Z][a-z]+)+", name)] == []
    assert {name: schema["title"] for name, schema in schemas.items() if schema["title"] != name} == {}
    assert [name for name in schemas if name.endswith("Out") and name != "LogOut"] == []
    if kind == "openapi":
        assert schemas.keys() >= {"CartOption", "OrderPage", "OrderStatus", "ConversationStatus", "Product", "Tokens"}


@BOTH
def test_only_components_have_titles_since_two_parts_of_one_title_become_one_type(
    documents: dict[str, Any], kind: str
) -> None:
    titled = [
        name
        for name, schema in documents[kind]["components"]["schemas"].items()
        for part in [*subschemas(schema)][1:]
        if "title" in part
    ]

    assert titled == []


@BOTH
def test_no_schema_has_a_default_since_that_makes_a_property_obligatory(documents: dict[str, Any], kind: str) -> None:
    schemas = documents[kind]["components"]["schemas"]

    assert [name for name, schema in schemas.items() if any("default" in part for part in subschemas(schema))] == []


SOMETIMES_THERE = {"Problem": {"errors"}}


@BOTH
def test_what_is_always_there_in_an_answer_is_required(documents: dict[str, Any], kind: str) -> None:
    schemas = documents[kind]["components"]["schemas"]
    optional = {
        name: left
        for name in answers(documents, kind)
        if (left := schemas[name].get("properties", {}).keys() - set(schemas[name].get("required", ())))
    }

    assert optional == (SOMETIMES_THERE if kind == "openapi" else {})
    assert len(answers(documents, kind)) > 20


@BOTH
def test_money_is_one_string_with_a_pattern(documents: dict[str, Any], kind: str) -> None:
    schemas = documents[kind]["components"]["schemas"]
    money = re.compile(r"(^|_)(price|total|subtotal|discount|price_delta|round_to|amount)($|_|\b)")
    wrong = []
    seen = 0
    for name, schema in schemas.items():
        assert not any("multipleOf" in part for part in subschemas(schema)), name
        for field, part in schema.get("properties", {}).items():
            kinds = [each for each in part.get("anyOf", [part]) if each != NULL]
            if not money.search(field) or "readOnly" in part or "$ref" in str(part) or name.endswith("Page"):
                continue
            if name.endswith("Filter") and field.endswith(("__in", "__not_in", "__between", "__isnull")):
                continue
            seen += 1
            if len(kinds) != 1 or kinds[0].get("type") != "string" or "pattern" not in kinds[0]:
                wrong.append((name, field, part))

    assert wrong == []
    assert seen > 4


def test_an_operation_has_one_answer_each_way(documents: dict[str, Any]) -> None:
    document = documents["openapi"]
    unions = [
        name
        for name, operation in operations(document)
        for status, answer in operation["responses"].items()
        for content in answer.get("content", {}).values()
        if status < "300" and {"anyOf", "oneOf"} & content.get("schema", {}).keys()
    ]

    assert unions == []


def test_a_body_that_may_be_left_out_is_not_null(documents: dict[str, Any]) -> None:
    nullable = [
        name
        for name, operation in operations(documents["openapi"])
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if NULL in content["schema"].get("anyOf", [])
    ]

    assert nullable == []


def test_filters_keep_names_of_their_own_where_dots_and_underscores_go(documents: dict[str, Any]) -> None:
    schemas = documents["openapi"]["components"]["schemas"]
    filters = {name: schema for name, schema in schemas.items() if name.endswith("Filter")}
    for name, schema in filters.items():
        plain = [re.sub(r"[._]", "", field).lower() for field in schema["properties"]]
        assert sorted({each for each in plain if plain.count(each) > 1}) == [], name

    assert len(filters) > 10


def inputs(kind: type[Input] = Input) -> Iterator[type[Input]]:
    for below in kind.__subclasses__():
        yield below
        yield from inputs(below)


EXAMPLES = [
    pytest.param(model, example, id=f"{model.__name__}-{place}")
    for model in sorted(set(inputs()), key=lambda model: model.__name__)
    if not model.__name__.endswith("Frame") and isinstance(extra := model.model_config.get("json_schema_extra"), dict)
    for place, example in enumerate(extra["examples"])
]


@pytest.mark.parametrize(("model", "example"), EXAMPLES)
def test_every_default_sent_as_it_stands_is_what_it_is_left_out(model: type[Input], example: dict[str, Any]) -> None:
    described = model.model_json_schema()["properties"]
    defaults = {name: part["default"] for name, part in described.items() if "default" in part}

    sent, left_out = model.model_validate(defaults | example), model.model_validate(example)

    assert sent.model_dump() == left_out.model_dump()


async def test_no_groups_are_taken_beside_no_groups_and_beside_some(manager: httpx2.AsyncClient) -> None:
    group = (await manager.post("/modifier-group", json={"name": "Молоко", "options": [{"name": "Обычное"}]})).json()
    product = {"name": "Латте", "price": 250, "modifier_group_ids": [], "modifier_groups": []}
    made = await manager.post("/product", json=product)
    assert made.status_code == 201, made.text
    path = f"/product/{made.json()['id']}"

    for body, groups in (
        ({"modifier_groups": [{"group_id": group["id"]}], "modifier_group_ids": []}, [group["id"]]),
        ({"modifier_groups": [], "modifier_group_ids": [group["id"]]}, [group["id"]]),
        ({"modifier_groups": [], "modifier_group_ids": []}, []),
    ):
        for method in ("PATCH", "PUT"):
            changed = await manager.request(method, path, json=product | body if method == "PUT" else body)
            assert changed.status_code == 200, (method, body, changed.text)
            assert [each["id"] for each in changed.json()["modifier_groups"]] == groups


async def test_amounts_are_taken_as_numbers_too(manager: httpx2.AsyncClient) -> None:
    prices = [
        (await manager.post("/product", json={"name": f"Латте {place}", "price": price})).json()["price"]
        for place, price in enumerate((250, 250.5, "250.50", "250"))
    ]

    assert prices == ["250.00", "250.50", "250.50", "250.00"]
