"""Orders at a shop that takes only so much work in a slot. It is 9:00 in UTC; a cup of tea is 120 seconds of work."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from crema.db.session import Sessions
from crema.orders.models import SlotBooking
from crema.shops.models import WorkSlot
from factories.orders import make_shop, make_simple_product, place
from fixtures.app import Clock
from fixtures.people import LogIn
from fixtures.statements import recorded

pytestmark = pytest.mark.anyio
AT_TEN, AT_ELEVEN = "2026-11-23T10:05:00.000000Z", "2026-11-23T11:05:00.000000Z"


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions)


@pytest.fixture
async def manager(log_in: LogIn, shop_id: UUID) -> httpx2.AsyncClient:
    """The manager of the shop, who lets a slot of ten minutes hold 240 seconds of work."""
    manager = await log_in("manager@example.com", role="manager", shop_ids=(shop_id,))
    await set_capacity(manager, shop_id, seconds_per_slot=240)
    return manager


@pytest.fixture
async def tea(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, name="Чай", preparation_seconds=120)


async def set_capacity(manager: httpx2.AsyncClient, shop_id: UUID, **fields: Any) -> None:
    answer = await manager.put(f"/shop/{shop_id}/capacity", json={"lead_seconds": 0} | fields)
    assert answer.status_code == 200, answer.text


def cups(tea: UUID, quantity: int) -> dict[str, Any]:
    return {"items": [{"product_id": str(tea), "quantity": quantity}]}


async def order(client: httpx2.AsyncClient, tea: UUID, quantity: int, pickup_at: str | None = None) -> dict[str, Any]:
    answer = await client.post("/order", json=cups(tea, quantity) | {"pickup_at": pickup_at})
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    return placed


async def booked(sessions: Sessions) -> dict[str, int]:
    """Say what is booked by the time in UTC, having seen that slots and orders agree."""
    async with sessions() as session:
        used = {row.starts_at: row.used_seconds for row in await session.scalars(select(WorkSlot)) if row.used_seconds}
        seconds = func.sum(SlotBooking.seconds).label("seconds")
        of_orders = await session.execute(select(SlotBooking.starts_at, seconds).group_by(SlotBooking.starts_at))
        assert {row.starts_at: row.seconds for row in of_orders} == used
    return {f"{start:%H:%M}": seconds for start, seconds in sorted(used.items())}


def refused(answer: httpx2.Response, code: str) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    assert (answer.status_code, found["code"]) == (409, code)
    return found


async def test_work_is_booked_in_the_slot_of_the_pickup_time_and_before_it(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, tea: UUID
) -> None:
    placed = await order(customer, tea, 3, AT_TEN)

    assert await booked(sessions) == {"09:50": 120, "10:00": 240}
    assert placed["promised_at"] == placed["ready_estimate_at"] == AT_TEN
    assert placed["start_at"] == "2026-11-23T09:59:00.000000Z"
    assert (await customer.get(f"/order/{placed['id']}")).json()["start_at"] == placed["start_at"]


async def test_what_fits_nowhere_is_told_the_next_slot_and_books_nothing(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, tea: UUID
) -> None:
    """From 9:00 to 10:09 there are seven slots, so 14 cups."""
    await order(customer, tea, 13, AT_TEN)
    before = await booked(sessions)

    refusal = await customer.post("/order", json=cups(tea, 2) | {"pickup_at": AT_TEN})

    next_slot = refused(refusal, "slot_full")["next_slot"]
    assert next_slot == {"starts_at": "2026-11-23T10:10:00.000000Z", "ends_at": "2026-11-23T10:20:00.000000Z"}
    assert await booked(sessions) == before
    await order(customer, tea, 2, next_slot["starts_at"])
    await order(customer, tea, 1, AT_TEN)


async def test_an_order_too_large_for_the_week_has_no_next_slot(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    await set_capacity(manager, shop_id, seconds_per_slot=0)

    refusal = await customer.post("/order", json=cups(tea, 1))

    assert refused(refusal, "slot_full")["next_slot"] is None


async def test_as_soon_as_possible_is_promised_by_what_is_booked_already(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, tea: UUID
) -> None:
    """A barista of this shop makes tea four minutes of ten."""
    first, second, third = [await order(customer, tea, each) for each in (1, 2, 1)]

    assert await booked(sessions) == {"09:00": 240, "09:10": 240}
    assert first["promised_at"] == "2026-11-23T09:05:00.000000Z"
    assert second["promised_at"] == "2026-11-23T09:15:00.000000Z"
    assert third["promised_at"] == "2026-11-23T09:20:00.000000Z"
    assert third["start_at"] == "2026-11-23T09:18:00.000000Z"


async def test_of_a_slot_that_has_begun_only_the_rest_is_to_be_had(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, tea: UUID, clock: Clock
) -> None:
    clock.advance(minutes=5)

    await order(customer, tea, 2)

    assert await booked(sessions) == {"09:00": 120, "09:10": 120}


@pytest.mark.parametrize("limit", [None, 240])
async def test_a_time_sooner_than_the_work_is_refused_and_a_possible_one_named(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, tea: UUID, limit: int | None
) -> None:
    await set_capacity(manager, shop_id, seconds_per_slot=limit, lead_seconds=60)
    await manager.patch(f"/shop/{shop_id}/status", json={"state": "busy", "delay_minutes": 3})

    refusal = await customer.post("/order", json=cups(tea, 1) | {"pickup_at": "2026-11-23T09:05:59Z"})

    earliest = refused(refusal, "too_soon")["earliest_pickup_at"]
    assert earliest == "2026-11-23T09:07:00.000000Z"
    await order(customer, tea, 1, earliest)


async def test_cancelling_deleting_and_moving_away_give_back_exactly_what_was_taken(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, tea: UUID
) -> None:
    cancelled, deleted, moved, kept = [await order(customer, tea, 1, AT_TEN) for _ in range(4)]
    assert await booked(sessions) == {"09:50": 240, "10:00": 240}

    for _ in range(2):
        assert (await customer.post(f"/order/{cancelled['id']}/cancel")).status_code == 200
    assert (await customer.delete(f"/order/{cancelled['id']}")).status_code == 204
    assert (await customer.delete(f"/order/{deleted['id']}")).status_code == 204
    assert await booked(sessions) == {"09:50": 240}
    assert (await manager.patch(f"/order/{moved['id']}", json={"pickup_at": AT_ELEVEN})).status_code == 200
    assert await booked(sessions) == {"09:50": 120, "11:00": 120}
    assert (await manager.put(f"/order/{kept['id']}", json={"status": "accepted"})).status_code == 200
    assert await booked(sessions) == {"09:50": 120, "11:00": 120}


async def test_an_edit_moves_what_is_booked_and_a_refused_edit_nothing(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, tea: UUID
) -> None:
    placed = await order(customer, tea, 2, AT_TEN)
    path = f"/order/{placed['id']}"
    await order(customer, tea, 10, AT_ELEVEN)
    others = await booked(sessions)

    more = (await customer.patch(path, json=cups(tea, 3))).json()
    assert more["start_at"] == "2026-11-23T09:59:00.000000Z"
    assert await booked(sessions) == others | {"09:50": 120}
    refusal = await customer.patch(path, json=cups(tea, 15))
    assert refused(refusal, "slot_full")["next_slot"]["starts_at"] > AT_TEN
    assert await booked(sessions) == others | {"09:50": 120}
    fewer = (await customer.patch(path, json=cups(tea, 1))).json()
    assert fewer["start_at"] == "2026-11-23T10:03:00.000000Z"
    assert await booked(sessions) == others | {"10:00": 120}
    soon = (await customer.patch(path, json={"pickup_at": None})).json()
    assert await booked(sessions) == {name: each for name, each in others.items() if name != "10:00"} | {"09:00": 120}
    assert soon["promised_at"] == "2026-11-23T09:05:00.000000Z"


async def test_less_work_is_never_refused_though_the_slots_are_past(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, tea: UUID, clock: Clock
) -> None:
    placed = await order(customer, tea, 4, AT_TEN)
    clock.advance(minutes=64)

    fewer = await customer.patch(f"/order/{placed['id']}", json=cups(tea, 3))

    assert fewer.status_code == 200
    assert fewer.json()["promised_at"] == "2026-11-23T10:10:00.000000Z", "it can't be ready sooner"
    assert await booked(sessions) == {"09:50": 120, "10:00": 240}


async def test_orders_at_the_counter_take_part(
    barista: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, tea: UUID
) -> None:
    await place(barista, tea, source="counter", customer_name="Пётр")

    assert await booked(sessions) == {"09:00": 120}


async def test_orders_moved_and_closed_together_give_back_what_each_has_booked(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    orders = [await order(customer, tea, 2, at) for at in (AT_TEN, AT_TEN, AT_ELEVEN)]
    ids = [each["id"] for each in orders]

    await manager.post("/orders/advance", json={"order_ids": ids[:2], "status": "cancelled"})
    assert await booked(sessions) == {"11:00": 240}
    closing = await manager.put(f"/shop/{shop_id}/hours?force=true", json={"hours": []})
    assert closing.status_code == 200
    assert await booked(sessions) == {}


async def test_a_shop_without_a_limit_runs_no_statement_more(
    customer: httpx2.AsyncClient, engine: AsyncEngine, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    with recorded(engine) as statements:
        placed = await order(customer, tea, 20, AT_ELEVEN)
        await customer.post(f"/order/{placed['id']}/cancel")

    assert not [each for each in statements if "INSERT INTO work_slots" in each or "UPDATE work_slots" in each]
    assert await booked(sessions) == {}
