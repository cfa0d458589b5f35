"""Setting how much work a shop takes: who may, what is refused, and what becomes of what is booked already."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from crema.db.session import Sessions
from factories.orders import make_shop, make_simple_product, place
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
DEFAULT: dict[str, Any] = {
    "slot_minutes": 10,
    "seconds_per_slot": None,
    "exceptions": [],
    "lead_seconds": 120,
    "last_order_minutes": 0,
    "auto_accept": False,
}
MONDAY: dict[str, Any] = {"weekday": 0, "from": "08:00", "to": "10:00", "seconds_per_slot": 2400}


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions)


@pytest.fixture
async def manager(log_in: LogIn, shop_id: UUID) -> httpx2.AsyncClient:
    return await log_in("manager@example.com", role="manager", shop_ids=(shop_id,))


@pytest.fixture
async def tea(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, name="Чай", preparation_seconds=120)


async def used(client: httpx2.AsyncClient, shop_id: UUID) -> dict[str, int]:
    """Say what staff see booked today: seconds by the time in UTC."""
    slots = (await client.get(f"/shop/{shop_id}/slots")).json()["slots"]
    return {slot["starts_at"][11:16]: slot["used_seconds"] for slot in slots if slot["used_seconds"]}


async def test_a_manager_sets_all_of_it_and_reads_it_again(manager: httpx2.AsyncClient, shop_id: UUID) -> None:
    path = f"/shop/{shop_id}/capacity"
    sent = {"slot_minutes": 15, "seconds_per_slot": 1200, "exceptions": [MONDAY], "lead_seconds": 60}
    sent |= {"last_order_minutes": 20, "auto_accept": True}

    assert (await manager.get(path)).json() == DEFAULT
    answer = await manager.put(path, json=sent)
    assert (answer.status_code, answer.json()) == (200, sent)
    read = await manager.get(path)
    assert read.json() == sent
    again = await manager.put(path, json={"seconds_per_slot": 0}, headers={"If-Match": read.headers["etag"]})
    assert again.json() == DEFAULT | {"seconds_per_slot": 0}
    late = await manager.put(path, json=sent, headers={"If-Match": read.headers["etag"]})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")


async def test_staff_see_the_capacity_of_their_shop_only_and_customers_none(
    barista: httpx2.AsyncClient,
    customer: httpx2.AsyncClient,
    client: httpx2.AsyncClient,
    sessions: Sessions,
    shop_id: UUID,
) -> None:
    other = await make_shop(sessions, slug="other")

    assert (await barista.get(f"/shop/{shop_id}/capacity")).json() == DEFAULT
    assert (await barista.put(f"/shop/{shop_id}/capacity", json={})).status_code == 403
    assert (await barista.get(f"/shop/{other}/capacity")).status_code == 403
    assert (await barista.get(f"/shop/{uuid4()}/capacity")).status_code == 404
    assert (await customer.get(f"/shop/{shop_id}/capacity")).status_code == 403
    assert (await client.get(f"/shop/{shop_id}/capacity")).status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"slot_minutes": 7},
        {"slot_minutes": "10"},
        {"seconds_per_slot": -1},
        {"seconds_per_slot": 1.5},
        {"seconds_per_slot": 100_001},
        {"lead_seconds": -1},
        {"lead_seconds": None},
        {"last_order_minutes": 1441},
        {"auto_accept": "yes"},
        {"unknown": 1},
        {"exceptions": [MONDAY | {"from": "8:00"}]},
        {"exceptions": [MONDAY | {"to": "08:00"}]},
        {"exceptions": [MONDAY | {"weekday": 7}]},
        {"exceptions": [MONDAY | {"seconds_per_slot": None}]},
        {"exceptions": [MONDAY | {"to": "10:05"}]},
        {"exceptions": [MONDAY, MONDAY | {"from": "09:50", "to": "11:00"}]},
        {"exceptions": [MONDAY, {"weekday": 6, "from": "20:00", "to": "08:10", "seconds_per_slot": 1}]},
        {"exceptions": [MONDAY] * 71},
    ],
)
async def test_what_is_no_capacity_is_refused_and_changes_nothing(
    manager: httpx2.AsyncClient, shop_id: UUID, wrong: dict[str, Any]
) -> None:
    path = f"/shop/{shop_id}/capacity"

    refusal = await manager.put(path, json=wrong)

    assert refusal.status_code == 422, refusal.text
    assert refusal.json()["errors"]
    assert (await manager.get(path)).json() == DEFAULT


async def test_orders_in_progress_are_booked_by_the_new_capacity_even_where_they_are_more(
    manager: httpx2.AsyncClient, customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    """It is 9:00 in UTC."""
    path = f"/shop/{shop_id}/capacity"
    for _ in range(2):
        await place(customer, tea, pickup_at="2026-11-23T10:05:00Z")
    assert await used(manager, shop_id) == {}, "a shop without a limit books nothing"

    await manager.put(path, json={"seconds_per_slot": 600})
    assert await used(manager, shop_id) == {"10:00": 240}
    await manager.put(path, json={"seconds_per_slot": 130})
    assert await used(manager, shop_id) == {"09:50": 110, "10:00": 130}
    await manager.put(path, json={"slot_minutes": 60, "seconds_per_slot": 100})
    assert await used(manager, shop_id) == {"09:00": 20, "10:00": 220}, "the second doesn't fit, and stays"
    await manager.put(path, json={})
    assert await used(manager, shop_id) == {}


async def test_what_is_booked_anew_is_given_back_by_each_order(
    manager: httpx2.AsyncClient, customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    orders = [await place(customer, tea, pickup_at="2026-11-23T10:05:00Z") for _ in range(2)]
    await manager.put(f"/shop/{shop_id}/capacity", json={"seconds_per_slot": 130})

    for order in orders:
        assert (await customer.post(f"/order/{order['id']}/cancel")).status_code == 200

    assert await used(manager, shop_id) == {}
