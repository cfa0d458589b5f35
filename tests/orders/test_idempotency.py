"""Idempotency-Key: the same key and body give the same answer and one effect."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select

from crema.db.session import Sessions
from crema.orders.models import Order
from crema.web import idempotency
from factories.orders import make_shop, make_simple_product

pytestmark = pytest.mark.anyio


@pytest.fixture
async def body(sessions: Sessions) -> dict[str, Any]:
    await make_shop(sessions)
    return {"items": [{"product_id": str(await make_simple_product(sessions))}]}


async def orders_in(sessions: Sessions) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(Order)) or 0


async def order(client: httpx2.AsyncClient, body: dict[str, Any], key: str) -> httpx2.Response:
    return await client.post("/order", json=body, headers={"Idempotency-Key": key})


async def test_r8_the_same_request_is_answered_again_byte_for_byte(
    customer: httpx2.AsyncClient, sessions: Sessions, body: dict[str, Any], clock: Any
) -> None:
    first = await order(customer, body, "k")
    clock.advance(hours=23)
    again = await order(customer, body, "k")

    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await orders_in(sessions) == 1


async def test_r8_the_key_with_another_body_is_refused(
    customer: httpx2.AsyncClient, sessions: Sessions, body: dict[str, Any]
) -> None:
    await order(customer, body, "k")

    refused = await order(customer, body | {"comment": "other"}, "k")

    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert await orders_in(sessions) == 1


async def test_r8_another_person_s_key_is_another_key(
    customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, body: dict[str, Any]
) -> None:
    mine = await order(customer, body, "k")
    theirs = await order(other_customer, body, "k")

    assert theirs.status_code == 201
    assert theirs.json()["id"] != mine.json()["id"]


async def test_r8_a_refusal_leaves_the_key_free(
    customer: httpx2.AsyncClient, sessions: Sessions, body: dict[str, Any]
) -> None:
    refused = await order(customer, body | {"expected_total": "1.00"}, "k")

    assert refused.status_code == 409
    assert (await order(customer, body, "k")).status_code == 201


@pytest.mark.parametrize(("key", "status"), [("x" * 255, 201), ("x" * 256, 422), ("", 422)])
async def test_a_key_has_up_to_255_characters(
    customer: httpx2.AsyncClient, body: dict[str, Any], key: str, status: int
) -> None:
    assert (await order(customer, body, key)).status_code == status


async def test_without_a_key_every_request_is_an_order(
    customer: httpx2.AsyncClient, sessions: Sessions, body: dict[str, Any]
) -> None:
    for _ in range(2):
        await customer.post("/order", json=body)

    assert await orders_in(sessions) == 2
    assert UUID((await customer.get("/orders")).json()["items"][0]["id"])


async def test_r8_who_looked_before_the_first_had_written_is_told_to_come_again(
    customer: httpx2.AsyncClient, sessions: Sessions, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has claimed the key at the moment the first let go of it, but had looked for its record before."""
    claim = idempotency._CLAIM.rows

    async def early(*given: Any, **values: Any) -> list[Any]:
        return [(row["is_claimed"], None, None, None, None, None) for row in await claim(*given, **values)]

    await order(customer, body, "k")
    monkeypatch.setattr(idempotency._CLAIM, "rows", early)
    refused = await order(customer, body, "k")

    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_in_progress")
    assert await orders_in(sessions) == 1
