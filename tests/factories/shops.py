"""Shops made straight in the database."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from crema.shops.domain import interval
from crema.shops.models import OpeningInterval, Shop

Week = Iterable[tuple[int, str, str]]

EVERY_DAY: Week = [(weekday, "08:00", "22:00") for weekday in range(7)]
ROUND_THE_CLOCK: Week = [(weekday, "00:00", "24:00") for weekday in range(7)]


async def add_shop(session: AsyncSession, *, week: Week = EVERY_DAY, **fields: Any) -> Shop:
    """Add a shop in Moscow, open from 08:00 to 22:00 unless said otherwise, for the app to see."""
    read = [interval(*each) for each in week]
    shop = Shop(
        **{"slug": f"s-{uuid4().hex}", "name": "Арбат", "address": "Арбат, 10", "timezone": "Europe/Moscow"} | fields,
        opening_intervals=[
            OpeningInterval(weekday=each.weekday, opens_minute=each.opens_minute, closes_minute=each.closes_minute)
            for each in read
        ],
    )
    session.add(shop)
    await session.commit()
    return shop
