"""What staff change leaves a row that stands with the change, and that nobody takes away."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select

from crema.db.audit import AuditEvent
from crema.db.session import Sessions
from factories.orders import make_shop, make_simple_product, place
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


async def events(sessions: Sessions) -> list[AuditEvent]:
    async with sessions() as session:
        found = select(AuditEvent).where(AuditEvent.action.contains("/")).order_by(AuditEvent.id)
        return list(await session.scalars(found))


async def test_a_price_set_to_nothing_and_set_back_leaves_two_rows(
    log_in: LogIn, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    shop_id = await make_shop(sessions)
    manager = await log_in("manager@example.com", role="manager", shop_ids=(shop_id,))
    tea = await make_simple_product(sessions)

    free = await manager.patch(f"/product/{tea}", json={"price": "0.00", "description": "Позвоните +79161234567"})
    await place(customer, tea)
    await manager.patch(f"/product/{tea}", json={"price": "250.00"})

    first, second = await events(sessions)
    assert (first.action, first.subject) == ("PATCH /product/{product_id}", {"product_id": str(tea)})
    assert first.details == {"fields": ["description", "price"], "values": {"price": "0.00"}}, "no text is kept"
    assert second.details["values"] == {"price": "250.00"}
    assert (first.actor_role, first.request_id) == ("manager", free.headers["X-Request-ID"])
    assert first.network


async def test_an_administrator_who_hides_a_paid_order_leaves_a_row(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    order = await place(customer, await make_simple_product(sessions))

    await admin.delete(f"/order/{order['id']}")

    assert [(event.action, event.subject) for event in await events(sessions)] == [
        ("DELETE /order/{order_id}", {"order_id": order["id"]})
    ]


@pytest.mark.parametrize(
    ("body", "status"), [({"price": "-1"}, 422), ({"price": "0.00", "category_ids": [str(UUID(int=1))]}, 422)]
)
async def test_a_refused_change_leaves_no_row(
    admin: httpx2.AsyncClient, sessions: Sessions, body: dict[str, Any], status: int
) -> None:
    tea = await make_simple_product(sessions)

    assert (await admin.patch(f"/product/{tea}", json=body)).status_code == status

    assert await events(sessions) == []


async def test_what_customers_do_and_what_staff_read_leaves_no_row(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    order = await place(customer, await make_simple_product(sessions))
    await customer.patch(f"/order/{order['id']}", json={"comment": "x"})
    await admin.get("/orders")

    assert await events(sessions) == []
