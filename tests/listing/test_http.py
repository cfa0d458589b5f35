"""A list route as clients and Swagger UI meet it."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.listing import paginate
from crema.web import problem
from crema.web.context import RequestContext
from crema.web.listing import PageOut, listing_parameters, page_out
from crema.web.routing import add_routes, make_router
from fixtures.app import http_routes
from listing.things import THINGS, Thing

pytestmark = pytest.mark.anyio

NEAR = {"description": "Nearest first.", "schema": {"type": "string", "examples": ["55.75,37.61"]}}


class ThingOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    rank: int


def make_app(session: AsyncSession | None) -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    router = make_router("Things")

    @router.get("/things/{shelf}", openapi_extra=listing_parameters(THINGS, near=NEAR))
    async def list_things(request: Request, response: Response, shelf: str) -> PageOut[ThingOut]:
        query = THINGS.parse(request.query_params.multi_items(), extra_parameters=("near",))
        return page_out(request, response, await paginate(session, select(Thing), query), ThingOut.model_validate)

    add_routes(app, [router])
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
    assert list(body) == ["items", "page", "size", "total", "pages", "total_at_least", "next_cursor"]
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


PERMISSIONS = {"things:audit"}


async def test_every_parameter_is_documented_and_there_are_twelve_at_most() -> None:
    document: dict[str, Any] = get_openapi(title="", version="", routes=http_routes(make_app(None)))
    get = document["paths"]["/things/{shelf}"]["get"]
    queries = {p["name"]: p for p in get["parameters"] if p["in"] == "query"}
    schema = queries["filter"]["schema"]

    assert len(queries) <= 12
    assert {*schema["properties"], *queries} - {"filter", "near"} == {*THINGS.parameters(PERMISSIONS)}
    assert [p["name"] for p in get["parameters"] if p["in"] == "path"] == ["shelf"]
    for name, parameter in queries.items():
        assert parameter["description"]
        assert parameter["required"] is False
        assert parameter["schema"]["examples"], name
        assert "example" not in parameter, "Swagger UI would send it unasked"
        assert ("things:audit" in parameter["description"]) == (name in {"filter", "sort", "search_fields"})
        if parameter["schema"]["type"] == "array":
            assert (parameter["style"], parameter["explode"]) == ("form", True)
    assert (queries["filter"]["style"], queries["filter"]["explode"]) == ("deepObject", True)
    assert schema["examples"] == [{}], "Swagger UI starts with it"
    assert "- `price`: (equals), ne, lt, lte, gt, gte, in, not_in, between\n" in queries["filter"]["description"]
    assert queries["kind__in"]["schema"]["items"]["enum"] == ["drink", "food", "еда"]
    assert {each.get("type") for each in schema["properties"].values()} == {"string", "integer", "number", "boolean"}
    assert schema["properties"]["id"]["format"] == "uuid"
    assert schema["properties"]["made_at__gte"]["format"] == "date-time"
    page = document["components"]["schemas"]["PageOut_ThingOut_"]
    assert page["required"] == ["items", "page", "size", "total", "pages", "total_at_least", "next_cursor"]


def sent(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def test_documented_examples_are_taken() -> None:
    parameters = listing_parameters(THINGS)["parameters"]
    (filters,) = (each for each in parameters if each["name"] == "filter")
    given = {name: schema["examples"][0] for name, schema in filters["schema"]["properties"].items() if
             "examples" in schema}  # fmt: skip
    given |= {each["name"]: each["schema"]["examples"][0] for each in parameters if each is not filters}

    assert len(given) > 100
    for name, example in given.items():
        text = ",".join(map(sent, example)) if isinstance(example, list) else sent(example)
        assert THINGS.parse([(name, text)], permissions=PERMISSIONS), name


@pytest.mark.parametrize(
    "query",
    [
        "price__gte=99&kind__in=drink,food&sort=price,name",
        "filter[price__gte]=99&filter[kind__in]=drink,food&sort=price,name",
        "filter%5Bprice__gte%5D=99&kind__in=drink&kind__in=food&sort=price&sort=name",
        "price__gte=99&filter[kind__in]=drink&filter[kind__in]=food&sort[]=price&sort[]=name",
        "price__gte=99&kind__in[]=drink&kind__in[]=food&sort=price,name",
        "filter[price__gte]=99&filter[kind__in][]=drink&filter[kind__in][]=food&sort[]=price,name",
    ],
)
async def test_filters_may_stand_in_brackets_and_lists_be_repeated(
    shelf: httpx2.AsyncClient, things: list[Thing], query: str
) -> None:
    response = await shelf.get(f"/things/a?{query}&size=100")

    assert response.status_code == 200, response.text
    wanted = [thing for thing in things if thing.price >= 99 and thing.kind in {"drink", "food"}]
    assert 0 < response.json()["total"] == len(wanted) < len(things)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("price=1&filter[price]=1", "invalid_filter"),
        ("filter[price]=1&filter[price]=2", "invalid_filter"),
        ("filter=price", "unknown_filter"),
        ("filter[sort]=price", "unknown_filter"),
        ("filter[page]=1", "unknown_filter"),
        ("filter[]=1", "unknown_filter"),
        ("filter[price][gte]=1", "unknown_filter"),
        ("filter[filter[price]]=1", "unknown_filter"),
        ("filter[secret]=alpha", "unknown_filter"),
        ("price[]=1", "unknown_filter"),
        ("page[]=1", "unknown_filter"),
        ("sort[][]=price", "unknown_filter"),
    ],
)
async def test_f8_other_brackets_are_refused(shelf: httpx2.AsyncClient, query: str, code: str) -> None:
    response = await shelf.get(f"/things/a?{query}")

    assert (response.status_code, response.json()["code"]) == (422, code)


async def test_matches_are_counted_so_far_and_no_further(
    shelf: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crema.db.listing.query.MAX_TOTAL", 30)
    body = (response := await shelf.get("/things/a б", params={"page": "2"})).json()
    assert (body["page"], body["total"], body["pages"], body["total_at_least"]) == (2, None, None, 31)
    assert links(response).keys() == {"first", "prev", "next"}
    assert body["next_cursor"]

    few = (await shelf.get("/things/a б", params={"kind": "drink"})).json()
    assert 0 < few["total"] <= 30
    assert few["total_at_least"] is None
