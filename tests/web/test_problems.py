"""Every error is a problem document that tells enough and nothing more."""

import re
from collections.abc import Iterable

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from crema.core.errors import CremaError, NotFoundError
from crema.db.session import Sessions
from crema.settings import Settings
from crema.web.problem import error_classes
from crema.web.transaction import Transaction
from fixtures.app import Clock, connect, make_app

pytestmark = pytest.mark.anyio


async def test_an_unknown_path_is_not_found(client: httpx2.AsyncClient) -> None:
    response = await client.get("/nothing/")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "urn:crema:problem:not_found",
        "title": "There is no such resource.",
        "status": 404,
        "detail": "Check the path and the ids in it. What you may not see is answered like this, too.",
        "code": "not_found",
        "request_id": response.headers["x-request-id"],
    }


def incomplete(kinds: Iterable[type[CremaError]]) -> list[str]:
    """Return the codes of those that don't have a sentence of their own on what is wrong, and another on what to do."""
    sentence, order = re.compile(r"[A-Z].*\."), re.compile("(Send|Give|Choose|Say|Use|Ask|Try) ")
    return [
        kind.code
        for kind in kinds
        if not {"title", "advice"} <= kind.__dict__.keys()
        or not sentence.fullmatch(kind.title)
        or not sentence.fullmatch(kind.advice)
        or order.match(kind.title)
        or kind.title == kind.advice
    ]


def test_every_refusal_says_what_is_wrong_and_what_to_do() -> None:
    assert incomplete(error_classes()) == []


def test_a_refusal_that_says_only_half_is_found() -> None:
    without = type("WithoutError", (NotFoundError,), {"code": "without", "title": "The drink is cold."})
    orders = type("OrdersError", (NotFoundError,), {"code": "orders", "title": "Use milk.", "advice": "Use it."})

    assert incomplete([NotFoundError, without, orders]) == ["without", "orders"]


async def test_a_wrong_method_names_the_right_ones(client: httpx2.AsyncClient) -> None:
    response = await client.put("/registration", json={})

    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"
    assert response.headers["allow"] == "POST"


async def test_a_request_id_is_taken_over_when_it_is_tame(client: httpx2.AsyncClient) -> None:
    tame = await client.get("/nothing", headers={"X-Request-ID": "till-7.42"})
    wild = await client.get("/nothing", headers={"X-Request-ID": "x" * 65})

    assert tame.headers["x-request-id"] == "till-7.42"
    assert wild.headers["x-request-id"] != "x" * 65


@pytest.mark.parametrize("path", ["/cart", "/cart/"])
async def test_a_trailing_slash_makes_no_difference(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.fixture
def own_routes(settings: Settings, sessions: Sessions, clock: Clock) -> FastAPI:
    return make_app(settings, sessions, clock)


async def test_c8_a_defect_shows_nothing_of_itself(own_routes: FastAPI) -> None:
    async def fail() -> None:
        raise RuntimeError("the secret is swordfish")

    own_routes.get("/broken")(fail)
    async with connect(own_routes) as client:
        response = await client.get("/broken")

    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "swordfish" not in response.text


async def test_f7_a_slow_statement_is_unavailable_not_a_defect(own_routes: FastAPI) -> None:
    async def sleep(tx: Transaction) -> None:
        await tx.execute(text("SET LOCAL statement_timeout = '20ms'"))
        await tx.execute(text("SELECT pg_sleep(5)"))

    own_routes.get("/slow")(sleep)
    async with connect(own_routes) as client:
        response = await client.get("/slow")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"


SIX_INPUTS = {
    "NUL in JSON": (
        "POST",
        "/registration",
        rb'{"email": "a@example.com", "password": "longenough", "name": "a\u0000b"}',
    ),
    "lone surrogate": (
        "POST",
        "/registration",
        rb'{"email": "a@example.com", "password": "longenough", "name": "\ud800"}',
    ),
    "not a number": ("POST", "/product", b'{"name": "x", "price": NaN}'),
    "infinite": ("POST", "/product", b'{"name": "x", "price": Infinity}'),
    "a number without end": ("POST", "/category", b'{"name": "x", "position": ' + b"9" * 5000 + b"}"),
    "past int4": ("POST", "/category", b'{"name": "x", "position": 4294967296}'),
    "path id of 2**70": ("GET", "/product/1180591620717411303424", None),
    "NUL in a query": ("GET", "/products?search=%00ab", None),
    "NUL in a filter": ("GET", "/products?name=%00", None),
    "surrogate in a query": ("GET", "/products?name=%ED%A0%80", None),
}


@pytest.mark.parametrize("case", SIX_INPUTS)
async def test_f4_what_breaks_naive_routes_is_an_ordinary_refusal(admin: httpx2.AsyncClient, case: str) -> None:
    method, path, body = SIX_INPUTS[case]

    response = await admin.request(
        method, path, content=body, headers={"Content-Type": "application/json"} if body else {}
    )

    assert response.status_code in ({200, 422} if "surrogate in a query" in case else {422}), response.text
    assert "Traceback" not in response.text


async def test_f8_unknown_and_repeated_parameters_are_refused(client: httpx2.AsyncClient) -> None:
    unknown = await client.get("/info?colour=red")
    repeated = await client.get("/products?page=1&page=2")

    assert unknown.status_code == repeated.status_code == 422
    assert unknown.json()["code"] == "unknown_parameter"
