"""Every POST that makes or adds takes an Idempotency-Key; what doesn't is listed here with its reason."""

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text, update

from crema import tables
from crema.accounts.models import User
from crema.db.session import Sessions
from factories.menu import make_product
from factories.world import World, make_world
from fixtures.app import CHEAP, clients
from fixtures.people import make_person

pytestmark = pytest.mark.anyio
NOBODY = "nobody is logged in, whom a key could belong to"
A_FILE = "a file is read as it comes, and is not kept to be compared with"
WITHOUT_KEY = {
    "/registration": NOBODY,
    "/verification": NOBODY,
    "/verification/login": NOBODY,
    "/verification/login/cookie": NOBODY,
    "/verification/resend": NOBODY,
    "/authentication": NOBODY,
    "/authentication/cookie": NOBODY,
    "/access": NOBODY,
    "/refresh": "a lost answer may be asked for again: it is the same pair",
    "/refresh/cookie": "a lost answer may be asked for again: it is the same pair",
    "/logout": "again it is the same",
    "/password/forgot": NOBODY,
    "/password/reset": NOBODY,
    "/password/change": "the old password is right once",
    "/me": "it only reads",
    "/quote": "it only reads",
    "/chat/ticket": "a ticket is a secret for half a minute: it is not kept",
    "/product/{product_id}/images": A_FILE,
    "/category/{category_id}/image": A_FILE,
    "/chat/{conversation_id}/attachments": A_FILE,
}
BODIES: dict[str, tuple[str, Any]] = {
    "/user/{user_id}/email/resend": ("customer", None),
    "/role": ("admin", {"name": "trainee", "permissions": []}),
    "/mail/{mail_id}/resend": ("admin", None),
    "/product": ("admin", {"name": "Раф", "price": "300.00"}),
    "/products/prices": ("admin", {"percent": "5.0", "dry_run": False}),
    "/product/{product_id}/copy": ("admin", None),
    "/product/{product_id}/restore": ("admin", None),
    "/menu/import": ("admin", {"categories": [{"slug": "coffee", "name": "Кофе"}]}),
    "/category": ("admin", {"name": "Кофе"}),
    "/modifier-group": ("admin", {"name": "Сироп"}),
    "/ingredient": ("admin", {"name": "Соль"}),
    "/ingredients": ("admin", {"name": "Соль"}),
    "/cart": ("customer", {"product_id": "{product_id}"}),
    "/order": ("customer", {"items": [{"product_id": "{simple}"}], "shop_id": "{shop_id}"}),
    "/order/{order_id}/cancel": ("customer", None),
    "/order/{order_id}/arrival": ("customer", {"state": "here"}),
    "/orders/advance": ("barista", {"order_ids": ["{order_id}"], "status": "accepted"}),
    "/order/{order_id}/reorder": ("customer", None),
    "/shop": ("admin", {"name": "Новая", "address": "Арбат, 2", "timezone": "Europe/Moscow"}),
    "/shop/{shop_id}/stop-list": ("barista", {"kind": "option", "target_id": "{option_id}"}),
    "/chat": ("other", None),
    "/chats": ("support", {"customer_id": "{user_id}", "text": "Здравствуйте"}),
    "/chat/{conversation_id}/messages": ("customer", {"text": "Где мой латте?"}),
    "/chat/{conversation_id}/read": ("customer", {"seq": 0}),
    "/chat/{conversation_id}/notes": ("support", {"text": "Просит погорячее"}),
}


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    world = await make_world(app, sessions)
    async with world.client("admin") as admin:
        world.ids["simple"] = (await make_product(admin))["id"]
        async with sessions.begin() as session:
            mine = User.id == world.people["admin"].id
            await session.execute(update(User).where(mine).values(password_hash=CHEAP.hash("oat milk please")))
        body = {"email": "another@example.com", "current_password": "oat milk please"}
        asked = await admin.patch(f"/user/{world.ids['user_id']}", json=body)
        assert asked.json()["pending_email"]
    return world


def posts(app: FastAPI) -> dict[str, dict[str, Any]]:
    return {path: item["post"] for path, item in app.openapi()["paths"].items() if "post" in item}


def takes_key(operation: dict[str, Any]) -> bool:
    return any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))


async def test_every_post_takes_a_key_or_is_left_out_with_a_reason(app: FastAPI) -> None:
    without = {path for path, operation in posts(app).items() if not takes_key(operation)}

    assert without == set(WITHOUT_KEY)
    assert set(posts(app)) - without == set(BODIES)


async def send(world: World, path: str, key: str, actor: str | None = None, **more: Any) -> httpx2.Response:
    who, body = BODIES[path]
    filled = {name: _fill(value, world) for name, value in (body or {}).items()} | more
    async with world.client(actor or who) as client:
        sent = {"json": filled} if filled else {}
        return await client.post(world.path(path), headers={"Idempotency-Key": key}, **sent)


def _fill(value: Any, world: World) -> Any:
    if isinstance(value, list):
        return [_fill(each, world) for each in value]
    if isinstance(value, dict):
        return {name: _fill(each, world) for name, each in value.items()}
    return str(world.ids[value[1:-1]]) if isinstance(value, str) and value.startswith("{") else value


async def rows(sessions: Sessions) -> dict[str, int]:
    """Count the rows of every table, but for the one that counts requests."""
    counted = {}
    async with sessions() as session:
        for name in tables.metadata.tables.keys() - {"throttles"}:
            counted[name] = await session.scalar(text(f'SELECT count(*) FROM "{name}"'))  # noqa: S608 - our own tables
    return counted


async def test_the_same_request_again_gives_the_same_answer_and_makes_nothing(
    app: FastAPI, world: World, sessions: Sessions
) -> None:
    tried = 0
    for path in BODIES:
        async with sessions.kw["bind"].begin_nested() as savepoint:
            first = await send(world, path, "k")
            before = await rows(sessions)
            again = await send(world, path, "k")
            assert first.is_success, (path, first.text)
            assert "idempotency-replayed" not in first.headers, path
            assert (again.status_code, again.content) == (first.status_code, first.content), path
            for name in ("location", "etag", "content-type"):
                assert again.headers.get(name) == first.headers.get(name), (path, name)
            assert again.headers["idempotency-replayed"] == "true", path
            assert await rows(sessions) == before, path
            tried += 1
            await savepoint.rollback()
    assert tried == len(BODIES)


async def test_the_key_with_another_body_is_refused_and_on_another_path_another_key(app: FastAPI, world: World) -> None:
    await send(world, "/ingredient", "k")
    refused = await send(world, "/ingredient", "k", name="Сахар")
    other = await send(world, "/category", "k")

    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert other.status_code == 201


async def test_who_may_not_do_it_any_more_gets_no_replay(world: World, admin: httpx2.AsyncClient) -> None:
    async with world.client("manager") as manager:
        made = await manager.post("/ingredient", json={"name": "Соль"}, headers={"Idempotency-Key": "k"})
        await admin.patch(f"/user/{world.people['manager'].id}", json={"role": "user"})
        again = await manager.post("/ingredient", json={"name": "Соль"}, headers={"Idempotency-Key": "k"})

    assert (made.status_code, again.status_code) == (201, 403)


async def test_a_replay_is_not_in_the_audit_log(world: World, sessions: Sessions) -> None:
    for _ in range(3):
        await send(world, "/ingredient", "k")

    async with sessions() as session:
        count = await session.scalar(text("SELECT count(*) FROM audit_events WHERE action = 'POST /ingredient'"))
    assert count == 1


async def test_two_at_once_make_one(own_app: FastAPI) -> None:
    person = await make_person(own_app, email="m@example.com", role="manager")
    made = []
    async with clients(own_app, person.token, person.token) as both:
        for number in range(10):
            headers = {"Idempotency-Key": f"k{number}"}
            body = {"name": "Раф", "price": "300.00"}
            made += await asyncio.gather(*(each.post("/product", json=body, headers=headers) for each in both))
        total = (await both[0].get("/products")).json()["total"]

    assert {answer.status_code for answer in made} <= {201, 409}
    assert {answer.json()["code"] for answer in made if answer.status_code == 409} <= {"idempotency_in_progress"}
    assert total == 10
