"""Staff take an order at the counter, for somebody without an account."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from crema.notifications.models import Mail
from crema.orders.deps import OrdersState
from crema.orders.models import Order
from crema.web.state import state_of
from factories.orders import make_shop, make_simple_product, place
from factories.people import consume_events
from fixtures.app import change_state
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

GUEST = {"source": "counter", "customer_name": "Пётр"}


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions, email="till@example.com")


@pytest.fixture
async def product_id(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions)


async def test_an_order_at_the_counter_goes_the_way_of_all_orders(
    barista: httpx2.AsyncClient,
    customer: httpx2.AsyncClient,
    log_in: LogIn,
    shop_id: UUID,
    product_id: UUID,
    session: AsyncSession,
) -> None:
    """One queue: the numbers go on, the board shows both; nobody who ordered by app sees or hears of it."""
    ahead = await place(customer, product_id)

    taken = await place(barista, product_id, **GUEST)

    assert (taken["source"], taken["customer_name"], taken["user_id"]) == ("counter", "Пётр", None)
    assert (ahead["source"], ahead["customer_name"]) == ("app", None)
    assert (taken["shop"]["id"], taken["number"]) == (str(shop_id), f"{ahead['number'][:-1]}2")
    assert taken["history"][0]["actor"] == {"id": str(barista.person.id), "role": "barista"}
    colleague = await log_in("colleague@example.com", role="barista", shop_ids=(shop_id,))
    for status in ("accepted", "preparing", "ready"):
        assert (await colleague.patch(f"/order/{taken['id']}", json={"status": status})).status_code == 200
    pickup = {"pickup_at": "2026-11-23T15:00:00.000000Z"}
    assert (await colleague.patch(f"/order/{taken['id']}", json=pickup)).status_code == 409
    done = await colleague.patch(f"/order/{taken['id']}", json={"status": "completed"})
    assert done.json()["payment"]["status"] == "paid"

    assert (await customer.get(f"/order/{taken['id']}")).status_code == 404
    assert [order["id"] for order in (await customer.get("/orders")).json()["items"]] == [ahead["id"]]
    assert [order["id"] for order in (await colleague.get("/orders")).json()["items"]] == [taken["id"], ahead["id"]]
    for source, order in (("counter", taken), ("app", ahead)):
        found = (await colleague.get("/orders", params={"source": source})).json()
        assert [each["id"] for each in found["items"]] == [order["id"]]
    await consume_events(session)
    mails = (await session.execute(select(Mail.recipient, Mail.template, Mail.context["customer_name"]))).all()
    told = sorted((to, name) for to, template, name in mails if template == "order_placed_staff")
    assert told == [("till@example.com", "Анна"), ("till@example.com", "Пётр")]
    assert {to for to, _, _ in mails} == {"till@example.com", "anna@example.com"}


async def test_an_order_at_the_counter_is_moved_and_cancelled_without_a_mail_to_anybody(
    barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, product_id: UUID, session: AsyncSession
) -> None:
    taken = await place(barista, product_id, **GUEST)
    await consume_events(session)
    before = await session.scalar(select(func.count()).select_from(Mail))

    moved = await barista.patch(f"/order/{taken['id']}", json={"pickup_at": "2026-11-23T15:00:00.000000Z"})
    cancelled = await barista.post(f"/order/{taken['id']}/cancel", json={"reason": "Передумал"})
    deleted = await admin.delete(f"/order/{taken['id']}")

    assert (moved.status_code, cancelled.json()["status"], deleted.status_code) == (200, "cancelled", 204)
    await consume_events(session)
    assert await session.scalar(select(func.count()).select_from(Mail)) == before
    assert (await barista.get("/orders")).json()["items"] == []
    assert [order["is_hidden"] for order in (await admin.get("/orders")).json()["items"]] == [True]


async def test_a_shop_that_closes_cancels_orders_of_the_counter_too(
    barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, shop_id: UUID, product_id: UUID
) -> None:
    taken = await place(barista, product_id, **GUEST)

    closed = await admin.patch(f"/shop/{shop_id}", params={"force": "true"}, json={"is_active": False})

    assert closed.status_code == 200
    assert (await barista.get(f"/order/{taken['id']}")).json()["status"] == "cancelled"


async def test_limits_of_a_person_are_not_those_of_who_takes_the_orders(
    app: FastAPI, barista: httpx2.AsyncClient, product_id: UUID
) -> None:
    change_state(
        app, OrdersState, settings=replace(state_of(app, OrdersState).settings, max_open_orders=1, max_orders_an_hour=1)
    )

    for _ in range(3):
        await place(barista, product_id, **GUEST)

    await place(barista, product_id)  # their own coffee
    own = {"items": [{"product_id": str(product_id)}]}
    assert (await barista.post("/order", json=own)).json()["code"] == "too_many_open_orders"


async def test_the_cart_of_who_takes_the_order_stays_and_does_not_name_the_shop(
    log_in: LogIn, sessions: Sessions, shop_id: UUID, product_id: UUID
) -> None:
    other_shop = await make_shop(sessions, slug="other")
    both = await log_in("both@example.com", role="barista", shop_ids=(shop_id, other_shop))
    await both.post("/cart", json={"product_id": str(product_id)})
    assert (await both.put("/cart/shop", json={"shop_id": str(other_shop)})).status_code == 200
    body = GUEST | {"items": [{"product_id": str(product_id)}]}

    unnamed = await both.post("/order", json=body)
    taken = await both.post("/order", json=body | {"shop_id": str(shop_id)})

    assert (unnamed.status_code, unnamed.json()["code"]) == (422, "shop_required")
    assert (taken.status_code, taken.json()["shop"]["id"]) == (201, str(shop_id))
    assert len((await both.get("/cart")).json()["items"]) == 1


async def test_a3_only_staff_of_the_shop_take_orders_at_its_counter(
    log_in: LogIn,
    customer: httpx2.AsyncClient,
    admin: httpx2.AsyncClient,
    sessions: Sessions,
    session: AsyncSession,
    shop_id: UUID,
    product_id: UUID,
) -> None:
    far = await log_in("far@example.com", role="barista", shop_ids=(await make_shop(sessions, slug="far"),))
    nowhere = await log_in("nowhere@example.com", role="barista")
    support = await log_in("support@example.com", role="support")
    body = GUEST | {"items": [{"product_id": str(product_id)}], "shop_id": str(shop_id)}

    for client in (customer, far, nowhere, support):
        refused = await client.post("/order", json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await nowhere.post("/order", json=GUEST | {"items": body["items"]})).status_code == 403
    assert await session.scalar(select(func.count()).select_from(Order)) == 0
    assert (await admin.post("/order", json=body)).status_code == 201
    unknown = await admin.post("/order", json=body | {"shop_id": str(uuid4())})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_reference")


@pytest.mark.parametrize(
    "change",
    [
        {"items": None},
        {"customer_name": None},
        {"customer_name": " "},
        {"customer_name": "x" * 41},
        {"customer_name": "Пётр\nИтого: 0"},
        {"source": "app"},
        {"source": "phone"},
        {"source": None},
    ],
)
async def test_half_an_order_at_the_counter_is_refused(
    barista: httpx2.AsyncClient, product_id: UUID, change: dict[str, Any], session: AsyncSession
) -> None:
    body = GUEST | {"items": [{"product_id": str(product_id)}]} | change

    assert (await barista.post("/order", json=body)).status_code == 422
    assert await session.scalar(select(func.count()).select_from(Order)) == 0


async def test_the_same_key_takes_one_order(
    barista: httpx2.AsyncClient, product_id: UUID, session: AsyncSession
) -> None:
    body = GUEST | {"items": [{"product_id": str(product_id)}]}

    first, again = [await barista.post("/order", json=body, headers={"Idempotency-Key": "cup-1"}) for _ in range(2)]

    assert (first.status_code, again.json()) == (201, first.json())
    assert await session.scalar(select(func.count()).select_from(Order)) == 1


async def test_what_get_gives_put_takes_of_an_order_at_the_counter(
    barista: httpx2.AsyncClient, product_id: UUID
) -> None:
    taken = await place(barista, product_id, **GUEST)

    accepted = await barista.put(f"/order/{taken['id']}", json=taken | {"status": "accepted"})
    renamed = await barista.put(f"/order/{taken['id']}", json=accepted.json() | {"customer_name": "Павел"})

    assert (accepted.json()["status"], accepted.json()["customer_name"]) == ("accepted", "Пётр")
    assert renamed.status_code == 422
