"""The board of a shop: what comes first, and whom it names."""

import json
from contextlib import aclosing
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from crema.accounts import queries as accounts
from crema.db.session import Sessions
from crema.orders import hub
from crema.orders.deps import OrdersState
from crema.orders.hub import OrderFeed, OrderSubscription
from crema.web.state import DatabaseState, WebState, state_of
from factories.orders import make_shop, make_simple_product, place
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

FRIDAY = "2026-11-27T09:00:00Z"
SOON = "2026-11-23T10:00:00Z"


@pytest.fixture
async def tea(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, name="Чай", preparation_seconds=60)


async def board(app: FastAPI, client: Any) -> list[str]:
    """Give the ids of the orders as a snapshot of this person's board has them."""
    actor = await accounts.find_actor(
        state_of(app, DatabaseState).reader,
        user_id=client.person.id,
        session_id=client.person.session_id,
        now=state_of(app, WebState).clock(),
    )
    assert actor is not None
    feed: OrderFeed = state_of(app, OrdersState).feed
    subscription = OrderSubscription(actor, shop_id=None, position=None)
    async with feed.subscribed(subscription), aclosing(subscription.updates()) as updates:
        [batch] = await anext(updates)
    return [order["id"] for order in json.loads(batch.frames[0].text)["orders"]]


async def test_what_is_to_be_ready_first_comes_first_whenever_it_was_ordered(
    app: FastAPI, customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, tea: UUID, clock: Clock
) -> None:
    """Tried: an order moved from Friday to as soon as possible stayed where Friday's stand."""
    friday = await place(customer, tea, pickup_at=FRIDAY)
    moved = await place(customer, tea, pickup_at=FRIDAY)
    soon = await place(customer, tea, pickup_at=SOON)
    clock.advance(minutes=1)
    asap = await place(customer, tea)
    before = await board(app, barista)

    clock.advance(minutes=1)
    await customer.patch(f"/order/{moved['id']}", json={"pickup_at": None})

    ids = {name: order["id"] for name, order in {"f": friday, "m": moved, "s": soon, "a": asap}.items()}
    assert before == [ids["a"], ids["s"], ids["f"], ids["m"]], "of the same time the older comes first"
    assert await board(app, barista) == [ids["a"], ids["m"], ids["s"], ids["f"]]


async def test_a_board_with_too_many_orders_leaves_out_the_last_not_the_first(
    app: FastAPI,
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    shop_id: UUID,
    tea: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "BOARD_LIMIT", 2)
    friday = await place(customer, tea, pickup_at=FRIDAY)
    soon = await place(customer, tea, pickup_at=SOON)
    asap = await place(customer, tea)

    assert await board(app, barista) == [asap["id"], soon["id"]]
    await customer.post(f"/order/{asap['id']}/cancel")
    assert await board(app, barista) == [soon["id"], friday["id"]]


async def test_staff_see_who_ordered_and_everybody_whom_to_call(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    await customer.patch(f"/user/{customer.person.id}", json={"phone": "+79161234567"})
    own = await place(customer, tea)
    named = await place(customer, tea, pickup_name="Кот Матроскин")
    who = {"id": str(customer.person.id), "name": "Анна", "phone": "+79161234567"}

    assert [(order["pickup_name"], order["customer"]) for order in (own, named)] == [
        ("Анна", None),
        ("Кот Матроскин", None),
    ]
    for staff in (barista, admin):
        listed = (await staff.get("/orders", params={"sort": "created_at"})).json()["items"]
        one = (await staff.get(f"/order/{named['id']}")).json()
        assert [order["pickup_name"] for order in listed] == ["Анна", "Кот Матроскин"]
        assert [order["customer"] for order in (*listed, one)] == [who] * 3
    moved = await barista.patch(f"/order/{named['id']}", json={"status": "accepted"})
    assert (moved.json()["customer"], moved.json()["pickup_name"]) == (who, "Кот Матроскин")
    assert (await customer.get(f"/order/{named['id']}")).json()["customer"] is None


async def test_of_their_own_order_at_another_shop_staff_see_what_customers_see(
    barista: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    far = await make_shop(sessions, slug="far")

    orders = [await place(barista, tea, shop_id=str(shop)) for shop in (shop_id, far)]

    assert [order["customer"] is not None for order in orders] == [True, False]


@pytest.mark.parametrize(
    "name",
    ["x" * 41, "", " ", "два\nряда", "\u202eкот", "\u200b", 5],
    ids=["long", "", "blank", "2", "turn", "none", "5"],
)
async def test_the_name_on_the_cup_is_one_line_of_up_to_forty_characters(
    customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID, name: object
) -> None:
    body = {"items": [{"product_id": str(tea)}], "pickup_name": name}

    refused = await customer.post("/order", json=body)

    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["body", "pickup_name"])
    assert (await place(customer, tea, pickup_name="x" * 40))["pickup_name"] == "x" * 40


async def test_who_has_no_name_is_called_by_number_and_a_long_one_is_cut(
    log_in: LogIn, shop_id: UUID, tea: UUID
) -> None:
    nameless = await log_in("nameless@example.com")
    long = await log_in("long@example.com", name="Анна " * 20)

    assert (await place(nameless, tea))["pickup_name"] is None
    assert (await place(long, tea))["pickup_name"] == ("Анна " * 8).strip()


async def test_at_the_counter_the_name_to_call_is_the_one_that_was_given(
    barista: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    taken = await place(barista, tea, source="counter", customer_name="Пётр")
    both = {"items": [{"product_id": str(tea)}], "source": "counter", "customer_name": "Пётр", "pickup_name": "Кот"}

    assert (taken["pickup_name"], taken["customer"]) == ("Пётр", None)
    assert (await barista.post("/order", json=both)).status_code == 422


async def test_with_the_account_goes_the_name_to_call(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    order = await place(customer, tea, pickup_name="Кот Матроскин")
    gone = {"id": order["user_id"], "name": None, "phone": None}

    assert (await admin.delete(f"/user/{order['user_id']}", params={"force": "true"})).status_code == 204

    seen = (await barista.get(f"/order/{order['id']}")).json()
    assert (seen["pickup_name"], seen["customer"]) == (None, gone)


async def test_hidden_orders_are_found_by_administrators_alone(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    shown, hidden = await place(customer, tea), await place(customer, tea)
    assert (await admin.delete(f"/order/{hidden['id']}")).status_code == 204

    for value, wanted in (("true", hidden), ("false", shown)):
        found = (await admin.get("/orders", params={"is_hidden": value})).json()["items"]
        assert [(order["id"], order["is_hidden"]) for order in found] == [(wanted["id"], value == "true")]
    for client in (customer, barista):
        assert (await client.get("/orders", params={"is_hidden": "true"})).json()["items"] == []
