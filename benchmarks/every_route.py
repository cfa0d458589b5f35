"""Every GET of the API and every hot write: CPU per request of server and PostgreSQL, so that nothing slow hides.

Paths come from the application's OpenAPI: a GET without a case here ends the run, as does a case without a route.
"""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import psycopg
from argon2 import PasswordHasher
from data import LOGINS, REGULARS, USUAL, Chain, id_of, started
from measuring import LEAST_REQUESTS, MACHINE, Measured, Request, Target, crema, load, settings_of
from peer_servers import ORM, headers_of, served
from PIL import Image
from results import QUICK, keep, record

from fixtures.server import running

SECONDS: Final = 0.25 if QUICK else 1
CONNECTIONS: Final = 4
ONCE: Final = 100 if QUICK else 200
"""Requests of what can be done once only, such as to cancel an order."""
LOGINS_MADE: Final = 75 if QUICK else 150
YARDSTICK: Final = "GET /product/{product_id}"
PASSWORD: Final = "a benchmark's own pass phrase"  # noqa: S105 - of people made here
OF_LISTS: Final = ("GET /me", "GET /order/{order_id}", "GET /shop/{shop_id}", "GET /orders", "GET /users", "GET /chats")
GOALS: Final = (*OF_LISTS, "GET /chat/{conversation_id}/messages")
LEFT_OUT: Final = {
    "GET /orders/live": "a stream that doesn't end: see Live",
}
CHATS: Final = min(USUAL.chats, LOGINS)


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of us, and of the ORM peer where it has the route. `once`: each request can be sent once only."""

    ours: Sequence[Request]
    orm: Sequence[Request] = ()
    note: str = ""
    once: bool = False


@dataclass(frozen=True, slots=True)
class Ids:
    """Of what was made over HTTP before."""

    picture: str
    attachment: str
    role: str
    cart_items: Mapping[str, str]
    refresh_tokens: Sequence[str]


class Cases:
    """What every route is asked, as whom."""

    def __init__(self, chain: Chain, ids: Ids) -> None:
        self._ids = ids
        self._customers = chain.customers()
        self._mine = [person.headers for person in self._customers]
        self._theirs = [headers_of(person) for person in self._customers]
        self._admin = chain.person("admin").headers
        self._admin_there = headers_of(chain.person("admin"))

    def all(self) -> dict[str, list[Case]]:
        """Give them by method and path."""
        return {**self._public(), **self._personal(), **self._of_staff(), **self._writes()}

    def _open(self, *paths: str, orm: bool = False) -> Case:
        asked = [{"path": path} for path in paths]
        return Case(asked, asked if orm else ())

    def _staff(self, *paths: str, orm: bool = False, note: str = "") -> Case:
        asked = [{"path": path, "headers": self._admin} for path in paths]
        there = [{"path": path, "headers": self._admin_there} for path in paths]
        return Case(asked, there if orm else (), note)

    def _each(self, path: Callable[[int], str], count: int = LOGINS, *, orm: bool = False, note: str = "") -> Case:
        """Ask as one customer after another."""
        asked = [{"path": path(number), "headers": self._mine[number]} for number in range(count)]
        there = [{"path": path(number), "headers": self._theirs[number]} for number in range(count)]
        return Case(asked, there if orm else (), note)

    def _public(self) -> dict[str, list[Case]]:
        products = [f"/product/{id_of(f'product{number}')}" for number in range(USUAL.products)]
        return {
            YARDSTICK: [self._open(*products, orm=True)],
            "GET /products": [self._open("/products", orm=True)],
            "GET /menu": [self._open("/menu")],
            "GET /categories": [self._open("/categories")],
            "GET /category/{category_id}": [self._open(*(f"/category/{id_of(f'category{n}')}" for n in range(20)))],
            "GET /ingredients": [self._open("/ingredients")],
            "GET /ingredient/{ingredient_id}": [
                self._open(*(f"/ingredient/{id_of(f'ingredient{n}')}" for n in range(40)))
            ],
            "GET /shops": [self._open("/shops")],
            "GET /shop/{shop_id}": [self._open(f"/shop/{id_of('shop')}", orm=True)],
            "GET /info": [self._open("/info")],
            "GET /media/{name}": [self._open(self._ids.picture)],
            "GET /csrf": [self._open("/csrf")],
            "GET /health/live": [self._open("/health/live")],
            "GET /health/ready": [self._open("/health/ready")],
            "GET /metrics": [self._open("/metrics")],
        }

    def _personal(self) -> dict[str, list[Case]]:
        """Of customers. Regular `n` placed the orders 2n, 2n + 400 and so on."""
        return {
            "GET /me": [self._each(lambda _: "/me", orm=True)],
            "GET /cart": [self._each(lambda _: "/cart", ONCE)],
            "GET /sessions": [self._each(lambda _: "/sessions")],
            "GET /user/{user_id}": [self._each(lambda number: f"/user/{id_of(f'user{number}')}")],
            "GET /orders": [
                self._each(lambda _: "/orders", REGULARS, orm=True, note="one's own"),
                self._staff("/orders", orm=True, note="everybody's, as an administrator"),
            ],
            "GET /order/{order_id}": [
                self._each(lambda number: f"/order/{id_of(f'order{number * 2}')}", REGULARS, orm=True)
            ],
            "GET /order/{order_id}/history": [
                self._each(lambda number: f"/order/{id_of(f'order{number * 2}')}/history", REGULARS)
            ],
            "GET /chat/{conversation_id}": [self._each(lambda number: f"/chat/{id_of(f'chat{number}')}", CHATS)],
            "GET /chat/{conversation_id}/messages": [
                Case(
                    [
                        {"path": f"/chat/{id_of(f'chat{number}')}/messages", "headers": self._mine[number]}
                        for number in range(0, CHATS, 100)
                    ],
                    [
                        {"path": f"/chat/{id_of(f'chat{number}')}/messages", "headers": self._theirs[number]}
                        for number in range(0, CHATS, 100)
                    ],
                )
            ],
            "GET /chat/{conversation_id}/attachment/{attachment_id}": [
                Case([{"path": self._ids.attachment, "headers": self._mine[0]}])
            ],
        }

    def _of_staff(self) -> dict[str, list[Case]]:
        chats = [f"/chat/{id_of(f'chat{number}')}" for number in range(0, CHATS, 100)]
        groups = [f"/modifier-group/{id_of(f'group{number}')}" for number in range(10)]
        month = "from=2020-01-01&to=2020-01-31"
        return {
            "GET /users": [self._staff("/users", orm=True)],
            "GET /chats": [self._staff("/chats", orm=True)],
            "GET /chat/assignees": [self._staff("/chat/assignees")],
            "GET /chat/{conversation_id}/notes": [self._staff(*(f"{chat}/notes" for chat in chats))],
            "GET /mails": [self._staff("/mails")],
            "GET /modifier-groups": [self._staff("/modifier-groups")],
            "GET /modifier-group/{group_id}": [self._staff(*groups)],
            "GET /permissions": [self._staff("/permissions")],
            "GET /roles": [self._staff("/roles")],
            "GET /role/{role_id}": [self._staff(f"/role/{self._ids.role}")],
            "GET /menu/export": [self._staff("/menu/export", note="JSON")],
            "GET /reports/sales": [self._staff(f"/reports/sales?{month}", note="31 days")],
        }

    def _writes(self) -> dict[str, list[Case]]:
        items = [
            ({"product_id": id_of(f"product{number % USUAL.products}"), "quantity": 1}, number)
            for number in range(LOGINS)
        ]

        def post(path: str, body: Callable[[dict[str, Any]], object], **more: str) -> Case:
            return Case(
                [_write("POST", path, self._mine[number] | more, body(item)) for item, number in items],
                [_write("POST", path, self._theirs[number], body(item)) for item, number in items],
            )

        item_ids = [*self._ids.cart_items.items()]
        headers_by_id = {str(person.id): person.headers for person in self._customers}
        kept, dropped = item_ids[: len(item_ids) // 2], item_ids[len(item_ids) // 2 :]
        own, moved, cancelled = (self._placed(part) for part in range(3))
        texts = {"text": "Где мой латте?"}
        return {
            "POST /cart": [post("/cart", lambda item: item)],
            "PATCH /cart/{item_id}": [
                Case([_write("PATCH", f"/cart/{item}", headers_by_id[who], {"quantity": 2}) for item, who in kept])
            ],
            "DELETE /cart/{item_id}": [
                Case([_write("DELETE", f"/cart/{item}", headers_by_id[who]) for item, who in dropped], once=True)
            ],
            "POST /order": [
                post(
                    "/order",
                    lambda item: {"shop_id": id_of("shop"), "items": [item]},
                    **{"Idempotency-Key": "{new}"},
                )
            ],
            "PATCH /order/{order_id}": [
                Case([_write("PATCH", path, who, {"comment": "{new}"}) for path, who in own], note="a comment"),
                Case(
                    [_write("PATCH", path, self._admin, {"status": "accepted"}) for path, _ in moved],
                    note="a barista's move",
                    once=True,
                ),
            ],
            "POST /order/{order_id}/cancel": [
                Case([_write("POST", f"{path}/cancel", who, {}) for path, who in cancelled], once=True)
            ],
            "POST /chat/{conversation_id}/messages": [
                Case(
                    [
                        _write("POST", f"/chat/{id_of(f'chat{number}')}/messages", self._mine[number], texts)
                        for number in range(CHATS)
                    ]
                )
            ],
            "POST /chat/{conversation_id}/read": [
                Case(
                    [
                        _write("POST", f"/chat/{id_of(f'chat{number}')}/read", self._mine[number], {"seq": 2})
                        for number in range(CHATS)
                    ]
                )
            ],
            "PATCH /product/{product_id}": [
                Case(
                    [
                        _write(
                            "PATCH",
                            f"/product/{id_of(f'product{number}')}",
                            self._admin,
                            {"description": "{new}"},
                        )
                        for number in range(USUAL.products)
                    ]
                )
            ],
            "POST /refresh": [
                Case(
                    [_write("POST", "/refresh", {}, {"refresh_token": token}) for token in self._ids.refresh_tokens],
                    once=True,
                )
            ],
            "POST /authentication": [
                Case(
                    [
                        _write("POST", "/authentication", {}, {"email": f"user{n}@example.com", "password": PASSWORD})
                        for n in range(LOGINS_MADE)
                    ],
                    note="argon2",
                )
            ],
        }

    def _placed(self, part: int) -> list[tuple[str, dict[str, str]]]:
        """Give orders that were put back to `placed`, and whose they are."""
        return [
            (f"/order/{id_of(f'order{number * 2}')}", self._mine[number % REGULARS])
            for number in range(part * ONCE, (part + 1) * ONCE)
        ]


def _write(method: str, path: str, headers: Mapping[str, str], body: object = None) -> Request:
    return {"method": method, "path": path, "headers": headers, "body": body}


def prepare(server_url: str, database_url: str, chain: Chain) -> Ids:
    """Make what the data lack: a picture, an attachment, carts, orders that wait, logins."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        _write_rows(connection)
        with httpx2.Client(base_url=server_url, timeout=60) as client:
            picture = _upload(client, f"/product/{id_of('product0')}/images", chain.person("admin").headers)
            attachment = _upload(client, f"/chat/{id_of('chat0')}/attachments", chain.person("user0").headers)
            tokens = [_log_in(client, number) for number in range(LOGINS_MADE)]
        items = connection.execute(
            "SELECT cart_items.id::text, user_id::text FROM cart_items JOIN carts ON carts.id = cart_id"
        ).fetchall()
        (role,) = connection.execute("SELECT id::text FROM roles WHERE name = 'barista'").fetchone() or ("",)
    return Ids(next(iter(picture["urls"].values())), attachment["url"], role, dict(items), tokens)


def _write_rows(connection: psycopg.Connection) -> None:
    hashed = PasswordHasher().hash(PASSWORD)
    for number in range(LOGINS_MADE):
        connection.execute("UPDATE users SET password_hash = %s WHERE id = %s", [hashed, id_of(f"user{number}")])
    for number in range(3 * ONCE):
        connection.execute(
            "UPDATE orders SET status = 'placed', payment_status = 'pending', created_at = now(),"
            " pickup_at = now() + interval '1 hour', ready_estimate_at = now() + interval '1 hour' WHERE id = %s",
            [id_of(f"order{number * 2}")],
        )
    for number in range(2 * ONCE):
        connection.execute(
            "WITH cart AS (INSERT INTO carts (id, user_id) VALUES (gen_random_uuid(), %s) RETURNING id)"
            " INSERT INTO cart_items (id, cart_id, product_id, size_id, options, quantity, configuration)"
            " SELECT gen_random_uuid(), id, %s, %s, '[]', 1, 'x' FROM cart",
            [id_of(f"user{number}"), id_of(f"product{number + 1}"), id_of(f"size{number + 1}-0")],
        )


def _upload(client: httpx2.Client, path: str, headers: dict[str, str]) -> dict[str, Any]:
    image = io.BytesIO()
    Image.new("RGB", (960, 960), "#6f4e37").save(image, "JPEG")
    answer = client.post(path, files={"file": ("cup.jpg", image.getvalue())}, headers=headers)
    uploaded: dict[str, Any] = answer.raise_for_status().json()
    return uploaded


def _log_in(client: httpx2.Client, number: int) -> str:
    body = {"email": f"user{number}@example.com", "password": PASSWORD}
    token: str = client.post("/authentication", json=body).raise_for_status().json()["refresh_token"]
    return token


def check(cases: Mapping[str, Sequence[Case]], server_url: str) -> None:
    """Fail unless every GET has a case, and every case a route."""
    paths = httpx2.get(f"{server_url}/openapi.json", timeout=60).raise_for_status().json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    gets = {route for route in routes if route.startswith("GET ")}
    assert gets - cases.keys() - LEFT_OUT.keys() == set(), f"without a case: {gets - cases.keys() - LEFT_OUT.keys()}"
    assert (cases.keys() | LEFT_OUT.keys()) - routes == set(), f"without a route: {cases.keys() - routes}"


@dataclass(frozen=True, slots=True)
class Row:
    """A case, measured on us and on the peer."""

    route: str
    note: str
    ours: Measured
    orm: Measured | None


def rows_of(cases: Mapping[str, Sequence[Case]], ours: Target, orm: Target) -> tuple[list[Row], list[str]]:
    """Measure case after case; give also the routes that were refused."""
    rows, refused = [], []
    for route, several in cases.items():
        for case in several:
            print(f"{route} {case.note}", flush=True)
            try:
                measured = _measured(ours, case.ours, once=case.once)
                peer = _measured(orm, case.orm, once=case.once) if case.orm else None
            except AssertionError as error:
                print(f"refused: {error}"[:1000], flush=True)
                refused.append(route)
            else:
                rows.append(Row(route, case.note, measured, peer))
    return rows, refused


def _measured(target: Target, requests: Sequence[Request], *, once: bool) -> Measured:
    into = Measured()
    load(target, requests, into, seconds=0 if once else SECONDS, connections=CONNECTIONS)
    return into


def table(rows: Sequence[Row]) -> list[str]:
    """Show them, the dearest first."""
    (yardstick,) = (row.ours.total_us for row in rows if row.route == YARDSTICK)
    lines = [
        "| route | server, µs | PostgreSQL, µs | of product by id | the ORM's, µs | over the ORM's |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in sorted(rows, key=lambda each: each.ours.total_us, reverse=True):
        orm = f"{row.orm.total_us:,.0f} | {row.ours.total_us / row.orm.total_us:.2f}x" if row.orm else " | "
        lines.append(
            f"| {row.route}{f' ({row.note})' if row.note else ''} | {row.ours.median('server_us'):,.0f}"
            f" | {row.ours.median('database_us'):,.0f} | {row.ours.total_us / yardstick:.1f}x | {orm} |"
        )
    return lines


def figures_of(rows: Sequence[Row]) -> dict[str, float]:
    """Give the figures that goals are set for; of a route with several cases, of the first."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.route, row)
    figures = {}
    for route in GOALS:
        row, path = first[route], route.removeprefix("GET ")
        assert row.orm
        figures[f"{path}, over product by id"] = row.ours.total_us / first[YARDSTICK].ours.total_us
        figures[f"{path}, over the ORM's"] = row.ours.total_us / row.orm.total_us
    return figures


def measure(chain: Chain) -> None:
    """Measure every route, and keep."""
    with ExitStack() as stack:
        url = stack.enter_context(chain.copy(USUAL, "every_route"))
        server = stack.enter_context(running(chain.folder / "every_route", **settings_of(url)))
        ours = crema("Crema", server, url)
        orm = stack.enter_context(served(ORM, url, ours.postgres, asking=f"/product/{id_of('product0')}"))
        cases = Cases(chain, prepare(server.url, url, chain)).all()
        check(cases, server.url)
        began = time.monotonic()
        rows, refused = rows_of(cases, ours, orm)
        print(f"{len(rows)} cases in {time.monotonic() - began:.0f} s", flush=True)
    lines = [
        f"{MACHINE}; {USUAL}.",
        f"One process each, {CONNECTIONS} connections, one round of {SECONDS} s or of {LEAST_REQUESTS} requests.",
        f"{LOGINS:,} people ask in turn where it says nothing else.",
        "The ORM peer is what a good developer writes in an afternoon: benchmarks/peers/fastapi_orm.",
        *(f"Left out: {route}, {reason}." for route, reason in LEFT_OUT.items()),
        "",
        *table(rows),
    ]
    text = "\n".join(lines)
    print(text)
    record(figures_of(rows))
    keep("Every route", text)
    assert not refused, f"refused: {refused}"


if __name__ == "__main__":
    with started() as chain:
        measure(chain)
