"""A barista moves several orders at once."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from factories.orders import make_shop, make_simple_product, place
from factories.people import mails_to
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


@pytest.fixture
async def orders(customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID) -> list[dict[str, Any]]:
    product = await make_simple_product(sessions)
    return [await place(customer, product, shop_id=str(shop_id)) for _ in range(4)]


async def advance(client: httpx2.AsyncClient, orders: list[Any], status: str, **more: Any) -> list[Any]:
    ids = [order["id"] if isinstance(order, dict) else str(order) for order in orders]
    response = await client.post("/orders/advance", json={"order_ids": ids, "status": status} | more)
    assert response.status_code == 200, response.text
    assert [item["order_id"] for item in response.json()["items"]] == list(dict.fromkeys(ids))
    return [(item["status"], (item["problem"] or {}).get("code")) for item in response.json()["items"]]


async def test_several_orders_move_at_once(
    barista: httpx2.AsyncClient, customer: httpx2.AsyncClient, orders: list[dict[str, Any]], session: AsyncSession
) -> None:
    for status in ("accepted", "preparing", "ready"):
        assert await advance(barista, orders, status) == [(status, None)] * 4

    for order in orders:
        seen = (await customer.get(f"/order/{order['id']}")).json()
        assert [event["status"] for event in seen["history"]] == ["placed", "accepted", "preparing", "ready"]
    assert len(await mails_to(session, template="order_ready")) == 4


async def test_each_order_moves_or_tells_why_not(
    barista: httpx2.AsyncClient,
    other_customer: httpx2.AsyncClient,
    orders: list[dict[str, Any]],
    sessions: Sessions,
) -> None:
    """Tried: one of the ids is completed, one of another shop, one nobody's, one sent twice."""
    elsewhere = await make_shop(sessions, slug="elsewhere")
    foreign = await place(other_customer, await make_simple_product(sessions), shop_id=str(elsewhere))
    placed, accepted, preparing, cancelled = orders
    await advance(barista, [accepted, preparing], "accepted")
    await advance(barista, [preparing], "preparing")
    await advance(barista, [cancelled], "cancelled")

    asked = [cancelled, preparing, foreign, uuid4(), accepted, placed, placed]

    assert await advance(barista, asked, "preparing") == [
        ("cancelled", "illegal_transition"),
        ("preparing", None),
        (None, "not_found"),
        (None, "not_found"),
        ("preparing", None),
        ("placed", "illegal_transition"),
    ]
    assert (await other_customer.get(f"/order/{foreign['id']}")).json()["status"] == "placed"


async def test_what_is_ready_is_cancelled_with_a_reason_only(
    barista: httpx2.AsyncClient, orders: list[dict[str, Any]]
) -> None:
    for status in ("accepted", "preparing", "ready"):
        await advance(barista, orders[:1], status)

    assert await advance(barista, orders[:2], "cancelled") == [("ready", "reason_required"), ("cancelled", None)]
    assert await advance(barista, orders[:1], "cancelled", reason="Отключили свет") == [("cancelled", None)]


async def test_a3_only_staff_of_the_shop_move_several(
    log_in: LogIn, customer: httpx2.AsyncClient, orders: list[dict[str, Any]], sessions: Sessions
) -> None:
    body = {"order_ids": [orders[0]["id"]], "status": "accepted"}
    assert (await customer.post("/orders/advance", json=body)).status_code == 403

    elsewhere = await make_shop(sessions, slug="elsewhere")
    own_drink = await log_in("far@example.com", role="barista", shop_ids=(elsewhere,))
    own = await place(own_drink, await make_simple_product(sessions), shop_id=orders[0]["shop"]["id"])
    assert await advance(own_drink, [own, orders[0]], "accepted") == [("placed", "forbidden"), (None, "not_found")]


@pytest.mark.parametrize(
    "body",
    [
        {"order_ids": [], "status": "ready"},
        {"order_ids": [str(uuid4()) for _ in range(51)], "status": "ready"},
        {"order_ids": ["x"], "status": "ready"},
        {"order_ids": [str(uuid4())], "status": "gone"},
        {"order_ids": [str(uuid4())]},
    ],
)
async def test_a_bad_request_moves_nothing(barista: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    assert (await barista.post("/orders/advance", json=body)).status_code == 422
