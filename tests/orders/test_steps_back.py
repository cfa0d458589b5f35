"""Staff take a move back: one step, within ten minutes of it."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from crema.notifications.models import Mail
from factories.orders import make_shop, make_simple_product, place
from factories.people import consume_events, mails_to
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

FORWARD = ["accepted", "preparing", "ready", "completed"]
BACK = {"preparing": "accepted", "ready": "preparing", "completed": "ready"}
HOWS = ["PATCH", "PUT", "advance"]


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions, email="arbat@example.com")


@pytest.fixture
async def order(customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID) -> dict[str, Any]:
    return await place(customer, await make_simple_product(sessions), shop_id=str(shop_id))


async def move(client: httpx2.AsyncClient, order: dict[str, Any], status: str, how: str = "PATCH") -> str:
    """Move it, and tell where it stands then, or the code of the refusal."""
    if how == "advance":
        answer = await client.post("/orders/advance", json={"order_ids": [order["id"]], "status": status})
        (item,) = answer.json()["items"]
        return str(item["problem"]["code"] if item["problem"] else item["status"])
    answer = await client.request(how, f"/order/{order['id']}", json={"status": status})
    return str(answer.json()["status"] if answer.status_code == 200 else answer.json()["code"])


async def bring(client: httpx2.AsyncClient, order: dict[str, Any], to: str) -> None:
    for status in FORWARD[: FORWARD.index(to) + 1]:
        assert await move(client, order, status) == status


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("start", "to"), BACK.items())
async def test_a_mistake_is_taken_back_within_ten_minutes(
    barista: httpx2.AsyncClient,
    customer: httpx2.AsyncClient,
    order: dict[str, Any],
    clock: Clock,
    start: str,
    to: str,
    how: str,
) -> None:
    await bring(barista, order, start)
    clock.advance(minutes=10)

    assert await move(barista, order, to, how) == to

    seen = (await customer.get(f"/order/{order['id']}")).json()
    last = seen["history"][-1]
    assert (last["from_status"], last["status"], last["actor"]["role"]) == (start, to, "barista")
    assert [event["status"] for event in seen["history"][:-1]] == ["placed", *FORWARD[: FORWARD.index(start) + 1]]
    assert seen["payment"]["status"] == "pending"
    assert await move(barista, order, start) == start, "and it goes on from there"


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("start", "to"), BACK.items())
async def test_a10_after_ten_minutes_a_move_stands(
    barista: httpx2.AsyncClient, order: dict[str, Any], clock: Clock, start: str, to: str, how: str
) -> None:
    await bring(barista, order, start)
    clock.advance(minutes=10, seconds=1)

    assert await move(barista, order, to, how) == "step_back_too_late"

    assert (await barista.get(f"/order/{order['id']}")).json()["status"] == start


async def test_a10_each_move_has_its_own_ten_minutes_and_a_step_back_starts_no_new_ones(
    barista: httpx2.AsyncClient, order: dict[str, Any], clock: Clock
) -> None:
    """Tried: a cup is walked back from `ready` to `accepted`, though it was begun a quarter of an hour ago."""
    await bring(barista, order, "preparing")
    clock.advance(minutes=8)
    await move(barista, order, "ready")
    clock.advance(minutes=7)

    assert await move(barista, order, "preparing") == "preparing"
    assert await move(barista, order, "accepted") == "step_back_too_late"
    assert await move(barista, order, "ready") == "ready"
    clock.advance(minutes=9)
    assert await move(barista, order, "preparing") == "preparing"


async def test_a10_neither_the_owner_nor_other_staff_take_a_move_back_nor_anybody_two_steps_at_once(
    barista: httpx2.AsyncClient,
    customer: httpx2.AsyncClient,
    log_in: LogIn,
    sessions: Sessions,
    order: dict[str, Any],
) -> None:
    await bring(barista, order, "ready")
    far = await log_in("far@example.com", role="barista", shop_ids=(await make_shop(sessions, slug="far"),))

    assert await move(customer, order, "preparing") == "forbidden"
    assert await move(far, order, "preparing") == "not_found"
    for status in ("accepted", "placed"):
        assert await move(barista, order, status) == "illegal_transition"


async def test_nothing_brings_back_what_was_accepted_cancelled_or_expired(
    barista: httpx2.AsyncClient, order: dict[str, Any]
) -> None:
    await move(barista, order, "accepted")
    assert await move(barista, order, "placed") == "illegal_transition"
    await move(barista, order, "cancelled")
    assert await move(barista, order, "accepted") == "illegal_transition"


async def test_a_completed_order_that_an_administrator_hid_stays_as_it_is(
    barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, order: dict[str, Any]
) -> None:
    """It would be in progress and on nobody's board."""
    await bring(barista, order, "completed")
    assert (await admin.delete(f"/order/{order['id']}")).status_code == 204

    assert await move(barista, order, "ready") == "illegal_transition"


async def test_that_it_is_ready_is_mailed_once_however_often_that_is_taken_back(
    barista: httpx2.AsyncClient, order: dict[str, Any], session: AsyncSession
) -> None:
    await bring(barista, order, "ready")
    await consume_events(session)
    mails = await session.scalar(select(func.count()).select_from(Mail))

    for status in ("preparing", "ready", "completed", "ready"):
        assert await move(barista, order, status) == status

    assert len(await mails_to(session, template="order_ready")) == 1
    assert await session.scalar(select(func.count()).select_from(Mail)) == mails, "a step back is no mail"


async def test_what_was_sold_by_mistake_is_no_sale_any_more(barista: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    day = {"from": "2026-11-23", "to": "2026-11-23"}
    await bring(barista, order, "completed")
    sold = (await barista.get("/reports/sales", params=day)).json()["totals"]["orders"]
    await move(barista, order, "ready")

    assert (sold, (await barista.get("/reports/sales", params=day)).json()["totals"]["orders"]) == (1, 0)
