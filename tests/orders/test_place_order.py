"""Placing an order, from the cart or from items."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, inspect, select, update

from crema.accounts.models import User
from crema.core.instants import format_instant
from crema.db.session import Sessions
from crema.events.models import Event
from crema.menu.models import Option, Product
from crema.menu.service import documents
from crema.notifications.models import Mail
from crema.orders.deps import OrdersState
from crema.orders.domain import NewHistoryEntry, NewLine, NewOrder
from crema.orders.models import Order, OrderEvent, OrderLine
from crema.shops.models import Shop
from crema.web.state import state_of
from factories.orders import Latte, make_latte, make_shop, make_simple_product, place
from factories.people import consume_events
from fixtures.app import change_state

pytestmark = pytest.mark.anyio
NOTHING = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions, email="arbat@example.com")


@pytest.fixture
async def latte(sessions: Sessions) -> Latte:
    return await make_latte(sessions)


async def fill_cart(client: httpx2.AsyncClient, latte: Latte, quantity: int = 2) -> None:
    body = {"product_id": str(latte.id), "quantity": quantity, "options": [{"option_id": str(latte.oat)}]}
    assert (await client.post("/cart", json=body)).status_code == 201


async def count(sessions: Sessions, table: type[Any]) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def refuse(
    client: httpx2.AsyncClient, sessions: Sessions, expected: int, code: str, **body: Any
) -> dict[str, Any]:
    """Expect a refusal that changes nothing."""
    before = (await client.get("/cart")).json()

    response = await client.post("/order", json=body)

    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["code"]) == (expected, code)
    assert (await client.get("/cart")).json() == before
    assert await count(sessions, Order) == await count(sessions, Event) == 0
    return problem


async def test_the_cart_becomes_an_order_and_is_empty(
    customer: httpx2.AsyncClient, shop_id: UUID, latte: Latte, clock: Any
) -> None:
    await fill_cart(customer, latte)

    response = await customer.post("/order", json={"comment": "Спасибо"})

    order = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/order/{order['id']}"
    assert (await customer.get("/cart")).json()["items"] == []
    assert (await customer.get(f"/order/{order['id']}")).json() == order
    (line,) = order.pop("lines")
    (event,) = order.pop("history")
    (cow_or_oat,) = line.pop("options")
    assert UUID(line.pop("id"))
    assert line.pop("is_made") is False
    assert (cow_or_oat["name"], cow_or_oat["price"]) == ("Овсяное", "60.00")
    assert line == {
        "product_id": str(latte.id),
        "name": "Латте",
        "size": {"id": str(latte.small), "name": "S", "volume_ml": None},
        "note": "",
        "quantity": 2,
        "contents": {"allergens": [], "ingredients": [], "nutrition": None},
        "unit_price": "310.00",
        "total": "620.00",
    }
    assert (event["status"], event["from_status"], event["actor"]["role"]) == ("placed", None, "user")
    ready = clock.now + timedelta(minutes=2, seconds=240)
    assert order == {
        "id": order["id"],
        "number": "J-001",
        "status": "placed",
        "shop": {"id": str(shop_id), "name": "Crema arbat", "address": "Арбат, 1", "timezone": "Europe/Moscow"},
        "source": "app",
        "user_id": str(customer.person.id),
        "customer_name": None,
        "pickup_name": "Анна",
        "customer": None,
        "pickup_at": None,
        "is_asap": True,
        "promised_at": format_instant(ready),
        "start_at": format_instant(ready - timedelta(minutes=4)),
        "ready_estimate_at": format_instant(ready),
        "subtotal": "620.00",
        "discount": "0.00",
        "total": "620.00",
        "currency": "RUB",
        "comment": "Спасибо",
        "payment": {"method": "on_pickup", "status": "pending"},
        "promo_code": None,
        "is_hidden": False,
        "created_at": "2026-11-23T09:00:00.000000Z",
        "updated_at": "2026-11-23T09:00:00.000000Z",
    }


async def test_items_can_be_ordered_without_touching_the_cart(
    customer: httpx2.AsyncClient, shop_id: UUID, latte: Latte
) -> None:
    await fill_cart(customer, latte)

    order = await place(customer, latte.id, shop_id=str(shop_id))

    assert order["total"] == "250.00"
    assert len((await customer.get("/cart")).json()["items"]) == 1


async def test_numbers_count_up_per_shop_and_local_day(
    customer: httpx2.AsyncClient, sessions: Sessions, latte: Latte, clock: Any
) -> None:
    arbat, lenina = await make_shop(sessions), await make_shop(sessions, slug="lenina")

    async def number_at(shop: UUID) -> str:
        return (await place(customer, latte.id, shop_id=str(shop)))["number"]

    assert [await number_at(arbat), await number_at(arbat), await number_at(lenina)] == ["J-001", "J-002", "J-001"]
    clock.advance(hours=11, minutes=59)  # 23:59 in Moscow
    assert await number_at(arbat) == "J-003"
    clock.advance(minutes=1)
    assert await number_at(arbat) == "K-001"


async def test_r6_later_edits_of_the_menu_do_not_touch_it(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, latte: Latte, clock: Any
) -> None:
    order = await place(customer, latte.id)

    async with sessions.begin() as session:
        await session.execute(
            update(Product).values(name="Другое", price=1, archived_at=clock.now).where(Product.id == latte.id)
        )
        await session.execute(update(Option).values(name="Другое", price_delta=1))
        await documents.refresh(session, [latte.id])

    assert (await customer.get(f"/order/{order['id']}")).json() == order


async def test_mails_go_to_customer_administrators_and_shop(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, latte: Latte
) -> None:
    order = await place(customer, latte.id)

    async with sessions.begin() as session:
        await consume_events(session)
        mails = (await session.scalars(select(Mail).order_by(Mail.recipient))).all()
    assert {mail.recipient: mail.template for mail in mails} == {
        "admin@example.com": "order_placed_staff",
        "anna@example.com": "order_placed_customer",
        "arbat@example.com": "order_placed_staff",
    }
    context = mails[0].context
    assert (context["number"], context["total"], context["customer_name"]) == (order["number"], "250.00", "Анна")
    assert context["lines"] == [
        {"name": "Латте", "details": "S, Коровье", "note": "", "quantity": 1, "total": "250.00", "allergens": []}
        | {"ingredients": [], "nutrition": None}
    ]


@pytest.mark.parametrize(
    "field", ["total", "subtotal", "discount", "status", "number", "user_id", "paid_at", "cart_id"]
)
async def test_a8_refuses_fields_that_are_ours(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, latte: Latte, field: str
) -> None:
    await fill_cart(customer, latte)

    problem = await refuse(customer, sessions, 422, "validation_error", **{field: "1"})

    assert problem["errors"][0]["loc"] == ["body", field]


async def test_refuses_an_empty_cart(customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID) -> None:
    await refuse(customer, sessions, 409, "cart_empty")


async def test_refuses_what_went_off_the_menu(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, latte: Latte
) -> None:
    await fill_cart(customer, latte)
    async with sessions.begin() as session:
        await session.execute(update(Product).values(is_active=False).where(Product.id == latte.id))
        await documents.refresh(session, [latte.id])

    problem = await refuse(customer, sessions, 409, "item_unavailable")

    assert [(p["line"], p["product_id"], p["code"]) for p in problem["problems"]] == [(0, str(latte.id), "off_menu")]


async def test_a8_refuses_another_price_than_expected(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, latte: Latte
) -> None:
    await fill_cart(customer, latte)

    problem = await refuse(customer, sessions, 409, "price_changed", expected_total="600.00")

    assert problem["total"] == "620.00"
    assert (await customer.post("/order", json={"expected_total": 620})).status_code == 201


async def test_s7_refuses_when_the_shop_is_closed(
    customer: httpx2.AsyncClient, sessions: Sessions, latte: Latte
) -> None:
    await make_shop(sessions, hours=(13 * 60, 20 * 60))  # it is noon in Moscow
    await fill_cart(customer, latte)

    problem = await refuse(customer, sessions, 409, "shop_closed")

    assert problem["opens_at"] == "2026-11-23T10:00:00.000000Z"


@pytest.mark.parametrize(
    ("pickup_at", "status", "code"),
    [
        ("2026-11-23T19:59:00.000000Z", 201, None),
        ("2026-11-23T20:00:00.000000Z", 409, "outside_opening_hours"),
        ("2026-11-23T08:59:59.000000Z", 422, "invalid_pickup_time"),
        ("2026-12-01T09:00:00.000000Z", 422, "invalid_pickup_time"),
        ("2026-11-24T09:00:00", 422, "validation_error"),
        ("tomorrow", 422, "validation_error"),
    ],
)
async def test_s7_a_pickup_time_must_be_one_at_which_the_shop_is_open(
    customer: httpx2.AsyncClient, sessions: Sessions, latte: Latte, pickup_at: str, status: int, code: str | None
) -> None:
    await make_shop(sessions, hours=(8 * 60, 23 * 60))
    await fill_cart(customer, latte)

    response = await customer.post("/order", json={"pickup_at": pickup_at})

    assert (response.status_code, response.json().get("code")) == (status, code)
    if code is None:
        assert response.json()["pickup_at"] == response.json()["ready_estimate_at"] == pickup_at
        assert not response.json()["is_asap"]


async def test_the_shop_may_be_left_out_when_it_is_clear(
    customer: httpx2.AsyncClient, sessions: Sessions, latte: Latte
) -> None:
    arbat, lenina = await make_shop(sessions), await make_shop(sessions, slug="lenina")
    await fill_cart(customer, latte)
    await refuse(customer, sessions, 422, "shop_required")

    await customer.put("/cart/shop", json={"shop_id": str(lenina)})
    order = (await customer.post("/order", json={})).json()
    assert order["shop"]["id"] == str(lenina)

    async with sessions.begin() as session:
        await session.execute(update(Shop).values(is_active=False).where(Shop.id == lenina))
    assert (await place(customer, latte.id))["shop"]["id"] == str(arbat)


@pytest.mark.parametrize(
    "body",
    [
        {"shop_id": NOTHING},
        {"items": [{"product_id": NOTHING}]},
    ],
)
async def test_an_unknown_shop_or_product_is_an_unknown_reference(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, latte: Latte, body: dict[str, Any]
) -> None:
    await fill_cart(customer, latte)

    await refuse(customer, sessions, 422, "unknown_reference", **body)


@pytest.mark.parametrize("items", [[], [{}], [{"product_id": "x"}], "all", [{"quantity": 1}]])
async def test_a9_refuses_items_that_are_none(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, items: Any
) -> None:
    await refuse(customer, sessions, 422, "validation_error", items=items)


async def test_refuses_an_order_below_the_minimum(
    app: FastAPI, customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID
) -> None:
    change_state(app, OrdersState, settings=replace(state_of(app, OrdersState).settings, minimum=Decimal(100)))
    product_id = await make_simple_product(sessions, price="99.99")

    await refuse(customer, sessions, 409, "minimum_not_reached", items=[{"product_id": str(product_id)}])


async def test_refuses_more_open_orders_than_a_morning_needs(
    app: FastAPI, customer: httpx2.AsyncClient, shop_id: UUID, latte: Latte
) -> None:
    change_state(app, OrdersState, settings=replace(state_of(app, OrdersState).settings, max_open_orders=2))
    orders = [await place(customer, latte.id) for _ in range(2)]
    body = {"items": [{"product_id": str(latte.id)}]}

    refused = await customer.post("/order", json=body)
    await customer.post(f"/order/{orders[0]['id']}/cancel")

    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_open_orders")
    assert (await customer.post("/order", json=body)).status_code == 201


async def test_a8_the_total_is_the_sum_of_its_lines(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, latte: Latte
) -> None:
    croissant = await make_simple_product(sessions, price="129.99")
    items = [{"product_id": str(latte.id), "quantity": 3}, {"product_id": str(croissant), "quantity": 7}]

    order = (await customer.post("/order", json={"items": items})).json()

    assert order["total"] == "1659.93"
    async with sessions() as session:
        assert str(await session.scalar(select(func.sum(OrderLine.total)))) == "1659.93"


async def test_mails_speak_the_person_s_language(
    customer: httpx2.AsyncClient, sessions: Sessions, latte: Latte
) -> None:
    await make_shop(sessions)
    async with sessions.begin() as session:
        await session.execute(update(User).values(language="ru"))

    await place(customer, latte.id)

    async with sessions.begin() as session:
        await consume_events(session)
        assert [(m.recipient, m.language) for m in await session.scalars(select(Mail))] == [("anna@example.com", "ru")]


async def test_a_wrong_time_or_payment_is_told_what_would_be_right(
    customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    items = [{"product_id": str(await make_simple_product(sessions))}]

    async def refusal(**fields: str) -> tuple[list[str], str]:
        answer = await customer.post("/order", json={"items": items} | fields)
        assert answer.status_code == 422
        return answer.json()["errors"][0]["loc"], answer.json()["errors"][0]["msg"]

    past, local, paid = (
        await refusal(pickup_at="2020-01-01T00:00:00.000000Z"),
        await refusal(pickup_at="2026-11-23T10:00"),
        await refusal(payment_method="card"),
    )

    assert past[0] == local[0] == ["body", "pickup_at"]
    assert "from 2026-11-23T09:00:00Z to 2026-11-30T09:00:00Z" in past[1]
    assert "such as 2026-11-23T09:30:00Z" in local[1]
    assert paid[0] == ["body", "payment_method"]
    assert "on_pickup" in paid[1]


@pytest.mark.parametrize(
    ("model", "new", "left_out"),
    [
        (Order, NewOrder, {"hidden_at", "hidden_from_customer_at", "changed_in"}),
        (OrderLine, NewLine, {"search_text"}),
        (OrderEvent, NewHistoryEntry, set()),
    ],
)
async def test_a_new_order_leaves_only_these_columns_to_the_database(
    model: type[Any], new: type[Any], left_out: set[str]
) -> None:
    """A column that the dataclass doesn't have would get its default without a word."""
    assert {name for name in inspect(model).columns.keys() if not hasattr(new, name)} == left_out  # noqa: SIM118
