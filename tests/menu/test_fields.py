"""`fields=`: every GET of the menu can be cut to the fields that are wanted."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from crema.db.session import Sessions
from factories.menu import make_group, make_product
from factories.world import World, make_world

pytestmark = pytest.mark.anyio
PATHS = (
    "/products",
    "/product/{product_id}",
    "/categories",
    "/category/{category_id}",
    "/ingredients",
    "/ingredient/{ingredient_id}",
    "/modifier-groups",
    "/modifier-group/{group_id}",
    "/shop/{shop_id}/stop-list",
    "/shop/{shop_id}/overrides",
)
WHOLE = {
    "/menu": "it is kept ready as one document",
    "/menu/export": "it is what an import takes",
    "/product/{product_id}/availability": "it is one short answer",
}


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    world = await make_world(app, sessions)
    async with world.client("admin") as client:
        group = await make_group(client, options=[{"name": "Овсяное", "price_delta": "60.00"}])
        sizes = [{"name": "S"}, {"name": "M", "is_default": True}]
        nutrition = {"energy_kcal": 150, "proteins_g": 8, "fats_g": 7.5, "carbohydrates_g": 12}
        product = await make_product(
            client,
            "Раф",
            sizes=sizes,
            nutrition=nutrition,
            modifier_group_ids=[group["id"]],
            category_ids=[str(world.ids["category_id"])],
        )
        world.ids |= {"product_id": product["id"], "group_id": group["id"]}
        own = {"price": "300.00", "stock": 3}
        (await client.patch(world.path("/shop/{shop_id}/product/{product_id}"), json=own)).raise_for_status()
    return world


async def test_every_get_of_the_menu_takes_it_or_is_left_out_with_a_reason(app: FastAPI) -> None:
    gets = {
        path: item["get"]
        for path, item in app.openapi()["paths"].items()
        if "get" in item and item["get"]["tags"] == ["Menu"] and not path.startswith("/media")
    }
    taking = [path for path, get in gets.items() if any(each["name"] == "fields" for each in get.get("parameters", ()))]

    assert set(taking) == set(PATHS)
    assert set(gets) == set(PATHS) | set(WHOLE)


def item_of(answer: httpx2.Response) -> Any:
    found = answer.json()
    return found["items"][-1] if "items" in found else found


@pytest.mark.parametrize("path", PATHS)
async def test_each_field_alone_and_together_is_as_in_the_whole(world: World, path: str) -> None:
    async with world.client("admin") as client:
        whole = item_of(await client.get(world.path(path)))
        for name, value in whole.items():
            answer = await client.get(world.path(path), params={"fields": name})
            assert answer.status_code == 200, (name, answer.text)
            assert item_of(answer) == {name: value}
        together = await client.get(world.path(path), params={"fields": "name, id"})
        assert item_of(together) == {"id": whole["id"], "name": whole["name"]}


async def test_a_dot_leads_into_parts_and_the_whole_wins_over_them(world: World) -> None:
    path = f"/product/{world.ids['product_id']}"
    async with world.client("nobody") as client:
        whole = (await client.get(path)).json()
        names = "sizes.name,nutrition.fats_g,modifier_groups.options.price_delta,modifier_groups.name,categories.slug"
        cut = (await client.get(path, params={"fields": names})).json()
        both = (await client.get(path, params={"fields": "sizes.name,sizes"})).json()

    assert cut == {
        "categories": [{"slug": "tea"}],
        "sizes": [{"name": "S"}, {"name": "M"}],
        "modifier_groups": [{"name": "Молоко", "options": [{"price_delta": "60.00"}]}],
        "nutrition": {"fats_g": 7.5},
    }
    assert both == {"sizes": whole["sizes"]}


@pytest.mark.parametrize("path", PATHS)
async def test_an_unknown_field_is_refused_with_those_there_are(world: World, path: str) -> None:
    async with world.client("admin") as client:
        for names in ("secret", "id,secret", "", "id,", "ID", "name.x", "sizes.secret", "urls", "__class__"):
            answer = await client.get(world.path(path), params={"fields": names})

            assert (answer.status_code, answer.json()["code"]) == (422, "unknown_field"), names
            assert "name" in answer.json()["allowed"], names


async def test_other_parameters_are_checked_as_before(world: World) -> None:
    async with world.client("admin") as client:
        for path in PATHS:
            unknown = await client.get(world.path(path), params={"fields": "id", "unknown": "1"})
            twice = await client.get(world.path(path), params=[("fields", "id"), ("fields", "name")])

            assert (unknown.status_code, twice.status_code) == (422, 422), path


async def test_the_tag_is_of_the_chosen_fields_and_holds_for_if_match(world: World) -> None:
    async with world.client("admin") as client:
        for path in ("/products", "/product/{product_id}", "/categories", "/category/{category_id}"):
            tags = []
            for names in (None, "id", "id,name"):
                params = {"fields": names} if names else {}
                answer = await client.get(world.path(path), params=params)
                tags.append(answer.headers["etag"])
                again = await client.get(world.path(path), params=params, headers={"If-None-Match": tags[-1]})
                assert again.status_code == 304
            assert len(set(tags)) == 3, path
        etag = (await client.get(world.path("/product/{product_id}"), params={"fields": "id"})).headers["etag"]
        changed = await client.patch(
            world.path("/product/{product_id}"), json={"name": "Моккачино"}, headers={"If-Match": etag}
        )
        assert changed.status_code == 200


async def test_the_links_of_a_page_keep_it(world: World) -> None:
    async with world.client("nobody") as client:
        answer = await client.get("/products", params={"fields": "id,name", "size": 1})

    assert "fields=id%2Cname" in answer.headers["link"]
    assert [set(item) for item in answer.json()["items"]] == [{"id", "name"}]
