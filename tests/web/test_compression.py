"""Answers are compressed as the client says; what may be kept is compressed once."""

import zlib
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from crema.db.session import Sessions
from crema.web import compression
from crema.web.compression import SECRET, SMALLEST, choose, zstd
from factories.menu import make_product
from factories.world import World, make_world
from fixtures.app import connect

pytestmark = pytest.mark.anyio
DECODERS = {"gzip": lambda content: zlib.decompress(content, wbits=31), "zstd": zstd.decompress}


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("gzip;q=0.5, zstd;q=0.5", "zstd"),
        ("zstd;q=0, gzip;q=0", None),
        ("zstd;q=0, *", "gzip"),
        ("*", "zstd"),
        ("*;q=0", None),
        ("identity", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=1", "gzip"),
        ("gzip;q=nonsense", None),
        ("gzip;q=1.5", None),
        ("br, deflate", None),
        ("", None),
    ],
)
async def test_the_encoding_is_the_client_s_choice(accepted: str, chosen: str | None) -> None:
    assert choose(accepted) == chosen


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    world = await make_world(app, sessions)
    async with world.client("admin") as client:
        for number in range(5):
            await make_product(client, f"Латте {number}", description="Молоко и эспрессо. " * 30)
    return world


async def raw(client: httpx2.AsyncClient, path: str, encoding: str, **headers: str) -> tuple[httpx2.Response, bytes]:
    sent = {"Accept-Encoding": encoding} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.stream("GET", path, headers=sent) as response:
        content = b"".join([chunk async for chunk in response.aiter_raw()])
    return response, content


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("actor", ["admin", "nobody"])
async def test_every_get_says_the_same_in_every_encoding(app: FastAPI, world: World, encoding: str, actor: str) -> None:
    compressed = set()
    paths = [path for path, item in app.openapi()["paths"].items() if "get" in item]
    async with world.client(actor) as client:
        for path in [*paths, "/openapi.json", "/asyncapi.json", "/docs", "/docs/vendor/swagger-ui.css"]:
            if path in {"/orders/live", "/metrics", "/csrf"}:
                continue
            plain, content = await raw(client, world.path(path), "identity")
            encoded, data = await raw(client, world.path(path), encoding)
            assert "content-encoding" not in plain.headers
            assert encoded.headers["content-length"] == str(len(data)), path
            if "content-encoding" not in encoded.headers:
                assert len(data) < SMALLEST or not encoded.headers["content-type"].startswith(
                    ("application/json", "text/css")
                ), path
                continue
            assert encoded.headers["content-encoding"] == encoding
            assert DECODERS[encoding](data) == content, path
            assert "accept-encoding" in encoded.headers["vary"].lower()
            assert len(data) < len(content)
            compressed.add(path)
    assert {"/products", "/menu", "/openapi.json"} <= compressed


async def test_a_tag_differs_by_encoding_and_holds_across_encodings(world: World) -> None:
    async with world.client("nobody") as client:
        for path in ("/products", "/menu", "/openapi.json"):
            tags = {}
            for encoding in ("identity", "gzip", "zstd"):
                response, _ = await raw(client, path, encoding)
                tags[encoding] = response.headers["etag"]
                assert tags[encoding].startswith('"')
            assert len(set(tags.values())) == 3
            for known in tags.values():
                for encoding in tags:
                    again, content = await raw(client, path, encoding, If_None_Match=known)
                    assert (again.status_code, content, again.headers["etag"]) == (304, b"", known), path
                    assert "content-encoding" not in again.headers


async def test_if_match_takes_the_tag_of_any_encoding(world: World) -> None:
    path = f"/product/{world.ids['product_id']}"
    async with world.client("admin") as client:
        response, _ = await raw(client, path, "gzip")
        assert response.headers["etag"].endswith('-gzip"')
        changed = await client.patch(path, json={"name": "Раф"}, headers={"If-Match": response.headers["etag"]})

    assert changed.status_code == 200


async def test_what_may_be_kept_is_compressed_once_a_version_and_personal_answers_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    encode, *levels = compression._ENCODERS["gzip"]

    def counted(content: bytes, level: int) -> bytes:
        nonlocal count
        count += 1
        return encode(content, level)

    monkeypatch.setattr(compression, "_ENCODERS", compression._ENCODERS | {"gzip": (counted, *levels)})
    async with world.client("nobody") as client, world.client("admin") as admin:
        for path in ("/menu", "/products", "/openapi.json"):
            before = count
            answers = [await raw(client, path, "gzip") for _ in range(3)]
            assert len({content for _, content in answers}) == 1
            assert count <= before + 1, path
        before = count
        await admin.patch(f"/product/{world.ids['product_id']}", json={"name": "Раф"}, headers={"Accept-Encoding": ""})
        (_, changed), _ = [await raw(client, "/menu", "gzip") for _ in range(2)]
        assert count == before + 1
        assert "Раф".encode() in DECODERS["gzip"](changed)
        before = count
        for _ in range(2):
            await raw(admin, "/users", "gzip")
        assert count == before + 2


def _names(schema: Any, schemas: dict[str, Any], seen: frozenset[str] = frozenset()) -> set[str]:
    """Name every field below a schema."""
    if isinstance(schema, list):
        return set().union(*(_names(each, schemas, seen) for each in schema))
    if not isinstance(schema, dict):
        return set()
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return set() if name in seen else _names(schemas[name], schemas, seen | {name})
    return set(schema.get("properties", {})).union(*(_names(each, schemas, seen) for each in schema.values()))


async def test_answers_with_secrets_are_never_compressed(app: FastAPI, world: World) -> None:
    document = app.openapi()
    secret = {"access_token", "refresh_token", "csrf_token", "ticket", "registration_id"}
    found = {
        path
        for path, item in document["paths"].items()
        for method in {"get", "post", "put", "patch"} & item.keys()
        for status, answer in item[method]["responses"].items()
        if status.startswith("2") and _names(answer.get("content", {}), document["components"]["schemas"]) & secret
    }

    assert found
    assert found <= SECRET
    async with connect(app) as client:
        answer = await client.post(
            "/authentication",
            json={"email": "a@example.com", "password": "x" * 1000},
            headers={"Accept-Encoding": "gzip"},
        )
    assert "content-encoding" not in answer.headers


async def test_the_demo_menu_is_at_most_35_kb_and_the_description_under_200(demo: httpx2.AsyncClient) -> None:
    for encoding in ("gzip", "zstd"):
        _, menu = await raw(demo, "/menu", encoding)
        _, description = await raw(demo, "/openapi.json", encoding)
        assert len(menu) <= 35_000
        assert len(description) < 200_000
