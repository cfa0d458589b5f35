"""Edits of an order: what staff leave alone, what follows from a new time, who is told, and what the history says."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from crema.db.session import Sessions
from crema.notifications.models import Mail
from crema.orders.deps import OrdersState
from crema.orders.service import changes
from crema.web.state import state_of
from factories.orders import make_shop, make_simple_product, place
from factories.people import consume_events
from fixtures.app import change_state

pytestmark = pytest.mark.anyio
FRIDAY, WEDNESDAY = "2026-11-27T09:00:00.000000Z", "2026-11-25T09:00:00.000000Z"  # it is Monday noon in Moscow


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions, email="arbat@example.com")


@pytest.fixture
async def tea(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, name="Чай", preparation_seconds=120)


async def mails(sessions: Sessions) -> list[tuple[str, str]]:
    async with sessions.begin() as session:
        await consume_events(session)
        found = await session.execute(select(Mail.recipient, Mail.template).order_by(Mail.id))
        return [(recipient, template) for recipient, template in found]


async def test_staff_who_put_a_status_leave_the_pickup_time_as_it_is(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    order = await place(customer, tea, pickup_at=FRIDAY)

    accepted = await barista.put(f"/order/{order['id']}", json={"status": "accepted"})
    again = await barista.put(f"/order/{order['id']}", json={"status": "accepted"})

    assert (accepted.json()["status"], accepted.json()["pickup_at"]) == ("accepted", FRIDAY)
    assert (again.status_code, again.json()) == (200, accepted.json())


async def test_the_same_patch_or_cancel_twice_is_200_and_one_move(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    order = await place(customer, tea)
    path = f"/order/{order['id']}"

    for _ in range(2):
        assert (await barista.patch(path, json={"status": "accepted"})).status_code == 200
    for _ in range(2):
        cancelled = await barista.post(f"{path}/cancel", json={"reason": "Нет воды"})
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    own = await customer.post(f"{path}/cancel")

    assert own.status_code == 200
    assert [event["status"] for event in own.json()["history"]] == ["placed", "accepted", "cancelled"]
    assert [template for _, template in await mails(sessions)].count("order_cancelled") == 1


@pytest.mark.parametrize("by", ["customer", "barista"])
async def test_an_order_moved_to_an_earlier_day_or_to_now_is_estimated_anew(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, tea: UUID, clock: Any, by: str
) -> None:
    order = await place(customer, tea, pickup_at=FRIDAY)
    path, client = f"/order/{order['id']}", {"customer": customer, "barista": barista}[by]

    earlier = (await client.patch(path, json={"pickup_at": WEDNESDAY})).json()
    now = (await client.patch(path, json={"pickup_at": None})).json()

    assert (order["ready_estimate_at"], earlier["ready_estimate_at"]) == (FRIDAY, WEDNESDAY)
    assert now["ready_estimate_at"] == "2026-11-23T09:04:00.000000Z"  # two minutes to begin, two of work


async def test_numbers_belong_to_the_day_of_pickup_and_differ_on_one_board(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, tea: UUID, clock: Any
) -> None:
    today = await place(customer, tea)
    ahead = await place(customer, tea, pickup_at=WEDNESDAY)
    clock.advance(hours=48)
    on_the_day = await place(customer, tea)

    board = {order["number"] for order in (await barista.get("/orders")).json()["items"]}
    moved = (await customer.patch(f"/order/{ahead['id']}", json={"pickup_at": "2026-11-26T09:00:00.000000Z"})).json()

    assert [today["number"], ahead["number"], on_the_day["number"]] == ["J-001", "L-001", "L-002"]
    assert len(board) == 3
    assert moved["number"] == ahead["number"]


async def test_numbers_of_a_bar_that_is_open_until_three_do_not_restart_at_midnight(
    customer: httpx2.AsyncClient, sessions: Sessions, tea: UUID, clock: Any
) -> None:
    await make_shop(sessions, hours=(10 * 60, 27 * 60))
    numbers = []
    for hours in (0, 11, 2, 3):  # noon, 23:00, 01:00 and, while it is closed till ten, not: 04:00
        clock.advance(hours=hours)
        response = await customer.post("/order", json={"items": [{"product_id": str(tea)}]})
        numbers.append(response.json().get("number"))
    clock.advance(hours=6, minutes=1)

    assert numbers == ["J-001", "J-002", "J-003", None]
    assert (await place(customer, tea))["number"] == "K-001"


async def test_the_shop_and_administrators_hear_what_a_customer_edits_and_cancels(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    order = await place(customer, tea)
    path = f"/order/{order['id']}"
    body = {"comment": "Без крышки", "items": [{"product_id": str(tea), "quantity": 2}]}

    edited = (await customer.patch(path, json=body)).json()
    unchanged = (await customer.patch(path, json={"comment": "Без крышки"})).json()
    await customer.post(f"{path}/cancel", json={"reason": "Не успеваю"})

    event = edited["history"][-1]
    assert (event["status"], event["from_status"], event["actor"]["id"]) == ("placed", "placed", order["user_id"])
    assert event["changes"] == [
        {"field": "comment", "before": "", "after": "Без крышки"},
        {"field": "items", "before": ["1 × Чай"], "after": ["2 × Чай"]},
        {"field": "total", "before": "250.00", "after": "500.00"},
    ]
    assert unchanged == edited, "an edit that changes nothing is no edit"
    told = await mails(sessions)
    for template in ("order_placed_staff", "order_edited_staff", "order_cancelled_staff"):
        recipients = {recipient for recipient, found in told if found == template}
        assert recipients == {"arbat@example.com", "admin@example.com"}, template


async def test_the_customer_hears_when_the_shop_moves_the_order(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    order = await place(customer, tea)

    await barista.patch(f"/order/{order['id']}", json={"pickup_at": WEDNESDAY})

    assert ("anna@example.com", "order_edited_customer") in await mails(sessions)


async def test_an_order_is_not_edited_without_end_by_its_customer_and_still_by_staff(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, tea: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MAX_EDITS", 2)
    path = f"/order/{(await place(customer, tea))['id']}"

    statuses = [(await customer.patch(path, json={"comment": f"{n}"})).status_code for n in range(3)]

    assert statuses == [200, 200, 409]
    assert (await customer.get(path)).json()["comment"] == "1"
    assert (await barista.patch(path, json={"pickup_at": WEDNESDAY})).status_code == 200


async def test_items_are_ordered_at_the_shop_that_the_cart_names(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    lenina = await make_shop(sessions, slug="lenina")
    await customer.put("/cart/shop", json={"shop_id": str(lenina)})

    order = await place(customer, tea)

    assert order["shop"]["id"] == str(lenina)


async def test_orders_of_one_person_within_an_hour_are_limited(
    app: FastAPI, customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID, clock: Any
) -> None:
    change_state(app, OrdersState, settings=replace(state_of(app, OrdersState).settings, max_orders_an_hour=2))
    for _ in range(2):
        order = await place(customer, tea)
        await customer.post(f"/order/{order['id']}/cancel")

    refused = await customer.post("/order", json={"items": [{"product_id": str(tea)}]})
    clock.advance(seconds=timedelta(hours=1).total_seconds() + 1)

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_orders")
    assert refused.headers["Retry-After"] == "3600"
    await place(customer, tea)


async def test_an_edit_of_the_items_is_estimated_anew(
    customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID, clock: Any
) -> None:
    """Two minutes to begin and two for each cup, from the moment of the edit; never before it is wanted."""
    order = await place(customer, tea)
    path, four = f"/order/{order['id']}", {"items": [{"product_id": str(tea), "quantity": 4}]}
    clock.advance(minutes=1)

    commented = (await customer.patch(path, json={"comment": "Без крышки"})).json()
    edited = (await customer.patch(path, json=four)).json()
    later = (await customer.patch(path, json={"pickup_at": "2026-11-23T09:20:00Z"})).json()
    too_much = await customer.patch(path, json={"items": [{"product_id": str(tea), "quantity": 20}]})

    assert order["ready_estimate_at"] == commented["ready_estimate_at"] == "2026-11-23T09:04:00.000000Z"
    assert edited["ready_estimate_at"] == "2026-11-23T09:11:00.000000Z"
    assert later["ready_estimate_at"] == "2026-11-23T09:20:00.000000Z"
    assert too_much.json()["code"] == "too_soon"
    assert too_much.json()["earliest_pickup_at"] == "2026-11-23T09:44:00.000000Z"


async def test_items_written_out_are_a_new_choice_completed_with_the_defaults_of_groups_that_are_required_now(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    """The product got a required group with a default since: what is sent is chosen today, what isn't stays."""
    order = await place(customer, tea)
    path = f"/order/{order['id']}"
    cow, oat = {"name": "Коровье", "is_default": True}, {"name": "Овсяное", "price_delta": "60.00"}
    milk = {"name": "Молоко", "min_choices": 1, "max_choices": 1, "options": [cow, oat]}
    group = (await manager.post("/modifier-group", json=milk)).json()
    linked = await manager.patch(f"/product/{tea}", json={"modifier_group_ids": [group["id"]]})
    assert linked.status_code == 200, linked.text

    commented = (await customer.patch(path, json={"comment": "Без крышки"})).json()
    nothing_said = (await customer.patch(path, json={"items": [{"product_id": str(tea)}]})).json()
    none_said = (await customer.patch(path, json={"items": [{"product_id": str(tea), "options": []}]})).json()
    chosen = [{"product_id": str(tea), "options": [{"option_id": group["options"][1]["id"]}]}]
    said = (await customer.put(path, json={"items": chosen})).json()

    assert [line["options"] for line in commented["lines"]] == [[]], "an edit of something else chooses nothing"
    for edited, names, total in (
        (nothing_said, ["Коровье"], "250.00"),
        (none_said, ["Коровье"], "250.00"),
        (said, ["Овсяное"], "310.00"),
    ):
        assert [option["name"] for line in edited["lines"] for option in line["options"]] == names
        assert edited["total"] == total


async def test_the_shop_hears_once_of_an_order_that_its_customer_deletes(
    customer: httpx2.AsyncClient,
    admin: httpx2.AsyncClient,
    sessions: Sessions,
    shop_id: UUID,
    tea: UUID,
) -> None:
    order = await place(customer, tea)
    for _ in range(2):
        assert (await customer.delete(f"/order/{order['id']}")).status_code == 204

    told = await mails(sessions)

    staff = sorted(recipient for recipient, template in told if template == "order_cancelled_staff")
    assert staff == ["admin@example.com", "arbat@example.com"]
    assert [recipient for recipient, template in told if template == "order_cancelled"] == ["anna@example.com"]


async def test_a_reorder_past_fifty_lines_of_the_cart_leaves_out_what_does_not_fit(
    customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    """What is in the cart already still grows, and of a full cart nothing is lost."""
    lines = [{"product_id": str(tea), "note": note} for note in ("0", "new", "newer")]
    order = (await customer.post("/order", json={"items": lines})).json()
    for number in range(49):
        answer = await customer.post("/cart", json={"product_id": str(tea), "note": str(number)})
        assert answer.status_code == 201

    first = await customer.post(f"/order/{order['id']}/reorder")
    second = await customer.post(f"/order/{order['id']}/reorder")

    for answer, quantity in ((first, 2), (second, 3)):
        assert (answer.status_code, len(answer.json()["cart"]["items"])) == (201, 50)
        assert answer.json()["cart"]["items"][0]["quantity"] == quantity
        (skipped,) = answer.json()["skipped"]
        assert (skipped["line"], skipped["quantity"]) == (2, 1)
        assert [problem["code"] for problem in skipped["problems"]] == ["cart_full"]
        assert skipped["reason"] == "A cart takes at most 50 different items."
    cart = (await customer.get("/cart")).json()["items"]
    assert [(item["note"], item["quantity"]) for item in cart if item["note"] == "new"] == [("new", 2)]


async def test_a_reorder_of_which_nothing_fits_is_refused_and_changes_nothing(
    customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    order = (await customer.post("/order", json={"items": [{"product_id": str(tea), "note": "new"}]})).json()
    for number in range(50):
        await customer.post("/cart", json={"product_id": str(tea), "note": str(number)})
    before = (await customer.get("/cart")).json()["items"]

    refused = await customer.post(f"/order/{order['id']}/reorder")

    assert (refused.status_code, refused.json()["code"]) == (409, "item_unavailable")
    assert [each["quantity"] for each in refused.json()["skipped"]] == [1]
    assert (await customer.get("/cart")).json()["items"] == before
