"""An order's life at the shop: accepted in time or not, accepted by itself, and a customer who is here or late.

It is 9:00 in UTC, Monday noon in Moscow.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from crema.db.session import Sessions
from crema.notifications.models import Mail
from crema.orders import queries
from crema.orders.service import transitions
from crema.shops.models import Shop, WorkSlot
from factories.orders import make_shop, make_simple_product, place
from factories.people import consume_events
from fixtures.app import Clock
from fixtures.people import LogIn
from orders.test_board import board

pytestmark = pytest.mark.anyio
SOON, LATER = "2026-11-23T10:00:00.000000Z", "2026-11-23T10:05:00.000000Z"
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    """Open from 8 to 22 in Moscow, which is from 5 to 19 in UTC."""
    return await make_shop(sessions, hours=(480, 1320))


@pytest.fixture
async def tea(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, name="Чай", preparation_seconds=120)


async def limit_work(sessions: Sessions, **fields: Any) -> None:
    async with sessions.begin() as session:
        await session.execute(update(Shop).values(**{"seconds_per_slot": 600} | fields))


async def expire(sessions: Sessions, clock: Clock) -> int:
    """Do what the worker does, and return how many expired."""
    expired = 0
    async with sessions.begin() as session:
        for shop_id in await queries.list_shops_with_unaccepted(session, placed_before=clock.now - TEN_MINUTES):
            expired += await transitions.expire_unaccepted(session, shop_id=shop_id, within=TEN_MINUTES, now=clock.now)
    return expired


async def booked(sessions: Sessions) -> list[int]:
    async with sessions() as session:
        return [used for used in await session.scalars(select(WorkSlot.used_seconds)) if used]


async def seen(client: httpx2.AsyncClient, order: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/order/{order['id']}")).json()
    return found


async def test_an_order_nobody_accepts_expires_gives_back_and_the_customer_is_told(
    customer: httpx2.AsyncClient, shop_id: UUID, sessions: Sessions, tea: UUID, clock: Clock
) -> None:
    await limit_work(sessions)
    order = await place(customer, tea, pickup_at=LATER)
    clock.advance(minutes=9, seconds=59)
    assert (await expire(sessions, clock), await booked(sessions)) == (0, [120])

    clock.advance(seconds=1)
    assert (await expire(sessions, clock), await booked(sessions)) == (1, [])

    expired = await seen(customer, order)
    assert (expired["status"], expired["payment"]["status"]) == ("expired", "cancelled")
    last = expired["history"][-1]
    assert (last["from_status"], last["actor"], last["reason"]) == (
        "placed",
        None,
        "The shop did not accept the order in time.",
    )
    async with sessions.begin() as session:
        await consume_events(session)
        mail = (await session.scalars(select(Mail).where(Mail.template == "order_expired"))).one()
        assert (mail.recipient, mail.context["reason"]) == (
            "anna@example.com",
            "The shop did not accept the order in time.",
        )
    assert await expire(sessions, clock) == 0
    assert (await customer.post(f"/order/{order['id']}/cancel")).json()["code"] == "illegal_transition"


async def test_what_is_accepted_or_taken_at_the_counter_does_not_expire(
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    shop_id: UUID,
    sessions: Sessions,
    tea: UUID,
    clock: Clock,
) -> None:
    order = await place(customer, tea)
    await place(barista, tea, source="counter", customer_name="Пётр")
    await barista.patch(f"/order/{order['id']}", json={"status": "accepted"})
    clock.advance(minutes=30)

    assert await expire(sessions, clock) == 0


async def test_time_at_which_the_shop_is_closed_does_not_count(
    customer: httpx2.AsyncClient, shop_id: UUID, sessions: Sessions, tea: UUID, clock: Clock
) -> None:
    """Ordered four minutes before closing for the next day: nobody could accept it at night."""
    clock.advance(hours=9, minutes=56)
    await place(customer, tea, pickup_at="2026-11-24T09:00:00Z")

    clock.advance(hours=10, minutes=4)
    assert await expire(sessions, clock) == 0, "it is 5:00, and the shop opens"
    clock.advance(minutes=5, seconds=59)
    assert await expire(sessions, clock) == 0
    clock.advance(seconds=1)
    assert await expire(sessions, clock) == 1


async def test_a_shop_may_accept_every_order_by_itself(
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    shop_id: UUID,
    sessions: Sessions,
    tea: UUID,
    clock: Clock,
) -> None:
    await limit_work(sessions, auto_accept=True)

    order = await place(customer, tea)

    assert order["status"] == "accepted"
    assert [(each["from_status"], each["status"], each["actor"] is None) for each in order["history"]] == [
        (None, "placed", False),
        ("placed", "accepted", True),
    ]
    assert await seen(customer, order) == order
    clock.advance(minutes=11)
    assert await expire(sessions, clock) == 0
    async with sessions.begin() as session:
        await consume_events(session)
        assert (await session.scalars(select(Mail.template))).all() == ["order_placed_customer"]
    assert (await barista.patch(f"/order/{order['id']}", json={"status": "preparing"})).status_code == 200


async def test_who_is_here_comes_first_and_who_is_late_later(
    app: FastAPI,
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    shop_id: UUID,
    sessions: Sessions,
    tea: UUID,
) -> None:
    first, second = [await place(customer, tea, pickup_at=at) for at in (SOON, LATER)]
    assert await board(app, barista) == [first["id"], second["id"]]
    path = f"/order/{second['id']}/arrival"

    here = (await customer.post(path, json={"state": "here"})).json()
    assert here["start_at"] == "2026-11-23T09:00:00.000000Z"
    assert here["promised_at"] == here["ready_estimate_at"] == LATER, "what is promised stays"
    assert await board(app, barista) == [second["id"], first["id"]]
    change = here["history"][-1]["changes"]
    assert change == [{"field": "start_at", "before": second["start_at"], "after": here["start_at"]}]

    late = (await barista.post(path, json={"state": "late", "minutes": 10})).json()
    assert late["start_at"] == "2026-11-23T10:13:00.000000Z"
    again = (await customer.post(path, json={"state": "late", "minutes": 10})).json()
    assert again["history"] == late["history"], "the same again changes nothing"
    less = (await customer.post(path, json={"state": "late", "minutes": 5})).json()
    assert less["start_at"] == "2026-11-23T10:08:00.000000Z"
    async with sessions.begin() as session:
        await consume_events(session)
        templates = (await session.scalars(select(Mail.template))).all()
        assert set(templates) == {"order_placed_customer"}, "boards are told, not mailboxes"


async def test_an_arrival_changes_no_order_that_is_ready_or_over(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    order = await place(customer, tea)
    for status in ("accepted", "preparing", "ready"):
        await barista.patch(f"/order/{order['id']}", json={"status": status})
    path = f"/order/{order['id']}/arrival"

    ready = await customer.post(path, json={"state": "late", "minutes": 10})
    assert (ready.status_code, ready.json()["start_at"]) == (200, order["start_at"])
    await barista.patch(f"/order/{order['id']}", json={"status": "completed"})
    over = await customer.post(path, json={"state": "here"})
    assert (over.status_code, over.json()["code"]) == (409, "order_not_editable")


async def test_strangers_can_not_say_that_somebody_is_here(
    customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, client: httpx2.AsyncClient, log_in: LogIn,
    shop_id: UUID, tea: UUID, admin: httpx2.AsyncClient,
) -> None:  # fmt: skip
    order = await place(customer, tea)
    path, here = f"/order/{order['id']}/arrival", {"state": "here"}

    assert (await client.post(path, json=here)).status_code == 401
    assert (await other_customer.post(path, json=here)).status_code == 404
    assert (await seen(customer, order)) == order


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"state": "gone"},
        {"state": "late"},
        {"state": "here", "minutes": 5},
        {"state": "late", "minutes": 0},
        {"state": "late", "minutes": 61},
        {"state": "late", "minutes": "10"},
        {"state": "late", "minutes": 10, "at": "x"},
    ],
)
async def test_an_arrival_that_says_nothing_clear_is_refused(
    customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID, body: dict[str, Any]
) -> None:
    order = await place(customer, tea)

    refusal = await customer.post(f"/order/{order['id']}/arrival", json=body)

    assert (refusal.status_code, refusal.json()["code"]) == (422, "validation_error")
    assert await seen(customer, order) == order
