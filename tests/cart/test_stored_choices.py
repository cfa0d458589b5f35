"""What a customer chose stays what they chose, whatever becomes of the menu: nothing is added behind their back."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import delete, select, update

from crema.db.session import Sessions
from crema.menu.models import ModifierGroup, Option, Product, ProductModifierGroup, Size
from crema.menu.service import documents
from crema.orders.models import Order
from factories.orders import Latte, make_latte, make_shop, make_simple_product, place

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions)


async def attach_milk(sessions: Sessions, product_id: UUID) -> UUID:
    """Attach a required group with a default to a product, as a manager does; return the default option."""
    async with sessions.begin() as session:
        cow = Option(name="Коровье", is_default=True, price_delta=Decimal(30))
        group = ModifierGroup(name="Молоко", min_choices=1, max_choices=1, options=[cow, Option(name="Овсяное")])
        session.add(group)
        await session.flush()
        session.add(ProductModifierGroup(product_id=product_id, group_id=group.id, position=0))
        await session.flush()
        await documents.refresh(session, [product_id])
        return cow.id


async def orders_in(sessions: Sessions) -> int:
    async with sessions() as session:
        return len((await session.scalars(select(Order.id))).all())


async def add(client: httpx2.AsyncClient, product_id: UUID, **fields: Any) -> dict[str, Any]:
    response = await client.post("/cart", json={"product_id": str(product_id)} | fields)
    assert response.status_code == 201, response.text
    cart: dict[str, Any] = response.json()
    return cart


async def test_a_required_group_attached_later_adds_no_milk_to_what_lies_in_the_cart(
    customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    tea = await make_simple_product(sessions, name="Чай")
    item = (await add(customer, tea))["items"][0]
    cow = await attach_milk(sessions, tea)

    cart = (await customer.get("/cart")).json()
    changed = await customer.patch(f"/cart/{item['id']}", json={"quantity": 2})
    ordered = await customer.post("/order", json={})

    assert not cart["items"][0]["is_available"]
    assert [problem["code"] for problem in cart["items"][0]["problems"]] == ["choice_required"]
    assert cart["total"] == "0.00"
    for refused in (changed, ordered):
        assert (refused.status_code, refused.json()["code"]) == (409, "item_unavailable")
        (problem,) = refused.json()["problems"]
        assert (problem["code"], problem["item_id"], problem["product_id"]) == ("choice_required", item["id"], str(tea))
        assert problem["detail"] == cart["items"][0]["problems"][0]["detail"]
    assert ordered.json()["problems"][0]["line"] == 0
    assert await orders_in(sessions) == 0
    assert (await customer.get("/cart")).json() == cart

    chosen = await customer.patch(f"/cart/{item['id']}", json={"options": [{"option_id": str(cow)}]})
    assert chosen.json()["items"][0]["is_available"]
    assert (await customer.post("/order", json={})).json()["total"] == "280.00"


async def test_a_required_group_attached_later_adds_no_milk_to_a_reorder(
    customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    tea, cake = await make_simple_product(sessions, name="Чай"), await make_simple_product(sessions, name="Кекс")
    items = [{"product_id": str(tea)}, {"product_id": str(cake)}]
    order = (await customer.post("/order", json={"items": items})).json()
    await attach_milk(sessions, tea)

    again = (await customer.post(f"/order/{order['id']}/reorder")).json()

    assert [item["name"] for item in again["cart"]["items"]] == ["Кекс"]
    (skipped,) = again["skipped"]
    assert (skipped["line"], skipped["name"], skipped["quantity"]) == (0, "Чай", 1)
    assert [problem["code"] for problem in skipped["problems"]] == ["choice_required"]


async def test_sizes_given_to_a_product_later_are_not_chosen_for_the_customer(
    customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    tea = await make_simple_product(sessions, name="Чай")
    await add(customer, tea)
    async with sessions.begin() as session:
        session.add_all([Size(product_id=tea, name="M", is_default=True, price_delta=Decimal(50), position=0)])
        await session.flush()
        await documents.refresh(session, [tea])

    cart = (await customer.get("/cart")).json()
    ordered = await customer.post("/order", json={})

    assert [problem["code"] for problem in cart["items"][0]["problems"]] == ["size_required"]
    assert (ordered.status_code, ordered.json()["problems"][0]["code"]) == (409, "size_required")
    assert await orders_in(sessions) == 0


async def test_an_option_taken_out_of_its_group_is_still_shown_in_the_cart_and_named(
    customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    latte = await make_latte(sessions)
    await add(customer, latte.id, size_id=str(latte.large), options=[{"option_id": str(latte.oat)}])
    async with sessions.begin() as session:
        await session.execute(delete(Option).where(Option.id == latte.oat))
        await session.execute(delete(Size).where(Size.id == latte.large))
        await documents.refresh(session, [latte.id])

    (item,) = (await customer.get("/cart")).json()["items"]
    ordered = await customer.post("/order", json={})

    assert (item["size_name"], item["options"][0]["name"], item["options"][0]["group"]) == ("L", "Овсяное", "Молоко")
    codes = ["size_not_offered", "choice_required", "option_not_offered"]
    assert [problem["code"] for problem in item["problems"]] == codes
    assert ordered.status_code == 409
    assert [(p["code"], p["item_id"]) for p in ordered.json()["problems"]] == [(code, item["id"]) for code in codes]
    assert "Овсяное" in ordered.json()["problems"][2]["detail"]


def told(problems: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(each["line"], each["code"], each["detail"]) for each in problems]


async def test_an_option_taken_out_of_its_group_while_other_lines_are_broken_too_and_all_are_told_everywhere(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions
) -> None:
    """Tried: the cart said "choose 1, not 0", the order "not offered"; neither named the line, only one was told."""
    latte, tea = await make_latte(sessions), await make_simple_product(sessions, name="Чай")
    cake, bun = await make_simple_product(sessions, name="Кекс"), await make_simple_product(sessions, name="Булка")
    lines: list[dict[str, Any]] = [
        {"product_id": str(latte.id), "size_id": str(latte.large), "options": [{"option_id": str(latte.oat)}]},
        {"product_id": str(tea)},
        {"product_id": str(cake)},
        {"product_id": str(bun)},
    ]
    past = await customer.post("/order", json={"items": lines[:3]})
    open_order = (await customer.post("/order", json={"items": lines[3:]})).json()
    for line in lines:
        await add(customer, **line)
    group = (await manager.get(f"/modifier-group/{latte.milk_group}")).json()
    kept = [each for each in group["options"] if each["id"] != str(latte.oat)]
    assert (await manager.put(f"/modifier-group/{latte.milk_group}", json=group | {"options": kept})).is_success
    assert (await manager.patch(f"/product/{tea}", json={"sizes": [{"name": "M"}]})).is_success
    assert (await manager.patch(f"/product/{cake}", json={"is_active": False})).is_success

    items = (await customer.get("/cart")).json()["items"]
    ordered = await customer.post("/order", json={})
    changed = [await customer.patch(f"/cart/{item['id']}", json={"note": "Погорячее"}) for item in items]
    again = await customer.post(f"/order/{past.json()['id']}/reorder")
    chosen = await customer.post("/order", json={"items": lines})
    edited = await customer.patch(f"/order/{open_order['id']}", json={"items": lines})
    put = await customer.put(f"/order/{open_order['id']}", json={"items": lines})

    assert [option["name"] for option in items[0]["options"]] == ["Овсяное"], "the cart shows what was chosen"
    of_cart = [
        (line, problem["code"], problem["detail"]) for line, item in enumerate(items) for problem in item["problems"]
    ]
    assert [(line, code) for line, code, _ in of_cart] == [
        (0, "choice_required"),
        (0, "option_not_offered"),
        (1, "size_required"),
        (2, "off_menu"),
    ]
    assert (ordered.status_code, ordered.json()["code"]) == (409, "item_unavailable")
    assert told(ordered.json()["problems"]) == of_cart
    assert [each["item_id"] for each in ordered.json()["problems"]] == [items[line]["id"] for line, *_ in of_cart]
    assert [answer.status_code for answer in changed] == [409, 409, 409, 200]
    assert [each for answer in changed[:3] for each in answer.json()["problems"]] == ordered.json()["problems"]
    assert (again.status_code, again.json()["code"]) == (409, "item_unavailable")
    assert told(again.json()["problems"]) == of_cart
    assert [each["item_id"] for each in again.json()["problems"]] == [None] * 4
    for refused in (chosen, edited, put):  # what is chosen in this very request is the client's to choose again
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_reference")
        assert {(each["line"], each["item_id"]) for each in refused.json()["problems"]} == {(0, None), (2, None)}
    assert told(chosen.json()["problems"]) == told(edited.json()["problems"]) == told(put.json()["problems"])
    assert (await customer.get(f"/order/{open_order['id']}")).json() == open_order


async def test_all_lines_are_told_at_once_and_a_new_choice_is_the_client_s_fault(
    customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    latte, gone = await make_latte(sessions), await make_simple_product(sessions, is_active=False)
    unknown = "00000000-0000-7000-8000-000000000000"
    too_much = [{"option_id": str(latte.cow)}, {"option_id": str(latte.oat)}]

    refused = await customer.post(
        "/order",
        json={
            "items": [
                {"product_id": str(gone)},
                {"product_id": str(latte.id), "options": too_much},
                {"product_id": unknown},
            ]
        },
    )
    wrong = await customer.post("/order", json={"items": [{"product_id": str(latte.id), "options": too_much}]})

    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_reference")
    assert refused.json()["errors"][0]["loc"] == ["body", "items", 2, "product_id"]
    assert [(p["line"], p["code"]) for p in refused.json()["problems"]] == [
        (0, "off_menu"),
        (1, "too_many_choices"),
        (2, "unknown_product"),
    ]
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["group"]) == (422, "invalid_configuration", "Молоко")
    assert wrong.json()["errors"][0]["loc"] == ["body", "items", 0]
    assert await orders_in(sessions) == 0


async def test_an_edit_of_an_order_names_its_lines_alike(customer: httpx2.AsyncClient, sessions: Sessions) -> None:
    latte = await make_latte(sessions)
    order = await place(customer, latte.id)
    async with sessions.begin() as session:
        await session.execute(update(Product).values(is_active=False).where(Product.id == latte.id))
        await documents.refresh(session, [latte.id])

    refused = await customer.patch(f"/order/{order['id']}", json={"items": [{"product_id": str(latte.id)}]})

    assert (refused.status_code, refused.json()["code"]) == (409, "item_unavailable")
    assert [(p["line"], p["code"]) for p in refused.json()["problems"]] == [(0, "off_menu")]
    assert (await customer.get(f"/order/{order['id']}")).json() == order


async def test_reordering_past_the_cart_s_limit_puts_in_what_fits(
    customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    cake = await make_simple_product(sessions, name="Кекс")
    items = [{"product_id": str(cake), "quantity": 10}]
    order = (await customer.post("/order", json={"items": items})).json()
    await add(customer, cake, quantity=45)

    again = await customer.post(f"/order/{order['id']}/reorder")
    full = await customer.post(f"/order/{order['id']}/reorder")

    assert again.status_code == 201
    assert [item["quantity"] for item in again.json()["cart"]["items"]] == [50]
    assert [(skipped["name"], skipped["quantity"]) for skipped in again.json()["skipped"]] == [("Кекс", 5)]
    assert [problem["code"] for problem in again.json()["skipped"][0]["problems"]] == ["quantity_limit"]
    assert (full.status_code, full.json()["code"]) == (409, "item_unavailable")
    assert [(problem["line"], problem["code"]) for problem in full.json()["problems"]] == [(0, "quantity_limit")]
    assert [item["quantity"] for item in (await customer.get("/cart")).json()["items"]] == [50]


async def test_a_new_choice_is_completed_with_the_defaults(customer: httpx2.AsyncClient, sessions: Sessions) -> None:
    latte: Latte = await make_latte(sessions)

    (item,) = (await add(customer, latte.id))["items"]

    assert (item["size_name"], [option["name"] for option in item["options"]]) == ("S", ["Коровье"])
    changed = (await customer.patch(f"/cart/{item['id']}", json={"options": []})).json()
    assert [option["name"] for option in changed["items"][0]["options"]] == ["Коровье"]
