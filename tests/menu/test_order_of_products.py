"""One order of products under a category, in the menu and in lists."""

from uuid import uuid4

import httpx2
import pytest

from factories.menu import Json, make_category, make_product

pytestmark = pytest.mark.anyio


async def in_menu(client: httpx2.AsyncClient, category: Json) -> list[str]:
    categories = (await client.get("/menu")).json()["categories"]
    return [each["name"] for shown in categories if shown["id"] == category["id"] for each in shown["products"]]


async def in_list(client: httpx2.AsyncClient, category: Json, **parameters: str) -> list[str]:
    answer = await client.get("/products", params={"category_id": category["id"]} | parameters)
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json()["items"]]


async def set_order(manager: httpx2.AsyncClient, category: Json, *products: Json) -> httpx2.Response:
    return await manager.put(
        f"/category/{category['id']}/products", json={"product_ids": [each["id"] for each in products]}
    )


async def test_without_an_order_of_its_own_a_category_goes_by_the_products_positions(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    coffee = await make_category(manager)
    last = await make_product(manager, "Раф", category_ids=[coffee["id"]], position=3)
    await make_product(manager, "Латте", category_ids=[coffee["id"]], position=2)
    await make_product(manager, "Американо", category_ids=[coffee["id"]], position=2)
    before = await in_menu(client, coffee), await in_list(client, coffee)

    await manager.patch(f"/product/{last['id']}", json={"position": 1})

    assert before == (["Американо", "Латте", "Раф"],) * 2
    assert await in_menu(client, coffee) == await in_list(client, coffee) == ["Раф", "Американо", "Латте"]


async def test_one_call_sets_the_order_everywhere(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    coffee, news = await make_category(manager), await make_category(manager, "Новинки")
    latte, raf, mocha = [
        await make_product(manager, name, category_ids=[coffee["id"], news["id"]]) for name in ("Латте", "Раф", "Мокко")
    ]

    answer = await set_order(manager, coffee, raf, latte, mocha)

    assert (answer.status_code, answer.json()) == (200, {"product_ids": [raf["id"], latte["id"], mocha["id"]]})
    assert await in_menu(client, coffee) == await in_list(client, coffee) == ["Раф", "Латте", "Мокко"]
    assert await in_menu(client, news) == await in_list(client, news) == ["Латте", "Мокко", "Раф"]
    assert await in_list(client, coffee, sort="name") == ["Латте", "Мокко", "Раф"]
    assert await in_list(client, coffee, sort="-category_position") == ["Мокко", "Латте", "Раф"]


async def test_pages_and_cursors_go_by_that_order(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    coffee = await make_category(manager)
    products = [await make_product(manager, f"Напиток {n}") for n in range(3)]
    await set_order(manager, coffee, *reversed(products))

    first = await client.get("/products", params={"category_id": coffee["id"], "size": "2"})
    rest = await in_list(client, coffee, size="2", cursor=first.json()["next_cursor"])

    assert [each["name"] for each in first.json()["items"]] + rest == ["Напиток 2", "Напиток 1", "Напиток 0"]
    assert await in_list(client, coffee, size="2", page="2") == rest


async def test_those_listed_become_the_products_and_no_others(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    coffee = await make_category(manager)
    gone = await make_product(manager, "Раф", category_ids=[coffee["id"]])
    new = await make_product(manager, "Латте")

    await set_order(manager, coffee, new)

    assert await in_menu(client, coffee) == ["Латте"]
    assert (await client.get(f"/product/{gone['id']}")).json()["categories"] == []
    assert [each["id"] for each in (await client.get(f"/product/{new['id']}")).json()["categories"]] == [coffee["id"]]


async def test_what_is_put_there_later_goes_last(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    coffee = await make_category(manager)
    raf, latte = await make_product(manager, "Раф"), await make_product(manager, "Латте")
    await set_order(manager, coffee, raf, latte)

    await make_product(manager, "Американо", category_ids=[coffee["id"]])
    await manager.patch(f"/product/{raf['id']}", json={"category_ids": [coffee["id"]]})

    assert await in_menu(client, coffee) == await in_list(client, coffee) == ["Раф", "Латте", "Американо"]


async def test_an_unknown_or_deleted_product_is_named_and_nothing_changes(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    coffee = await make_category(manager)
    kept = await make_product(manager, category_ids=[coffee["id"]])
    deleted = await make_product(manager, "Раф")
    await manager.delete(f"/product/{deleted['id']}")

    answer = await set_order(manager, coffee, {"id": str(uuid4())}, kept, deleted)

    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_reference")
    places = [error["loc"] for error in answer.json()["errors"]]
    assert places == [["body", "product_ids", 0], ["body", "product_ids", 2]]
    assert await in_menu(client, coffee) == ["Латте"]


async def test_a_product_listed_twice_and_an_unknown_category_are_refused(manager: httpx2.AsyncClient) -> None:
    coffee, latte = await make_category(manager), await make_product(manager)

    twice, nowhere = (
        await set_order(manager, coffee, latte, latte),
        await set_order(manager, {"id": str(uuid4())}, latte),
    )

    assert (twice.status_code, nowhere.status_code) == (422, 404)


async def test_the_order_of_a_category_needs_a_category(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/products", params={"sort": "category_position"})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_sort")


async def test_a_filter_by_category_finds_what_stands_under_its_descendants(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    drinks = await make_category(manager, "Напитки")
    coffee = await make_category(manager, "Кофе", parent_id=drinks["id"])
    cold = await make_category(manager, "Холодный кофе", parent_id=coffee["id"])
    await make_product(manager, "Айс-латте", category_ids=[cold["id"]])
    await make_product(manager, "Лимонад", category_ids=[drinks["id"]])
    await make_product(manager, "Круассан")

    async def names(**parameters: str) -> list[str]:
        return [each["name"] for each in (await client.get("/products", params=parameters)).json()["items"]]

    assert await names(category_id=drinks["id"]) == ["Айс-латте", "Лимонад"]
    assert await names(category_id=coffee["id"]) == ["Айс-латте"]
    assert await names(category_id__in=f"{cold['id']},{uuid4()}") == ["Айс-латте"]
    assert await names(category_id__ne=coffee["id"]) == ["Круассан", "Лимонад"]
    assert await names(category_id__not_in=drinks["id"]) == ["Круассан"]
    assert await names(category_id__ne=cold["id"], category_id__in=drinks["id"]) == ["Лимонад"]
