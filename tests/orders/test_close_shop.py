"""A shop closes, for good or at some hours, while it has orders in progress."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from factories.orders import make_shop, make_simple_product, place
from factories.people import mails_to
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

FRIDAY_NOON = "2026-11-27T09:00:00.000000Z"
WEEKDAYS_ALL_DAY = [{"weekday": day, "opens_at": "00:00", "closes_at": "24:00"} for day in range(4)]
MORNINGS = [{"weekday": day, "opens_at": "00:00", "closes_at": "11:00"} for day in range(7)]
FORCE = {"force": "true"}


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions, email="arbat@example.com")


@pytest.fixture
async def manager(log_in: LogIn, shop_id: UUID) -> httpx2.AsyncClient:
    return await log_in("manager@example.com", role="manager", shop_ids=(shop_id,))


@pytest.fixture
async def orders(customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID) -> dict[str, dict[str, Any]]:
    """One for Friday, one as soon as possible."""
    product = await make_simple_product(sessions)
    return {
        "friday": await place(customer, product, shop_id=str(shop_id), pickup_at=FRIDAY_NOON),
        "asap": await place(customer, product, shop_id=str(shop_id)),
    }


async def close(
    manager: httpx2.AsyncClient, shop_id: UUID, how: str, hours: list[Any] | None = None, **params: str
) -> httpx2.Response:
    if how == "hours":
        return await manager.put(f"/shop/{shop_id}/hours", json={"hours": hours or []}, params=params)
    if how == "PATCH":
        return await manager.patch(f"/shop/{shop_id}", json={"is_active": False}, params=params)
    shop = (await manager.get(f"/shop/{shop_id}")).json()
    return await manager.put(f"/shop/{shop_id}", json=shop | {"is_active": False}, params=params)


def listed(*orders: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"id": order["id"], "number": order["number"], "status": order["status"], "shop_id": order["shop"]["id"]}
        for order in orders
    ]


@pytest.mark.parametrize("how", ["hours", "PATCH", "PUT"])
async def test_a_shop_with_open_orders_is_closed_for_good(
    customer: httpx2.AsyncClient,
    admin: httpx2.AsyncClient,
    manager: httpx2.AsyncClient,
    shop_id: UUID,
    orders: dict[str, dict[str, Any]],
    session: AsyncSession,
    how: str,
) -> None:
    """Tried: hours emptied, shop deactivated with open orders: they stay `placed`, without a word."""
    before = (await manager.get(f"/shop/{shop_id}")).json()
    await manager.patch(f"/order/{orders['asap']['id']}", json={"status": "accepted"})
    for status in ("preparing", "ready"):
        orders["asap"] = (await manager.patch(f"/order/{orders['asap']['id']}", json={"status": status})).json()

    refused = await close(manager, shop_id, how)

    assert (refused.status_code, refused.json()["code"]) == (409, "open_orders")
    assert refused.json()["orders"] == listed(orders["friday"], orders["asap"])
    assert (await manager.get(f"/shop/{shop_id}")).json() == before, "a refusal changes nothing"

    assert (await close(manager, shop_id, how, **FORCE)).status_code == 200

    for order in orders.values():
        seen = (await customer.get(f"/order/{order['id']}")).json()
        assert (seen["status"], seen["history"][-1]["actor"]) == ("cancelled", None)
        assert seen["history"][-1]["reason"] == "The shop is closed at this time."
    told = {mail.context["number"] for mail in await mails_to(session, template="order_cancelled")}
    assert told == {order["number"] for order in orders.values()}
    for address in ("arbat@example.com", "admin@example.com"):
        (mail,) = await mails_to(session, address, "orders_closed_staff")
        assert mail.context["cause"] == "shop_closed"
        listed_there = [(order["number"], order["name"], order["status"]) for order in mail.context["orders"]]
        assert listed_there == [(order["number"], "Анна", "cancelled") for order in orders.values()]
    assert (await close(manager, shop_id, how)).status_code == 200, "nothing is in progress any more"


@pytest.mark.parametrize(("hours", "closed_out"), [(WEEKDAYS_ALL_DAY, "friday"), (MORNINGS, "both")])
async def test_new_hours_that_close_out_open_orders(
    manager: httpx2.AsyncClient,
    shop_id: UUID,
    orders: dict[str, dict[str, Any]],
    hours: list[Any],
    closed_out: str,
) -> None:
    gone = [orders["friday"]] if closed_out == "friday" else list(orders.values())

    refused = await close(manager, shop_id, "hours", hours)
    assert (refused.status_code, refused.json()["orders"]) == (409, listed(*gone))
    assert (await close(manager, shop_id, "hours", hours, **FORCE)).status_code == 200

    statuses = {name: (await manager.get(f"/order/{order['id']}")).json()["status"] for name, order in orders.items()}
    assert statuses == {"friday": "cancelled", "asap": "cancelled" if closed_out == "both" else "placed"}


SPECIAL_DAYS = [
    ({"date": "2026-11-27", "is_closed": True}, "friday"),
    ({"date": "2026-11-27", "hours": [{"opens_at": "13:00", "closes_at": "20:00"}]}, "friday"),
    ({"date": "2026-11-27", "hours": [{"opens_at": "10:00", "closes_at": "14:00"}]}, "none"),
    ({"date": "2026-11-23", "is_closed": True}, "asap"),
    ({"date": "2026-11-26", "is_closed": True}, "none"),
]


@pytest.mark.parametrize(("day", "closed_out"), SPECIAL_DAYS)
async def test_a_special_day_that_closes_out_open_orders(
    manager: httpx2.AsyncClient,
    shop_id: UUID,
    orders: dict[str, dict[str, Any]],
    day: dict[str, Any],
    closed_out: str,
) -> None:
    """It is Monday."""
    gone = [orders[closed_out]] if closed_out in orders else []
    path, body = f"/shop/{shop_id}/special-days", {"special_days": [day]}

    first = await manager.put(path, json=body)
    assert (first.status_code, first.json().get("orders", [])) == (409 if gone else 200, listed(*gone))
    before = (await manager.get(f"/shop/{shop_id}")).json()["special_days"]
    assert bool(before) is not bool(gone), "a refusal changes nothing"
    assert (await manager.put(path, json=body, params=FORCE)).status_code == 200

    for name, order in orders.items():
        status = (await manager.get(f"/order/{order['id']}")).json()["status"]
        assert status == ("cancelled" if name == closed_out else "placed"), name


async def test_taking_a_special_day_back_closes_out_what_was_ordered_for_it(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions
) -> None:
    shop = await make_shop(sessions, slug="noon", hours=(720, 840))
    longer = {"date": "2026-11-27", "hours": [{"opens_at": "08:00", "closes_at": "20:00"}]}
    await admin.put(f"/shop/{shop}/special-days", json={"special_days": [longer]})
    product = await make_simple_product(sessions)
    order = await place(customer, product, shop_id=str(shop), pickup_at="2026-11-27T16:00:00Z")

    refused = await admin.put(f"/shop/{shop}/special-days", json={"special_days": []})

    assert (refused.status_code, refused.json()["orders"]) == (409, listed(order))


async def test_a_pause_leaves_open_orders_alone(
    manager: httpx2.AsyncClient, shop_id: UUID, orders: dict[str, dict[str, Any]]
) -> None:
    assert (await manager.patch(f"/shop/{shop_id}/status", json={"state": "paused"})).status_code == 200

    for order in orders.values():
        assert (await manager.patch(f"/order/{order['id']}", json={"status": "accepted"})).status_code == 200


async def test_another_time_zone_moves_the_hours_away_from_open_orders(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions
) -> None:
    shop = await make_shop(sessions, slug="noon", hours=(600, 840))
    order = await place(customer, await make_simple_product(sessions), shop_id=str(shop), pickup_at=FRIDAY_NOON)

    refused = await admin.patch(f"/shop/{shop}", json={"timezone": "Asia/Vladivostok"})

    assert (refused.status_code, refused.json()["orders"]) == (409, listed(order))


async def test_hours_that_keep_every_open_order_are_set_without_force(
    manager: httpx2.AsyncClient, shop_id: UUID, orders: dict[str, dict[str, Any]], clock: Clock
) -> None:
    """Also where a drink waits since before closing time: the new week doesn't take from it what it had."""
    noon_to_one = [{"weekday": day, "opens_at": "12:00", "closes_at": "13:00"} for day in range(7)]
    assert (await close(manager, shop_id, "hours", noon_to_one)).status_code == 200

    clock.now = clock.now.replace(hour=20)
    later = [{**each, "opens_at": "11:00"} for each in noon_to_one]
    assert (await close(manager, shop_id, "hours", later)).status_code == 200

    for order in orders.values():
        assert (await manager.get(f"/order/{order['id']}")).json()["status"] == "placed"
