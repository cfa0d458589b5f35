"""A list route as clients and Swagger UI meet it."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.listing import paginate
from crema.web import problem
from crema.web.context import RequestContext
from crema.web.listing import MEANINGS, PageOut, answer, listing_parameters
from crema.web.routing import router as new_router
from listing.things import THINGS, Thing

pytestmark = pytest.mark.anyio

NEAR = {"description": "Nearest first.", "schema": {"type": "string", "examples": ["55.75,37.61"]}}


class ThingOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    rank: int


def make_app(session: AsyncSession | None) -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    router = new_router("Things")

    @router.get("/things/{shelf}", openapi_extra=listing_parameters(THINGS, near=NEAR))
    async def list_things(request: Request, response: Response, shelf: str) -> PageOut[ThingOut]:
        query = THINGS.parse(request.query_params.multi_items(), also=("near",))
        return answer(request, response, await paginate(session, select(Thing), query), ThingOut.model_validate)

    app.include_router(router)
    app.add_middleware(RequestContext, headers={})
    problem.add_handlers(app)
    return app


@pytest.fixture
async def shelf(session: AsyncSession, things: list[Thing]) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(make_app(session), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://crema") as client:
        yield client


def links(response: httpx2.Response) -> dict[str, dict[str, str]]:
    found = {}
    for rel, link in response.links.items():
        target = urlsplit(link["url"])
        assert (target.scheme, target.netloc, target.path) == ("", "", "/things/a%20%D0%B1")
        found[rel] = dict(parse_qsl(target.query, keep_blank_values=True))
    return found


async def test_a_page_in_its_envelope(shelf: httpx2.AsyncClient) -> None:
    asked = {"size": "25", "name__ne": "x&y=ё", "sort": "-rank,name"}
    response = await shelf.get("/things/a б", params={**asked, "page": "2"})

    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["items", "page", "size", "total", "pages", "next_cursor"]
    assert (body["page"], body["size"], body["total"], body["pages"]) == (2, 25, 60, 3)
    assert len(body["items"]) == 25
    assert set(body["items"][0]) == {"name", "rank"}
    assert links(response) == {
        "first": {**asked, "page": "1"},
        "prev": {**asked, "page": "1"},
        "next": {**asked, "page": "3"},
        "last": {**asked, "page": "3"},
    }


async def test_links_walk_the_list_by_page_and_by_cursor(shelf: httpx2.AsyncClient) -> None:
    whole = (await shelf.get("/things/a б", params={"size": "100", "sort": "name"})).json()["items"]
    for start in ({"page": "1"}, {"cursor": ""}):
        response = await shelf.get("/things/a б", params={**start, "size": "17", "sort": "name"})
        walked = response.json()["items"]
        while "next" in response.links:
            assert "cursor" not in start or links(response).keys() == {"next"}
            response = await shelf.get(response.links["next"]["url"])
            assert response.status_code == 200
            walked += response.json()["items"]
        assert walked == whole
        assert response.json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("parameters", "rels"),
    [
        ({"page": "9"}, {"first": "1", "prev": "3", "last": "3"}),
        ({"page": "3"}, {"first": "1", "prev": "2", "last": "3"}),
        ({"name": "no"}, {"first": "1", "last": "1"}),
    ],
)
async def test_links_at_the_edges(shelf: httpx2.AsyncClient, parameters: dict[str, str], rels: dict[str, str]) -> None:
    response = await shelf.get("/things/a б", params=parameters)

    assert {rel: target["page"] for rel, target in links(response).items()} == rels


async def test_links_leave_pages_for_the_cursor_where_pages_end(
    shelf: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crema.db.listing.MAX_OFFSET", 20)
    response = await shelf.get("/things/a б", params={"page": "2"})

    assert links(response).keys() == {"first", "prev", "next"}
    assert links(response)["next"].keys() == {"cursor"}
    assert (await shelf.get(response.links["next"]["url"])).status_code == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("secret=alpha", "unknown_filter"),
        ("%ED%A0%80=1", "unknown_filter"),
        ("price=%00", "invalid_filter"),
        ("name=%00", "invalid_filter"),
        ("page=1&page=2", "invalid_filter"),
        ("near=1&near=2", "invalid_filter"),
        ("sort=secret", "invalid_sort"),
        ("cursor=%ED%A0%80", "invalid_cursor"),
        ("page=10000", "page_too_deep"),
    ],
)
async def test_refusals_are_problems(shelf: httpx2.AsyncClient, query: str, code: str) -> None:
    response = await shelf.get(f"/things/a?{query}")

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code


async def test_every_parameter_is_documented() -> None:
    document: dict[str, Any] = make_app(None).openapi()
    get = document["paths"]["/things/{shelf}"]["get"]
    queries = {p["name"]: p for p in get["parameters"] if p["in"] == "query"}

    assert list(queries) == [*THINGS.parameters({"things:audit"}), "near"]
    assert [p["name"] for p in get["parameters"] if p["in"] == "path"] == ["shelf"]
    assert {operator for _, operator in THINGS.filters.values()} == set(MEANINGS)
    for name, parameter in queries.items():
        assert parameter["description"]
        assert parameter["required"] is False
        assert parameter["schema"]["examples"], name
        assert "example" not in parameter, "Swagger UI would send it unasked"
        assert ("things:audit" in parameter["description"]) == (
            name.startswith("secret") or name in {"sort", "search_fields"}
        )
        if parameter["schema"]["type"] == "array":
            assert parameter["explode"] is False
    assert queries["price"]["description"] == (
        "Equal. Also with `__ne`, `__lt`, `__lte`, `__gt`, `__gte`, `__in`, `__not_in`, `__between`."
    )
    assert queries["kind__in"]["schema"]["items"]["enum"] == ["drink", "food", "еда"]
    assert queries["id"]["schema"]["format"] == "uuid"
    assert queries["made_at__gte"]["schema"]["format"] == "date-time"
    page = document["components"]["schemas"]["PageOut_ThingOut_"]
    assert page["required"] == ["items", "page", "size", "total", "pages", "next_cursor"]


async def test_documented_examples_are_taken() -> None:
    def sent(value: object) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    for parameter in listing_parameters(THINGS)["parameters"]:
        (example,) = parameter["schema"]["examples"]
        text = ",".join(map(sent, example)) if isinstance(example, list) else sent(example)
        given = [(parameter["name"], text)]
        assert THINGS.parse(given, permissions={"things:audit"}), given
