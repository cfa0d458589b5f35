"""A shop that is open, something to drink, and orders of it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx2

from crema.db.session import Sessions
from crema.menu.models import ModifierGroup, Option, Product, ProductModifierGroup, Size
from crema.menu.service import documents
from crema.shops.models import OpeningInterval, Shop


async def make_shop(
    sessions: Sessions,
    *,
    slug: str = "arbat",
    hours: tuple[int, int] = (0, 1440),
    weekdays: range = range(7),
    timezone: str = "Europe/Moscow",
    email: str | None = None,
) -> UUID:
    """Insert a shop open every day between these minutes of its local day."""
    async with sessions.begin() as session:
        shop = Shop(slug=slug, name=f"Crema {slug}", address="Арбат, 1", timezone=timezone, email=email)
        shop.opening_intervals = [
            OpeningInterval(weekday=weekday, opens_minute=hours[0], closes_minute=hours[1]) for weekday in weekdays
        ]
        session.add(shop)
        await session.flush()
        return shop.id


async def make_simple_product(sessions: Sessions, *, price: str = "250.00", **fields: Any) -> UUID:
    """Insert a product without sizes and options."""
    async with sessions.begin() as session:
        product = Product(**{"slug": f"p-{uuid4().hex}", "name": "Круассан", "price": Decimal(price)} | fields)
        session.add(product)
        await session.flush()
        await documents.refresh(session, [product.id])
        return product.id


@dataclass(frozen=True, slots=True)
class Latte:
    """A latte at 250, in S and L (+90), with milk (required; oat +60) and syrup (up to 3, the first free; 40)."""

    id: UUID
    small: UUID
    large: UUID
    cow: UUID
    oat: UUID
    vanilla: UUID
    milk_group: UUID


async def make_latte(sessions: Sessions) -> Latte:
    async with sessions.begin() as session:
        cow, oat = Option(name="Коровье", is_default=True), Option(name="Овсяное", price_delta=Decimal(60))
        vanilla = Option(name="Ваниль", price_delta=Decimal(40), max_quantity=3)
        milk = ModifierGroup(name="Молоко", min_choices=1, max_choices=1, options=[cow, oat])
        syrup = ModifierGroup(name="Сироп", max_choices=3, free_quantity=1, options=[vanilla])
        session.add_all([milk, syrup])
        await session.flush()
        small, large = Size(name="S", is_default=True), Size(name="L", price_delta=Decimal(90))
        latte = Product(
            slug=f"latte-{uuid4().hex}",
            name="Латте",
            price=Decimal(250),
            preparation_seconds=120,
            sizes=[small, large],
            modifier_groups=[
                ProductModifierGroup(group_id=milk.id, position=0),
                ProductModifierGroup(group_id=syrup.id, position=1),
            ],
        )
        session.add(latte)
        await session.flush()
        await documents.refresh(session, [latte.id])
        return Latte(latte.id, small.id, large.id, cow.id, oat.id, vanilla.id, milk.id)


async def place(client: httpx2.AsyncClient, product_id: UUID, **fields: Any) -> dict[str, Any]:
    """Order one of a product as this client, and expect it to succeed."""
    response = await client.post("/order", json={"items": [{"product_id": str(product_id)}]} | fields)
    assert response.status_code == 201, response.text
    order: dict[str, Any] = response.json()
    return order
