"""Every route × every field of its body × every kind of actor, against the table in authorization.txt.

The fields come from the OpenAPI document, the sockets from the application: what the table doesn't decide about fails.
To add to it: give the new field a value in VALUES (or in VALUES_OF for one route), run this file with
CREMA_WRITE_AUTHORIZATION=1, which writes what happens into the table, and read the difference: it is the review.
A new permission is an actor of its own by itself; a new kind of person is one line in factories/world.py, and so is
what a new parameter of a path speaks of. A table that refusals may write to is named in COUNTERS.
"""

import asyncio
import json
import os
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
from fastapi import FastAPI
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed

from crema.core.errors import ForbiddenError
from crema.db.session import Sessions, commit_now
from crema.live.hub import Batch, Subscription
from crema.orders.models import Order
from crema.orders.service import changes
from crema.support.service import limits
from crema.web.docs import Documents
from crema.web.state import state_of
from factories.content import content
from factories.orders import make_shop
from factories.pictures import png
from factories.workbooks import XLSX, make_workbook
from factories.world import ACTORS, World, make_people, make_world
from fixtures.app import http_routes
from fixtures.live import WAIT_SECONDS, Town
from fixtures.server import http_client

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]

FILE: Final = Path(__file__).parent / "authorization.txt"
UNDOCUMENTED: Final = {
    "GET /",
    "GET /docs",
    "GET /docs/live",
    "GET /asyncapi.json",
    "GET /redoc",
    "GET /mailbox",
    "GET /mailbox.json",
    "GET /.well-known/security.txt",
}
"""Pages for people, which are public and hold nothing personal, but for the mailbox, which only development has."""
NO_BODY, EMPTY, OPEN, TAKEN = "(no body)", "{}", "open", "taken"
ORDER: Final = "PATCH /order/{order_id}"

Outcomes = Mapping[str, str]
"""Actor → status, or what a socket answers: `open` or `taken`, the code of an error, or the code it is closed with."""


# What is sent.

VALUES: Final[dict[str, Any]] = {
    "address": "Улица, 2",
    "allergens": ["milk"],
    "allergens_always": ["milk"],
    "alt": "Латте",
    "attachment_id": "{attachment_id}",
    "auto_accept": False,
    "category_id": "{category_id}",
    "category_ids": ["{category_id}"],
    "client_id": "phone-1",
    "code": "000000",
    "comment": "Без крышки",
    "current_password": "not my password",
    "customer_id": "{user_id}",
    "customer_name": "Пётр",
    "delay_minutes": 10,
    "description": "x",
    "dry_run": False,
    "email": "new@example.com",
    "exceptions": [{"weekday": 0, "from": "08:00", "to": "10:00", "seconds_per_slot": 600}],
    "expected_total": "250.00",
    "file": ("latte.png", png(), "image/png"),
    "free_quantity": 1,
    "hours": [],
    "ingredient_ids": ["{ingredient_id}"],
    "is_active": False,
    "is_made": False,
    "is_sold": False,
    "items": [{"product_id": "{product_id}"}],
    "kind": "product",
    "last_order_minutes": 10,
    "latitude": 55.75,
    "lead_seconds": 60,
    "longitude": 37.61,
    "max_choices": 1,
    "min_choices": 0,
    "minutes": 10,
    "modifier_group_ids": ["{group_id}"],
    "modifier_groups": [{"group_id": "{group_id}"}],
    "name": "Новое",
    "new_password": "oat milk please",
    "note": "Погорячее",
    "nutrition": {"energy_kcal": 1, "proteins_g": 1, "fats_g": 1, "carbohydrates_g": 1},
    "old_password": "not my password",
    "options": [{"option_id": "{cow}"}],
    "order_id": "{order_id}",
    "order_ids": ["{order_id}"],
    "parent_id": None,
    "password": "oat milk please",
    "payment_method": "on_pickup",
    "percent": "5.0",
    "permissions": ["orders:read"],
    "phone": "+79161234567",
    "pickup_at": "2026-11-24T09:00:00Z",
    "pickup_name": "Кот Матроскин",
    "position": 3,
    "preparation_seconds": 60,
    "price": "310.00",
    "price_delta": "60.00",
    "prices": [{"product_id": "{product_id}", "price": "310.00"}],
    "product_id": "{product_id}",
    "product_ids": ["{product_id}"],
    "quantity": 2,
    "quote_id": None,
    "reason": "Не успеваем",
    "refresh_token": "x" * 43,
    "registration_id": "x" * 43,
    "role": "barista",
    "round_to": "10.00",
    "schedule": [{"weekdays": [0], "from": "07:00", "to": "11:00"}],
    "seconds_per_slot": 600,
    "seen_seq": 0,
    "seq": 1,
    "serves_all_shops": False,
    "shop_id": "{shop_id}",
    "shop_ids": ["{shop_id}"],
    "size_id": "{size}",
    "sizes": [{"name": "M"}],
    "slot_minutes": 10,
    "slug": "new",
    "source": "counter",
    "special_days": [],
    "state": "busy",
    "status": "accepted",
    "stock": 12,
    "target_id": "{product_id}",
    "text": "Где мой латте?",
    "timezone": "Europe/Moscow",
    "until": "2026-11-24T09:00:00Z",
    "username": "new@example.com",
}
"""A good value of each field, whatever route takes it; what stands in braces is looked up in the world."""
VALUES_OF: Final[dict[tuple[str, str], Any]] = {
    ("POST /access", "client_id"): "swagger",
    ("POST /access", "client_secret"): "x",
    ("POST /access", "grant_type"): "password",
    ("POST /access", "scope"): "",
    ("POST /chat/{conversation_id}/attachments", "file"): ("receipt.pdf", b"%PDF-1.7\n", "application/pdf"),
    ("POST /modifier-group", "options"): [{"name": "Да"}],
    ("PUT /modifier-group/{group_id}", "options"): [{"name": "Да"}],
    ("PATCH /modifier-group/{group_id}", "options"): [{"name": "Да"}],
    ("POST /order/{order_id}/arrival", "state"): "late",
    ("POST /menu/import", "file"): ("menu.xlsx", make_workbook({"ingredients": [("name",), ("Новое",)]}), XLSX),
    ("POST /menu/import", "categories"): [{"slug": "new", "name": "Новое"}],
    ("POST /menu/import", "ingredients"): [{"name": "Новое"}],
    ("POST /menu/import", "modifier_groups"): [{"name": "Новое"}],
    ("POST /menu/import", "products"): [{"slug": "new", "name": "Новое", "price": "310.00"}],
    ("PATCH /chat/{conversation_id}", "status"): "resolved",
    ("PATCH /chat/{conversation_id}", "assigned_to"): "{assignee}",
}
ALONG: Final[dict[str, tuple[str, ...]]] = {
    "PATCH /shop/{shop_id}/status": ("state", "delay_minutes"),
    "POST /order": ("shop_id", "items"),
    "POST /quote": ("shop_id", "items"),
    "POST /order/{order_id}/arrival": ("state", "minutes"),
    "category_id": ("percent",),
    "round_to": ("percent",),
    "POST /products/prices product_ids": ("percent",),
    "POST /chat/{conversation_id}/messages": ("text",),
    "POST /chats": ("customer_id", "text"),
    "customer_name": ("source",),
    "source": ("customer_name",),
    "seen_seq": ("status",),
    "POST /modifier-group": ("options",),
    "PUT /modifier-group/{group_id}": ("options",),
    "latitude": ("longitude",),
    "longitude": ("latitude",),
}
"""What is sent along with each field of a route, a field of any, or one of one route, beside what it requires."""


class Bodies:
    """The bodies of an application's routes, as its OpenAPI document describes them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]
        self.of = {
            f"{method.upper()} {path}": operation.get("requestBody", {}).get("content", {})
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method in {"get", "post", "put", "patch", "delete"}
        }

    def labels(self, route: str) -> dict[str, str]:
        """Give a route's fields as the table names them, with those inside: `hours(closes_at opens_at weekday)`."""
        return {name: label for kind in self.kinds(route) for name, label in self._labels(route, kind).items()}

    def labels_by_kind(self, route: str) -> dict[str, dict[str, str]]:
        """Give the same by how they are sent: json, data or files."""
        return {kind: self._labels(route, kind) for kind in self.kinds(route)}

    def required(self, route: str, kind: str) -> list[str]:
        return [*self._resolved(self.kinds(route)[kind]).get("required", ())]

    def kinds(self, route: str) -> dict[str, Any]:
        """Tell how a body may be sent, and the schema of each: json, data or files."""
        return {
            "files" if "multipart" in media_type else "data" if "form" in media_type else "json": content["schema"]
            for media_type, content in self.of[route].items()
        }

    def _labels(self, route: str, kind: str) -> dict[str, str]:
        properties = self._properties(self.kinds(route)[kind])
        return {name: self._label(name, schema, ()) for name, schema in properties.items()}

    def _resolved(self, schema: Any) -> Any:
        while "$ref" in schema or "anyOf" in schema or "items" in schema:
            if "$ref" in schema:
                schema = self._schemas[schema["$ref"].rpartition("/")[2]]
            elif "anyOf" in schema:
                schema = next((each for each in schema["anyOf"] if each.get("type") != "null"), {})
            else:
                schema = schema["items"]
        return schema

    def _properties(self, schema: Any) -> dict[str, Any]:
        """Give what may be written. What a PUT takes only as it is (`readOnly`) is tests/test_round_trip.py's."""
        properties: dict[str, Any] = self._resolved(schema).get("properties", {})
        return {name: each for name, each in properties.items() if not each.get("readOnly")}

    def _label(self, name: str, schema: Any, above: tuple[str, ...]) -> str:
        inside = {} if name in above else self._properties(schema)
        names = " ".join(self._label(each, below, (*above, name)) for each, below in sorted(inside.items()))
        return f"{name}({names})" if names else name


def filled(value: Any, world: World) -> Any:
    """Put what the world holds into the braces."""
    match value:
        case str():
            known = world.ids | world.more | {"assignee": world.people["support"].id}
            return re.sub(r"{(\w+)}", lambda match: str(known[match[1]]), value)
        case list():
            return [filled(each, world) for each in value]
        case dict():
            return {name: filled(each, world) for name, each in value.items()}
    return value


def requests_of(route: str, bodies: Bodies, world: World) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Give each request that is to be tried on a route, and what the table calls it: one a field, and an empty one."""
    if not bodies.labels(route):
        yield [NO_BODY], {}
        return
    for number, (kind, labels) in enumerate(bodies.labels_by_kind(route).items()):
        required = bodies.required(route, kind)

        def body(*fields: str, kind: str = kind, required: Sequence[str] = required) -> dict[str, Any]:
            names = dict.fromkeys((*required, *ALONG.get(route, ()), *fields))
            for name in [*fields]:
                names |= dict.fromkeys((*ALONG.get(name, ()), *ALONG.get(f"{route} {name}", ())))
            sent = {name: filled(VALUES_OF.get((route, name), VALUES.get(name)), world) for name in names}
            if kind != "files":
                return {kind: sent}
            return {"files": {"file": sent.pop("file")}, "data": sent}

        if number == 0:
            yield [EMPTY], {kind: {}} if kind == "json" else {}
        if required:
            yield [labels[name] for name in required], body()
        for name, label in labels.items():
            if name not in required:
                yield [label], body(name)


# The table.


def read_table() -> dict[str, dict[str, Outcomes]]:
    """Read route → label → outcomes."""
    decided: dict[str, dict[str, Outcomes]] = {}
    for line in FILE.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            route = line.strip()
            decided[route] = {}
            continue
        names, _, outcomes = line.strip().partition(": ")
        for label in split_labels(names):
            decided[route][label] = parse_outcomes(outcomes)
    return decided


def split_labels(names: str) -> Iterator[str]:
    """Read `name hours(weekday opens_at)` as two."""
    label, depth = "", 0
    for character in f"{names} ":
        depth += (character == "(") - (character == ")")
        if character == " " and depth == 0:
            yield label
            label = ""
        else:
            label += character


def groups() -> dict[str, tuple[str, ...]]:
    """Read the names that stand for several actors."""
    lines = re.findall(r"^# `(\S+)` = (.+)$", FILE.read_text(), re.MULTILINE)
    return {name: tuple(members.split()) for name, members in lines}


def parse_outcomes(line: str) -> Outcomes:
    """Read `200 admin | 401 nobody | 403 rest`."""
    known, found, rest = groups(), {}, ""
    for part in line.split(" | "):
        outcome, *names = part.split()
        for name in names:
            if name == "rest":
                rest = outcome
            else:
                found |= dict.fromkeys(known.get(name, (name,)), outcome)
    return {actor: found.get(actor, rest) for actor in ACTORS}


def write_outcomes(outcomes: Outcomes) -> str:
    """Write what `parse_outcomes` reads: the outcome of the most is the rest's."""
    by_outcome: dict[str, list[str]] = defaultdict(list)
    for actor in ACTORS:
        by_outcome[outcomes[actor]].append(actor)
    most = max(by_outcome, key=lambda outcome: len(by_outcome[outcome]))
    if len(by_outcome[most]) == 1:
        most = ""
    parts = [
        f"{outcome} {' '.join(_grouped(by_outcome[outcome]))}" for outcome in sorted(by_outcome) if outcome != most
    ]
    return " | ".join([*parts, *([f"{most} rest"] if most else [])])


def _grouped(actors: Iterable[str]) -> list[str]:
    names = [*actors]
    for group, members in groups().items():
        if {*members} <= {*names}:
            names = [group, *(name for name in names if name not in members)]
    return names


def write_route(route: str, outcomes: Mapping[str, Outcomes]) -> str:
    """Write a route's lines: what turns out alike for everybody shares one."""
    labels: dict[str, list[str]] = defaultdict(list)
    for label, each in outcomes.items():
        labels[write_outcomes(each)].append(label)
    return "\n".join([route, *(f"  {' '.join(names)}: {line}" for line, names in labels.items())])


def write_table(observed: Mapping[str, Mapping[str, Outcomes]]) -> None:
    """Write what happens, in the order and under the headings of the file; new routes come last."""
    header, *blocks = re.split(r"\n(?=# --- |\S+ /)", FILE.read_text())
    known = {block.splitlines()[0]: block for block in blocks}
    lines = [header]
    for first, block in known.items():
        gap = "\n" * (len(block) - len(block.rstrip("\n")))
        if first.startswith("#"):
            lines.append(block)
        elif first in observed:
            lines.append(write_route(first, observed[first]) + gap)
    new = [write_route(route, observed[route]) for route in observed if route not in known]
    FILE.write_text("\n".join([line.rstrip(" ") for line in lines] + new).rstrip("\n") + "\n")


TABLE: Final = read_table()
SECTIONS: Final = {
    section.splitlines()[0]: [
        line for line in section.splitlines()[1:] if re.match(r"(GET|POST|PUT|PATCH|DELETE) ", line)
    ]
    for section in re.split(r"^# --- ", FILE.read_text(), flags=re.MULTILINE)[1:]
}


# What is there.


def routes_of(app: FastAPI) -> set[str]:
    documented = {*Bodies(app.openapi()).of}
    hidden = {
        f"{method} {route.path}"
        for route in http_routes(app)
        for method in route.methods or ()
        if not route.include_in_schema
    }
    sockets = {
        f"WS {channel['address']}" for channel in state_of(app, Documents).asyncapi().content["channels"].values()
    }
    sockets |= {f"WS {route.path}" for route in app.routes if isinstance(route, WebSocketRoute)}
    return documented | sockets | (hidden - {"GET /openapi.json"})


def fields_of(app: FastAPI) -> dict[str, set[str]]:
    bodies = Bodies(app.openapi())
    return {route: {EMPTY, *labels.values()} if (labels := bodies.labels(route)) else {NO_BODY} for route in bodies.of}


async def test_a1_the_table_names_every_route_and_no_other(app: FastAPI) -> None:
    assert routes_of(app) - UNDOCUMENTED == {*TABLE}


async def test_a1_the_table_decides_about_every_field_of_every_body(app: FastAPI) -> None:
    decided = {route: {*labels} for route, labels in TABLE.items() if not route.startswith("WS ")}

    assert decided == fields_of(app)


async def test_a1_the_table_decides_about_every_field_of_every_frame(app: FastAPI) -> None:
    decided = {route: {*labels} for route, labels in TABLE.items() if route.startswith("WS ")}

    assert decided == {route: {NO_BODY, *frames} for route, frames in frames_of(app).items()}


async def test_a1_every_field_has_a_value_to_try(app: FastAPI) -> None:
    bodies = Bodies(app.openapi())

    untried = [
        f"{route} {name}"
        for route in bodies.of
        for name in bodies.labels(route)
        if name not in VALUES and (route, name) not in VALUES_OF
    ]

    assert untried == [], "\n".join(untried)


# What happens.

COUNTS: Final = {
    "POST /access", "POST /authentication", "POST /verification", "POST /password/change", "POST /password/reset"
}  # fmt: skip
"""Routes whose refusals are counted, so that each is undone lest the next be one too many."""
COUNTERS: Final = {"audit_events", "one_time_codes", "throttles"}
"""Tables that a refusal may write to: what is counted, or written down, against those who try."""

_CONTENT: Final = content(but=COUNTERS)
"""All there is in the tables, but for what counts."""


@pytest.fixture(autouse=True)
def _without_the_chat_s_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one person ask more often than five times a second: the clock stands still here."""
    monkeypatch.setattr(limits, "REQUESTS_A_SECOND", 10_000)


@pytest.fixture
def connection(sessions: Sessions) -> AsyncConnection:
    connection = sessions.kw["bind"]
    assert isinstance(connection, AsyncConnection)
    return connection


@pytest.fixture
def finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the live feed end after its snapshot."""

    updates = Subscription.updates

    async def first_updates(self: Subscription, **options: float) -> AsyncIterator[Sequence[Batch]]:
        yield await anext(updates(self, **options))

    monkeypatch.setattr(Subscription, "updates", first_updates)


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    return await make_world(app, sessions)


async def observe(
    route: str,
    *,
    world: World,
    bodies: Bodies,
    connection: AsyncConnection,
    expected: Mapping[str, Outcomes] = MappingProxyType({}),
) -> dict[str, Outcomes]:
    """Send every request of a route as everybody; what is refused must change nothing.

    Nothing has to be undone where a refusal is expected, so that what refusals change adds up until it is looked at.
    """
    method, template = route.split()
    clients = {actor: world.client(actor) for actor in ACTORS}
    observed: dict[str, Outcomes] = {}
    before = await connection.scalar(_CONTENT)
    for labels, request in requests_of(route, bodies, world):
        outcomes, texts = {}, set()
        for actor, client in clients.items():
            wanted = expected.get(labels[0], {}).get(actor, "")
            savepoint = None if wanted >= "4" and route not in COUNTS else await connection.begin_nested()
            response = await client.request(method, world.path(template), **request)
            outcomes[actor] = str(response.status_code)
            if savepoint is None:
                assert response.status_code >= 400, f"{route} {labels}: {actor} got {outcomes[actor]}, not {wanted}"
            elif response.status_code >= 400 and route not in COUNTS:
                await savepoint.commit()
            else:
                assert response.status_code < 400 or await connection.scalar(_CONTENT) == before, (labels, actor)
                await savepoint.rollback()
            if response.status_code == 404:
                texts.add(response.json()["detail"])
        assert await connection.scalar(_CONTENT) == before, f"{route} {labels}: a refused request changed something"
        assert len(texts) <= 1, "someone else's must read like what doesn't exist"
        observed |= dict.fromkeys(labels, outcomes)
    for client in clients.values():
        await client.aclose()
    return observed


@pytest.mark.usefixtures("finite")
@pytest.mark.parametrize("section", SECTIONS)
async def test_a1_a3_a4_a6_each_actor_gets_what_the_table_says_and_a_refusal_changes_nothing(
    app: FastAPI, world: World, connection: AsyncConnection, section: str
) -> None:
    bodies, wrong = Bodies(app.openapi()), []

    for route in SECTIONS[section]:
        expected = TABLE[route]
        observed = await observe(route, world=world, bodies=bodies, connection=connection, expected=expected)
        if observed != expected:
            wrong.append(write_route(route, observed))

    assert not wrong, "the table says otherwise; this is what happens:\n" + "\n".join(wrong)


@pytest.mark.usefixtures("finite")
@pytest.mark.skipif("CREMA_WRITE_AUTHORIZATION" not in os.environ, reason="writes the table")
async def test_write_the_table(app: FastAPI, world: World, connection: AsyncConnection, unlimited_town: Town) -> None:
    bodies = Bodies(app.openapi())
    routes = [route for route in [*TABLE, *bodies.of] if route in bodies.of]
    observed = {
        route: await observe(route, world=world, bodies=bodies, connection=connection)
        for route in dict.fromkeys(routes)
    }

    write_table(observed | await observe_sockets(unlimited_town))


def frames_of(app: FastAPI) -> dict[str, dict[str, dict[str, Any]]]:
    """Give what clients may send on each socket, as the AsyncAPI document describes it: a frame for each field."""
    document = state_of(app, Documents).asyncapi().content
    schemas, found = document["components"]["schemas"], {}
    for operation in document["operations"].values():
        if operation["action"] == "receive":
            channel = document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
            names = [each["$ref"].rpartition("/")[2] for each in operation["messages"]]
            found[f"WS {channel['address']}"] = dict(each for name in names for each in _frames(schemas[name]))
    return found


def _frames(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    type_, required = schema["properties"]["type"]["const"], [*schema["required"]]
    fields = [name for name in schema["properties"] if name != "type"]
    for name in fields or [""]:
        names = dict.fromkeys([*required, *([name] if name else [])])
        frame = {each: type_ if each == "type" else FRAME_VALUES[each] for each in names}
        if type_ == "message":  # a text or an attachment: another message each, so with a name of its own
            frame |= {"client_id": "phone-2"} if name == "attachment_id" else {"text": FRAME_VALUES["text"]}
        yield f"{type_}.{name}" if name else type_, frame


FRAME_VALUES: Final = {
    "attachment_id": "01a2074f-26f7-7216-8892-26d298d63ed0",
    "client_id": "phone-1",
    "conversation_id": "{conversation_id}",
    "seq": 0,
    "text": "Где мой латте?",
    "ticket": "x" * 43,
    "token": "x" * 43,
}
"""A value of each field of clients' frames; what is added there fails until it has one."""


async def observe_sockets(town: Town) -> dict[str, dict[str, Outcomes]]:
    """Try every socket as everybody, on a started server."""
    near, far = [await make_shop(town.sessions, slug=f"{name}-{os.urandom(4).hex()}") for name in ("near", "far")]
    people = await make_people(town.app, near=near, far=far)
    there = World(town.app, {}, people)
    async with http_client(base_url=town.servers[0].url, headers=there.headers("customer")) as client:
        conversation = (await client.post("/chat", json={"shop_id": str(near)})).json()
    there.ids = {"conversation_id": conversation["id"]}
    sockets = sorted(route for route in routes_of(town.app) if route.startswith("WS "))
    frames = frames_of(town.app)
    observed: dict[str, dict[str, Outcomes]] = {}
    for route in sockets:
        path = route.split()[1]
        sent = {label: filled(frame, there) for label, frame in frames[route].items()}
        answered = {actor: await try_socket(town, there, actor, path, sent) for actor in ACTORS}
        observed[route] = {
            label: {actor: labels[label] for actor, labels in answered.items()} for label in (NO_BODY, *sent)
        }
    return observed


async def try_socket(town: Town, there: World, actor: str, path: str, frames: Mapping[str, Any]) -> dict[str, str]:
    """Connect, by header or cookies as the actor does, and send each frame; return by label how that was answered.

    That is, for the connection itself, whether it opened; for a frame, whether it was taken, or the code of the error.
    What has no answer because the connection was closed has the code of that.
    """
    server = town.servers[0]
    headers = there.headers(actor)
    headers.pop("Origin", None)
    url = server.url.replace("http", "ws", 1) + there.path(path)
    answers: dict[str, str] = {}
    async with connect_socket(url, additional_headers=headers, compression=None, proxy=None) as socket:
        if "Authorization" not in headers:
            await socket.send('{"type": "auth", "token": ""}')
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await socket.recv()
                answers[NO_BODY] = OPEN
                for label, frame in frames.items():
                    answers[label] = await answer_to(socket, frame)
        except ConnectionClosed:
            return dict.fromkeys((NO_BODY, *frames), str(socket.close_code)) | answers
    return answers


async def answer_to(socket: ClientConnection, frame: Mapping[str, Any]) -> str:
    """Send a frame, then a ping: what has no answer until the ping has its own is taken."""
    code = TAKEN
    for each in (frame, {"type": "ping"}):
        await socket.send(json.dumps(each))
    pongs = 2 if frame["type"] == "ping" else 1
    while pongs:
        answer = json.loads(await socket.recv())
        pongs -= answer["type"] == "pong"
        if answer["type"] == "error":
            code = str(answer["code"])
    return code


async def test_a1_a5_each_actor_gets_into_the_sockets_of_the_table(unlimited_town: Town) -> None:
    observed = await observe_sockets(unlimited_town)

    assert observed == {route: labels for route, labels in TABLE.items() if route.startswith("WS ")}


async def test_twin_without_its_guard_an_order_moves_for_whoever_sees_it(
    app: FastAPI, world: World, connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_check_role", lambda _: None)

    observed = await observe(ORDER, world=world, bodies=Bodies(app.openapi()), connection=connection)

    wrong = {actor for actor in ACTORS if observed["pickup_at"][actor] != TABLE[ORDER]["pickup_at"][actor]}
    assert {"support", "support-near", "only:orders:read"} <= wrong


async def test_twin_a_refusal_that_writes_is_noticed(
    app: FastAPI, world: World, connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def change(session: AsyncSession, **_: object) -> None:
        await session.execute(update(Order).values(comment="x"))
        await commit_now(session)
        raise ForbiddenError

    monkeypatch.setattr(changes, "change", change)

    with pytest.raises(AssertionError, match="a refused request changed something"):
        await observe(ORDER, world=world, bodies=Bodies(app.openapi()), connection=connection)


async def test_a11_no_answer_shape_holds_a_secret(app: FastAPI) -> None:
    schemas: dict[str, Any] = app.openapi()["components"]["schemas"]
    secret = re.compile(r"hash|secret|^code$|^password$", re.IGNORECASE)
    inputs = {name for name in schemas if not name.endswith("Out")}

    leaks = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        if name not in inputs
        for field in schema.get("properties", {})
        if secret.search(field) and name not in {"PermissionOut", "ItemProblemOut", "MoveProblemOut"}
    ]

    assert leaks == []
