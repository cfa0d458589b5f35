"""The OpenAPI document is complete, and no different from the snapshot that was reviewed."""

import json
from pathlib import Path
from typing import Any

import pytest

from crema.app import create_app
from crema.settings import Settings
from fixtures.app import SECRET

SNAPSHOT = Path(__file__).parents[1] / "docs" / "openapi.json"
METHODS = {"get", "post", "put", "patch", "delete"}
TAGS = [
    "Users management",
    "Working with JWT",
    "Menu",
    "Shops and static information",
    "Cart",
    "Orders",
    "Reports",
    "Support chat",
    "Operations",
]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = Settings(_env_file=None, secret_key=SECRET, data_dir=tmp_path_factory.mktemp("contract"))
    return create_app(settings).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_the_snapshot_is_current(document: dict[str, Any]) -> None:
    assert json.loads(SNAPSHOT.read_text()) == json.loads(json.dumps(document)), "run `make documents`"


def test_it_is_openapi_3_1_with_our_tags_in_order(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [tag["name"] for tag in document["tags"]] == TAGS


def test_every_operation_says_what_it_is(document: dict[str, Any]) -> None:
    wordless = [
        name
        for name, operation in operations(document)
        if not operation.get("summary") or operation.get("tags", [None])[0] not in TAGS
    ]

    assert len(operations(document)) > 50
    assert wordless == []


def test_every_operation_declares_its_refusals_as_problems(document: dict[str, Any]) -> None:
    undeclared = []
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and set(answer.get("content", {})) != {"application/problem+json"}:
                undeclared.append(f"{name} {status}")
        if "503" not in operation["responses"]:
            undeclared.append(f"{name} 503")

    assert undeclared == []


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    bare = []
    for name, operation in operations(document):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            if media != "application/json":
                continue
            text = json.dumps(content["schema"])
            referenced = [schemas[ref] for ref in schemas if f'"#/components/schemas/{ref}"' in text]
            referenced.append(content["schema"])
            if not any("examples" in found or "example" in found for found in referenced):
                bare.append(name)

    assert bare == []
