"""The cart: one a person, always priced afresh."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import func, select, update

from crema.cart.models import Cart, CartItem
from crema.db.session import Sessions
from crema.menu.models import Option, Product, Size
from crema.menu.service import documents
from factories.orders import Latte, make_latte, make_shop, make_simple_product

pytestmark = pytest.mark.anyio


@pytest.fixture
async def latte(sessions: Sessions) -> Latte:
    return await make_latte(sessions)


async def add(client: httpx2.AsyncClient, product_id: UUID, **fields: Any) -> dict[str, Any]:
    response = await client.post("/cart", json={"product_id": str(product_id)} | fields)
    assert response.status_code == 201, response.text
    cart: dict[str, Any] = response.json()
    return cart


async def count_items(sessions: Sessions) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(CartItem)) or 0


async def test_it_is_there_and_empty_from_the_start(customer: httpx2.AsyncClient) -> None:
    first = (await customer.get("/cart")).json()
    second = await customer.get("/cart")

    assert second.json() == first
    assert second.headers["cache-control"] == "no-store"
    assert {name: first[name] for name in ("shop_id", "items", "subtotal", "discount", "total", "currency")} == {
        "shop_id": None,
        "items": [],
        "subtotal": "0.00",
        "discount": "0.00",
        "total": "0.00",
        "currency": "RUB",
    }


async def test_nobody_has_no_cart(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/cart")).status_code == 401


async def test_a_configured_item_is_priced_and_told_whole(customer: httpx2.AsyncClient, latte: Latte) -> None:
    cart = await add(
        customer,
        latte.id,
        quantity=2,
        size_id=str(latte.large),
        options=[{"option_id": str(latte.oat)}, {"option_id": str(latte.vanilla), "quantity": 2}],
        note="Погорячее",
    )

    (item,) = cart["items"]
    # 250 + 90 for the size + 60 for oat milk + one of two pumps free.
    assert (item["unit_price"], item["total"], cart["total"]) == ("440.00", "880.00", "880.00")
    assert (item["product_id"], item["name"], item["size_id"]) == (str(latte.id), "Латте", str(latte.large))
    assert (item["quantity"], item["note"], item["is_available"]) == (2, "Погорячее", True)
    assert [(o["name"], o["group"], o["quantity"], o["price"]) for o in item["options"]] == [
        ("Овсяное", "Молоко", 1, "60.00"),
        ("Ваниль", "Сироп", 2, "40.00"),
    ]


async def test_a_created_item_says_where_it_is(customer: httpx2.AsyncClient, latte: Latte) -> None:
    response = await customer.post("/cart", json={"product_id": str(latte.id)})

    assert response.headers["location"] == "/cart"


async def test_defaults_fill_what_is_not_said(customer: httpx2.AsyncClient, latte: Latte) -> None:
    (item,) = (await add(customer, latte.id))["items"]

    assert item["size_id"] == str(latte.small)
    assert [option["name"] for option in item["options"]] == ["Коровье"]


async def test_the_same_configuration_adds_up(customer: httpx2.AsyncClient, latte: Latte) -> None:
    await add(customer, latte.id, quantity=2)
    spelled_out = {"size_id": str(latte.small), "options": [{"option_id": str(latte.cow)}]}

    cart = await add(customer, latte.id, quantity=3, **spelled_out)

    assert [item["quantity"] for item in cart["items"]] == [5]


@pytest.mark.parametrize("difference", ["size_id", "options", "note"])
async def test_another_configuration_is_another_line(
    customer: httpx2.AsyncClient, latte: Latte, difference: str
) -> None:
    fields = {"size_id": str(latte.large), "options": [{"option_id": str(latte.oat)}], "note": "x"}
    await add(customer, latte.id)

    cart = await add(customer, latte.id, **{difference: fields[difference]})

    assert [item["quantity"] for item in cart["items"]] == [1, 1]


@pytest.mark.parametrize("quantity", [0, -1, 51, 10**9, 1.5, "1", True, None])
async def test_a9_refuses_what_is_no_quantity(
    customer: httpx2.AsyncClient, latte: Latte, sessions: Sessions, quantity: object
) -> None:
    response = await customer.post("/cart", json={"product_id": str(latte.id), "quantity": quantity})

    assert response.status_code == 422
    assert await count_items(sessions) == 0


async def test_a9_refuses_to_grow_past_fifty(customer: httpx2.AsyncClient, latte: Latte) -> None:
    await add(customer, latte.id, quantity=30)

    response = await customer.post("/cart", json={"product_id": str(latte.id), "quantity": 21})

    assert (response.status_code, response.json()["code"]) == (422, "quantity_limit")
    assert (await customer.get("/cart")).json()["items"][0]["quantity"] == 30


async def test_refuses_a_fifty_first_line(customer: httpx2.AsyncClient, sessions: Sessions) -> None:
    product_id = await make_simple_product(sessions)
    for number in range(50):
        await add(customer, product_id, note=str(number))

    response = await customer.post("/cart", json={"product_id": str(product_id)})

    assert (response.status_code, response.json()["code"]) == (409, "cart_full")
    assert await count_items(sessions) == 50


async def test_a_broken_group_rule_names_the_group(customer: httpx2.AsyncClient, latte: Latte) -> None:
    both = [{"option_id": str(latte.cow)}, {"option_id": str(latte.oat)}]

    response = await customer.post("/cart", json={"product_id": str(latte.id), "options": both})

    assert (response.status_code, response.json()["code"]) == (422, "invalid_configuration")
    assert response.json()["group"] == "Молоко"
    assert "Молоко" in response.json()["detail"]


@pytest.mark.parametrize("field", ["price", "total", "unit_price", "discount", "cart_id", "user_id"])
async def test_a8_refuses_fields_that_are_ours(customer: httpx2.AsyncClient, latte: Latte, field: str) -> None:
    response = await customer.post("/cart", json={"product_id": str(latte.id), field: "1.00"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["body", field]


async def test_an_unknown_product_is_an_unknown_reference(customer: httpx2.AsyncClient) -> None:
    refused = await customer.post("/cart", json={"product_id": str(uuid4())})

    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_reference")
    assert refused.json()["errors"][0]["loc"] == ["body", "product_id"]


async def test_a_product_off_the_menu_is_unavailable(customer: httpx2.AsyncClient, sessions: Sessions) -> None:
    product_id = await make_simple_product(sessions, is_active=False)

    response = await customer.post("/cart", json={"product_id": str(product_id)})

    assert (response.status_code, response.json()["code"]) == (409, "item_unavailable")


async def test_an_edited_price_shows_at_the_next_look(
    customer: httpx2.AsyncClient, latte: Latte, sessions: Sessions
) -> None:
    await add(customer, latte.id)
    async with sessions.begin() as session:
        await session.execute(update(Product).values(price=300).where(Product.id == latte.id))
        await documents.refresh(session, [latte.id])

    assert (await customer.get("/cart")).json()["total"] == "300.00"


@pytest.mark.parametrize("gone", ["inactive", "archived", "size", "option"])
async def test_what_went_off_the_menu_is_marked_not_dropped(
    customer: httpx2.AsyncClient, latte: Latte, sessions: Sessions, clock: Any, gone: str
) -> None:
    await add(customer, latte.id, size_id=str(latte.large), options=[{"option_id": str(latte.oat)}])
    await add(customer, await make_simple_product(sessions, price="100.00"))
    async with sessions.begin() as session:
        if gone == "inactive":
            await session.execute(update(Product).values(is_active=False).where(Product.id == latte.id))
        elif gone == "archived":
            await session.execute(update(Product).values(archived_at=clock.now).where(Product.id == latte.id))
        elif gone == "size":
            await session.delete(await session.get_one(Size, latte.large))
        else:
            await session.execute(update(Option).values(is_active=False).where(Option.id == latte.oat))
        await documents.refresh(session, [latte.id])

    cart = (await customer.get("/cart")).json()

    assert [item["is_available"] for item in cart["items"]] == [False, True]
    assert cart["items"][0]["name"] == "Латте"
    assert cart["items"][0]["reason"]
    assert cart["total"] == "100.00"


async def test_an_item_changes_in_the_parts_that_are_sent(customer: httpx2.AsyncClient, latte: Latte) -> None:
    cart = await add(customer, latte.id, quantity=2, note="x", options=[{"option_id": str(latte.oat)}])
    item_id = cart["items"][0]["id"]

    changed = await customer.patch(f"/cart/{item_id}", json={"size_id": str(latte.large)})

    (item,) = changed.json()["items"]
    assert (item["id"], item["quantity"], item["note"], item["unit_price"]) == (item_id, 2, "x", "400.00")


async def test_an_item_that_becomes_equal_to_another_joins_it(customer: httpx2.AsyncClient, latte: Latte) -> None:
    await add(customer, latte.id, quantity=2)
    cart = await add(customer, latte.id, size_id=str(latte.large))
    large = next(item for item in cart["items"] if item["size_id"] == str(latte.large))

    changed = await customer.patch(f"/cart/{large['id']}", json={"size_id": str(latte.small)})

    assert [item["quantity"] for item in changed.json()["items"]] == [3]


async def test_a4_someone_else_s_item_is_not_there(
    customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, latte: Latte
) -> None:
    item_id = (await add(customer, latte.id))["items"][0]["id"]
    before = (await customer.get("/cart")).json()

    theirs = await other_customer.patch(f"/cart/{item_id}", json={"quantity": 5})
    nobodys = await other_customer.patch(f"/cart/{uuid4()}", json={"quantity": 5})
    removed = await other_customer.delete(f"/cart/{item_id}")

    assert theirs.status_code == nobodys.status_code == removed.status_code == 404
    assert theirs.json() | {"request_id": ""} == nobodys.json() | {"request_id": ""}
    assert (await customer.get("/cart")).json() == before


async def test_one_item_or_all_can_be_taken_out(customer: httpx2.AsyncClient, latte: Latte) -> None:
    cart = await add(customer, latte.id)
    await add(customer, latte.id, note="second")
    await add(customer, latte.id, note="third")

    one = await customer.delete(f"/cart/{cart['items'][0]['id']}")
    assert one.status_code == 204
    assert len((await customer.get("/cart")).json()["items"]) == 2

    assert (await customer.delete("/cart/")).status_code == 204
    assert (await customer.get("/cart")).json()["items"] == []


async def test_the_shop_is_chosen_and_left_open_again(customer: httpx2.AsyncClient, sessions: Sessions) -> None:
    shop_id = str(await make_shop(sessions))

    chosen = await customer.put("/cart/shop", json={"shop_id": shop_id})
    unknown = await customer.put("/cart/shop", json={"shop_id": str(uuid4())})

    assert chosen.json()["shop_id"] == shop_id
    assert (unknown.status_code, unknown.json()["errors"][0]["loc"]) == (422, ["body", "shop_id"])
    assert (await customer.get("/cart")).json()["shop_id"] == shop_id
    assert (await customer.put("/cart/shop", json={"shop_id": None})).json()["shop_id"] is None


async def test_a4_there_is_one_cart_a_person(customer: httpx2.AsyncClient, latte: Latte, sessions: Sessions) -> None:
    await add(customer, latte.id)
    await customer.get("/cart")

    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Cart)) == 1
