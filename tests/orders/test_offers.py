"""Cart and order at a shop: its prices, its stop-list, its stocks, and schedules at the time of pick-up."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from crema.db.session import Sessions
from crema.orders.service import transitions
from factories.orders import Latte, make_latte, make_simple_product
from fixtures.app import Clock

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
AT_TWO = "2026-11-23T11:00:00.000000Z"
"""Two in the afternoon in Moscow; tests begin at noon there."""


@pytest.fixture
async def latte(sessions: Sessions) -> Latte:
    return await make_latte(sessions)


@pytest.fixture
async def croissant(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, name="Круассан", price="180.00")


@pytest.fixture
async def shopper(customer: httpx2.AsyncClient, shop_id: UUID) -> httpx2.AsyncClient:
    (await customer.put("/cart/shop", json={"shop_id": str(shop_id)})).raise_for_status()
    return customer


async def add(client: httpx2.AsyncClient, product_id: UUID, **fields: Any) -> httpx2.Response:
    return await client.post("/cart", json={"product_id": str(product_id)} | fields)


async def order(client: httpx2.AsyncClient, shop_id: UUID, *items: Json, **fields: Any) -> httpx2.Response:
    return await client.post("/order", json={"shop_id": str(shop_id), "items": list(items)} | fields)


async def stop(barista: httpx2.AsyncClient, shop_id: UUID, kind: str, target: UUID, until: str | None = None) -> None:
    body = {"kind": kind, "target_id": str(target), "until": until}
    (await barista.post(f"/shop/{shop_id}/stop-list", json=body)).raise_for_status()


async def count(barista: httpx2.AsyncClient, shop_id: UUID, product_id: UUID, stock: int | None) -> None:
    (await barista.patch(f"/shop/{shop_id}/product/{product_id}", json={"stock": stock})).raise_for_status()


async def left(barista: httpx2.AsyncClient, shop_id: UUID) -> list[int | None]:
    return [each["stock"] for each in (await barista.get(f"/shop/{shop_id}/overrides?sort=name")).json()["items"]]


def codes(problems: list[Json]) -> list[tuple[str, str | None, str | None]]:
    return [(each["code"], each["until"], each["suggestion"]) for each in problems]


async def test_cart_and_order_cost_what_the_shop_asks(
    shopper: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, latte: Latte
) -> None:
    await barista.patch(f"/shop/{shop_id}/product/{latte.id}", json={"price": "270"})
    await barista.patch(f"/shop/{shop_id}/option/{latte.oat}", json={"price_delta": "0"})

    cart = (await add(shopper, latte.id, options=[{"option_id": str(latte.oat)}])).json()
    placed = await shopper.post("/order", json={"expected_total": cart["total"]})

    assert (cart["total"], placed.json()["total"]) == ("270.00", "270.00")
    await add(shopper, latte.id, options=[{"option_id": str(latte.oat)}])
    elsewhere = (await shopper.put("/cart/shop", json={"shop_id": None})).json()
    assert elsewhere["total"] == "310.00"


async def test_what_has_run_out_is_marked_with_its_end_and_what_to_choose_instead(
    shopper: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, latte: Latte, clock: Clock
) -> None:
    await add(shopper, latte.id, options=[{"option_id": str(latte.oat)}])
    await stop(barista, shop_id, "option", latte.oat, AT_TWO)

    (item,) = (await shopper.get("/cart")).json()["items"]
    refused = await shopper.post("/order", json={})

    assert not item["is_available"]
    assert codes(item["problems"]) == [("stopped", AT_TWO, "Коровье")]
    assert (refused.status_code, refused.json()["code"]) == (409, "item_unavailable")
    assert codes(refused.json()["problems"]) == [("stopped", AT_TWO, "Коровье")]
    assert refused.json()["problems"][0]["item_id"] == item["id"]
    clock.advance(hours=2)
    assert (await shopper.get("/cart")).json()["items"][0]["is_available"]


async def test_for_pick_up_after_the_end_orders_are_taken(
    shopper: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, croissant: UUID
) -> None:
    await stop(barista, shop_id, "product", croissant, AT_TWO)
    line = {"product_id": str(croissant)}

    now, before, after = [
        await order(shopper, shop_id, line, pickup_at=at) for at in (None, "2026-11-23T10:59:00Z", AT_TWO)
    ]
    # So that it can be ordered for later, it comes into the cart, marked.
    cart = await add(shopper, croissant)
    from_cart = await shopper.post("/order", json={"pickup_at": AT_TWO})

    assert [answer.status_code for answer in (now, before, after)] == [409, 409, 201]
    assert (cart.status_code, cart.json()["items"][0]["is_available"]) == (201, False)
    assert (from_cart.status_code, from_cart.json()["total"]) == (201, "180.00")


async def test_what_has_run_out_without_an_end_does_not_come_into_the_cart(
    shopper: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, croissant: UUID
) -> None:
    await stop(barista, shop_id, "product", croissant)

    refused = await add(shopper, croissant)

    assert (refused.status_code, refused.json()["code"]) == (409, "item_unavailable")
    assert codes(refused.json()["problems"]) == [("stopped", None, None)]
    assert (await shopper.get("/cart")).json()["items"] == []


async def test_what_is_in_the_cart_is_judged_at_its_shop(
    shopper: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, croissant: UUID
) -> None:
    await add(shopper, croissant)
    await barista.patch(f"/shop/{shop_id}/product/{croissant}", json={"is_sold": False})

    here = (await shopper.get("/cart")).json()["items"][0]
    nowhere = (await shopper.put("/cart/shop", json={"shop_id": None})).json()["items"][0]

    assert codes(here["problems"]) == [("not_sold_here", None, None)]
    assert nowhere["is_available"]


async def test_a_schedule_counts_at_the_time_of_pick_up(
    shopper: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    manager: httpx2.AsyncClient,
    shop_id: UUID,
    croissant: UUID,
) -> None:
    breakfast = [{"weekdays": [0, 1, 2, 3, 4], "from": "07:00", "to": "11:00"}]
    await manager.patch(f"/product/{croissant}", json={"schedule": breakfast})
    line = {"product_id": str(croissant)}

    now = await order(shopper, shop_id, line)
    placed = await order(shopper, shop_id, line, pickup_at="2026-11-24T05:00:00Z")
    path = f"/order/{placed.json()['id']}"
    later = await shopper.patch(path, json={"pickup_at": "2026-11-24T09:00:00Z"})
    sooner = await shopper.patch(path, json={"pickup_at": "2026-11-24T04:00:00Z"})
    by_staff = await barista.patch(path, json={"pickup_at": "2026-11-24T08:05:00Z"})

    assert codes(now.json()["problems"]) == [("out_of_schedule", "2026-11-24T04:00:00.000000Z", None)]
    assert placed.status_code == 201
    assert (later.status_code, later.json()["code"]) == (409, "item_unavailable")
    assert [answer.status_code for answer in (sooner, by_staff)] == [200, 200]


async def test_an_order_takes_its_stock_and_gives_it_back_once(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, croissant: UUID
) -> None:
    await count(barista, shop_id, croissant, 5)
    line = {"product_id": str(croissant), "quantity": 2}

    first = (await order(customer, shop_id, line)).json()["id"]
    second = (await order(customer, shop_id, line)).json()["id"]
    assert await left(barista, shop_id) == [1]
    refused = await order(customer, shop_id, line)

    cancelled = [(await customer.post(f"/order/{first}/cancel")).status_code for _ in range(2)]
    deleted = [(await customer.delete(f"/order/{each}")).status_code for each in (first, second)]

    assert codes(refused.json()["problems"]) == [("out_of_stock", None, None)]
    assert (cancelled, deleted) == ([200, 200], [204, 204])
    assert await left(barista, shop_id) == [5]


async def test_lines_of_one_product_are_counted_together(
    shopper: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, croissant: UUID
) -> None:
    await count(barista, shop_id, croissant, 3)
    line = {"product_id": str(croissant), "quantity": 2}

    refused = await order(shopper, shop_id, line, line | {"note": "разогреть"})
    await add(shopper, croissant, quantity=2)
    cart = (await add(shopper, croissant, quantity=2, note="разогреть")).json()

    assert [each["line"] for each in refused.json()["problems"]] == [0, 1]
    assert [codes(item["problems"]) for item in cart["items"]] == [[("out_of_stock", None, None)]] * 2
    fewer = (await shopper.patch(f"/cart/{cart['items'][0]['id']}", json={"quantity": 1})).json()
    assert [item["is_available"] for item in fewer["items"]] == [True, True]
    more = await shopper.patch(f"/cart/{cart['items'][0]['id']}", json={"quantity": 4})
    assert (more.status_code, more.json()["code"]) == (409, "item_unavailable")


async def test_stock_follows_the_lines_of_an_order(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, croissant: UUID, latte: Latte
) -> None:
    await count(barista, shop_id, croissant, 3)
    placed = (await order(customer, shop_id, {"product_id": str(croissant), "quantity": 2})).json()
    path = f"/order/{placed['id']}"

    async def change(quantity: int) -> int:
        items = [{"product_id": str(croissant), "quantity": quantity}]
        return (await customer.patch(path, json={"items": items})).status_code

    seen = [(await change(quantity), *await left(barista, shop_id)) for quantity in (3, 4, 1)]
    other = await customer.patch(path, json={"items": [{"product_id": str(latte.id)}]})

    assert seen == [(200, 0), (409, 0), (200, 2)]
    assert other.status_code == 200
    assert await left(barista, shop_id) == [3]


async def test_a_stock_that_is_used_up_shows_at_once_and_comes_back(
    client: httpx2.AsyncClient,
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    shop_id: UUID,
    croissant: UUID,
) -> None:
    await count(barista, shop_id, croissant, 1)
    path = f"/product/{croissant}?shop_id={shop_id}"
    seen = []

    async def look() -> None:
        answer = await client.get(path)
        seen.append((answer.json()["availability"]["is_available"], answer.headers["etag"]))

    await look()
    placed = (await order(customer, shop_id, {"product_id": str(croissant)})).json()
    await look()
    await customer.post(f"/order/{placed['id']}/cancel")
    await look()

    assert [is_available for is_available, _ in seen] == [True, False, True]
    assert len({tag for _, tag in seen}) == 2


async def test_what_nobody_fetches_gives_its_stock_back(
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    shop_id: UUID,
    croissant: UUID,
    sessions: Sessions,
    clock: Clock,
) -> None:
    await count(barista, shop_id, croissant, 2)
    placed = (await order(customer, shop_id, {"product_id": str(croissant)})).json()
    for status in ("accepted", "preparing", "ready"):
        await barista.patch(f"/order/{placed['id']}", json={"status": status})

    clock.advance(hours=13)
    async with sessions.begin() as session:
        assert await transitions.expire_unclaimed(session, now=clock.now) == 1

    assert await left(barista, shop_id) == [2]


async def test_what_is_not_counted_is_sold_without_end(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, croissant: UUID
) -> None:
    await count(barista, shop_id, croissant, 1)
    placed = (await order(customer, shop_id, {"product_id": str(croissant)})).json()
    await count(barista, shop_id, croissant, None)

    many = await order(customer, shop_id, {"product_id": str(croissant), "quantity": 50})
    await customer.post(f"/order/{placed['id']}/cancel")

    assert many.status_code == 201
    assert await left(barista, shop_id) == []
