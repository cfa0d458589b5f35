"""Copying a product, and taking a deleted one back."""

from uuid import uuid4

import httpx2
import pytest

from factories.menu import NUTRITION, Json, add_image, make_category, make_group, make_ingredient, make_product
from fixtures.app import Clock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]


@pytest.fixture
async def latte(manager: httpx2.AsyncClient) -> Json:
    coffee, milk, group = await make_category(manager), await make_ingredient(manager), await make_group(manager)
    product = await make_product(
        manager,
        category_ids=[coffee["id"]],
        ingredient_ids=[milk["id"]],
        sizes=[
            {"name": "S", "volume_ml": 250, "nutrition": NUTRITION},
            {"name": "M", "price_delta": "40.00", "is_default": True},
        ],
        modifier_groups=[{"group_id": group["id"], "min_choices": 1}],
        allergens=["milk"],
        allergens_always=[],
        nutrition={"energy_kcal": 150, "proteins_g": 8, "fats_g": 7.5, "carbohydrates_g": 12},
        position=5,
    )
    await add_image(manager, product)
    found: Json = (await manager.get(f"/product/{product['id']}")).json()
    return found


async def test_a_copy_has_all_but_the_pictures_and_is_inactive(
    latte: Json, manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    answer = await manager.post(f"/product/{latte['id']}/copy", json={"name": "Латте с кокосом"})

    copy = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/product/{copy['id']}")
    new = {"id", "slug", "name", "is_active", "is_on_menu", "images", "sizes", "created_at", "updated_at"}
    assert {name: copy[name] for name in copy.keys() - new} == {name: latte[name] for name in latte.keys() - new}
    assert (copy["name"], copy["is_active"], copy["images"]) == ("Латте с кокосом", False, [])
    assert [size | {"id": None} for size in copy["sizes"]] == [size | {"id": None} for size in latte["sizes"]]
    assert not {size["id"] for size in copy["sizes"]} & {size["id"] for size in latte["sizes"]}
    assert (await client.get(f"/product/{copy['id']}")).status_code == 404
    assert (await manager.get(f"/product/{latte['id']}")).json() == latte


async def test_without_a_body_the_copy_has_the_name_and_a_slug_of_its_own(
    latte: Json, manager: httpx2.AsyncClient
) -> None:
    copy = (await manager.post(f"/product/{latte['id']}/copy")).json()

    assert (copy["name"], copy["slug"]) == ("Латте", "latte-2")


async def test_a_deleted_product_comes_back_as_it_was(
    latte: Json, manager: httpx2.AsyncClient, client: httpx2.AsyncClient, clock: Clock
) -> None:
    await manager.delete(f"/product/{latte['id']}")
    clock.advance(minutes=1)

    answer = await manager.post(f"/product/{latte['id']}/restore")

    assert answer.status_code == 200
    assert answer.json() == latte | {"updated_at": "2026-11-23T09:01:00.000000Z"}
    assert (await client.get(f"/product/{latte['id']}")).json() == answer.json()


async def test_what_is_not_deleted_stays_as_it_is(latte: Json, manager: httpx2.AsyncClient, clock: Clock) -> None:
    clock.advance(minutes=1)

    assert (await manager.post(f"/product/{latte['id']}/restore")).json() == latte


async def test_a_slug_that_was_taken_meanwhile_is_left_to_its_owner(latte: Json, manager: httpx2.AsyncClient) -> None:
    await manager.delete(f"/product/{latte['id']}")
    await make_product(manager, slug="latte")

    assert (await manager.post(f"/product/{latte['id']}/restore")).json()["slug"] == "latte-2"


async def test_limits_nobody_could_keep_any_more_are_the_group_s_again(
    latte: Json, manager: httpx2.AsyncClient
) -> None:
    group = latte["modifier_groups"][0]
    await manager.delete(f"/product/{latte['id']}")
    await manager.patch(f"/modifier-group/{group['id']}", json={"options": []})

    restored = (await manager.post(f"/product/{latte['id']}/restore")).json()["modifier_groups"][0]

    assert (restored["min_choices"], restored["max_choices"]) == (0, 1)


async def test_what_never_was_can_not_be_copied_or_restored(manager: httpx2.AsyncClient) -> None:
    answers = [await manager.post(f"/product/{uuid4()}/{verb}") for verb in ("copy", "restore")]

    assert [answer.status_code for answer in answers] == [404, 404]


async def test_a_deleted_product_can_not_be_copied(latte: Json, manager: httpx2.AsyncClient) -> None:
    await manager.delete(f"/product/{latte['id']}")

    assert (await manager.post(f"/product/{latte['id']}/copy")).status_code == 404
