"""Lines of an order are marked as made."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from crema.db.session import Sessions
from factories.orders import make_shop, make_simple_product
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


@pytest.fixture
async def order(customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID) -> dict[str, Any]:
    """Place one of two lines."""
    items = [{"product_id": str(await make_simple_product(sessions))} for _ in range(2)]
    response = await customer.post("/order", json={"items": items, "shop_id": str(shop_id)})
    assert response.status_code == 201, response.text
    placed: dict[str, Any] = response.json()
    return placed


async def mark(
    client: httpx2.AsyncClient, order: dict[str, Any], line: int, *, is_made: bool = True
) -> httpx2.Response:
    return await client.patch(f"/order/{order['id']}/line/{order['lines'][line]['id']}", json={"is_made": is_made})


async def move(barista: httpx2.AsyncClient, order: dict[str, Any], *statuses: str) -> None:
    for status in statuses:
        assert (await barista.patch(f"/order/{order['id']}", json={"status": status})).status_code == 200


def made(order: dict[str, Any]) -> list[bool]:
    return [line["is_made"] for line in order["lines"]]


async def test_a_barista_ticks_off_the_drinks_of_an_order(
    barista: httpx2.AsyncClient, customer: httpx2.AsyncClient, order: dict[str, Any]
) -> None:
    assert made(order) == [False, False]
    await move(barista, order, "accepted")
    assert made((await mark(barista, order, 1)).json()) == [False, True]
    await move(barista, order, "preparing")
    everything = (await mark(barista, order, 0)).json()

    assert (made(everything), everything["status"]) == ([True, True], "preparing"), "it doesn't move by itself"
    assert (await mark(barista, order, 0)).json() == everything, "asking again changes nothing"
    assert made((await mark(barista, order, 0, is_made=False)).json()) == [False, True]
    assert made((await customer.get(f"/order/{order['id']}")).json()) == [False, True]
    assert [line["id"] for line in everything["lines"]] == [line["id"] for line in order["lines"]]


async def test_lines_are_marked_only_while_the_bar_makes_them(
    barista: httpx2.AsyncClient, order: dict[str, Any]
) -> None:
    refused = [await mark(barista, order, 0)]
    await move(barista, order, "accepted", "preparing", "ready")
    refused.append(await mark(barista, order, 0))
    await move(barista, order, "completed")
    refused.append(await mark(barista, order, 0))

    assert [(each.status_code, each.json()["code"]) for each in refused] == [(409, "order_not_in_work")] * 3


async def test_a3_only_staff_of_the_shop_mark_lines(
    log_in: LogIn,
    barista: httpx2.AsyncClient,
    customer: httpx2.AsyncClient,
    other_customer: httpx2.AsyncClient,
    order: dict[str, Any],
    sessions: Sessions,
) -> None:
    await move(barista, order, "accepted")
    far = await log_in("far@example.com", role="barista", shop_ids=(await make_shop(sessions, slug="far"),))

    statuses = [(await mark(client, order, 0)).status_code for client in (customer, other_customer, far)]

    assert statuses == [403, 404, 404]
    assert made((await barista.get(f"/order/{order['id']}")).json()) == [False, False]


async def test_a_line_of_another_order_or_of_none_is_not_found(
    barista: httpx2.AsyncClient, customer: httpx2.AsyncClient, order: dict[str, Any], shop_id: UUID
) -> None:
    items = [{"product_id": order["lines"][0]["product_id"]}]
    other = (await customer.post("/order", json={"items": items, "shop_id": str(shop_id)})).json()
    for each in (order, other):
        await move(barista, each, "accepted")

    for line_id in (uuid4(), other["lines"][0]["id"]):
        answer = await barista.patch(f"/order/{order['id']}/line/{line_id}", json={"is_made": True})
        assert answer.status_code == 404
    assert made((await barista.get(f"/order/{other['id']}")).json()) == [False]


@pytest.mark.parametrize("body", [{}, {"is_made": None}, {"is_made": "yes"}, {"is_made": True, "name": "x"}])
async def test_a_bad_mark_is_refused(barista: httpx2.AsyncClient, order: dict[str, Any], body: dict[str, Any]) -> None:
    await move(barista, order, "accepted")

    answer = await barista.patch(f"/order/{order['id']}/line/{order['lines'][0]['id']}", json=body)

    assert answer.status_code == 422


async def test_what_get_gives_put_takes_with_lines_that_are_made(
    barista: httpx2.AsyncClient, order: dict[str, Any]
) -> None:
    await move(barista, order, "accepted")
    shown = (await mark(barista, order, 0)).json()

    assert (await barista.put(f"/order/{order['id']}", json=shown)).json() == shown
    ready = await barista.put(f"/order/{order['id']}", json=shown | {"status": "preparing"})
    assert (ready.json()["status"], made(ready.json())) == ("preparing", [True, False])

    stale = await barista.put(f"/order/{order['id']}", json=order | {"status": "ready"})
    assert stale.status_code == 422


async def test_edited_items_are_new_lines(customer: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    items = [{"product_id": line["product_id"], "quantity": 2} for line in order["lines"]]

    edited = (await customer.patch(f"/order/{order['id']}", json={"items": items})).json()

    assert made(edited) == [False, False]
    assert not {line["id"] for line in edited["lines"]} & {line["id"] for line in order["lines"]}
