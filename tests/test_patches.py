"""Every PATCH in OpenAPI: what is left out stays, and null is taken exactly where the field may be null."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from crema.db.session import Sessions
from crema.menu.service import documents
from factories.content import content
from factories.menu import Json
from factories.world import World, make_world

pytestmark = pytest.mark.anyio

SHOWN: Final = {
    "/cart/{item_id}": "/cart",
    "/order/{order_id}/line/{line_id}": "/order/{order_id}",
    "/product/{product_id}/image/{image_id}": "/product/{product_id}",
    "/shop/{shop_id}/status": "/shop/{shop_id}",
    "/shop/{shop_id}/product/{product_id}": "/shop/{shop_id}/overrides",
    "/shop/{shop_id}/option/{option_id}": "/shop/{shop_id}/overrides",
}
"""Where a GET shows what the PATCH changes, unless at the same path."""
ACTORS: Final = {"/cart/{item_id}": "customer"}
"""Who asks, unless an administrator does."""
OWNERS: Final = {("/order/{order_id}", "pickup_at")}
"""What the customer changes and an administrator may not."""
REPLACED_OTHERWISE: Final = {"/order/{order_id}"}
"""What a PUT says in other words: null for what it leaves, and no reason."""


@dataclass(frozen=True)
class Patch:
    """One PATCH of the description, and the fields of its body."""

    path: str
    fields: Mapping[str, Any]
    required: frozenset[str]

    @property
    def shown(self) -> str:
        return SHOWN.get(self.path, self.path)

    @property
    def actor(self) -> str:
        return ACTORS.get(self.path, "admin")

    def nullable(self) -> Iterator[str]:
        return (name for name, schema in self.fields.items() if {"type": "null"} in schema.get("anyOf", ()))

    def not_null(self) -> Iterator[str]:
        return iter(self.fields.keys() - {*self.nullable()})


def writable(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """Give the fields of a JSON body that aren't read-only, and which of them have to be sent."""
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = schemas[reference.rpartition("/")[2]]
    fields = {name: field for name, field in schema["properties"].items() if not field.get("readOnly")}
    return fields, frozenset(schema.get("required", ()))


def patches_of(app: FastAPI) -> list[Patch]:
    document = app.openapi()
    return [
        Patch(path, *writable(item["patch"], document["components"]["schemas"]))
        for path, item in document["paths"].items()
        if "patch" in item
    ]


def without_updates(shown: Any) -> Any:
    """Leave out, at any depth, the times of the last change."""
    if isinstance(shown, dict):
        return {name: without_updates(value) for name, value in shown.items() if name != "updated_at"}
    return [*map(without_updates, shown)] if isinstance(shown, list) else shown


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    world = await make_world(app, sessions)
    async with sessions.begin() as session:
        await documents.rebuild(session)  # what the world holds was written past the services
    return world


async def read(world: World, patch: Patch) -> Json:
    async with world.client(patch.actor) as client:
        answer = await client.get(world.path(patch.shown))
    assert answer.status_code == 200, (patch.shown, answer.text)
    shown: Json = without_updates(answer.json())
    return shown


async def send(world: World, patch: Patch, body: Json, *, actor: str | None = None) -> httpx2.Response:
    async with world.client(actor or patch.actor) as client:
        return await client.patch(world.path(patch.path), json=body)


async def test_null_for_a_field_that_is_never_null_is_refused_there_and_changes_nothing(
    app: FastAPI, world: World, sessions: Sessions
) -> None:
    connection = sessions.kw["bind"]
    assert isinstance(connection, AsyncConnection)
    everything = content(but={"audit_events", "throttles"})
    tried = 0
    for patch in patches_of(app):
        for name in patch.not_null():
            before = await connection.scalar(everything)

            answer = await send(world, patch, {name: None})

            assert answer.status_code == 422, (patch.path, name, answer.text)
            assert ["body", name] in [error["loc"] for error in answer.json()["errors"]], (patch.path, name)
            assert await connection.scalar(everything) == before, (patch.path, name)
            tried += 1
    assert tried >= 40


async def test_null_for_a_field_that_may_be_null_is_taken(app: FastAPI, world: World) -> None:
    tried = set()
    for patch in patches_of(app):
        for name in patch.nullable():
            actor = "customer" if (patch.path, name) in OWNERS else None

            answer = await send(world, patch, {name: None}, actor=actor)

            assert answer.status_code == 200, (patch.path, name, answer.text)
            tried.add((patch.path, name))
    assert tried > {("/product/{product_id}", "slug"), ("/user/{user_id}", "phone"), ("/cart/{item_id}", "options")}


async def test_an_empty_body_changes_nothing(app: FastAPI, world: World) -> None:
    for patch in patches_of(app):
        before = await read(world, patch)

        answer = await send(world, patch, {})

        assert answer.status_code == (422 if patch.required else 200), (patch.path, answer.text)
        assert await read(world, patch) == before, patch.path


async def test_a_slug_of_null_stays(app: FastAPI, world: World) -> None:
    for patch in patches_of(app):
        if "slug" in patch.fields:
            before = await read(world, patch)

            answer = await send(world, patch, {"slug": None})

            assert answer.json()["slug"] == before["slug"], patch.path


def without_default(field: Json) -> Json:
    """Leave out the default, and the description, which tells it."""
    return {name: value for name, value in field.items() if name not in {"default", "description"}}


async def test_a_patch_takes_each_field_as_the_put_of_the_same_path_does(app: FastAPI) -> None:
    document = app.openapi()
    compared = 0
    for patch in patches_of(app):
        put = document["paths"][patch.path].get("put")
        if put is not None and patch.path not in REPLACED_OTHERWISE:
            replaced, _ = writable(put, document["components"]["schemas"])
            taken = {name: without_default(field) for name, field in replaced.items()}
            assert {name: without_default(field) for name, field in patch.fields.items()} == taken, patch.path
            compared += 1
    assert compared >= 7
