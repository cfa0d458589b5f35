"""What a shop has different from the chain: its stop-list, its prices, what it sells and how much of it is left.

Every change writes the shop's row of `ShopOffers` last, and holds it until the transaction ends.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import BindParameter, Select, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError, InvalidError, NotFoundError, UnknownReferenceError
from crema.core.instants import format_instant
from crema.db.driver import Reader
from crema.db.edits import apply_changes, when_violated
from crema.db.statement import Executor, Statement
from crema.menu import domain, queries
from crema.menu.domain import Availability, Reason, ReasonCode
from crema.menu.models import Ingredient, Option, Product, ShopOffers, ShopOption, ShopProduct, Stop
from crema.menu.queries import OffersOfShop, OverrideView, StopView
from crema.menu.schemas import ShopOptionPatch, ShopProductPatch, StopIn
from crema.shops.domain import HandoverRefusal, WorkSchedule


class AlreadyStoppedError(ConflictError):
    """The shop has run out of it already; take that line off the stop-list to write another."""

    code = "already_stopped"
    title = "This is on the stop-list already."
    advice = "Take it off the list first, to write another end or note."


class UntilPassedError(InvalidError):
    """A stop that would have ended before it began."""

    code = "until_passed"
    title = "The end of a stop is in the past."
    advice = "Send a time that lies ahead, or null for until it is taken off the list."

    def __init__(self, now: datetime) -> None:
        message = f"must be after {format_instant(now)}, or null for until it is taken off the list"
        super().__init__(f"until {message}.", errors=[{"loc": ["body", "until"], "msg": message, "type": self.code}])


_TARGET_ID: Final[BindParameter[UUID]] = bindparam("target_id")
_TARGETS: Final[dict[str, Select[UUID]]] = {
    "ingredient": select(Ingredient.id).where(Ingredient.id == _TARGET_ID),
    "product": select(Product.id).where(Product.id == _TARGET_ID, Product.archived_at.is_(None)),
    "option": select(Option.id).where(Option.id == _TARGET_ID),
}


async def stop(
    session: AsyncSession, *, shop_id: UUID, wanted: StopIn, person_id: UUID | None, now: datetime
) -> StopView:
    """Put something on a shop's stop-list; `person_id` is who does, None for the system."""
    await queries.check_shop(session, shop_id)
    if wanted.until is not None and wanted.until <= now:
        raise UntilPassedError(now)
    target = _TARGETS[wanted.kind].with_for_update(read=True, key_share=True)
    if await session.scalar(target, {"target_id": wanted.target_id}) is None:
        raise UnknownReferenceError([("target_id",)])

    await session.execute(delete(Stop).where(Stop.shop_id == shop_id, Stop.until <= now))
    line = Stop(
        shop_id=shop_id,
        until=wanted.until,
        note=wanted.note,
        created_by_id=person_id,
        created_at=now,
        **{f"{wanted.kind}_id": wanted.target_id},
    )
    session.add(line)
    with when_violated(AlreadyStoppedError(), *(f"uq_stops_shop_id_{kind}_id" for kind in _TARGETS)):
        await session.flush()
    await refresh(session, shop_id)
    return await queries.get_stop(session, shop_id=shop_id, stop_id=line.id)


async def end_stop(session: AsyncSession, *, shop_id: UUID, stop_id: UUID) -> None:
    """Take something off a shop's stop-list."""
    ended = delete(Stop).where(Stop.shop_id == shop_id, Stop.id == stop_id).returning(Stop.id)
    if await session.scalar(ended) is None:
        raise NotFoundError
    await refresh(session, shop_id)


async def change_product(
    session: AsyncSession, *, shop_id: UUID, product_id: UUID, wanted: ShopProductPatch, now: datetime
) -> OverrideView:
    """Set what a shop has of its own about a product; where nothing differs from the chain it has no row."""
    await queries.check_shop(session, shop_id)
    product = await session.scalar(
        select(Product)
        .where(Product.id == product_id, Product.archived_at.is_(None))
        .with_for_update(key_share=True, read=True)
    )
    if product is None:
        raise NotFoundError
    key = {"shop_id": shop_id, "product_id": product_id}
    await session.execute(insert(ShopProduct).values(key).on_conflict_do_nothing())
    row = await queries.get_product_of_shop(session, **key)

    await apply_changes(session, row, wanted, now=now)
    shown = OverrideView("product", product_id, product.name, row.price, None, row.is_sold, row.stock, row.updated_at)
    if (row.price, row.is_sold, row.stock) == (None, True, None):
        await session.delete(row)
    await refresh(session, shop_id)
    return shown


async def change_option(
    session: AsyncSession, *, shop_id: UUID, option_id: UUID, wanted: ShopOptionPatch, now: datetime
) -> OverrideView:
    """Set what a shop has of its own about an option; where nothing differs from the chain it has no row."""
    await queries.check_shop(session, shop_id)
    option = await session.scalar(
        select(Option).where(Option.id == option_id).with_for_update(key_share=True, read=True)
    )
    if option is None:
        raise NotFoundError
    key = {"shop_id": shop_id, "option_id": option_id}
    await session.execute(insert(ShopOption).values(key).on_conflict_do_nothing())
    row = await queries.get_option_of_shop(session, **key)

    await apply_changes(session, row, wanted, now=now)
    shown = OverrideView("option", option_id, option.name, None, row.price_delta, row.is_sold, None, row.updated_at)
    if (row.price_delta, row.is_sold) == (None, True):
        await session.delete(row)
    await refresh(session, shop_id)
    return shown


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a product's availability: at which shop, for pick-up when, and in which size.

    `at` is None for as soon as possible.
    """

    shop: OffersOfShop
    schedule: WorkSchedule
    at: datetime | None
    size_id: UUID | None
    now: datetime


class UnknownSizeError(InvalidError):
    """The product has no size of this id."""

    code = "unknown_size"
    title = "The product has no such size."
    advice = "Send the id of one of its `sizes`, or none."

    def __init__(self) -> None:
        super().__init__(errors=[{"loc": ["query", "size_id"], "msg": "is no size of the product", "type": self.code}])


async def availability_at(reader: Reader, *, product_id: UUID, asked: Question, sees_hidden: bool) -> Availability:
    """Return whether a product can be had, and all that is in the way. An archived product is not found."""
    product = (await queries.load_for_pricing(reader, {product_id})).get(product_id)
    if product is None or product.is_archived:
        raise NotFoundError
    if not product.is_on_menu and not sees_hidden:
        return _OFF_MENU
    if asked.size_id is not None and asked.size_id not in {size.id for size in product.sizes}:
        raise UnknownSizeError
    at = max(asked.at or asked.now, asked.now)
    offer = domain.offer_of(product, asked.shop.differences)
    of_shop = _reasons_of_shop(asked, work=timedelta(seconds=product.preparation_seconds))
    return Availability((*of_shop, *domain.availability(offer, at=at).reasons))


def _reasons_of_shop(asked: Question, *, work: timedelta) -> list[Reason]:
    """Return why the shop takes no order for that time, whatever the product: what placing an order is told, too."""
    pickup_at = None if asked.at is None else max(asked.at, asked.now)
    found = asked.schedule.plan(pickup_at, now=asked.now, work=work)
    return [Reason(found.code, found.detail, found.until)] if isinstance(found, HandoverRefusal) else []


_OFF_MENU: Final = Availability((Reason(ReasonCode.OFF_MENU, "This product is off the menu."),))
"""What the public is told: what is hidden has no name."""

_LOCK: Final = Statement(
    insert(ShopOffers)
    .values(shop_id=bindparam("shop_id"), version=bindparam("version"))
    .on_conflict_do_update(index_elements=["shop_id"], set_={"version": bindparam("version")})
)
_WRITE: Final = Statement(
    update(ShopOffers).where(ShopOffers.shop_id == bindparam("shop_id")).values(document=queries.OFFERS_DOCUMENT)
)


async def refresh(db: Executor, shop_id: UUID) -> None:
    """Write what a shop has different anew, under another version. The last thing a change of it does.

    Locked first by a statement of its own: of two changes the second waits here, then reads what the first committed.
    """
    if isinstance(db, AsyncSession):
        await db.flush()
    await _LOCK.rows(db, shop_id=shop_id, version=uuid4())
    await _WRITE.rows(db, shop_id=shop_id)
