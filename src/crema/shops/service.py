"""Every change to shops: administrators open and close them, managers run theirs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.core.errors import ConflictError, ForbiddenError
from crema.core.slug import SlugTakenError, slugify
from crema.db.base import new_id
from crema.db.edits import apply_changes, when_violated
from crema.schemas import value_or
from crema.shops import domain, queries
from crema.shops.domain import Interval, OpeningHours
from crema.shops.models import OpeningInterval, Shop
from crema.shops.schemas import ReplaceShop, ShopIn, ShopOut, ShopPatch


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
    shop = Shop(id=shop_id, slug=slug, created_at=now, opening_intervals=[])
    session.add(shop)
    with when_violated(SlugTakenError(), "uq_shops_slug"):
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
    wanted.check_read_only(ShopOut.at(now, shop=shop, hours=queries.hours_of(shop)))
    domain.check_coordinates(value_or(wanted.latitude, shop.latitude), value_or(wanted.longitude, shop.longitude))
    before = _hours_if_active(shop)

    with when_violated(SlugTakenError(), "uq_shops_slug"):
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


def _hours_if_active(shop: Shop) -> OpeningHours:
    """Give the hours at which it can be ordered from: none while it is inactive."""
    hours = queries.hours_of(shop)
    return hours if shop.is_active else replace(hours, intervals=())


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

    with when_violated(ShopInUseError(), "fk_orders_shop_id"):
        await session.execute(delete(Shop).where(Shop.id == shop_id))


def _check_opens_and_closes(actor: Actor) -> None:
    if not actor.is_admin:
        raise ForbiddenError("Only administrators add and delete shops.")


def _check_runs(actor: Actor, shop: Shop) -> None:
    """Refuse those who are tied to other shops, or to none. They see it, so there is nothing to hide."""
    if not actor.serves(shop.id):
        raise ForbiddenError("You can change only the shops you work for.")
