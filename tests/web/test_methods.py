"""HEAD answers as GET does, without content; 405 names every method of a path. Both walk all routes there are."""

import re
from collections import defaultdict

import httpx2
import pytest
from fastapi import FastAPI

from crema.db.session import Sessions
from factories.world import World, make_world
from fixtures.app import connect

pytestmark = pytest.mark.anyio
BESIDE = ("/", "/docs", "/redoc", "/docs/live", "/openapi.json", "/asyncapi.json", "/mailbox", "/docs/assets/docs.css")
"""Pages that OpenAPI doesn't describe."""
VARYING = {"x-request-id", "set-cookie"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    return await make_world(app, sessions)


def gets(app: FastAPI) -> list[str]:
    return [*(path for path, item in app.openapi()["paths"].items() if "get" in item), *BESIDE]


def fixed(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in VARYING}


@pytest.mark.parametrize("actor", ["admin", "nobody"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_head_answers_every_get_with_its_headers_and_no_content(
    app: FastAPI, world: World, actor: str, encoding: str
) -> None:
    tried = 0
    async with world.client(actor) as client:
        client.headers["Accept-Encoding"] = encoding
        for path in gets(app):
            if path in {"/orders/live", "/metrics"}:
                continue
            get, head = await client.get(world.path(path)), await client.head(world.path(path))

            assert (head.status_code, head.content) == (get.status_code, b""), path
            without = {"content-length"} if get.status_code >= 400 else set()  # the request's id is in the problem
            assert {k: v for k, v in fixed(head).items() if k not in without} == {
                k: v for k, v in fixed(get).items() if k not in without
            }, path
            if get.status_code == 200:
                assert "content-length" in head.headers, path
            tried += 1
    assert tried > 40


async def test_head_of_an_event_stream_and_of_the_metrics_is_headers_only(world: World) -> None:
    async with world.client("customer") as client:
        stream, metrics = await client.head("/orders/live"), await client.head("/metrics")

    assert (stream.status_code, stream.content) == (200, b"")
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert (metrics.status_code, metrics.content) == (200, b"")


async def test_head_with_if_none_match_is_304(app: FastAPI, world: World) -> None:
    async with world.client("nobody") as client:
        for path in ("/products", "/menu", "/info", "/category/{category_id}"):
            etag = (await client.head(world.path(path))).headers["etag"]
            again = await client.head(world.path(path), headers={"If-None-Match": etag})
            assert (again.status_code, again.headers["etag"], again.content) == (304, etag, b""), path


async def test_405_names_every_method_of_the_path_and_no_other(app: FastAPI, world: World) -> None:
    paths = app.openapi()["paths"]
    by_shape: dict[str, set[str]] = defaultdict(set)
    for path, item in paths.items():
        by_shape[re.sub(r"{\w+}", "{}", path)] |= {method.upper() for method in item if method.upper() in METHODS}
    wrong = {}
    async with world.client("admin") as client:
        client.headers |= {"Origin": "http://crema", "X-CSRF-Token": (await client.get("/csrf")).json()["csrf_token"]}
        for path in paths:
            methods = by_shape[re.sub(r"{\w+}", "{}", path)]
            allowed = methods | ({"HEAD"} if "GET" in methods else set())
            for method in {*METHODS, "OPTIONS"} - allowed:
                answer = await client.request(method, world.path(path))
                if answer.status_code != 405 or set(answer.headers["allow"].split(", ")) != allowed:
                    wrong[f"{method} {path}"] = (answer.status_code, answer.headers.get("allow"), allowed)
                elif method != "HEAD":
                    assert answer.json()["code"] == "method_not_allowed"

    assert wrong == {}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/chat/ticket", "POST"), ("PATCH", "/cart/shop", "PUT"), ("PATCH", "/chat/assignees", "GET, HEAD")],
)
async def test_a_fixed_path_is_not_taken_for_an_id(
    app: FastAPI, world: World, method: str, path: str, allowed: str
) -> None:
    async with world.client("customer") as client:
        answer = await client.request(method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_head_is_counted_and_logged_as_head_by_its_route(app: FastAPI, world: World) -> None:
    async with connect(app) as client:
        await client.head(f"/product/{world.ids['product_id']}")
        metrics = (await client.get("/metrics")).text

    assert re.search(r'crema_http_requests_total{method="HEAD",route="/product/{product_id}",status="200"}', metrics)
