"""When a shop takes orders: its status, its lead time, its last orders and its special days. It is noon in Moscow."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import update

from crema.db.session import Sessions
from crema.orders.service import transitions
from crema.shops.models import Shop
from factories.orders import make_shop, make_simple_product, place
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

SOON = "2026-11-23T09:30:00.000000Z"
AT_TEN = "2026-11-23T10:00:00.000000Z"


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions, hours=(8 * 60, 22 * 60))


@pytest.fixture
async def product_id(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, preparation_seconds=180)


@pytest.fixture
async def manager(log_in: LogIn, shop_id: UUID) -> httpx2.AsyncClient:
    return await log_in("manager@example.com", role="manager", shop_ids=(shop_id,))


async def order(client: httpx2.AsyncClient, product_id: UUID, **fields: Any) -> tuple[int, Any]:
    response = await client.post("/order", json={"items": [{"product_id": str(product_id)}]} | fields)
    told = response.json()
    return response.status_code, told["ready_estimate_at"] if response.status_code == 201 else told["code"]


async def refusal(client: httpx2.AsyncClient, product_id: UUID, **fields: Any) -> dict[str, Any]:
    response = await client.post("/order", json={"items": [{"product_id": str(product_id)}]} | fields)
    assert response.status_code == 409, response.text
    problem: dict[str, Any] = response.json()
    return problem


async def say(client: httpx2.AsyncClient, shop_id: UUID, **status: Any) -> None:
    (await client.patch(f"/shop/{shop_id}/status", json=status)).raise_for_status()


async def set_days(client: httpx2.AsyncClient, shop_id: UUID, *special_days: Any) -> None:
    body = {"special_days": list(special_days)}
    (await client.put(f"/shop/{shop_id}/special-days", json=body)).raise_for_status()


async def set_columns(sessions: Sessions, shop_id: UUID, **columns: int) -> None:
    async with sessions.begin() as session:
        await session.execute(update(Shop).where(Shop.id == shop_id).values(columns))


# Paused.


@pytest.mark.parametrize("until", [AT_TEN, None])
async def test_a_paused_shop_takes_no_order_for_as_soon_as_possible(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID, until: str | None
) -> None:
    await say(manager, shop_id, state="paused", until=until)

    problem = await refusal(customer, product_id)

    assert (problem["code"], problem["until"]) == ("shop_paused", until)


async def test_a_paused_shop_takes_what_is_for_after_the_pause(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID
) -> None:
    await say(manager, shop_id, state="paused", until=AT_TEN)

    assert await order(customer, product_id, pickup_at="2026-11-23T09:59:59Z") == (409, "shop_paused")
    assert await order(customer, product_id, pickup_at=AT_TEN) == (201, AT_TEN)


async def test_a_pause_without_an_end_takes_no_order_for_any_time(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID
) -> None:
    await say(manager, shop_id, state="paused")

    assert await order(customer, product_id, pickup_at="2026-11-28T10:00:00Z") == (409, "shop_paused")
    await say(manager, shop_id, state="open")
    assert (await order(customer, product_id))[0] == 201


async def test_a_pause_ends_by_itself(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID, clock: Clock
) -> None:
    await say(manager, shop_id, state="paused", until=AT_TEN)
    clock.now = clock.now.replace(minute=59, second=59)
    before = await order(customer, product_id)

    clock.advance(seconds=1)

    assert [before[0], (await order(customer, product_id))[0]] == [409, 201]


async def test_an_order_is_not_moved_into_a_pause(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID
) -> None:
    placed = await place(customer, product_id, pickup_at="2026-11-23T11:00:00Z")
    await say(manager, shop_id, state="paused", until=AT_TEN)

    answers = [await customer.patch(f"/order/{placed['id']}", json={"pickup_at": at}) for at in (SOON, None, AT_TEN)]

    assert [answer.json().get("code") for answer in answers] == ["shop_paused", "shop_paused", None]
    assert answers[-1].json()["pickup_at"] == AT_TEN


async def test_a_refusal_writes_nothing(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID, sessions: Sessions
) -> None:
    await say(manager, shop_id, state="paused")
    await customer.post("/cart", json={"product_id": str(product_id)})
    cart = (await customer.get("/cart")).json()

    response = await customer.post("/order", json={})

    assert (response.status_code, response.json()["code"]) == (409, "shop_paused")
    assert (await customer.get("/cart")).json() == cart
    assert (await customer.get("/orders")).json()["total"] == 0


# Busy.


async def test_a_busy_shop_promises_later(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID, clock: Clock
) -> None:
    """Two minutes of lead time and three of work, and fifteen more while it is busy."""
    usual = await order(customer, product_id)
    await say(manager, shop_id, state="busy", delay_minutes=15, until=AT_TEN)
    busy = await order(customer, product_id)
    clock.now = clock.now.replace(hour=10)

    assert [usual, busy, await order(customer, product_id)] == [
        (201, "2026-11-23T09:05:00.000000Z"),
        (201, "2026-11-23T09:20:00.000000Z"),
        (201, "2026-11-23T10:05:00.000000Z"),
    ]


async def test_an_edit_at_a_busy_shop_is_estimated_with_the_delay(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID
) -> None:
    placed = await place(customer, product_id)
    await say(manager, shop_id, state="busy", delay_minutes=15)

    edited = await customer.patch(
        f"/order/{placed['id']}", json={"items": [{"product_id": str(product_id), "quantity": 2}]}
    )

    assert edited.json()["ready_estimate_at"] == "2026-11-23T09:23:00.000000Z"


# Too soon, and the lead time.


async def test_a_time_at_which_it_cannot_be_ready_is_refused_with_the_earliest(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID
) -> None:
    problem = await refusal(customer, product_id, pickup_at="2026-11-23T09:04:59Z")
    assert (problem["code"], problem["earliest_pickup_at"]) == ("too_soon", "2026-11-23T09:06:00.000000Z")
    assert (await order(customer, product_id, pickup_at=problem["earliest_pickup_at"]))[0] == 201

    await say(manager, shop_id, state="busy", delay_minutes=15)
    problem = await refusal(customer, product_id, pickup_at="2026-11-23T09:05:00Z")

    assert (problem["code"], problem["earliest_pickup_at"]) == ("too_soon", "2026-11-23T09:21:00.000000Z")


async def test_each_shop_has_its_own_lead_time(
    customer: httpx2.AsyncClient, shop_id: UUID, product_id: UUID, sessions: Sessions
) -> None:
    await set_columns(sessions, shop_id, lead_seconds=600)

    assert await order(customer, product_id) == (201, "2026-11-23T09:13:00.000000Z")
    assert (await refusal(customer, product_id, pickup_at="2026-11-23T09:12:00Z"))["code"] == "too_soon"


# The last orders.


async def test_orders_for_right_now_end_before_closing(
    customer: httpx2.AsyncClient, shop_id: UUID, product_id: UUID, sessions: Sessions, clock: Clock
) -> None:
    """It closes at 22:00 in Moscow. What was ordered ahead is handed over until then."""
    await set_columns(sessions, shop_id, last_order_minutes=15)
    clock.now = clock.now.replace(hour=18, minute=44, second=59)
    in_time = await order(customer, product_id)
    clock.advance(seconds=1)

    problem = await refusal(customer, product_id)

    assert in_time[0] == 201
    assert (problem["code"], problem["opens_at"]) == ("shop_closed", "2026-11-24T05:00:00.000000Z")
    assert (await order(customer, product_id, pickup_at="2026-11-23T18:59:00Z"))[0] == 201


# Special days.

SHORTER = {"date": "2026-11-24", "hours": [{"opens_at": "10:00", "closes_at": "18:00"}]}
"""The week says 08:00 to 22:00."""


async def test_a_special_day_s_hours_are_those_of_its_orders(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID
) -> None:
    await set_days(manager, shop_id, SHORTER, {"date": "2026-11-25", "is_closed": True})

    early = await refusal(customer, product_id, pickup_at="2026-11-24T06:00:00Z")
    late = await refusal(customer, product_id, pickup_at="2026-11-24T15:00:00Z")

    assert [each["code"] for each in (early, late)] == ["outside_opening_hours"] * 2
    assert [each["opens_at"][:16] for each in (early, late)] == ["2026-11-24T07:00", "2026-11-26T05:00"]
    assert (await order(customer, product_id, pickup_at="2026-11-24T14:59:00Z"))[0] == 201


async def test_a_closed_day_takes_no_order_for_right_now(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID
) -> None:
    await set_days(manager, shop_id, {"date": "2026-11-23", "is_closed": True})

    problem = await refusal(customer, product_id)

    assert (problem["code"], problem["opens_at"]) == ("shop_closed", "2026-11-24T05:00:00.000000Z")


async def test_a_day_without_orders_ahead_takes_them_from_its_midnight_on(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID, clock: Clock
) -> None:
    await set_days(manager, shop_id, SHORTER | {"takes_orders_ahead": False})
    wanted = "2026-11-24T10:00:00Z"
    clock.now = clock.now.replace(hour=20, minute=59, second=59)  # the last second of Monday in Moscow
    problem = await refusal(customer, product_id, pickup_at=wanted)

    clock.advance(seconds=1)

    assert (problem["code"], problem["orders_from"]) == ("no_orders_ahead", "2026-11-23T21:00:00.000000Z")
    assert (await order(customer, product_id, pickup_at=wanted))[0] == 201


async def test_numbers_of_a_special_night_do_not_restart_at_midnight(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, product_id: UUID
) -> None:
    await set_days(manager, shop_id, {"date": "2026-11-24", "hours": [{"opens_at": "20:00", "closes_at": "03:00"}]})

    night, after_midnight, next_day = [
        (await place(customer, product_id, pickup_at=at))["number"]
        for at in ("2026-11-24T20:00:00Z", "2026-11-24T22:00:00Z", "2026-11-25T10:00:00Z")
    ]

    assert (night[0], after_midnight[0]) == (night[0], night[0])
    assert next_day[0] != night[0]
    assert (night[-3:], after_midnight[-3:], next_day[-3:]) == ("001", "002", "001")


async def test_what_nobody_fetches_expires_when_a_special_day_closes(
    customer: httpx2.AsyncClient,
    manager: httpx2.AsyncClient,
    shop_id: UUID,
    product_id: UUID,
    sessions: Sessions,
    clock: Clock,
) -> None:
    """The week says 22:00, this Monday ends at 13:00."""
    await set_days(manager, shop_id, {"date": "2026-11-23", "hours": [{"opens_at": "08:00", "closes_at": "13:00"}]})
    placed = await place(customer, product_id)
    for status in ("accepted", "preparing", "ready"):
        (await manager.patch(f"/order/{placed['id']}", json={"status": status})).raise_for_status()

    expired = []
    for minute in (59, 60):
        clock.now = clock.now.replace(hour=9 + minute // 60, minute=minute % 60)
        async with sessions.begin() as session:
            expired.append(await transitions.expire_unclaimed(session, now=clock.now))

    assert expired == [0, 1]
