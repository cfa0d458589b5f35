"""Every SELECT about shops."""

from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crema.core.errors import NotFoundError
from crema.shops.domain import Interval, OpeningHours
from crema.shops.models import Shop


def hours_of(shop: Shop) -> OpeningHours:
    """Make the domain's opening hours of a loaded shop."""
    return OpeningHours(
        ZoneInfo(shop.timezone),
        tuple(
            Interval(row.weekday, row.opens_minute, row.closes_minute) for row in shop.opening_intervals
        ),
    )


def _whole(statement: Select[tuple[Shop]]) -> Select[tuple[Shop]]:
    return statement.options(selectinload(Shop.opening_intervals))


async def find_shop(session: AsyncSession, shop_id: UUID) -> Shop | None:
    """Load a shop with its week."""
    return await session.scalar(_whole(select(Shop).where(Shop.id == shop_id)))


async def get_shop(session: AsyncSession, shop_id: UUID) -> Shop:
    """Load a shop with its week, active or not."""
    shop = await find_shop(session, shop_id)
    if shop is None:
        raise NotFoundError
    return shop


async def get_active_shop(session: AsyncSession, shop_id: UUID) -> Shop:
    """Load a shop with its week; an inactive one is not there for the public."""
    shop = await find_shop(session, shop_id)
    if shop is None or not shop.is_active:
        raise NotFoundError
    return shop


async def get_shop_for_update(session: AsyncSession, shop_id: UUID) -> Shop:
    """Lock a shop until the transaction ends, then load it afresh. Orders at it may still be placed."""
    shop = await session.scalar(
        _whole(select(Shop).where(Shop.id == shop_id)).with_for_update(of=Shop, key_share=True),
        execution_options={"populate_existing": True},
    )
    if shop is None:
        raise NotFoundError
    return shop


async def list_all_active(session: AsyncSession) -> list[Shop]:
    """Load every active shop of the chain, by name."""
    return list(
        await session.scalars(_whole(select(Shop).where(Shop.is_active).order_by(Shop.name, Shop.id)))
    )
