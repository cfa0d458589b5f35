"""Changes to shops: administrators add and delete them, managers edit theirs, staff set the status."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.core.errors import ConflictError, ForbiddenError
from crema.core.slug import SlugTakenError, slugify
from crema.db.base import new_id
from crema.db.edits import apply_changes, raise_on_constraint
from crema.schemas import value_or
from crema.shops import domain, queries
from crema.shops.domain import Interval, OpeningHours, ShopStatus
from crema.shops.models import OpeningInterval, Shop, SpecialDay, SpecialInterval
from crema.shops.schemas import ReplaceCapacity, ReplaceShop, ShopIn, ShopOut, ShopPatch, StatusPatch


class BeforeClosing(Protocol):
    """What another feature does in the same transaction before a shop closes at times at which it was open.

    The shop is locked. `is_closed_at` returns whether the change closes the shop at a pick-up time; None is as soon as
    possible. The function may raise a refusal. With `force` it must not: it has to resolve the reason itself.
    """

    async def __call__(
        self,
        session: AsyncSession,
        *,
        shop_id: UUID,
        is_closed_at: Callable[[datetime | None], bool],
        force: bool,
        now: datetime,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Closing:
    """What a change that closes a shop does with the orders in progress."""

    before: Sequence[BeforeClosing]
    force: bool


class ShopInUseError(ConflictError):
    """A shop that is to be deleted has orders, and these must keep their shop for accounting."""

    code = "shop_in_use"
    title = "Orders were placed at this shop."
    advice = "Deactivate the shop instead: send `is_active: false`."


async def create_shop(session: AsyncSession, *, actor: Actor, shop_in: ShopIn, now: datetime) -> Shop:
    """Add a shop without opening hours and return it."""
    _check_is_admin(actor)
    domain.check_coordinates(shop_in.latitude, shop_in.longitude)

    shop_id = new_id()
    slug = shop_in.slug or slugify(shop_in.name) or str(shop_id)
    shop = Shop(id=shop_id, slug=slug, created_at=now, opening_intervals=[], special_days=[])
    session.add(shop)
    with raise_on_constraint(SlugTakenError(), "uq_shops_slug"):
        await apply_changes(session, shop, shop_in, now=now, kept_if_none=("slug",))
    return shop


async def update_shop(
    session: AsyncSession,
    *,
    actor: Actor,
    shop_id: UUID,
    changes: ShopPatch | ReplaceShop,
    closing: Closing,
    now: datetime,
) -> Shop:
    """Change the fields of a shop that were sent, or all fields of a replacement, and return the shop.

    A slug of None keeps the present slug.
    """
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_serves_shop(actor, shop)
    changes.check_read_only(ShopOut.at(now, shop=shop, schedule=queries.schedule_of(shop)))
    domain.check_coordinates(value_or(changes.latitude, shop.latitude), value_or(changes.longitude, shop.longitude))
    before = _hours_if_active(shop)

    with raise_on_constraint(SlugTakenError(), "uq_shops_slug"):
        await apply_changes(session, shop, changes, now=now, kept_if_none=("slug",))
    await _settle(session, shop=shop, before=before, closing=closing, now=now)
    return shop


async def set_hours(
    session: AsyncSession,
    *,
    actor: Actor,
    shop_id: UUID,
    intervals: Sequence[Interval],
    closing: Closing,
    now: datetime,
) -> Shop:
    """Replace the opening hours of a shop's week, and return the shop."""
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_serves_shop(actor, shop)
    domain.check_week(intervals)
    before = _hours_if_active(shop)

    shop.opening_intervals.clear()
    await session.flush()  # deleted first: new intervals may overlap the old ones
    shop.opening_intervals.extend(
        OpeningInterval(weekday=each.weekday, opens_minute=each.opens_minute, closes_minute=each.closes_minute)
        for each in sorted(intervals)
    )
    shop.updated_at = now
    await session.flush()
    await _settle(session, shop=shop, before=before, closing=closing, now=now)
    return shop


async def set_special_days(
    session: AsyncSession,
    *,
    actor: Actor,
    shop_id: UUID,
    special_days: Sequence[domain.SpecialDay],
    closing: Closing,
    now: datetime,
) -> Shop:
    """Replace a shop's special days, and return the shop."""
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_serves_shop(actor, shop)
    domain.check_special_days(special_days)
    before = _hours_if_active(shop)

    shop.special_days.clear()
    await session.flush()  # deleted first: new ones may have the same dates
    shop.special_days.extend(_special_day(each) for each in sorted(special_days, key=lambda day: day.date))
    shop.updated_at = now
    await session.flush()
    await _settle(session, shop=shop, before=before, closing=closing, now=now)
    return shop


def _special_day(day: domain.SpecialDay) -> SpecialDay:
    hours = [SpecialInterval(opens_minute=each.opens_minute, closes_minute=each.closes_minute) for each in day.hours]
    return SpecialDay(date=day.date, hours=hours, takes_orders_ahead=day.takes_orders_ahead, note=day.note)


async def change_status(
    session: AsyncSession, *, actor: Actor, shop_id: UUID, changes: StatusPatch, now: datetime
) -> Shop:
    """Set whether a shop is open, busy or paused, and return the shop. Without a state, the present one stays."""
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_serves_shop(actor, shop)
    present = queries.schedule_of(shop).status.at(now)
    kept = present if changes.state is MISSING else ShopStatus()
    status = ShopStatus(
        value_or(changes.state, present.state),
        value_or(changes.delay_minutes, kept.delay_minutes),
        value_or(changes.until, kept.until),
    )
    domain.check_status(status, now=now)

    shop.state, shop.delay_minutes, shop.state_until = status.state, status.delay_minutes, status.until
    shop.updated_at = now
    await session.flush()
    return shop


async def set_capacity(
    session: AsyncSession, *, actor: Actor, shop_id: UUID, capacity_in: ReplaceCapacity, now: datetime
) -> Shop:
    """Replace the capacity of a shop, and return the shop. Its lock keeps orders from being placed until the commit."""
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_serves_shop(actor, shop)
    capacity = capacity_in.capacity()
    domain.check_capacity(capacity)

    shop.capacity_exceptions = [[*astuple(each.interval), each.seconds_per_slot] for each in capacity.exceptions]
    await apply_changes(session, shop, capacity_in, now=now, but=("exceptions",))
    return shop


def _hours_if_active(shop: Shop) -> OpeningHours:
    """Return the hours in which a shop hands over orders: none if it is inactive."""
    hours = queries.schedule_of(shop).hours
    return hours if shop.is_active else replace(hours, intervals=(), special_days={})


async def _settle(session: AsyncSession, *, shop: Shop, before: OpeningHours, closing: Closing, now: datetime) -> None:
    """Let other features refuse, or resolve, a change of hours that closes the shop at times at which it was open."""
    after = _hours_if_active(shop)
    if before == after:
        return
    for settle in closing.before:
        await settle(
            session,
            shop_id=shop.id,
            is_closed_at=lambda pickup_at: before.closes_out(pickup_at, new=after, now=now),
            force=closing.force,
            now=now,
        )


async def delete_shop(session: AsyncSession, *, actor: Actor, shop_id: UUID) -> None:
    """Delete a shop. Raises ShopInUseError if orders were placed there."""
    _check_is_admin(actor)
    await queries.get_shop_for_update(session, shop_id)

    with raise_on_constraint(ShopInUseError(), "fk_orders_shop_id"):
        await session.execute(delete(Shop).where(Shop.id == shop_id))


def _check_is_admin(actor: Actor) -> None:
    if not actor.is_admin:
        raise ForbiddenError("Only administrators add and delete shops.")


def _check_serves_shop(actor: Actor, shop: Shop) -> None:
    """Raise ForbiddenError if the actor doesn't serve the shop.

    The shop isn't hidden from them, so not NotFoundError.
    """
    if not actor.serves(shop.id):
        raise ForbiddenError("You can change only the shops you work for.")
