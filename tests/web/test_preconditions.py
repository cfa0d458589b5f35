"""If-Match: nobody overwrites what they haven't seen. Every route that edits is walked."""

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from crema.db import versions
from crema.db.session import Sessions
from factories.world import World, make_world
from fixtures.app import Clock, clients
from fixtures.people import make_person

pytestmark = pytest.mark.anyio
EDITS = ("put", "patch", "delete")
UNCONDITIONAL = {
    ("delete", "/session/{session_id}"): "a login has nothing to edit: it ends",
    ("delete", "/shop/{shop_id}/stop-list/{stop_id}"): "a stop has nothing to edit: it ends",
    ("patch", "/shop/{shop_id}/product/{product_id}"): "each field is set by itself, and orders count the stock down",
    ("patch", "/shop/{shop_id}/option/{option_id}"): "each field is set by itself",
    ("delete", "/user/{user_id}/email"): "a change of address is withdrawn, whatever it is by now",
}
SHOWN_BY = {
    "/category/{category_id}/products": "/category/{category_id}",
    "/category/{category_id}/image": "/category/{category_id}",
    "/product/{product_id}/image/{image_id}": "/product/{product_id}",
    "/cart/shop": "/cart",
    "/cart/{item_id}": "/cart",
    "/order/{order_id}/line/{line_id}": "/order/{order_id}",
    "/shop/{shop_id}/hours": "/shop/{shop_id}",
    "/shop/{shop_id}/special-days": "/shop/{shop_id}",
    "/shop/{shop_id}/status": "/shop/{shop_id}",
}
"""Parts, which have no GET: their changes take the tag of what shows them."""


EDITED: dict[tuple[str, str], tuple[str, Any]] = {
    ("put", "/product/{product_id}"): ("admin", {"name": "Раф", "price": "300.00"}),
    ("patch", "/product/{product_id}"): ("admin", {"name": "Раф"}),
    ("put", "/category/{category_id}/products"): ("admin", {"product_ids": []}),
    ("patch", "/category/{category_id}"): ("admin", {"name": "Кофе"}),
    ("patch", "/product/{product_id}/image/{image_id}"): ("admin", {"alt": "Раф"}),
    ("patch", "/modifier-group/{group_id}"): ("admin", {"name": "Сироп"}),
    ("put", "/ingredient/{ingredient_id}"): ("admin", {"name": "Перец"}),
    ("patch", "/ingredient/{ingredient_id}"): ("admin", {"name": "Соль"}),
    ("put", "/cart/shop"): ("customer", {"shop_id": None}),
    ("patch", "/cart/{item_id}"): ("customer", {"quantity": 3}),
    ("delete", "/cart/{item_id}"): ("customer", None),
    ("delete", "/cart"): ("customer", None),
    ("put", "/order/{order_id}"): ("barista", {"status": "accepted"}),
    ("patch", "/order/{order_id}"): ("customer", {"comment": "Погорячее"}),
    ("delete", "/order/{order_id}"): ("customer", None),
    ("patch", "/order/{order_id}/line/{line_id}"): ("barista", {"is_made": False}),
    ("patch", "/shop/{shop_id}"): ("admin", {"address": "Арбат, 11"}),
    ("put", "/shop/{shop_id}/hours"): ("admin", {"hours": [{"weekday": 0, "opens_at": "00:00", "closes_at": "24:00"}]}),
    ("put", "/shop/{shop_id}/special-days"): ("admin", {"special_days": [{"date": "2027-01-01", "is_closed": True}]}),
    ("patch", "/shop/{shop_id}/status"): ("admin", {"state": "paused"}),
    ("put", "/user/{user_id}"): ("customer", {"name": "Анна"}),
    ("patch", "/user/{user_id}"): ("customer", {"name": "Анна"}),
    ("patch", "/role/{role_id}"): ("admin", {"description": "Моет."}),
    ("patch", "/chat/{conversation_id}"): ("support", {"status": "pending"}),
}
"""Other PUTs send what GET gave, as an administrator."""
REFUSED_ANYWAY = {
    ("delete", "/shop/{shop_id}"): 409,  # orders were placed there
    ("delete", "/user/{user_id}"): 409,  # an order is in progress
    ("delete", "/modifier-group/{group_id}"): 409,  # a product offers it
}


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    return await make_world(app, sessions)


def edits(app: FastAPI) -> list[tuple[str, str]]:
    return [(m, path) for path, item in app.openapi()["paths"].items() for m in EDITS if m in item]


def headers_of(app: FastAPI, method: str, path: str) -> set[str]:
    return {
        each["name"] for each in app.openapi()["paths"][path][method].get("parameters", ()) if each["in"] == "header"
    }


async def send(world: World, method: str, path: str, if_match: str | None) -> httpx2.Response:
    actor, body = EDITED.get((method, path), ("admin", None))
    async with world.client(actor) as client:
        if method == "put" and body is None:
            body = (await client.get(world.path(path))).json()
        headers = {} if if_match is None else {"If-Match": if_match}
        sent = {} if body is None or method == "delete" else {"json": body}
        return await client.request(method.upper(), world.path(path), headers=headers, **sent)


async def etag_of(world: World, method: str, path: str) -> str:
    actor, _ = EDITED.get((method, path), ("admin", None))
    async with world.client(actor) as client:
        answer = await client.get(world.path(SHOWN_BY.get(path, path)))
    assert answer.status_code == 200, (path, answer.text)
    etag: str = answer.headers["etag"]
    return etag


async def test_every_edit_takes_if_match_or_is_left_out_with_a_reason(app: FastAPI) -> None:
    missing = [each for each in edits(app) if "If-Match" not in headers_of(app, *each) and each not in UNCONDITIONAL]
    undeclared = [
        each
        for each in edits(app)
        if each not in UNCONDITIONAL and "412" not in app.openapi()["paths"][each[1]][each[0]]["responses"]
    ]

    assert (missing, undeclared) == ([], [])


async def test_every_get_of_what_can_be_edited_has_a_strong_tag(app: FastAPI, world: World) -> None:
    for method, path in edits(app):
        if (method, path) not in UNCONDITIONAL and not path.endswith("/image"):
            etag = await etag_of(world, method, path)
            assert etag.startswith('"'), path
            assert etag == await etag_of(world, method, path), "the same twice"
    async with world.client("customer") as client:
        me = await client.get("/me")
        assert (
            me.headers["etag"].partition(".")[0]
            == ((await client.get(f"/user/{world.ids['user_id']}")).headers["etag"].partition(".")[0])
        )


@pytest.mark.parametrize("stale", ['"1-00000000.0"', '"nonsense"', "nonsense", "", "W/{}", '"other", W/{}'])
async def test_every_edit_of_another_version_is_412_and_changes_nothing(app: FastAPI, world: World, stale: str) -> None:
    tried = 0
    for method, path in edits(app):
        if (method, path) in UNCONDITIONAL:
            continue
        before = await etag_of(world, method, path)
        answer = await send(world, method, path, stale.format(before))

        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed"), (method, path, answer.text)
        assert await etag_of(world, method, path) == before
        tried += 1
    assert tried > 30


@pytest.mark.parametrize("given", ["{}", '"other", {}', "*", None])
async def test_every_edit_of_the_present_version_succeeds_and_gives_the_next_tag(
    app: FastAPI, world: World, sessions: Sessions, clock: Clock, given: str | None
) -> None:
    for method, path in edits(app):
        if (method, path) in UNCONDITIONAL:
            continue
        async with sessions.kw["bind"].begin_nested() as savepoint:
            before = await etag_of(world, method, path)
            clock.advance(seconds=1)
            answer = await send(world, method, path, given and given.format(before))

            expected = REFUSED_ANYWAY.get((method, path), 204 if method == "delete" else 200)
            assert answer.status_code == expected, (method, path, answer.text)
            if expected == 200:
                after = answer.headers["etag"]
                if path != "/order/{order_id}/line/{line_id}":  # marked as it was: nothing changed
                    assert version(after) != version(before), (method, path)
                assert version(await etag_of(world, method, path)) == version(after), (method, path)
                again = await send(world, method, path, after)
                assert again.status_code == 200, (method, path, again.text)
            await savepoint.rollback()


def version(etag: str) -> str:
    return etag.partition(".")[0]


async def test_what_a_post_makes_has_a_tag_that_the_first_edit_takes(world: World) -> None:
    async with world.client("admin") as client:
        for path, body, edited in [
            ("/product", {"name": "Раф", "price": 300}, "/product"),
            ("/category", {"name": "Кофе"}, "/category"),
            ("/ingredients", {"name": "Соль"}, "/ingredient"),
            ("/modifier-group", {"name": "Сироп"}, "/modifier-group"),
            ("/role", {"name": "trainee", "permissions": []}, "/role"),
            (f"/product/{world.ids['product_id']}/copy", {"name": "Латте 2"}, "/product"),
            ("/shop", {"name": "Новая", "address": "Арбат, 2", "timezone": "Europe/Moscow"}, "/shop"),
        ]:
            made = await client.post(path, json=body)
            assert made.status_code == 201, made.text
            place = f"{edited}/{made.json()['id']}"
            assert made.headers["etag"] == (await client.get(place)).headers["etag"], path
            changed = await client.patch(place, json={"name": "Другое"}, headers={"If-Match": made.headers["etag"]})
            assert changed.status_code == 200, changed.text


async def test_a_tag_of_another_thing_is_another_version(world: World) -> None:
    async with world.client("admin") as client:
        first, second = [(await client.post("/ingredients", json={"name": name})) for name in ("Соль", "Сахар")]
        answer = await client.patch(
            f"/ingredient/{second.json()['id']}", json={"name": "Мёд"}, headers={"If-Match": first.headers["etag"]}
        )

    assert answer.status_code == 412


async def test_what_is_not_there_is_404_whatever_the_condition(world: World) -> None:
    nothing = "00000000-0000-7000-8000-000000000000"
    async with world.client("admin") as client:
        for path in ("product", "category", "ingredient", "modifier-group", "shop", "role", "user", "order"):
            answer = await client.delete(f"/{path}/{nothing}", headers={"If-Match": '"1.1"'})
            assert answer.status_code == 404, (path, answer.text)


async def race(app: FastAPI) -> list[tuple[int, ...]]:
    """Let two managers rename one thing at once, each with the tag they have read, many times over."""
    people = [await make_person(app, email=f"m{number}@example.com", role="manager") for number in range(2)]
    statuses: list[tuple[int, ...]] = []
    async with clients(app, *(person.token for person in people)) as (first, second):
        category = (await first.post("/category", json={"name": "Кофе"})).json()
        path = f"/category/{category['id']}"
        for number in range(15):
            headers = {"If-Match": (await first.get(path)).headers["etag"]}
            answers = await asyncio.gather(
                *(
                    client.patch(path, json={"name": f"{name} {number}", "is_active": True}, headers=headers)
                    for client, name in ((first, "Чай"), (second, "Какао"))
                )
            )
            statuses += [tuple(sorted(answer.status_code for answer in answers))]
    return statuses


async def test_of_two_who_edit_at_once_one_is_told(own_app: FastAPI, own_sessions: Sessions) -> None:
    assert set(await race(own_app)) == {(200, 412)}


async def test_without_the_check_the_race_test_sees_an_edit_lost(
    own_app: FastAPI, own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchecked(where: Any, *, key: Any, value: Any) -> None:
        return None

    monkeypatch.setattr(versions, "check", unchecked)
    monkeypatch.setattr(versions, "ensure_checked", lambda _: None)

    assert (200, 200) in await race(own_app)


async def test_a_service_that_forgets_the_check_fails_rather_than_pass_over_it(
    app: FastAPI, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchecked(where: Any, *, key: Any, value: Any) -> None:
        return None

    monkeypatch.setattr(versions, "check", unchecked)
    answer = await send(world, "patch", "/category/{category_id}", '"1.1"')

    assert answer.status_code == 500
