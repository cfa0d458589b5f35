"""Deleting a shop, which orders forbid."""

from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.cart.models import Cart
from crema.orders.models import Order
from crema.shops.models import OpeningInterval, Shop
from factories.shops import add_shop
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


async def test_an_administrator_deletes_a_shop_with_its_week(
    admin: httpx2.AsyncClient, client: httpx2.AsyncClient, session: AsyncSession, log_in: LogIn
) -> None:
    shop = await add_shop(session)
    await log_in(role="manager", shop_ids=(shop.id,))

    response = await admin.delete(f"/shop/{shop.id}")

    assert (response.status_code, response.content) == (204, b"")
    assert (await client.get(f"/shop/{shop.id}")).status_code == 404
    assert await session.scalar(select(func.count()).select_from(OpeningInterval)) == 0


async def test_a_cart_forgets_its_shop(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, session: AsyncSession
) -> None:
    shop = await add_shop(session)
    session.add(Cart(user_id=customer.person.id, shop_id=shop.id))
    await session.commit()

    await admin.delete(f"/shop/{shop.id}")

    assert (await session.scalars(select(Cart.shop_id))).all() == [None]


async def test_refuses_while_orders_were_placed_there(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, session: AsyncSession
) -> None:
    shop = await add_shop(session)
    now = shop.created_at
    session.add(
        Order(
            number="A-001",
            business_date=now.date(),
            shop_id=shop.id,
            user_id=customer.person.id,
            ready_estimate_at=now,
            start_at=now,
            subtotal=0,
            total=0,
            currency="RUB",
        )
    )
    await session.commit()

    response = await admin.delete(f"/shop/{shop.id}")

    assert (response.status_code, response.json()["code"]) == (409, "shop_in_use")
    assert await session.scalar(select(func.count()).select_from(Shop)) == 1
    assert len((await admin.get(f"/shop/{shop.id}")).json()["hours"]) == 7


async def test_deleting_twice_finds_nothing(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)
    await admin.delete(f"/shop/{shop.id}")

    assert (await admin.delete(f"/shop/{shop.id}")).status_code == 404
    assert (await admin.delete(f"/shop/{uuid4()}")).status_code == 404
