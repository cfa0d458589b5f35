"""Moving orders along: who may, what the history says, who is told."""

from itertools import product
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select, update

from crema.db.session import Sessions
from crema.menu.models import Product
from crema.menu.service import documents
from crema.notifications.models import Mail
from crema.orders.domain import OrderStatus
from crema.orders.models import Order, OrderEvent
from crema.orders.service import transitions
from factories.orders import make_shop, make_simple_product, place
from factories.people import consume_events
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

MOVES_OF_STAFF = {
    "placed accepted", "placed cancelled",
    "accepted preparing", "accepted cancelled",
    "preparing ready", "preparing cancelled",
    "ready completed", "ready cancelled",
}  # fmt: skip
"""Written out; what nobody moved here can't be taken back."""


@pytest.fixture
async def order(customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID) -> dict[str, Any]:
    return await place(customer, await make_simple_product(sessions))


async def put_at(sessions: Sessions, order: dict[str, Any], status: OrderStatus) -> None:
    async with sessions.begin() as session:
        await session.execute(update(Order).values(status=status).where(Order.id == UUID(order["id"])))


async def moves_of(sessions: Sessions) -> list[tuple[str | None, str, str]]:
    async with sessions() as session:
        events = await session.scalars(select(OrderEvent).order_by(OrderEvent.id))
        return [(event.from_status, event.status, event.actor_role) for event in events]


async def test_a_morning_at_the_bar(
    barista: httpx2.AsyncClient, customer: httpx2.AsyncClient, order: dict[str, Any], sessions: Sessions
) -> None:
    for status in ("accepted", "preparing", "ready", "completed"):
        response = await barista.patch(f"/order/{order['id']}", json={"status": status})
        assert (response.status_code, response.json()["status"]) == (200, status)

    done = (await customer.get(f"/order/{order['id']}")).json()
    assert [event["status"] for event in done["history"]] == ["placed", "accepted", "preparing", "ready", "completed"]
    assert done["payment"]["status"] == "paid"
    async with sessions.begin() as session:
        await consume_events(session)
        assert sorted(await session.scalars(select(Mail.template))) == ["order_placed_customer", "order_ready"]


@pytest.mark.parametrize(("start", "to"), list(product(OrderStatus, OrderStatus)))
async def test_a10_staff_make_only_these_moves(
    barista: httpx2.AsyncClient, order: dict[str, Any], sessions: Sessions, start: OrderStatus, to: OrderStatus
) -> None:
    await put_at(sessions, order, start)
    listed = f"{start} {to}" in MOVES_OF_STAFF

    response = await barista.patch(f"/order/{order['id']}", json={"status": to, "reason": "Пролили"})

    assert response.status_code == (200 if listed or start == to else 409)
    assert len(await moves_of(sessions)) == (2 if listed else 1)
    if response.status_code == 409:
        assert response.json()["code"] == "illegal_transition"


@pytest.mark.parametrize("start", list(OrderStatus))
async def test_a10_the_owner_cancels_only_until_it_is_being_prepared(
    customer: httpx2.AsyncClient, order: dict[str, Any], sessions: Sessions, start: OrderStatus
) -> None:
    await put_at(sessions, order, start)

    response = await customer.post(f"/order/{order['id']}/cancel", json={"reason": "Не успеваю"})

    if start in {OrderStatus.PLACED, OrderStatus.ACCEPTED}:
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")
        assert response.json()["history"][-1]["reason"] == "Не успеваю"
    elif start == OrderStatus.CANCELLED:
        assert (response.status_code, len(await moves_of(sessions))) == (200, 1)
    else:
        assert (response.status_code, response.json()["code"]) == (409, "illegal_transition")


async def test_a10_staff_cancel_what_is_ready_with_a_reason_only(
    barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, order: dict[str, Any], sessions: Sessions
) -> None:
    """Tried: a drink that was spilled, or isn't fetched, is cancelled before it is handed over."""
    await put_at(sessions, order, OrderStatus.READY)
    path = f"/order/{order['id']}"
    for refused in (
        await barista.post(f"{path}/cancel"),
        await barista.post(f"{path}/cancel", json={"reason": None}),
        await barista.patch(path, json={"status": "cancelled"}),
        await barista.put(path, json={"status": "cancelled"}),
        await admin.delete(path),
    ):
        assert (refused.status_code, refused.json()["code"]) == (422, "reason_required")
    assert len(await moves_of(sessions)) == 1

    cancelled = await barista.post(f"{path}/cancel", json={"reason": "Пролили"})

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert cancelled.json()["history"][-1]["reason"] == "Пролили"
    async with sessions.begin() as session:
        await consume_events(session)
        mail = (await session.scalars(select(Mail).where(Mail.template == "order_cancelled"))).one()
    assert mail.context["reason"] == "Пролили"


async def test_a_cancelled_order_is_told_to_its_customer(
    barista: httpx2.AsyncClient, order: dict[str, Any], sessions: Sessions
) -> None:
    await barista.post(f"/order/{order['id']}/cancel", json={"reason": "Нет молока"})

    async with sessions.begin() as session:
        await consume_events(session)
        mail = (await session.scalars(select(Mail).where(Mail.template == "order_cancelled"))).one()
    assert (mail.recipient, mail.context["reason"]) == ("anna@example.com", "Нет молока")


async def test_a3_the_owner_does_not_set_the_status(
    customer: httpx2.AsyncClient, order: dict[str, Any], sessions: Sessions
) -> None:
    for status in ("accepted", "completed", "cancelled"):
        response = await customer.patch(f"/order/{order['id']}", json={"status": status})
        assert response.status_code == 403

    assert await moves_of(sessions) == [(None, "placed", "user")]


async def test_staff_do_not_change_what_was_ordered(barista: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    for body in ({"comment": "x"}, {"items": [{"product_id": order["lines"][0]["product_id"]}]}):
        assert (await barista.patch(f"/order/{order['id']}", json=body)).status_code == 403


async def test_a3_strangers_find_no_such_order(
    log_in: LogIn, other_customer: httpx2.AsyncClient, order: dict[str, Any], sessions: Sessions
) -> None:
    elsewhere = await make_shop(sessions, slug="elsewhere")
    of_another_shop = await log_in("far@example.com", role="barista", shop_ids=(elsewhere,))
    of_no_shop = await log_in("none@example.com", role="barista")

    for stranger in (other_customer, of_another_shop, of_no_shop):
        for method, path, body in (
            ("GET", "", None),
            ("GET", "/history", None),
            ("PATCH", "", {"status": "accepted"}),
            ("PUT", "", {"status": "accepted"}),
            ("POST", "/cancel", {}),
            ("POST", "/reorder", None),
            ("DELETE", "", None),
        ):
            theirs = await stranger.request(method, f"/order/{order['id']}{path}", json=body)
            nobodys = await stranger.request(method, f"/order/{uuid4()}{path}", json=body)
            assert theirs.status_code == 404
            assert theirs.json() | {"request_id": ""} == nobodys.json() | {"request_id": ""}

    assert await moves_of(sessions) == [(None, "placed", "user")]


async def test_the_owner_edits_while_it_is_placed(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, order: dict[str, Any]
) -> None:
    item = {"product_id": order["lines"][0]["product_id"], "quantity": 3}

    edited = await customer.patch(
        f"/order/{order['id']}",
        json={"items": [item], "comment": "Без крышки", "pickup_at": "2026-11-23T10:00:00.000000Z"},
    )

    assert edited.status_code == 200
    assert (edited.json()["total"], edited.json()["comment"], edited.json()["number"]) == (
        "750.00",
        "Без крышки",
        order["number"],
    )
    assert edited.json()["pickup_at"] == "2026-11-23T10:00:00.000000Z"
    assert [line["quantity"] for line in edited.json()["lines"]] == [3]

    await barista.patch(f"/order/{order['id']}", json={"status": "accepted"})
    refused = await customer.patch(f"/order/{order['id']}", json={"comment": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "order_not_editable")


async def test_put_replaces_all_the_owner_may_write(customer: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    path, item = f"/order/{order['id']}", {"product_id": order["lines"][0]["product_id"], "quantity": 2}
    await customer.patch(path, json={"comment": "x", "pickup_at": "2026-11-23T10:00:00.000000Z"})

    replaced = await customer.put(path, json={"items": [item]})
    incomplete = await customer.put(path, json={"comment": "y"})

    assert (replaced.json()["comment"], replaced.json()["pickup_at"], replaced.json()["total"]) == ("", None, "500.00")
    assert (incomplete.status_code, incomplete.json()["code"]) == (422, "incomplete_replacement")
    assert (await customer.get(path)).json()["comment"] == ""


async def test_put_by_staff_sets_status_and_time(barista: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    body = {"status": "accepted", "pickup_at": "2026-11-23T09:20:00.000000Z"}

    response = await barista.put(f"/order/{order['id']}", json=body)

    assert (response.json()["status"], response.json()["pickup_at"]) == ("accepted", "2026-11-23T09:20:00.000000Z")


async def test_a_customer_s_deletion_cancels_and_hides_it_from_the_customer_alone(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, order: dict[str, Any]
) -> None:
    path = f"/order/{order['id']}"
    assert (await barista.delete(path)).status_code == 403

    assert (await customer.delete(path)).status_code == 204

    assert (await customer.get("/orders")).json()["total"] == 0
    for someone in (barista, admin):
        assert [order["status"] for order in (await someone.get("/orders")).json()["items"]] == ["cancelled"]
    kept = (await customer.get(path)).json()
    assert kept["status"] == "cancelled"
    assert (await customer.delete(path)).status_code == 204


@pytest.mark.parametrize("status", [OrderStatus.PREPARING, OrderStatus.READY, OrderStatus.COMPLETED])
async def test_the_owner_cannot_delete_what_is_past_cancelling(
    customer: httpx2.AsyncClient, order: dict[str, Any], sessions: Sessions, status: OrderStatus
) -> None:
    await put_at(sessions, order, status)

    response = await customer.delete(f"/order/{order['id']}")

    assert (response.status_code, response.json()["code"]) == (409, "illegal_transition")
    assert (await customer.get("/orders")).json()["total"] == 1


async def test_an_administrator_hides_what_is_over(
    admin: httpx2.AsyncClient, order: dict[str, Any], sessions: Sessions
) -> None:
    await put_at(sessions, order, OrderStatus.COMPLETED)

    assert (await admin.delete(f"/order/{order['id']}")).status_code == 204
    assert (await admin.get(f"/order/{order['id']}")).json()["status"] == "completed"


async def test_reordering_fills_the_cart_with_what_is_still_to_be_had(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID
) -> None:
    kept, gone = [await make_simple_product(sessions, name=name) for name in ("Кекс", "Пирог")]
    items = [{"product_id": str(kept), "quantity": 2}, {"product_id": str(gone)}]
    order = (await customer.post("/order", json={"items": items})).json()
    async with sessions.begin() as session:
        found = await session.get_one(Product, gone)
        found.is_active = False
        await documents.refresh(session, [gone])

    response = await customer.post(f"/order/{order['id']}/reorder")

    assert response.status_code == 201
    assert [(item["name"], item["quantity"]) for item in response.json()["cart"]["items"]] == [("Кекс", 2)]
    assert [skipped["name"] for skipped in response.json()["skipped"]] == ["Пирог"]


async def test_the_history_is_a_list_like_any_other(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, order: dict[str, Any]
) -> None:
    await barista.patch(f"/order/{order['id']}", json={"status": "accepted"})

    page = (await customer.get(f"/order/{order['id']}/history?size=1&page=2")).json()

    assert (page["total"], page["pages"]) == (2, 2)
    (event,) = page["items"]
    assert (event["from_status"], event["status"], event["actor"]["role"]) == ("placed", "accepted", "barista")
    assert event["actor"]["id"] == str(barista.person.id)


async def test_what_nobody_fetches_expires_when_the_shop_closes(
    customer: httpx2.AsyncClient, sessions: Sessions, clock: Any, log_in: LogIn
) -> None:
    shop = await make_shop(sessions, slug="early", hours=(8 * 60, 20 * 60))
    barista = await log_in("early@example.com", role="barista", shop_ids=(shop,))
    order = await place(customer, await make_simple_product(sessions), shop_id=str(shop))
    for status in ("accepted", "preparing", "ready"):
        await barista.patch(f"/order/{order['id']}", json={"status": status})

    async with sessions.begin() as session:
        clock.advance(hours=7, minutes=59)  # 19:59 in Moscow
        assert await transitions.expire_unclaimed(session, now=clock.now) == 0
        clock.advance(minutes=1)
        assert await transitions.expire_unclaimed(session, now=clock.now) == 1

    assert (await moves_of(sessions))[-1] == ("ready", "expired", "system")
    assert (await customer.get(f"/order/{order['id']}")).json()["history"][-1]["actor"] is None
