"""A hidden category hides what stands only under it and under its descendants, and that can't be ordered."""

from dataclasses import dataclass
from uuid import UUID

import httpx2
import pytest

from crema.db.session import Sessions
from factories.menu import Json, make_category, make_product
from factories.orders import make_shop, place

pytestmark = pytest.mark.anyio


@dataclass
class Tree:
    """Drinks > coffee > cold coffee, each with a drink; one drink stands under news as well."""

    drinks: Json
    coffee: Json
    cold: Json
    news: Json
    lemonade: Json
    latte: Json
    iced: Json
    raf: Json

    @property
    def hidden(self) -> list[Json]:
        return [self.lemonade, self.latte, self.iced]


@pytest.fixture
async def tree(manager: httpx2.AsyncClient) -> Tree:
    drinks = await make_category(manager, "Напитки")
    coffee = await make_category(manager, "Кофе", parent_id=drinks["id"])
    cold = await make_category(manager, "Холодный", parent_id=coffee["id"])
    news = await make_category(manager, "Новинки")
    return Tree(
        drinks,
        coffee,
        cold,
        news,
        await make_product(manager, "Лимонад", category_ids=[drinks["id"]]),
        await make_product(manager, "Латте", category_ids=[coffee["id"]]),
        await make_product(manager, "Айс-латте", category_ids=[cold["id"]]),
        await make_product(manager, "Раф", category_ids=[cold["id"], news["id"]]),
    )


async def switch(manager: httpx2.AsyncClient, category: Json, *, on: bool) -> None:
    answer = await manager.patch(f"/category/{category['id']}", json={"is_active": on})
    assert answer.status_code == 200, answer.text


async def listed(client: httpx2.AsyncClient) -> list[str]:
    return [each["name"] for each in (await client.get("/products", params={"sort": "name"})).json()["items"]]


async def shown(client: httpx2.AsyncClient) -> dict[str, list[str]]:
    menu = (await client.get("/menu")).json()
    categories = {category["name"]: [each["name"] for each in category["products"]] for category in menu["categories"]}
    return categories | {"": [each["name"] for each in menu["products"]]}


async def test_it_hides_what_stands_only_under_it(
    tree: Tree, manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    await switch(manager, tree.drinks, on=False)

    assert await shown(client) == {"Новинки": ["Раф"], "": []}
    assert await listed(client) == ["Раф"]
    assert (await client.get("/products")).json()["total"] == 1
    assert [(await client.get(f"/product/{each['id']}")).status_code for each in tree.hidden] == [404] * 3
    assert [(await client.get(f"/category/{each['id']}")).status_code for each in (tree.drinks, tree.coffee)] == [
        404
    ] * 2
    assert [each["name"] for each in (await client.get("/categories")).json()["items"]] == ["Новинки"]
    raf = (await client.get(f"/product/{tree.raf['id']}")).json()
    assert [each["name"] for each in raf["categories"]] == ["Новинки"]


async def test_f1_the_public_can_not_ask_what_stands_below_a_hidden_category(
    tree: Tree, manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    await switch(manager, tree.coffee, on=False)

    totals = [
        (await client.get("/products", params={"category_id": each["id"]})).json()["total"]
        for each in (tree.drinks, tree.coffee, tree.cold, tree.news)
    ]

    assert totals == [1, 0, 0, 1]


async def test_editors_see_everything_and_what_is_hidden(tree: Tree, manager: httpx2.AsyncClient) -> None:
    await switch(manager, tree.drinks, on=False)

    products = {each["name"]: each["is_on_menu"] for each in (await manager.get("/products")).json()["items"]}
    cold = (await manager.get(f"/category/{tree.cold['id']}")).json()
    hidden = (await manager.get("/categories", params={"is_on_menu": "false"})).json()["items"]

    assert products == {"Лимонад": False, "Латте": False, "Айс-латте": False, "Раф": True}
    assert (cold["is_active"], cold["is_on_menu"]) == (True, False)
    assert {each["name"] for each in hidden} == {"Напитки", "Кофе", "Холодный"}


async def test_it_can_not_be_put_into_the_cart_or_ordered(
    tree: Tree, manager: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    await customer.post("/cart", json={"product_id": tree.iced["id"]})
    await switch(manager, tree.drinks, on=False)

    item = (await customer.get("/cart")).json()["items"][0]
    answers = [
        await customer.post("/cart", json={"product_id": tree.latte["id"]}),
        await customer.post("/order", json={"items": [{"product_id": tree.latte["id"]}]}),
        await customer.post("/order", json={}),
    ]

    assert (item["is_available"], [each["code"] for each in item["problems"]]) == (False, ["off_menu"])
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "item_unavailable")] * 3
    assert [problem["code"] for answer in answers for problem in answer.json()["problems"]] == ["off_menu"] * 3
    await place(customer, UUID(tree.raf["id"]))


HIDDEN = "is off the menu: the category Напитки is hidden."


async def test_what_is_off_the_menu_says_which_category_hides_it(
    tree: Tree, manager: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    """Tried: cart, order, edit and reorder of what stands under a hidden category, with the category not named."""
    await make_shop(sessions)
    raf, iced = tree.raf["id"], tree.iced["id"]
    order = (await customer.post("/order", json={"items": [{"product_id": iced}, {"product_id": raf}]})).json()
    await customer.post("/cart", json={"product_id": iced})
    await switch(manager, tree.drinks, on=False)

    shown = (await customer.get("/cart")).json()["items"][0]
    refused = [
        await customer.post("/cart", json={"product_id": tree.latte["id"]}),
        await customer.patch(f"/cart/{shown['id']}", json={"quantity": 2}),
        await customer.post("/order", json={"items": [{"product_id": iced}]}),
        await customer.post("/order", json={}),
        await customer.patch(f"/order/{order['id']}", json={"items": [{"product_id": iced}]}),
        await customer.put(f"/order/{order['id']}", json={"items": [{"product_id": raf}, {"product_id": iced}]}),
    ]
    again = await customer.post(f"/order/{order['id']}/reorder")

    assert [each["detail"] for each in shown["problems"]] == [f"Айс-латте {HIDDEN}"]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(409, "item_unavailable")] * 6
    details = [problem["detail"] for answer in refused for problem in answer.json()["problems"]]
    assert details == [f"Латте {HIDDEN}", *[f"Айс-латте {HIDDEN}"] * 5]
    assert again.status_code == 201
    (skipped,) = again.json()["skipped"]
    assert (skipped["reason"], [each["code"] for each in skipped["problems"]]) == (f"Айс-латте {HIDDEN}", ["off_menu"])
    assert (await customer.get(f"/order/{order['id']}")).json()["lines"] == order["lines"]


async def test_the_nearest_hidden_category_is_named_and_none_for_what_is_itself_inactive(
    tree: Tree, manager: httpx2.AsyncClient, customer: httpx2.AsyncClient
) -> None:
    for product in (tree.raf, tree.iced):
        await customer.post("/cart", json={"product_id": product["id"]})

    async def details() -> list[str]:
        return [
            problem["detail"] for item in (await customer.get("/cart")).json()["items"] for problem in item["problems"]
        ]

    await switch(manager, tree.drinks, on=False)
    await switch(manager, tree.coffee, on=False)
    await switch(manager, tree.news, on=False)
    assert await details() == [
        "Раф is off the menu: the categories Кофе, Новинки are hidden.",
        "Айс-латте is off the menu: the category Кофе is hidden.",
    ]
    await manager.patch(f"/category/{tree.coffee['id']}", json={"name": "Эспрессо"})
    await manager.patch(f"/product/{tree.raf['id']}", json={"is_active": False})
    assert await details() == ["Раф is off the menu.", "Айс-латте is off the menu: the category Эспрессо is hidden."]
    await switch(manager, tree.coffee, on=True)
    assert (await details())[1] == f"Айс-латте {HIDDEN}"


async def test_an_order_is_edited_and_repeated_by_what_a_visible_category_still_shows(
    tree: Tree, manager: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    order = await place(customer, UUID(tree.raf["id"]))
    await switch(manager, tree.drinks, on=False)

    edited = await customer.patch(
        f"/order/{order['id']}", json={"items": [{"product_id": tree.raf["id"], "quantity": 2}]}
    )
    again = await customer.post(f"/order/{order['id']}/reorder")

    assert (edited.status_code, edited.json()["lines"][0]["quantity"]) == (200, 2)
    assert (again.status_code, again.json()["skipped"]) == (201, [])


async def test_switched_on_again_all_is_as_before(
    tree: Tree, manager: httpx2.AsyncClient, client: httpx2.AsyncClient, customer: httpx2.AsyncClient
) -> None:
    before = await shown(client), await listed(client)
    await customer.post("/cart", json={"product_id": tree.iced["id"]})

    await switch(manager, tree.drinks, on=False)
    await switch(manager, tree.coffee, on=False)
    await switch(manager, tree.drinks, on=True)
    half = await listed(client)
    await switch(manager, tree.coffee, on=True)

    assert half == ["Лимонад", "Раф"]
    assert (await shown(client), await listed(client)) == before
    assert (await customer.get("/cart")).json()["items"][0]["is_available"] is True


async def test_moving_a_category_under_a_hidden_one_hides_it(
    tree: Tree, manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    await switch(manager, tree.news, on=False)

    await manager.patch(f"/category/{tree.coffee['id']}", json={"parent_id": tree.news["id"]})
    under_hidden = await listed(client)
    await manager.patch(f"/category/{tree.coffee['id']}", json={"parent_id": None})

    assert under_hidden == ["Лимонад"]
    assert await listed(client) == ["Айс-латте", "Латте", "Лимонад", "Раф"]


async def test_a_category_made_under_a_hidden_one_is_hidden(
    tree: Tree, manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    await switch(manager, tree.drinks, on=False)

    tea = await make_category(manager, "Чай", parent_id=tree.coffee["id"])
    await make_product(manager, "Сенча", category_ids=[tea["id"]])

    assert tea["is_on_menu"] is False
    assert await listed(client) == ["Раф"]


async def test_with_a_deleted_category_goes_what_it_hid(
    tree: Tree, manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    await switch(manager, tree.coffee, on=False)

    await manager.delete(f"/category/{tree.coffee['id']}", params={"force": True})

    assert await listed(client) == ["Айс-латте", "Латте", "Лимонад", "Раф"]
    cold = (await client.get(f"/category/{tree.cold['id']}")).json()
    assert (cold["parent_id"], cold["is_on_menu"]) == (tree.drinks["id"], True)
