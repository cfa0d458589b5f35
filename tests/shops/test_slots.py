"""The slots of a day as everybody sees them, and as staff do."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import update

from crema.db.session import Sessions
from crema.shops.models import Shop
from factories.orders import make_shop, make_simple_product, place
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
AT_ONCE = {"lead_seconds": 0}


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    """Open from 8 to 22 in Moscow; it is Monday noon there."""
    return await make_shop(sessions, hours=(480, 1320))


@pytest.fixture
async def manager(log_in: LogIn, shop_id: UUID) -> httpx2.AsyncClient:
    return await log_in("manager@example.com", role="manager", shop_ids=(shop_id,))


@pytest.fixture
async def tea(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, name="Чай", preparation_seconds=120)


async def slots_of(client: httpx2.AsyncClient, shop_id: UUID, **parameters: str) -> dict[str, dict[str, Any]]:
    answer = await client.get(f"/shop/{shop_id}/slots", params=parameters)
    assert answer.status_code == 200, answer.text
    return {slot["starts_at"][11:16]: slot for slot in answer.json()["slots"]}


async def test_a_day_is_told_by_its_slots_and_why_they_are_not_to_be_had(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    await manager.put(f"/shop/{shop_id}/capacity", json={"slot_minutes": 30, "seconds_per_slot": 120})
    await place(customer, tea, pickup_at="2026-11-23T09:40:00Z")

    answer = (await client.get(f"/shop/{shop_id}/slots")).json()
    slots = await slots_of(client, shop_id)

    assert (answer["date"], answer["timezone"], len(answer["slots"])) == ("2026-11-23", "Europe/Moscow", 48)
    assert answer["slots"][0]["starts_at"] == "2026-11-22T21:00:00.000000Z", "midnight in Moscow"
    reasons = {
        start: slots[start]["reason"] for start in ("04:30", "05:00", "08:30", "09:00", "09:30", "18:30", "19:00")
    }
    assert reasons == {
        "04:30": "outside_opening_hours",
        "05:00": "too_soon",
        "08:30": "too_soon",
        "09:00": None,
        "09:30": None,
        "18:30": None,
        "19:00": "outside_opening_hours",
    }
    assert slots["09:00"]["is_available"] is True
    assert slots["05:00"]["is_available"] is False
    assert slots["09:30"]["ends_at"] == "2026-11-23T10:00:00.000000Z"
    assert {slot["capacity_seconds"] for slot in answer["slots"]} == {None}, "staff only"


async def test_staff_of_the_shop_see_how_full_slots_are(
    manager: httpx2.AsyncClient, barista: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions,
    shop_id: UUID, tea: UUID,
) -> None:  # fmt: skip
    other = await make_shop(sessions, slug="other")
    await manager.put(f"/shop/{shop_id}/capacity", json={"slot_minutes": 60, "seconds_per_slot": 300})
    order = await place(customer, tea, shop_id=str(shop_id), pickup_at="2026-11-23T10:40:00Z")

    seen = (await slots_of(barista, shop_id))["10:00"]
    assert (seen["capacity_seconds"], seen["used_seconds"]) == (300, 120)
    assert (await slots_of(barista, shop_id))["04:00"]["capacity_seconds"] == 0, "it is closed"
    assert (await slots_of(barista, other))["10:00"]["used_seconds"] is None
    assert (await slots_of(customer, shop_id))["10:00"]["used_seconds"] is None
    await customer.post(f"/order/{order['id']}/cancel")
    assert (await slots_of(barista, shop_id))["10:00"]["used_seconds"] == 0


async def test_full_slots_say_so_until_something_is_given_back(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    await manager.put(
        f"/shop/{shop_id}/capacity", json={"slot_minutes": 60, "seconds_per_slot": 120, "lead_seconds": 0}
    )
    first = await place(customer, tea, pickup_at="2026-11-23T10:40:00Z")
    await place(customer, tea, pickup_at="2026-11-23T10:40:00Z")

    slots = await slots_of(client, shop_id)
    assert (slots["10:00"]["reason"], slots["11:00"]["reason"]) == ("slot_full", None)
    await customer.post(f"/order/{first['id']}/cancel")
    assert (await slots_of(client, shop_id))["10:00"]["reason"] is None


async def test_a_paused_shop_has_slots_after_the_pause(
    client: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID
) -> None:
    await barista.patch(f"/shop/{shop_id}/status", json={"state": "paused", "until": "2026-11-23T10:00:00Z"})

    slots = await slots_of(client, shop_id)

    assert (slots["09:50"]["reason"], slots["10:00"]["reason"]) == ("shop_paused", None)


@pytest.mark.parametrize(
    ("day", "code"),
    [
        ("2026-12-01", "invalid_date"),
        ("2026-11-15", "invalid_date"),
        ("0001-01-01", "invalid_date"),
        ("9999-12-31", "invalid_date"),
        ("2026-11-31", "validation_error"),
        ("1795000000", "validation_error"),
        ("tomorrow", "validation_error"),
        ("", "validation_error"),
    ],
)
async def test_a_day_that_is_no_day_or_too_far_is_refused(
    client: httpx2.AsyncClient, shop_id: UUID, day: str, code: str
) -> None:
    answer = await client.get(f"/shop/{shop_id}/slots", params={"date": day})

    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_slots_of_a_shop_that_is_not_there_for_you_are_not_found(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID
) -> None:
    async with sessions.begin() as session:
        await session.execute(update(Shop).values(is_active=False))

    assert (await client.get(f"/shop/{shop_id}/slots")).status_code == 404
    assert (await client.get(f"/shop/{uuid4()}/slots")).status_code == 404
    assert (await manager.get(f"/shop/{shop_id}/slots")).status_code == 200


async def test_slots_may_be_kept_while_nothing_changes(client: httpx2.AsyncClient, shop_id: UUID, clock: Any) -> None:
    path = f"/shop/{shop_id}/slots"
    etag = (await client.get(path)).headers["etag"]

    assert (await client.get(path, headers={"If-None-Match": etag})).status_code == 304
    clock.advance(minutes=20)
    assert (await client.get(path, headers={"If-None-Match": etag})).status_code == 200
