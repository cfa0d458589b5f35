"""Quotes: an order's total and time, promised for two minutes. It is 9:00 in UTC; tea is 120 seconds of work."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import func, select, update

from crema.db.session import Sessions
from crema.menu.models import Product
from crema.menu.service import documents
from crema.orders.models import Order
from crema.shops.models import WorkSlot
from factories.orders import make_latte, make_shop, make_simple_product
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
AT_TEN = "2026-11-23T10:05:00.000000Z"


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions)


@pytest.fixture
async def manager(log_in: LogIn, shop_id: UUID) -> httpx2.AsyncClient:
    return await log_in("manager@example.com", role="manager", shop_ids=(shop_id,))


@pytest.fixture
async def tea(sessions: Sessions) -> UUID:
    return await make_simple_product(sessions, name="Чай", preparation_seconds=120)


def cups(tea: UUID, quantity: int = 1, **fields: Any) -> dict[str, Any]:
    return {"items": [{"product_id": str(tea), "quantity": quantity}]} | fields


async def quoted(client: httpx2.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/quote", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(answer: httpx2.Response, code: str, status: int = 409) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    assert (answer.status_code, found["code"]) == (status, code), found
    return found


async def raise_price(sessions: Sessions, product_id: UUID) -> None:
    async with sessions.begin() as session:
        await session.execute(update(Product).values(price=300))
        await documents.refresh(session, [product_id])


async def test_a_quote_says_what_the_order_would_be_and_writes_nothing(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    await manager.put(f"/shop/{shop_id}/capacity", json={"seconds_per_slot": 600})

    found = await quoted(client, cups(tea, 2, pickup_at=AT_TEN))

    assert found.pop("quote_id")
    (line,) = found.pop("lines")
    assert (line["name"], line["quantity"], line["unit_price"], line["total"]) == ("Чай", 2, "250.00", "500.00")
    assert found == {
        "expires_at": "2026-11-23T09:02:00.000000Z",
        "shop_id": str(shop_id),
        "pickup_at": AT_TEN,
        "promised_at": AT_TEN,
        "slot": {"starts_at": "2026-11-23T10:00:00.000000Z", "ends_at": "2026-11-23T10:10:00.000000Z"},
        "subtotal": "500.00",
        "discount": "0.00",
        "total": "500.00",
        "currency": "RUB",
        "problems": [],
    }
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Order)) == 0
        assert await session.scalar(select(func.count()).select_from(WorkSlot)) == 0


@pytest.mark.parametrize("pickup_at", [None, AT_TEN])
async def test_what_is_quoted_is_ordered_within_two_minutes_for_that_total_and_no_later(
    client: httpx2.AsyncClient,
    customer: httpx2.AsyncClient,
    shop_id: UUID,
    tea: UUID,
    clock: Clock,
    pickup_at: str | None,
) -> None:
    """Whoever quotes needs no account, but to order."""
    body = cups(tea, 2, pickup_at=pickup_at)
    quote = await quoted(client, body)
    clock.advance(minutes=2)

    placed = (await customer.post("/order", json=body | {"quote_id": quote["quote_id"]})).json()

    assert placed["total"] == quote["total"]
    assert placed["promised_at"] <= quote["promised_at"]


async def test_a_quote_of_the_cart_leaves_it_and_orders_it(
    customer: httpx2.AsyncClient, shop_id: UUID, sessions: Sessions
) -> None:
    latte = await make_latte(sessions)
    chosen = {"product_id": str(latte.id), "size_id": str(latte.large), "options": [{"option_id": str(latte.oat)}]}
    await customer.post("/cart", json=chosen)

    quote = await quoted(customer, {})
    assert quote["total"] == "400.00"
    assert len((await customer.get("/cart")).json()["items"]) == 1
    placed = await customer.post("/order", json={"quote_id": quote["quote_id"]})
    assert (placed.status_code, placed.json()["total"]) == (201, "400.00")


async def test_a_quote_is_good_for_one_order(customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID) -> None:
    body = cups(tea)
    body |= {"quote_id": (await quoted(customer, body))["quote_id"]}

    key = {"Idempotency-Key": "one"}
    first = await customer.post("/order", json=body, headers=key)
    again = await customer.post("/order", json=body, headers=key)
    second = await customer.post("/order", json=body)

    assert (first.status_code, again.json()["id"]) == (201, first.json()["id"])
    refused(second, "quote_outdated")
    assert (await customer.get("/orders")).json()["total"] == 1


async def test_a_quote_that_is_too_old_is_answered_with_the_next(
    customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID, clock: Clock
) -> None:
    body = cups(tea)
    quote = await quoted(customer, body)
    clock.advance(minutes=2, seconds=1)

    refusal = await customer.post("/order", json=body | {"quote_id": quote["quote_id"]})

    following = refused(refusal, "quote_outdated")["quote"]
    assert following["total"] == quote["total"]
    assert following["expires_at"] == "2026-11-23T09:04:01.000000Z"
    placed = await customer.post("/order", json=body | {"quote_id": following["quote_id"]})
    assert placed.status_code == 201


async def test_another_price_is_answered_with_the_next_quote(
    customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    body = cups(tea)
    quote = await quoted(customer, body)
    await raise_price(sessions, tea)

    refusal = await customer.post("/order", json=body | {"quote_id": quote["quote_id"]})

    following = refused(refusal, "quote_outdated")["quote"]
    assert (quote["total"], following["total"]) == ("250.00", "300.00")
    body |= {"quote_id": following["quote_id"], "expected_total": "250.00"}
    assert refused(await customer.post("/order", json=body), "price_changed")["total"] == "300.00"
    assert (await customer.post("/order", json=body | {"expected_total": "300.00"})).status_code == 201


@pytest.mark.parametrize(
    "change", [{"pickup_at": "2026-11-23T10:06:00Z"}, {"items": [{"product_id": "", "quantity": 2}]}]
)
async def test_a_quote_is_for_exactly_what_was_quoted(
    customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID, change: dict[str, Any]
) -> None:
    body = cups(tea, pickup_at=AT_TEN)
    quote = await quoted(customer, body)
    if "items" in change:
        change = cups(tea, 2)

    refusal = await customer.post("/order", json=body | change | {"quote_id": quote["quote_id"]})

    assert refused(refusal, "quote_outdated")["quote"]["quote_id"]


async def test_somebody_elses_quote_is_not_yours(
    customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    quote = await quoted(customer, cups(tea))

    refusal = await other_customer.post("/order", json=cups(tea, quote_id=quote["quote_id"]))

    following = refused(refusal, "quote_outdated")["quote"]
    assert (await other_customer.post("/order", json=cups(tea, quote_id=following["quote_id"]))).status_code == 201


async def test_where_others_were_faster_the_next_quote_is_for_the_next_slot(
    customer: httpx2.AsyncClient,
    other_customer: httpx2.AsyncClient,
    manager: httpx2.AsyncClient,
    shop_id: UUID,
    tea: UUID,
) -> None:
    capacity = {"seconds_per_slot": 120, "slot_minutes": 60, "lead_seconds": 0}
    await manager.put(f"/shop/{shop_id}/capacity", json=capacity)
    body = cups(tea, pickup_at=AT_TEN)
    quote = await quoted(customer, body)
    for _ in range(2):
        assert (await other_customer.post("/order", json=body)).status_code == 201

    refusal = await customer.post("/order", json=body | {"quote_id": quote["quote_id"]})

    following = refused(refusal, "quote_outdated")["quote"]
    assert following["pickup_at"] == "2026-11-23T11:00:00.000000Z"
    body = cups(tea, pickup_at=following["pickup_at"], quote_id=following["quote_id"])
    assert (await customer.post("/order", json=body)).json()["promised_at"] == following["promised_at"]
    refused(await customer.post("/quote", json=cups(tea, pickup_at=AT_TEN)), "slot_full")


async def test_what_can_not_be_had_is_told_beside_what_can(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions,
    shop_id: UUID, tea: UUID,
) -> None:  # fmt: skip
    latte = await make_latte(sessions)
    stop = {"kind": "option", "target_id": str(latte.oat)}
    assert (await manager.post(f"/shop/{shop_id}/stop-list", json=stop)).status_code == 201
    oat = {"product_id": str(latte.id), "options": [{"option_id": str(latte.oat)}]}
    body = {"items": [oat, {"product_id": str(tea)}], "shop_id": str(shop_id)}

    found = await quoted(client, body)

    (problem,) = found["problems"]
    assert (problem["line"], problem["product_id"], problem["code"]) == (0, str(latte.id), "stopped")
    assert problem["suggestion"] == "Коровье"
    assert [line["name"] for line in found["lines"]] == ["Чай"]
    assert (found["quote_id"], found["expires_at"], found["total"]) == (None, None, "250.00")
    nothing = await quoted(client, body | {"items": [oat]})
    assert (nothing["lines"], nothing["total"], nothing["promised_at"], nothing["slot"]) == ([], "0.00", None, None)
    assert refused(await customer.post("/order", json=body), "item_unavailable")["problems"] == found["problems"]


async def test_a_quote_that_lost_a_line_is_answered_with_what_is_left(
    customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    quote = await quoted(customer, cups(tea))
    await manager.post(f"/shop/{shop_id}/stop-list", json={"kind": "product", "target_id": str(tea)})

    refusal = await customer.post("/order", json=cups(tea, quote_id=quote["quote_id"]))

    following = refused(refusal, "quote_outdated")["quote"]
    assert (following["quote_id"], following["problems"][0]["code"]) == (None, "stopped")


@pytest.mark.parametrize("forged", ["x", "x.y", "e30.e30", ".", "a.b.c", "0" * 1000])
async def test_a_text_that_is_no_quote_is_refused(
    customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID, forged: str
) -> None:
    refused(await customer.post("/order", json=cups(tea, quote_id=forged)), "invalid_quote", 422)


async def test_a_quote_that_was_changed_is_refused(customer: httpx2.AsyncClient, shop_id: UUID, tea: UUID) -> None:
    payload, signature = (await quoted(customer, cups(tea)))["quote_id"].split(".")
    changed = payload[:-2] + ("A" if payload[-2] != "A" else "B") + payload[-1]

    refused(await customer.post("/order", json=cups(tea, quote_id=f"{changed}.{signature}")), "invalid_quote", 422)
    refused(await customer.post("/order", json=cups(tea, quote_id=f"{payload}.{signature[:-4]}")), "invalid_quote", 422)


async def test_quotes_are_refused_as_orders_would_be(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, tea: UUID
) -> None:
    refused(await client.post("/quote", json={}), "cart_empty")
    refused(await customer.post("/quote", json={}), "cart_empty")
    refused(await client.post("/quote", json=cups(uuid4())), "unknown_reference", 422)
    refused(await client.post("/quote", json=cups(tea, shop_id=str(uuid4()))), "unknown_reference", 422)
    refused(await client.post("/quote", json=cups(tea, pickup_at="2026-11-23T09:01:00Z")), "too_soon")
    refused(await client.post("/quote", json=cups(tea, pickup_at="2026-12-23T09:01:00Z")), "invalid_pickup_time", 422)
    refused(await client.post("/quote", json=cups(tea, quote_id="x")), "validation_error", 422)
    counter = cups(tea, source="counter", customer_name="Пётр")
    refused(await client.post("/quote", json=counter), "not_authenticated", 401)
    refused(await customer.post("/quote", json=counter), "forbidden", 403)
    body = counter | {"quote_id": (await quoted(barista, counter))["quote_id"]}
    assert (await barista.post("/order", json=body)).status_code == 201
