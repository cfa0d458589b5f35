"""Numbers of orders that move to another day, and of those placed while such ones are in progress."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from crema.orders.domain import OPEN
from crema.orders.models import IS_OPEN, Order
from factories.orders import make_shop, make_simple_product, place
from factories.people import mails_to
from fixtures.app import Clock

pytestmark = pytest.mark.anyio

MONDAY, WEDNESDAY = date(2026, 11, 23), date(2026, 11, 25)
WEDNESDAY_NOON = "2026-11-25T09:00:00Z"


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions, email="arbat@example.com")


@pytest.fixture
async def tea(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, name="Чай")


async def give(
    sessions: Sessions, shop_id: UUID, user_id: UUID, *, number: str, day: date, status: str, at: datetime
) -> None:
    """Insert an order that has this number."""
    async with sessions.begin() as session:
        values = {"subtotal": Decimal(0), "total": Decimal(0), "currency": "RUB", "created_at": at}
        session.add(
            Order(
                number=number,
                business_date=day,
                status=status,
                shop_id=shop_id,
                user_id=user_id,
                ready_estimate_at=at,
                start_at=at,
                **values,
            )
        )


async def day_of(sessions: Sessions, order: dict[str, Any]) -> date:
    async with sessions() as session:
        return (await session.scalars(select(Order.business_date).where(Order.id == UUID(order["id"])))).one()


def test_what_keeps_its_number_is_what_is_in_progress() -> None:
    assert set(re.findall(r"'(\w+)'", str(IS_OPEN))) == OPEN


async def test_a_moved_order_keeps_its_number_and_belongs_to_the_new_day(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    order = await place(customer, tea)

    moved = (await customer.patch(f"/order/{order['id']}", json={"pickup_at": WEDNESDAY_NOON})).json()

    assert moved["number"] == order["number"] == "J-001"
    assert [change["field"] for change in moved["history"][-1]["changes"]] == ["pickup_at"]
    assert (await day_of(sessions, order)) == WEDNESDAY
    assert (await place(customer, tea, pickup_at=WEDNESDAY_NOON))["number"] == "L-001"


@pytest.mark.parametrize("by", ["customer", "barista"])
async def test_an_order_moved_to_a_day_where_its_number_is_taken_gets_a_new_one_and_its_customer_is_told(
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    sessions: Sessions,
    session: AsyncSession,
    shop_id: UUID,
    tea: UUID,
    clock: Clock,
    by: str,
) -> None:
    """Tried: letters come again after 26 days, so that two cups of one day were called out alike."""
    order = await place(customer, tea)
    me = customer.person.id
    await give(sessions, shop_id, me, number=order["number"], day=WEDNESDAY, status="completed", at=clock.now)
    client = {"customer": customer, "barista": barista}[by]

    answer = await client.patch(f"/order/{order['id']}", json={"pickup_at": WEDNESDAY_NOON})

    moved = answer.json()
    assert (answer.status_code, moved["number"]) == (200, "L-001")
    assert {"field": "number", "before": "J-001", "after": "L-001"} in moved["history"][-1]["changes"]
    (mail,) = await mails_to(session, template="order_edited_customer")
    assert (mail.context["number_before"], mail.context["number"]) == ("J-001", "L-001")
    told = await mails_to(session, "arbat@example.com", "order_edited_staff")
    assert [each.context["number_before"] for each in told] == (["J-001"] if by == "customer" else [])
    assert (await place(customer, tea, pickup_at=WEDNESDAY_NOON))["number"] == "L-002"


async def test_the_same_put_of_a_document_may_be_sent_again_though_the_number_is_another_now(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID, clock: Clock
) -> None:
    order = await place(customer, tea)
    await give(sessions, shop_id, customer.person.id, number="J-001", day=WEDNESDAY, status="completed", at=clock.now)
    body = order | {"pickup_at": WEDNESDAY_NOON}

    answers = [await customer.put(f"/order/{order['id']}", json=body) for _ in range(2)]

    assert [(answer.status_code, answer.json()["number"]) for answer in answers] == [(200, "L-001")] * 2


async def test_a_new_order_passes_over_the_numbers_of_orders_in_progress_and_of_those_moved_to_its_day(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID, clock: Clock
) -> None:
    """Tried: an order of 26 days ago that nobody accepted, and one that was moved here and is over."""
    me = customer.person.id
    await give(sessions, shop_id, me, number="J-001", day=date(2026, 10, 28), status="placed", at=clock.now)
    await give(sessions, shop_id, me, number="J-002", day=MONDAY, status="completed", at=clock.now)
    await give(sessions, shop_id, me, number="J-004", day=date(2026, 10, 28), status="completed", at=clock.now)
    far = await make_shop(sessions, slug="far")

    numbers = [(await place(customer, tea, shop_id=str(shop_id)))["number"] for _ in range(2)]

    assert numbers == ["J-003", "J-004"], "what was over on another day is no hindrance"
    assert (await place(customer, tea, shop_id=str(far)))["number"] == "J-001", "nor is another shop's"


async def test_an_order_is_not_put_back_on_the_board_beside_another_one_of_its_number(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    order = await place(customer, tea)
    for status in ("accepted", "preparing", "ready", "completed"):
        await barista.patch(f"/order/{order['id']}", json={"status": status})
    other = await place(customer, tea, pickup_at=WEDNESDAY_NOON)
    async with sessions.begin() as session:
        await session.execute(update(Order).values(number=order["number"]).where(Order.id == UUID(other["id"])))

    refused = await barista.patch(f"/order/{order['id']}", json={"status": "ready"})

    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
