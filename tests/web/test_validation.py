"""What is wrong with an input is told in sentences: every field of every body is walked."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, ValidationError

from crema.app import ROUTERS, create_app
from crema.settings import Settings
from crema.web.routing import Route
from crema.web.validation import sentence_of
from fixtures.app import CHEAP
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
PHRASES = re.compile(r"Value error|Assertion failed|pattern|regex|regular expression|\^|\\d|\[a-z|\[0-9")
WRONG: tuple[Any, ...] = (
    None, True, -1, 1e400, 10**30, "", " ", "!!!", "\x00", "x" * 20_000, "\u202ex", [], [None], [{}], {}, {"x": 1},
    "2026-13-45", "12:99", "nan", "1.234", "-5", "x@", "x@localhost",
)  # fmt: skip


def bodies() -> Iterator[type[BaseModel]]:
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, Route) and route.body_field is not None:
                yield from models_in(route.body_field.field_info.annotation)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for argument in getattr(annotation, "__args__", ()):
        yield from models_in(argument)


def test_every_field_of_every_body_refuses_in_sentences() -> None:
    models = set(bodies())
    tried, phrases = 0, {}
    for model in models:
        for name in model.model_fields:
            for value in WRONG:
                try:
                    model.model_validate({name: value})
                except ValidationError as error:
                    for each in error.errors(include_url=False):
                        tried += 1
                        told = sentence_of(each)
                        if PHRASES.search(told):
                            phrases[f"{model.__name__}.{name}"] = told
    assert phrases == {}
    assert len(models) > 40
    assert tried > 5_000


@pytest.mark.parametrize("near", ["", "55", "a,b", "91,0", "0,181", "55.7;37.6"])
async def test_near_says_what_to_send(client: httpx2.AsyncClient, near: str) -> None:
    answer = await client.get("/shops", params={"near": near})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["msg"] == "send latitude and longitude in degrees, such as 55.7512,37.6184"


async def test_a_forgotten_content_type_is_named(client: httpx2.AsyncClient) -> None:
    for path in ("/authentication", "/registration", "/refresh"):
        answer = await client.post(path, content=b'{"email": "anna@example.com"}')
        assert (answer.status_code, answer.json()["errors"][0]["msg"]) == (
            422,
            "send JSON with the header `Content-Type: application/json`",
        ), path
    array = await client.post("/authentication", json=[])
    assert array.json()["errors"][0]["msg"] == "send an object"


async def test_access_takes_a_form_and_the_same_as_json(client: httpx2.AsyncClient, log_in: LogIn) -> None:
    await log_in("anna@example.com", password_hash=CHEAP.hash("oat milk please"))
    sent = {"username": "anna@example.com", "password": "oat milk please"}

    form, json = await client.post("/access", data=sent), await client.post("/access", json=sent)
    wrong = await client.post("/access", json=sent | {"scopes": 1})
    broken = await client.post("/access", content=b"{", headers={"Content-Type": "application/json"})
    twice = await client.post(
        "/access",
        content=b"username=a@example.com&username=b@example.com&password=x",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert (form.status_code, json.status_code) == (200, 200)
    assert form.json().keys() == json.json().keys()
    assert [answer.status_code for answer in (wrong, broken, twice)] == [422] * 3
    assert wrong.json()["errors"][0]["loc"] == ["body", "scopes"]


@pytest.fixture
def another_of_production(settings: Settings) -> None:
    """Have built an application of production in this process before the test's own gets its settings."""
    create_app(settings.model_copy(update={"env": "production"}))


@pytest.mark.usefixtures("another_of_production")
async def test_addresses_under_test_are_taken_in_development_whatever_was_built_before(
    client: httpx2.AsyncClient, settings: Settings
) -> None:
    answer = await client.post("/registration", json={"email": "x@example.test", "password": "oat milk please"})

    assert not settings.is_production
    assert answer.status_code == 201, answer.text
