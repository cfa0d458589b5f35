"""Any field by any value: whatever a list's answer shows is a filter, sorts, and is searched.

Fields are taken from the answers' schemas, and values from real answers.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI

from crema.accounts import queries as accounts
from crema.db.listing import ColumnField, Listing
from crema.db.session import Sessions
from crema.menu import queries as menu
from crema.notifications import queries as notifications
from crema.orders import queries as orders
from crema.shops import queries as shops
from crema.support import queries as support
from factories.full import fill
from factories.world import World, make_world

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
MISSING = object()
NO_VALUE_EVER = {("/orders", "promo_code")}
"""Shown by the contract, and kept by no table yet."""
NO_TEXT_OF_PEOPLE = {
    "slug", "timezone", "currency", "network", "language", "template", "role", "permissions", "code", "client_id",
    "content_type", "pending_email", "field", "before", "after", "size_name", "promo_code", "opens_at", "closes_at",
    "last_message.text", "last_message.author.name",
}  # fmt: skip
"""Strings that programs read, and texts that stand elsewhere too: nobody searches them."""


@cache
def schema_of(app: FastAPI) -> Json:
    return app.openapi()


def resolved(app: FastAPI, schema: Json) -> Json:
    while "$ref" in schema:
        schema = schema_of(app)["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


@cache
def lists(app: FastAPI) -> dict[str, Json]:
    """Give every operation that answers with a page."""
    found = {}
    for path, operations in schema_of(app)["paths"].items():
        answer = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        schema = resolved(app, answer.get("application/json", {}).get("schema", {}))
        if "next_cursor" in schema.get("properties", {}):
            found[path] = operations["get"]
    return found


def leaves(app: FastAPI, schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Walk a schema down to what is neither an object with fields nor a list."""
    schema = resolved(app, schema)
    choices = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    if len(choices) == 1:
        yield from leaves(app, choices[0], path)
    elif schema.get("type") == "array":
        yield from leaves(app, schema["items"], path)
    elif "properties" in schema:
        for name, below in schema["properties"].items():
            yield from leaves(app, below, f"{path}.{name}" if path else name)
    else:
        yield path, schema


def fields_of(app: FastAPI, operation: Json) -> dict[str, Json]:
    page = resolved(app, operation["responses"]["200"]["content"]["application/json"]["schema"])
    return dict(leaves(app, page["properties"]["items"]["items"]))


def filters_of(app: FastAPI, operation: Json) -> set[str]:
    """Name what OpenAPI says can be asked, as a front-end developer reads it."""
    parameters = {each["name"]: each for each in operation["parameters"]}
    described = resolved(app, parameters["filter"]["schema"])["properties"]
    return {*described, *parameters} - {"filter"}


@pytest.fixture
def listings() -> dict[str, Listing]:
    """Find every declaration there is."""
    packages = (accounts, menu, notifications, orders, shops, support)
    return {each.name: each for package in packages for each in vars(package).values() if isinstance(each, Listing)}


def declared(app: FastAPI, operation: Json, listings: dict[str, Listing]) -> Listing:
    (filter_,) = (each for each in operation["parameters"] if each["name"] == "filter")
    return listings[resolved(app, filter_["schema"])["title"].removesuffix("Filter")]


async def test_every_field_of_every_answer_is_a_filter_or_left_out_with_a_reason(
    app: FastAPI, listings: dict[str, Listing]
) -> None:
    told = {path: set(fields_of(app, operation)) for path, operation in lists(app).items()}
    asked = {
        path: {name for name in filters_of(app, operation) if "__" not in name}
        for path, operation in lists(app).items()
    }
    left_out = {path: declared(app, operation, listings).left_out for path, operation in lists(app).items()}

    assert len(told) >= 16
    assert sum(map(len, told.values())) > 200
    assert [(path, told[path] - asked[path] - left_out[path].keys()) for path in told if
            told[path] - asked[path] - left_out[path].keys()] == []  # fmt: skip
    assert [path for path in told if left_out[path].keys() & asked[path]] == []
    assert all(reason for reasons in left_out.values() for reason in reasons.values())


def elements(item: Any, path: str) -> Iterator[Any]:
    """Give the values at a path of an item; None for a null, nothing for an empty list."""
    if isinstance(item, list):
        for each in item:
            yield from elements(each, path)
    elif item is None or not path:
        yield item
    else:
        name, _, below = path.partition(".")
        yield from elements(item[name], below)


def is_list(item: Any, path: str) -> bool:
    name, _, below = path.partition(".")
    return isinstance(item, list) or (bool(path) and isinstance(item, dict) and is_list(item.get(name), below))


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    made = await make_world(app, sessions)
    await fill(made, sessions)
    return made


def same(one: Any, other: Any) -> bool:
    return one == other and type(one) is type(other)


def text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


CHOSEN = {"permissions", "code", "language"}
"""Of a closed set, which their schemas don't tell."""
AMOUNTS = ("price", "price_delta", "unit_price", "total", "subtotal", "discount")
NOBODYS = dict.fromkeys(AMOUNTS, "777.77") | {
    **dict.fromkeys(("email", "pending_email", "recipient"), "nobody@example.com"),
    **dict.fromkeys(("opens_at", "closes_at"), "03:33"),
    "phone": "+79990000000",
    "number": "Z-999",
    "timezone": "Asia/Tokyo",
    "slug": "nothing-has-it",
}
"""Values that these fields can hold."""


def nobodys(schema: Json, path: str) -> str | None:
    """Think of a value of its kind that nothing has."""
    name = path.rpartition(".")[2]
    if schema.keys() & {"enum", "const"} or schema.get("type") == "boolean" or name in CHOSEN:
        return None
    match schema.get("format"):
        case "uuid":
            return str(uuid4())
        case "date-time":
            return "1999-01-01T00:00:00Z"
        case "date":
            return "1999-01-01"
    if schema.get("type") in {"integer", "number"}:
        return None if path.endswith("weekday") else "777"
    return NOBODYS.get(name, "нет такого")


async def page(client: httpx2.AsyncClient, path: str, **asked: str) -> list[Json]:
    response = await client.get(path, params={**asked, "size": "100"})
    assert response.status_code == 200, (path, asked, response.text)
    items: list[Json] = response.json()["items"]
    assert response.json()["total"] == len(items) < 100
    return items


async def test_every_field_finds_what_has_its_value_and_nothing_else(app: FastAPI, world: World) -> None:
    wrong: list[Any] = []
    without_value: set[tuple[str, str]] = set()
    async with world.client("admin") as admin:
        for template, operation in lists(app).items():
            path = world.path(template)
            items = await page(admin, path)
            fields = fields_of(app, operation)
            for name in sorted(filters_of(app, operation) & fields.keys()):
                schema = fields[name]
                values = {id(item): [*elements(item, name)] for item in items}
                known = [value for found in values.values() for value in found if value is not None]
                if not known:
                    without_value.add((template, name))
                    continue
                for value in {text_of(each): each for each in (known[0], known[-1])}.values():
                    have = [item for item in items if any(same(value, each) for each in values[id(item)])]
                    lack = [item for item in items if item not in have]
                    for operator, wanted in (("", have), ("__in", have), ("__ne", lack)):
                        if operator == "__in" and schema.get("type") == "boolean":
                            continue
                        found = await page(admin, path, **{name + operator: quoted(value, operator)})
                        if keys(found) != keys(wanted):
                            wrong.append((template, name + operator, value, len(found), len(wanted)))
                if (never := nobodys(schema, name)) and await page(admin, path, **{name: never}):
                    wrong.append((template, name, never))

    assert wrong == []
    assert without_value == NO_VALUE_EVER


def quoted(value: Any, operator: str) -> str:
    text = text_of(value)
    return '"' + text.replace('"', '""') + '"' if operator == "__in" and "," in text else text


def keys(items: list[Json]) -> set[str]:
    return {str(item.get("id") or item.get("code") or item["created_at"] + str(item.get("changes"))) for item in items}


async def test_every_field_with_one_value_sorts_and_what_has_none_comes_last(app: FastAPI, world: World) -> None:
    wrong = []
    async with world.client("admin") as admin:
        for template, operation in lists(app).items():
            path = world.path(template)
            items = await page(admin, path)
            (sort,) = (each for each in operation["parameters"] if each["name"] == "sort")
            also = re.findall(r"`(\w+)`, too", sort["description"])  # some clients would take it for another
            offered = {*sort["schema"]["items"]["enum"], *also, *(f"-{name}" for name in also)}
            filters = filters_of(app, operation)
            for name, schema in fields_of(app, operation).items():
                if name not in filters or any(is_list(item, name) for item in items):
                    continue
                if not {name, f"-{name}"} <= offered:
                    wrong.append((template, name, "is not offered"))
                    continue
                for sign in ("", "-"):
                    found = await page(admin, path, sort=sign + name)
                    values = [next(elements(item, name)) for item in found]
                    present = [value for value in values if value is not None]
                    if keys(found) != keys(items):
                        wrong.append((template, sign + name, "loses some"))
                    if None in values[: len(present)] and (template, name) not in NAMELESS:
                        wrong.append((template, sign + name, "nulls are not last"))
                    is_plain = schema.get("type") in {"integer", "number", "boolean"}
                    if is_plain and present != sorted(present, reverse=sign == "-"):
                        wrong.append((template, sign + name, present))
    assert wrong == []


NAMELESS = {("/users", "name"), ("/chat/assignees", "name"), ("/chats", "waiting_since")}
"""A person without a name has an empty one, in the order of people; those who don't wait come after those who do."""


async def test_every_text_that_people_read_is_searched_to_its_letters(app: FastAPI, world: World) -> None:
    wrong = []
    looked = 0
    async with world.client("admin") as admin:
        for template, operation in lists(app).items():
            path = world.path(template)
            items = await page(admin, path)
            filters = filters_of(app, operation)
            for name, schema in fields_of(app, operation).items():
                if schema.get("type") != "string" or {"format", "enum", "const", "pattern"} & schema.keys():
                    continue
                if {name, name.rpartition(".")[2]} & NO_TEXT_OF_PEOPLE or name not in filters:
                    continue
                for item in items:
                    words = [word for value in elements(item, name) if value for word in str(value).split()]
                    if not words or words[0].replace(".", "").isdigit():
                        continue
                    looked += 1
                    for asked in ({"search": words[0][:64]}, {"search": words[0][:1], "search_fields": name}):
                        answer = await admin.get(path, params=asked | {"size": "100"})
                        if answer.status_code != 200 or keys([item]) - keys(answer.json()["items"]):
                            wrong.append((template, asked, answer.text[:300]))
                    break
    assert wrong == []
    assert looked >= 35


async def test_what_one_may_not_see_is_no_filter(world: World, client: httpx2.AsyncClient) -> None:
    """The public and customers ask for the fields that only staff are shown."""
    async with world.client("customer") as customer:
        for someone in (client, customer):
            for asked in ("email=till@example.com", "email__contains=till", "search_fields=email&search=till"):
                answer = await someone.get(f"/shops?{asked}")
                assert answer.status_code == 422, asked
            assert (await someone.get("/shops?search=till")).json()["total"] == 0


async def test_every_field_is_of_a_kind_with_values(listings: dict[str, Listing]) -> None:
    fields = [field for listing in listings.values() for field in listing.fields.values()]

    assert sum(isinstance(field, ColumnField) for field in fields) > 180
