"""A1: what depends on who asks is kept by no shared cache, whichever way they say who they are."""

import re
from uuid import UUID

import pytest
from fastapi import FastAPI

from crema.db.session import Sessions
from factories.orders import make_shop, make_simple_product
from factories.world import World, make_world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    return await make_world(app, sessions)


def paths(app: FastAPI) -> list[str]:
    return [path for path, item in app.openapi()["paths"].items() if "get" in item and path != "/orders/live"]


@pytest.mark.parametrize("actor", ["admin", "admin-cookie", "admin-forged", "customer", "customer-cookie"])
async def test_a1_no_get_of_somebody_may_be_kept_for_others(app: FastAPI, world: World, actor: str) -> None:
    shared = []
    async with world.client(actor) as client:
        for path in paths(app):
            answer = await client.get(world.path(path))
            if not re.search(r"\b(private|no-store)\b", answer.headers["cache-control"]):
                shared.append(path)

    assert shared == []


async def test_a1_what_the_public_gets_tells_caches_what_it_depends_on(app: FastAPI, world: World) -> None:
    kept = {}
    async with world.client("nobody") as client:
        for path in paths(app):
            answer = await client.get(world.path(path))
            if "public" in answer.headers["cache-control"]:
                kept[path] = {name.strip() for name in answer.headers["vary"].split(",")}

    assert {"/menu", "/info", "/products", "/product/{product_id}", "/category/{category_id}"} <= kept.keys()
    assert all({"Authorization", "Cookie"} <= names for names in kept.values())


@pytest.mark.parametrize("actor", ["admin", "admin-cookie"])
async def test_a1_a_draft_that_staff_see_is_theirs_alone_and_304_says_so_too(
    app: FastAPI, world: World, sessions: Sessions, actor: str
) -> None:
    draft: UUID = await make_simple_product(sessions, is_active=False)
    hidden = await make_shop(sessions, slug="hidden")
    paths = [f"/product/{draft}", "/products", f"/shop/{hidden}", "/shops"]
    async with world.client("admin") as client:
        await client.patch(f"/shop/{hidden}", json={"is_active": False})

    async with world.client(actor) as client, world.client("nobody") as public:
        for path in paths:
            answer = await client.get(path)
            again = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert (answer.status_code, again.status_code) == (200, 304)
            assert {each.headers["cache-control"] for each in (answer, again)} == {
                "private, max-age=0, must-revalidate"
            }
            stranger = await public.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert stranger.status_code in {200, 404}, "the public's answer is another one"
