"""Every change to shops: administrators open and close them, managers run theirs, staff say that it is busy."""

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
    """What a feature above us does before a shop closes at times at which it was open, in the same transaction.

    The shop is locked. `is_closed_at` tells of a pick-up time, None for as soon as possible, whether the shop will
    then be closed and wasn't before. It may refuse; with `force` it has to settle what it would refuse for.
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
    """How a change that closes a shop goes about the orders in progress."""

    before: Sequence[BeforeClosing]
    force: bool


class ShopInUseError(ConflictError):
    """Accounting needs the shop its orders were placed at."""

    code = "shop_in_use"
    title = "Orders were placed at this shop."
    advice = "Deactivate it instead, with `is_active: false`."


async def open_shop(session: AsyncSession, *, actor: Actor, wanted: ShopIn, now: datetime) -> Shop:
    """Add a shop to the chain; it keeps no hours yet."""
    _check_opens_and_closes(actor)
    domain.check_coordinates(wanted.latitude, wanted.longitude)

    shop_id = new_id()
    slug = wanted.slug or slugify(wanted.name) or str(shop_id)
    shop = Shop(id=shop_id, slug=slug, created_at=now, opening_intervals=[], special_days=[])
    session.add(shop)
    with raise_on_constraint(SlugTakenError(), "uq_shops_slug"):
        await apply_changes(session, shop, wanted, now=now, kept_if_none=("slug",))
    return shop


async def update_shop(
    session: AsyncSession,
    *,
    actor: Actor,
    shop_id: UUID,
    wanted: ShopPatch | ReplaceShop,
    closing: Closing,
    now: datetime,
) -> Shop:
    """PUT: everything that can be written, but its slug, which stays unless another is sent. PATCH: what was sent."""
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_runs(actor, shop)
    wanted.check_read_only(ShopOut.at(now, shop=shop, schedule=queries.schedule_of(shop)))
    domain.check_coordinates(value_or(wanted.latitude, shop.latitude), value_or(wanted.longitude, shop.longitude))
    before = _hours_if_active(shop)

    with raise_on_constraint(SlugTakenError(), "uq_shops_slug"):
        await apply_changes(session, shop, wanted, now=now, kept_if_none=("slug",))
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
    """Replace a shop's week. Two at once take turns on the shop, and the later one's week stands."""
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_runs(actor, shop)
    domain.check_week(intervals)
    before = _hours_if_active(shop)

    shop.opening_intervals.clear()
    await session.flush()  # the old ones go first: new ones may cover their time
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
    """Replace a shop's special days. Two at once take turns on the shop, and the later one's stand."""
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_runs(actor, shop)
    domain.check_special_days(special_days)
    before = _hours_if_active(shop)

    shop.special_days.clear()
    await session.flush()  # the old ones go first: new ones may be of the same dates
    shop.special_days.extend(_special_day(each) for each in sorted(special_days, key=lambda day: day.date))
    shop.updated_at = now
    await session.flush()
    await _settle(session, shop=shop, before=before, closing=closing, now=now)
    return shop


def _special_day(day: domain.SpecialDay) -> SpecialDay:
    hours = [SpecialInterval(opens_minute=each.opens_minute, closes_minute=each.closes_minute) for each in day.hours]
    return SpecialDay(date=day.date, hours=hours, takes_orders_ahead=day.takes_orders_ahead, note=day.note)


async def change_status(
    session: AsyncSession, *, actor: Actor, shop_id: UUID, wanted: StatusPatch, now: datetime
) -> Shop:
    """Say that a shop is busy, paused, or open again; without a state only the delay or the end changes."""
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_runs(actor, shop)
    present = queries.schedule_of(shop).status.at(now)
    kept = present if wanted.state is MISSING else ShopStatus()
    status = ShopStatus(
        value_or(wanted.state, present.state),
        value_or(wanted.delay_minutes, kept.delay_minutes),
        value_or(wanted.until, kept.until),
    )
    domain.check_status(status, now=now)

    shop.state, shop.delay_minutes, shop.state_until = status.state, status.delay_minutes, status.until
    shop.updated_at = now
    await session.flush()
    return shop


async def set_capacity(
    session: AsyncSession, *, actor: Actor, shop_id: UUID, wanted: ReplaceCapacity, now: datetime
) -> Shop:
    """Replace how much work a shop takes, how soon and how late. No order is placed there until the commit."""
    shop = await queries.get_shop_for_update(session, shop_id)
    _check_runs(actor, shop)
    capacity = wanted.capacity()
    domain.check_capacity(capacity)

    shop.capacity_exceptions = [[*astuple(each.interval), each.seconds_per_slot] for each in capacity.exceptions]
    await apply_changes(session, shop, wanted, now=now, but=("exceptions",))
    return shop


def _hours_if_active(shop: Shop) -> OpeningHours:
    """Give the hours at which it can be ordered from: none while it is inactive."""
    hours = queries.schedule_of(shop).hours
    return hours if shop.is_active else replace(hours, intervals=(), special_days={})


async def _settle(session: AsyncSession, *, shop: Shop, before: OpeningHours, closing: Closing, now: datetime) -> None:
    """Let the features above us refuse or settle what a shop's new hours close out."""
    after = _hours_if_active(shop)
    if before == after:
        return
    for settle in closing.before:
        await settle(
            session,
            shop_id=shop.id,
            is_closed_at=lambda pickup_at: before.drops(pickup_at, new=after, now=now),
            force=closing.force,
            now=now,
        )


async def delete_shop(session: AsyncSession, *, actor: Actor, shop_id: UUID) -> None:
    """Remove a shop nothing was ever ordered at."""
    _check_opens_and_closes(actor)
    await queries.get_shop_for_update(session, shop_id)

    with raise_on_constraint(ShopInUseError(), "fk_orders_shop_id"):
        await session.execute(delete(Shop).where(Shop.id == shop_id))


def _check_opens_and_closes(actor: Actor) -> None:
    if not actor.is_admin:
        raise ForbiddenError("Only administrators add and delete shops.")


def _check_runs(actor: Actor, shop: Shop) -> None:
    """Refuse those who are tied to other shops, or to none. They see it, so there is nothing to hide."""
    if not actor.serves(shop.id):
        raise ForbiddenError("You can change only the shops you work for.")
