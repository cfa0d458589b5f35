"""Buyers of the last ones: truly parallel orders of a product whose stock the shop counts."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, true, update

from crema.db.session import Sessions
from crema.menu.models import ShopProduct
from crema.menu.service import stock
from crema.orders.models import Order, OrderStock
from factories.orders import make_shop, make_simple_product
from fixtures.app import connect
from fixtures.people import make_person

pytestmark = pytest.mark.anyio
ROUNDS = int(os.environ.get("CREMA_RACE_ROUNDS", "3"))
BUYERS = 10
"""In each round."""
STOCK = 4


@pytest.fixture
async def shop_id(own_sessions: Sessions) -> UUID:
    return await make_shop(own_sessions)


@pytest.fixture
async def croissant(own_sessions: Sessions, shop_id: UUID) -> UUID:
    product_id = await make_simple_product(own_sessions)
    async with own_sessions.begin() as session:
        session.add(ShopProduct(shop_id=shop_id, product_id=product_id, stock=STOCK))
    return product_id


@pytest.fixture
async def buyers(own_app: FastAPI) -> AsyncIterator[list[httpx2.AsyncClient]]:
    async with AsyncExitStack() as stack:
        people = [await make_person(own_app, email=f"buyer{n}@example.com") for n in range(BUYERS)]
        yield [await stack.enter_async_context(connect(own_app, person.token)) for person in people]


async def left(sessions: Sessions, product_id: UUID) -> int | None:
    async with sessions() as session:
        return await session.scalar(select(ShopProduct.stock).where(ShopProduct.product_id == product_id))


async def refill(sessions: Sessions, product_id: UUID) -> None:
    async with sessions.begin() as session:
        await session.execute(update(ShopProduct).where(ShopProduct.product_id == product_id).values(stock=STOCK))


async def buy(buyers: list[httpx2.AsyncClient], shop_id: UUID, product_id: UUID) -> list[httpx2.Response]:
    body = {"shop_id": str(shop_id), "items": [{"product_id": str(product_id)}]}
    return [*await asyncio.gather(*(buyer.post("/order", json=body) for buyer in buyers))]


async def give_back(answers: list[httpx2.Response], buyers: list[httpx2.AsyncClient]) -> list[int]:
    """Cancel what was ordered, each twice at once; return the statuses."""
    placed = [(buyer, answer.json()["id"]) for buyer, answer in zip(buyers, answers, strict=True) if answer.is_success]
    cancelling = [buyer.post(f"/order/{id_}/cancel") for buyer, id_ in placed for _ in range(2)]
    return [answer.status_code for answer in await asyncio.gather(*cancelling)]


async def test_no_more_are_sold_than_there_are_and_all_come_back_once(
    own_sessions: Sessions, shop_id: UUID, croissant: UUID, buyers: list[httpx2.AsyncClient]
) -> None:
    for _ in range(ROUNDS):
        answers = await buy(buyers, shop_id, croissant)

        assert sorted(answer.status_code for answer in answers) == [201] * STOCK + [409] * (BUYERS - STOCK)
        refused = [answer.json() for answer in answers if answer.status_code == 409]
        assert {each["code"] for each in refused} == {"item_unavailable"}
        assert {problem["code"] for each in refused for problem in each["problems"]} == {"out_of_stock"}
        assert await left(own_sessions, croissant) == 0

        await give_back(answers, buyers)

        assert await left(own_sessions, croissant) == STOCK
    async with own_sessions() as session:
        assert await session.scalar(select(func.count()).select_from(OrderStock)) == 0
        assert await session.scalar(select(func.count()).select_from(Order)) == STOCK * ROUNDS


async def test_counting_down_without_looking_would_sell_more_than_there_are(
    own_sessions: Sessions,
    shop_id: UUID,
    croissant: UUID,
    buyers: list[httpx2.AsyncClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The twin: what was read before counts, and nobody looks again."""
    unguarded = stock.stock_update(func.greatest(ShopProduct.stock - stock.QUANTITY, 0), true())
    monkeypatch.setattr(stock, "TAKE", unguarded)
    sold = 0
    for _ in range(ROUNDS):
        await refill(own_sessions, croissant)
        answers = await buy(buyers, shop_id, croissant)
        sold = max(sold, sum(answer.status_code == 201 for answer in answers))

    assert sold > STOCK


async def test_two_orders_that_take_of_the_same_stocks_in_other_orders_wait_for_each_other(
    own_sessions: Sessions, shop_id: UUID, croissant: UUID, buyers: list[httpx2.AsyncClient]
) -> None:
    muffin = await make_simple_product(own_sessions, name="Маффин")
    async with own_sessions.begin() as session:
        session.add(ShopProduct(shop_id=shop_id, product_id=muffin, stock=BUYERS))
    await refill(own_sessions, croissant)
    items: list[dict[str, Any]] = [{"product_id": str(croissant)}, {"product_id": str(muffin)}]
    # On different days they have counters of their own, and meet only at the stocks.
    times = [None, "2026-11-24T09:00:00Z"] * (STOCK // 2)
    bodies = [
        {"shop_id": str(shop_id), "items": items[:: -1 if n % 2 else 1], "pickup_at": time}
        for n, time in enumerate(times)
    ]

    answers = await asyncio.gather(
        *(buyer.post("/order", json=body) for buyer, body in zip(buyers, bodies, strict=False))
    )

    assert [answer.status_code for answer in answers] == [201] * STOCK
    assert (await left(own_sessions, croissant), await left(own_sessions, muffin)) == (0, BUYERS - STOCK)
