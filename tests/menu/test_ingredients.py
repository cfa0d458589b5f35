"""Ingredients."""

from uuid import uuid4

import httpx2
import pytest

from factories.menu import make_group, make_ingredient, make_product

pytestmark = pytest.mark.anyio


async def test_an_ingredient_is_added_and_seen_by_all(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    response = await manager.post("/ingredients", json={"name": "Овсяное молоко"})

    seen = await client.get(response.headers["location"])
    assert response.status_code == 201
    assert seen.json() == response.json() == {"id": response.json()["id"], "name": "Овсяное молоко"}


@pytest.mark.parametrize("name", ["Мёд", "мед", "МЁД"])
async def test_one_name_means_one_ingredient(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, name: str
) -> None:
    await make_ingredient(manager, "Мёд")

    response = await manager.post("/ingredients", json={"name": name})

    assert response.status_code == 409
    assert response.json()["code"] == "ingredient_taken"
    assert (await client.get("/ingredients")).json()["total"] == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_ingredient_is_renamed(manager: httpx2.AsyncClient, method: str) -> None:
    made = await make_ingredient(manager)

    response = await manager.request(method, f"/ingredient/{made['id']}", json={"name": "Сливки"})

    assert response.json() == made | {"name": "Сливки"}


async def test_it_is_not_renamed_to_another(manager: httpx2.AsyncClient) -> None:
    await make_ingredient(manager, "Мёд")
    milk = await make_ingredient(manager)

    response = await manager.patch(f"/ingredient/{milk['id']}", json={"name": "мед"})

    assert response.json()["code"] == "ingredient_taken"
    assert (await manager.get(f"/ingredient/{milk['id']}")).json() == milk


async def test_an_unused_ingredient_is_deleted(manager: httpx2.AsyncClient) -> None:
    made = await make_ingredient(manager)

    response = await manager.delete(f"/ingredient/{made['id']}")

    assert response.status_code == 204
    assert (await manager.get(f"/ingredient/{made['id']}")).status_code == 404


async def test_an_ingredient_of_a_product_stays(manager: httpx2.AsyncClient) -> None:
    made = await make_ingredient(manager)
    await make_product(manager, ingredient_ids=[made["id"]])

    response = await manager.delete(f"/ingredient/{made['id']}")

    assert response.status_code == 409
    assert response.json()["code"] == "ingredient_in_use"
    assert (await manager.get(f"/ingredient/{made['id']}")).status_code == 200


async def test_an_ingredient_of_an_option_stays(manager: httpx2.AsyncClient) -> None:
    made = await make_ingredient(manager)
    await make_group(manager, options=[{"name": "Обычное", "ingredient_ids": [made["id"]]}])

    response = await manager.delete(f"/ingredient/{made['id']}")

    assert response.json()["code"] == "ingredient_in_use"
    assert (await manager.get(f"/ingredient/{made['id']}")).status_code == 200


async def test_with_force_products_and_options_lose_a_deleted_ingredient(manager: httpx2.AsyncClient) -> None:
    made, kept = await make_ingredient(manager), await make_ingredient(manager, "Кофе")
    group = await make_group(manager, options=[{"name": "Обычное", "ingredient_ids": [made["id"]]}])
    product = await make_product(manager, ingredient_ids=[made["id"], kept["id"]], modifier_group_ids=[group["id"]])

    response = await manager.delete(f"/ingredient/{made['id']}", params={"force": True})

    shown = (await manager.get(f"/product/{product['id']}")).json()
    assert response.status_code == 204
    assert shown["ingredients"] == [kept]
    assert shown["modifier_groups"][0]["options"][0]["ingredients"] == []


async def test_a_deleted_product_does_not_hold_its_ingredients(manager: httpx2.AsyncClient) -> None:
    made = await make_ingredient(manager)
    product = await make_product(manager, ingredient_ids=[made["id"]])
    await manager.delete(f"/product/{product['id']}")

    response = await manager.delete(f"/ingredient/{made['id']}")

    assert response.status_code == 204


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_what_does_not_exist_is_not_found(manager: httpx2.AsyncClient, method: str) -> None:
    body = {"name": "Чай"} if method in ("PUT", "PATCH") else None

    response = await manager.request(method, f"/ingredient/{uuid4()}", json=body)

    assert response.status_code == 404


async def test_only_editors_write(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    made = await make_ingredient(manager)
    requests = [
        ("POST", "/ingredients", {"name": "Мёд"}),
        ("PUT", f"/ingredient/{made['id']}", {"name": "Мёд"}),
        ("PATCH", f"/ingredient/{made['id']}", {"name": "Мёд"}),
        ("DELETE", f"/ingredient/{made['id']}", None),
    ]

    answers = [
        [(await someone.request(method, path, json=body)).status_code for method, path, body in requests]
        for someone in (client, customer)
    ]

    assert answers == [[401] * 4, [403] * 4]
    assert (await client.get("/ingredients")).json()["items"] == [made]
