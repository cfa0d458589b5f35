"""The whole menu as one document."""

from uuid import uuid4

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crema.db.driver import Reader
from crema.db.session import Sessions
from crema.menu import queries
from factories.menu import Json, make_category, make_group, make_product
from factories.orders import make_shop
from fixtures.statements import recorded

pytestmark = pytest.mark.anyio


async def menu_of(client: httpx2.AsyncClient, **parameters: str) -> Json:
    answer = await client.get("/menu", params=parameters)
    assert answer.status_code == 200, answer.text
    menu: Json = answer.json()
    return menu


async def test_categories_in_their_order_each_with_its_products(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    tea = await make_category(manager, "Чай", position=2)
    coffee = await make_category(manager, "Кофе", position=1)
    hidden = await make_category(manager, "Скоро", is_active=False)
    milk = await make_group(manager)
    latte = await make_product(manager, "Латте", category_ids=[coffee["id"]], modifier_group_ids=[milk["id"]])
    mix = await make_product(manager, "Юаньян", category_ids=[tea["id"], coffee["id"], hidden["id"]])
    loose = await make_product(manager, "Круассан")
    await make_product(manager, "Тайна", category_ids=[hidden["id"]])
    await make_product(manager, "Нет", category_ids=[coffee["id"]], is_active=False)

    menu = await menu_of(client)

    names = [(category["name"], [each["name"] for each in category["products"]]) for category in menu["categories"]]
    assert names == [("Кофе", ["Латте", "Юаньян"]), ("Чай", ["Юаньян"])]
    assert menu["categories"][0] == {
        **{
            name: coffee[name]
            for name in ("id", "slug", "name", "description", "parent_id", "position", "image", "schedule")
        },
        "products": [(await client.get(f"/product/{each['id']}")).json() for each in (latte, mix)],
    }
    assert [each["id"] for each in menu["products"]] == [loose["id"]]
    assert (menu["shop_id"], menu["currency"]) == (None, "RUB")


async def test_editors_see_what_guests_will_see(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    await make_category(manager, "Скоро", is_active=False)
    await make_product(manager, is_active=False)

    assert await menu_of(manager) == await menu_of(client)


async def test_a_shop_s_menu_is_of_a_shop_that_takes_orders(client: httpx2.AsyncClient, sessions: Sessions) -> None:
    shop_id = await make_shop(sessions)

    assert (await menu_of(client, shop_id=str(shop_id)))["shop_id"] == str(shop_id)
    assert (await client.get("/menu", params={"shop_id": str(uuid4())})).status_code == 404
    assert (await client.get("/menu", params={"shop_id": "arbat"})).status_code == 422


async def test_what_did_not_change_is_not_sent_again(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    product = await make_product(manager)
    first = await client.get("/menu")
    again = await client.get("/menu", headers={"If-None-Match": first.headers["etag"]})
    await manager.patch(f"/product/{product['id']}", json={"price": "300.00"})
    changed = await client.get("/menu", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert changed.status_code == 200


async def test_while_nothing_changes_it_costs_a_look_at_its_version(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient, engine: AsyncEngine
) -> None:
    category = await make_category(manager)
    for number in range(3):
        await make_product(manager, f"Латте {number}", category_ids=[category["id"]])

    costs = []
    for _ in range(2):
        with recorded(engine) as statements:
            await menu_of(client)
        costs.append(sum(statement.startswith("SELECT") for statement in statements))

    assert costs == [4, 1]


async def test_a_new_category_shows_at_once(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    await menu_of(client)
    await make_category(manager, "Десерты")

    assert [category["name"] for category in (await menu_of(client))["categories"]] == ["Десерты"]


async def test_what_changes_while_it_is_read_is_not_kept(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = await make_product(manager)
    load = queries.load_menu

    async def overtaken(reader: Reader) -> queries.Menu:
        menu = await load(reader)
        await manager.patch(f"/product/{product['id']}", json={"price": "300.00"})
        return menu

    with monkeypatch.context() as patch:
        patch.setattr(queries, "load_menu", overtaken)
        await menu_of(client)

    assert (await menu_of(client))["products"][0]["price"] == "300.00"
