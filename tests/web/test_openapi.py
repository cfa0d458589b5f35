"""What the OpenAPI document says of operations is what they do: every one is asked."""

import gzip
import json
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import jsonschema_rs
import pytest
from fastapi import FastAPI

from crema.db.session import Sessions
from crema.live.hub import Batch, Subscription
from crema.settings import Settings
from crema.web.state import WebState, state_of
from factories.world import make_world
from fixtures.app import Clock, connect, make_app
from fixtures.openapi import operations, resolved, wrong_headers
from fixtures.people import make_person

pytestmark = pytest.mark.anyio

ROLES = ("user", "admin")
TABLE = Path(__file__).parents[1] / "authorization.txt"
WANTED = {"/reports/sales": {"from": "2026-11-23", "to": "2026-11-23"}}
"""Parameters without which there is no answer."""
OF_A_SHOP = {"/product/{product_id}/availability"}
"""Paths that answer for one shop, named by `shop_id`."""
OF_THE_CUSTOMER = {"/cart", "/chat/{conversation_id}/attachment/{attachment_id}"}
BY_TOKEN, BY_PASSWORD, BY_COOKIE, BY_REFRESH_COOKIE, CSRF = (
    "AccessToken", "Password", "AccessCookie", "RefreshCookie", "CsrfToken"
)  # fmt: skip


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


@pytest.fixture
def _finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the live feed end after its snapshot."""

    updates = Subscription.updates

    async def first_updates(self: Subscription, **options: float) -> AsyncIterator[Sequence[Batch]]:
        yield await anext(updates(self, **options))

    monkeypatch.setattr(Subscription, "updates", first_updates)


async def ask(client: httpx2.AsyncClient, method: str, path: str, **how: Any) -> httpx2.Response:
    """Ask for something that isn't there, without a body."""
    return await client.request(method, re.sub(r"{\w+}", str(uuid4()), path), **how)


def code(response: httpx2.Response) -> str | None:
    """Tell why it was refused, if it was."""
    return response.json()["code"] if response.status_code >= 400 else None


def alternatives(operation: dict[str, Any]) -> list[set[str]]:
    return [set(each) for each in operation["security"]]


async def test_what_needs_nobody_or_takes_anybody_says_so(client: httpx2.AsyncClient, document: dict[str, Any]) -> None:
    said, found = {}, {}
    for method, path, operation in operations(document):
        schemes = alternatives(operation)
        nobody = code(await ask(client, method, path))
        forged = code(await ask(client, method, path, headers={"Authorization": "Bearer x"}))
        name = f"{method.upper()} {path}"
        said[name] = (
            "page" if schemes and all(CSRF in each for each in schemes) else
            "nobody" if not schemes else "anybody" if set() in schemes else "login"
        )  # fmt: skip
        found[name] = (
            "page" if nobody == "csrf_failed" else
            "nobody" if forged != "invalid_token" else "login" if nobody == "not_authenticated" else "anybody"
        )  # fmt: skip

    # Without a token in the body, it isn't known whose login is to end.
    assert found.pop("POST /logout") == "login"
    assert said.pop("POST /logout") == "anybody"
    assert found == said
    assert set(said.values()) == {"page", "nobody", "anybody", "login"}


def refused_to_nobody() -> dict[str, bool]:
    """Tell of each operation of the table whether nobody is refused with 401 whatever they send."""
    refused = {}
    for block in re.split(r"\n(?=# --- |\S+ /)", TABLE.read_text())[1:]:
        operation, *lines = block.splitlines()
        outcomes = [line.rpartition(": ")[2].split(" | ") for line in lines if line.startswith("  ")]
        refused[operation] = all(
            next((each for each in parts if "nobody" in each.split()), parts[-1]).startswith("401")
            for parts in outcomes
        )
    return refused


async def test_who_needs_a_login_in_the_table_needs_one_in_the_description(document: dict[str, Any]) -> None:
    refused = refused_to_nobody()
    differing = [
        name
        for method, path, operation in operations(document)
        if (name := f"{method.upper()} {path}") in refused
        and refused[name] is not ({BY_TOKEN} in alternatives(operation) and set() not in alternatives(operation))
    ]

    assert differing == []
    assert sum(refused.values()) > 60


@pytest.mark.usefixtures("_finite")
async def test_the_described_cookies_log_in_with_their_csrf_token_where_something_changes(
    app: FastAPI, document: dict[str, Any]
) -> None:
    schemes = document["components"]["securitySchemes"]
    tokens = {name: (await make_person(app, email=f"{name}@example.com")).token for name in ("proved", "unproved")}
    secret = "s" * 43
    proof = {"Origin": "http://crema", schemes[CSRF]["name"]: state_of(app, WebState).cookies.token_for(secret)}
    wrong = {}

    for method, path, operation in operations(document):
        needs = next((each for each in alternatives(operation) if BY_COOKIE in each), None)
        if needs is None or path == "/logout":
            continue
        # Clients of their own: a cookie that an answer takes away would be gone for the next.
        answers = []
        for name, headers in (("proved", proof), ("unproved", {})):
            csrf_cookie = state_of(app, WebState).cookies.full_name("csrf")
            login = f"{schemes[BY_COOKIE]['name']}={tokens[name]}; {csrf_cookie}={secret}"
            async with connect(app) as client:
                answers.append(code(await ask(client, method, path, headers={"Cookie": login, **headers})))
        if answers[0] in {"not_authenticated", "csrf_failed"} or (answers[1] == "csrf_failed") is not (CSRF in needs):
            wrong[method, path] = (needs, answers)

    assert wrong == {}


async def test_swagger_can_authorize_by_a_password_or_a_pasted_token(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    used = {name for _, _, operation in operations(document) for each in alternatives(operation) for name in each}

    assert used == {*schemes} == {BY_TOKEN, BY_PASSWORD, BY_COOKIE, BY_REFRESH_COOKIE, CSRF}
    assert (schemes[BY_TOKEN]["type"], schemes[BY_TOKEN]["scheme"]) == ("http", "bearer")
    assert {*schemes[BY_PASSWORD]["flows"]} == {"password"}


# Refusals.

REFUSED = re.compile(r"[45]\d\d")
PROBLEM = "application/problem+json"


def examples(document: dict[str, Any], operation: dict[str, Any], status: str) -> list[dict[str, Any]]:
    """Give the problems that an operation's answer shows."""
    answer = resolved(document, operation["responses"].get(status, {}))
    shown = answer.get("content", {}).get(PROBLEM, {}).get("examples", {})
    return [resolved(document, each)["value"] for each in shown.values()]


def statuses_by_code() -> dict[str, int]:
    """Read the codes that docs/errors.md names, in its table and beside it."""
    text = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", text, re.MULTILINE)
    beside = re.findall(r"`(\w+)` \((\d{3})\)", text)
    return {code: int(status) for code, status in [*rows, *beside]}


async def test_every_refusal_shows_problems_of_its_status(document: dict[str, Any]) -> None:
    schemas = {"$defs": document["components"]["schemas"], "$ref": "#/$defs/Problem"}
    check = jsonschema_rs.validator_for(json.loads(json.dumps(schemas).replace("#/components/schemas/", "#/$defs/")))
    statuses = statuses_by_code()
    seen = set()

    for method, path, operation in operations(document):
        for status in filter(REFUSED.fullmatch, operation["responses"]):
            shown = examples(document, operation, status)
            assert shown, (method, path, status)
            for problem in shown:
                check.validate(problem)
                assert problem["status"] == statuses[problem["code"]] == int(status), (method, path, problem)
                seen.add(problem["code"])

    assert len(seen) > 100
    kinds = {"401": "not_authenticated", "404": "not_found", "422": "validation_error", "412": "precondition_failed"}
    for _, _, operation in operations(document):
        firsts = {
            status: examples(document, operation, status)[0]["code"] for status in kinds & operation["responses"].keys()
        }
        assert firsts.items() <= kinds.items()


async def test_the_codes_of_the_description_are_all_there_are(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(statuses_by_code())


async def test_an_example_is_written_once_and_referred_to(document: dict[str, Any]) -> None:
    written = [
        (method, path, status)
        for method, path, operation in operations(document)
        for status, answer in operation["responses"].items()
        if REFUSED.fullmatch(status)
        if any([*each] != ["$ref"] for each in answer["content"][PROBLEM]["examples"].values())
    ]

    assert written == []
    # openapi-python-client leaves out answers that are referred to.
    assert "responses" not in document["components"]


async def test_what_is_refused_is_refused_as_the_description_says(app: FastAPI, document: dict[str, Any]) -> None:
    people = [None, "x", *[(await make_person(app, email=f"{role}@example.com", role=role)).token for role in ROLES]]
    unverified = await make_person(app, email="unverified@example.com", is_verified=False)
    undescribed, seen = {}, set()

    for method, path, operation in operations(document):
        for token in [*people, unverified.token]:
            async with connect(app, token) as client:
                answers = [await ask(client, method, path, params={"unheard": "of"})]
                answers += [await ask(client, method, path, json={})] if "requestBody" in operation else []
            for answer in answers:
                if answer.status_code >= 400:
                    shown = {each["code"] for each in examples(document, operation, str(answer.status_code))}
                    seen.add(answer.json()["code"])
                    if answer.json()["code"] not in shown:
                        undescribed[method, path, answer.status_code] = answer.json()

                    wrong = wrong_headers(document, operation, answer)
                    if wrong:
                        undescribed[method, path, "headers"] = wrong

    assert undescribed == {}
    assert seen >= {"not_authenticated", "invalid_token", "email_not_verified", "forbidden", "unknown_parameter"}


# Headers, and what is still good.


@pytest.mark.usefixtures("_finite")
async def test_reads_have_the_headers_they_are_described_with_and_304_where_it_says_so(
    app: FastAPI, sessions: Sessions, document: dict[str, Any]
) -> None:
    world = await make_world(app, sessions)
    wrong: dict[str, Any] = {}
    kept = set()

    async with world.client("customer") as customer, world.client("admin") as admin:
        for method, path, operation in operations(document):
            if method != "get" or path == "/media/{name}":
                continue
            client = customer if path in OF_THE_CUSTOMER else admin
            params = {"shop_id": world.path("{shop_id}")} if path in OF_A_SHOP else WANTED.get(path)
            first = await client.get(world.path(path), params=params)
            if first.status_code != 200:
                wrong[path] = first.text
                continue
            wrong |= {path: names} if (names := wrong_headers(document, operation, first)) else {}
            known = {"If-None-Match": first.headers.get("etag", "*")}
            again = await client.get(world.path(path), params=params, headers=known)
            if (again.status_code == 304) is not ("304" in operation["responses"]):
                wrong[path] = again.status_code
            if again.status_code == 304:
                kept.add(path)
                wrong |= {f"{path} 304": names} if (names := wrong_headers(document, operation, again)) else {}

    assert wrong == {}
    assert len(kept) >= 8


async def test_a_client_who_asks_too_often_gets_what_is_described(
    settings: Settings, sessions: Sessions, clock: Clock
) -> None:
    app = make_app(settings.model_copy(update={"rate_limit": "1/hour"}), sessions, clock)
    document = app.openapi()
    operation = document["paths"]["/info"]["get"]
    async with connect(app) as client:
        answers = [await client.get("/info") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 429]
    for answer in answers:
        assert wrong_headers(document, operation, answer) == set()
        assert {"ratelimit", "ratelimit-policy"} <= {*answer.headers}
    limited = [path for _, path, operation in operations(document) if "429" in operation["responses"]]
    assert {path for _, path, _ in operations(document)} - {*limited} == {"/health/live", "/health/ready"}


async def test_the_description_is_small_enough_to_load_on_a_telephone(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})

    assert answer.headers["content-encoding"] == "gzip"
    assert len(gzip.compress(answer.content)) < 200_000
    assert int(answer.headers["content-length"]) < 200_000


async def test_operations_are_named_by_verbs_in_camel_case_once_each(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]

    assert [name for name in names if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)] == []
    assert len({*names}) == len(names)
    assert {"listProducts", "placeOrder"} <= {*names}


async def test_every_tag_says_what_is_under_it_and_is_used(document: dict[str, Any]) -> None:
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}

    assert {tag["name"] for tag in document["tags"]} == used
    assert all(tag["description"] for tag in document["tags"])
