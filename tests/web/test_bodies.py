"""Every field of every body in OpenAPI, sent wrong: what is refused, and in which words."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from crema.db.session import Sessions
from crema.menu.models import Category
from crema.support.service import limits
from factories.bodies import NOBODY, Body, Loc, bodies_of
from factories.orders import make_shop, make_simple_product, place
from fixtures.app import connect
from fixtures.people import LogIn, make_person

pytestmark = pytest.mark.anyio

TURNING = [*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))]
CONTROL = ["\x00", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"]
SEVERAL_LINES = {"description", "comment", "text"}
NOT_SHOWN = {
    "password", "old_password", "new_password", "current_password",  # compared, never shown
    "refresh_token", "registration_id", "client_secret", "client_id",
    "scope", "file",
}  # fmt: skip
WRONG: list[Any] = [
    *(None, True, 7, -1, 1.5, 10**30, "", " ", "x", "да", "x" * 20_000, "[", "\x00", "2026-13-45", "-1", "1e400"),
    *([], [None], ["x"], {}, {"x": 1}),
]
PATTERN = re.compile(r"\[[^\]]+\][+*?{]|\(\?|\\[dswx]|\^[\w\[(]|\{\d+,\d*\}|[\w)\]]\$(\s|$)|pattern", re.IGNORECASE)
TYPES = re.compile(
    r"\b(str|int|float|bool|dict|dictionary|tuple|NoneType|datetime|Decimal|Enum|Literal|Python|Pydantic|"
    r"instance of|[Ii]nput should|Extra inputs|Field required|[Vv]alue error|valid (string|integer|boolean|list))\b"
)


@pytest.fixture
async def bodies(app: FastAPI, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> list[Body]:
    monkeypatch.setattr(limits, "REQUESTS_A_SECOND", 100_000)  # the clock stands still here
    async with sessions.begin() as session:
        session.add(category := Category(slug="tea", name="Чай"))
    product_id = await make_simple_product(sessions)  # uploads are read only for what is there
    return bodies_of(app.openapi(), product_id=product_id, category_id=category.id)


@pytest.fixture
async def anybody(log_in: LogIn) -> httpx2.AsyncClient:
    client = await log_in("admin@example.com", role="admin")
    client.headers |= {"Origin": "http://crema", "X-CSRF-Token": (await client.get("/csrf")).json()["csrf_token"]}
    return client


def is_line(loc: Loc, schema: Mapping[str, Any]) -> bool:
    """Tell whether a field is text that people see in one line."""
    names = {step for step in loc if isinstance(step, str)}
    is_text = schema.get("type") == "string" and "enum" not in schema and "const" not in schema
    return is_text and loc[-1] not in SEVERAL_LINES and not names & NOT_SHOWN


def is_foul(sentence: str) -> bool:
    return bool(PATTERN.search(sentence) or TYPES.search(sentence))


async def faults(client: httpx2.AsyncClient, body: Body, content: Any) -> list[dict[str, Any]]:
    """Send a body, and give what is told of what is wrong with it."""
    answer = await client.request(body.method, body.path, **body.request(content))
    errors: list[dict[str, Any]] = answer.json().get("errors", []) if answer.status_code == 422 else []
    return errors


@pytest.mark.parametrize("character", [*TURNING, *CONTROL], ids=ascii)
async def test_u6_a_name_with_u202e_is_refused_in_every_line_of_every_body(
    anybody: httpx2.AsyncClient, bodies: list[Body], character: str
) -> None:
    """Tried: a name with U+202E was taken; it turned the text around it in mails and on boards."""
    lines = 0
    for body in bodies:
        fields = {loc for loc, schema in body.fields().items() if is_line(loc, schema)}
        if body.kind == "files":
            fields &= {("alt",)}
        if not fields:
            continue
        lines += len(fields)
        found: set[Loc] = set()
        for some in parts_of(body.filled(lambda loc, schema: f"a{character}b" if is_line(loc, schema) else 7), body):
            found |= {tuple(each["loc"][1:]) for each in await faults(anybody, body, some)}
        missed = {loc for loc in fields if not {loc, loc[:-1]} & found}  # a list is told of as a whole
        assert missed == set(), (body.method, body.path)
    assert lines > 60


def parts_of(content: dict[str, Any], body: Body) -> Iterator[dict[str, Any]]:
    """Give a body in parts of which each gets all its errors told, of which an answer has fifty."""
    if len(body.fields()) < 25:
        yield content
    else:
        yield from ({name: value} for name, value in content.items())


async def test_what_is_wrong_with_a_body_is_told_in_sentences_without_patterns_or_types(
    anybody: httpx2.AsyncClient, bodies: list[Body]
) -> None:
    """Tried: "Value error, …", and the regular expression of a field in its message."""
    told: dict[str, str] = {}
    for body in bodies:
        contents = [{}, {"unheard_of": 1}]
        contents += [body.filled(lambda *_, value=value: value) for value in WRONG]
        contents += [dict.fromkeys(body.top, value) for value in WRONG]
        if body.kind == "json":
            contents += [[], 7, "x", None]
        for content in contents:
            answer = await anybody.request(body.method, body.path, **body.request(content))
            assert answer.status_code < 500, (body.method, body.path, content)
            if answer.status_code == 422:
                problem = answer.json()
                for each in problem.get("errors", ()):
                    told.setdefault(each["msg"], f"{body.method} {body.path} {each['loc']} {each['type']}")
                told.setdefault(problem["detail"], f"{body.method} {body.path}")

    assert len(told) > 40
    assert {sentence: where for sentence, where in told.items() if is_foul(sentence)} == {}


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("PATCH", f"/chat/{NOBODY}", {"seen_seq": 1}),
        ("POST", f"/chat/{NOBODY}/messages", {}),
        ("POST", f"/chat/{NOBODY}/messages", {"text": "x", "client_id": "no spaces"}),
        ("POST", "/shop", {"name": "x", "address": "x", "timezone": "Europe/Moscow", "latitude": 1.0}),
        ("POST", "/shop", {"name": "x", "address": "x", "timezone": "Mars"}),
        ("PUT", f"/shop/{NOBODY}/hours", {"hours": [{"weekday": 0, "opens_at": "08:00", "closes_at": "08:00"}]}),
        ("PUT", f"/shop/{NOBODY}/hours", {"hours": [{"weekday": 0, "opens_at": "8", "closes_at": "25:00"}]}),
        ("PUT", f"/shop/{NOBODY}/special-days", {"special_days": [{"date": "2026-12-31"}]}),
        ("PUT", f"/shop/{NOBODY}/special-days", {"special_days": [{"date": "31.12.2026", "is_closed": True}]}),
        ("PUT", f"/shop/{NOBODY}/special-days", {"special_days": [{"date": "1999-12-31", "is_closed": True}] * 2}),
        ("PATCH", f"/shop/{NOBODY}/status", {"state": "busy", "delay_minutes": 300}),
        ("PATCH", f"/shop/{NOBODY}/status", {"state": "closed", "until": "tomorrow"}),
        ("POST", "/product", {"name": "x", "price": "1", "slug": "Not A Slug"}),
        ("POST", "/product", {"name": "x", "price": "1", "allergens_always": ["milk"]}),
        ("POST", "/product", {"name": "x", "price": "1", "sizes": [{"name": n, "is_default": True} for n in "SM"]}),
        ("POST", "/products/prices", {"dry_run": True}),
        ("POST", "/products/prices", {"dry_run": True, "percent": "x"}),
        ("POST", "/order", {"items": [{"product_id": NOBODY}], "source": "counter"}),
        ("POST", "/role", {"name": "x", "permissions": ["fly"]}),
        ("POST", "/verification", {"email": "a@example.com", "code": "12"}),
        ("POST", "/registration", {"email": "a@example.com", "password": "oat\tmilk please"}),
    ],
)
async def test_what_is_wrong_with_fields_together_is_told_in_sentences(
    anybody: httpx2.AsyncClient, method: str, path: str, content: Any
) -> None:
    answer = await anybody.request(method, path, json=content)

    assert answer.status_code == 422
    problem = answer.json()
    told = [problem["detail"], *(each["msg"] for each in problem.get("errors", ()))]
    assert [sentence for sentence in told if is_foul(sentence)] == []


def test_twin_the_words_it_looks_for_are_found() -> None:
    foul = [
        "Value error, send a text",
        "String should match pattern '^[a-z0-9]+(-[a-z0-9]+)*$'",
        "Input should be a valid integer",
        "Input should be a valid dictionary or object to extract fields from",
        "expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-]+",
        r"is not ^\d{1,3}$",
    ]

    assert [sentence for sentence in foul if not is_foul(sentence)] == []
    assert not is_foul("send at most 50 items (0 to 24:00), such as flat-white")


@pytest.mark.parametrize("character", ["\u200b", "\u2060", "\ufeff"], ids=ascii)
async def test_u6_what_nobody_sees_is_left_out_of_a_name(anybody: httpx2.AsyncClient, character: str) -> None:
    """It comes along when text is copied; a search for the word would miss it."""
    sent = f"{character} Лат{character}те {character}"

    made = await anybody.post("/category", json={"name": sent})

    assert made.status_code == 201
    assert made.json()["name"] == "Латте"
    assert (await anybody.get("/categories", params={"search": "латте"})).json()["total"] == 1


END_OF_TIME = "9999-12-31T23:59:59Z"


async def test_a_time_or_date_at_the_end_of_the_calendar_is_refused_and_breaks_nothing(
    app: FastAPI, sessions: Sessions
) -> None:
    """Each was taken, and made every later answer of the shop a 500."""
    product_id, shop_id = await make_simple_product(sessions), await make_shop(sessions)
    manager = await make_person(app, email="manager@example.com", role="admin")
    never = [{"weekdays": [0], "from": "07:00", "to": "11:00", "starts_on": "9999-12-31"}]
    async with connect(app, manager.token) as client:
        order = await place(client, product_id, shop_id=str(shop_id))
        answers = [
            await client.patch(f"/product/{product_id}", json={"schedule": never}),
            await client.patch(f"/shop/{shop_id}/status", json={"state": "paused", "until": END_OF_TIME}),
            await client.patch(f"/order/{order['id']}", json={"pickup_at": END_OF_TIME}),
            await client.patch(f"/order/{order['id']}", json={"pickup_at": "0001-01-01T00:00:00Z"}),
            await client.get(f"/product/{product_id}/availability?shop_id={shop_id}&at={END_OF_TIME}"),
        ]
        menu = await client.get(f"/menu?shop_id={shop_id}")

    assert [answer.status_code for answer in answers] == [422] * len(answers)
    assert menu.status_code == 200
