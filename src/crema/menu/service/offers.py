"""Changes of what a shop has different from the chain: its stop-list, prices, stocks, and what it doesn't sell.

Every change writes the shop's row of `ShopOffers` last, which stays locked until the transaction ends.
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
from crema.db.edits import apply_changes, raise_on_constraint
from crema.db.statement import Executor, Statement
from crema.menu import domain, queries
from crema.menu.domain import Availability, Reason, ReasonCode
from crema.menu.models import Ingredient, Option, Product, ShopOffers, ShopOption, ShopProduct, Stop
from crema.menu.queries import OffersOfShop, OverrideView, StopView
from crema.menu.schemas import ShopOptionPatch, ShopProductPatch, StopIn
from crema.shops.domain import HandoverRefusal, WorkSchedule


class AlreadyStoppedError(ConflictError):
    """Something was put on a stop-list that has it already."""

    code = "already_stopped"
    title = "This is on the stop-list already."
    advice = "To change its end or its note, take it off the list first."


class UntilPassedError(InvalidError):
    """A stop whose end is not in the future."""

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


async def add_stop(
    session: AsyncSession, *, shop_id: UUID, stop_in: StopIn, person_id: UUID | None, now: datetime
) -> StopView:
    """Put something on a shop's stop-list and return the entry. `person_id` is the author; None for the system."""
    await queries.check_shop(session, shop_id)
    if stop_in.until is not None and stop_in.until <= now:
        raise UntilPassedError(now)
    target = _TARGETS[stop_in.kind].with_for_update(read=True, key_share=True)
    if await session.scalar(target, {"target_id": stop_in.target_id}) is None:
        raise UnknownReferenceError([("target_id",)])

    await session.execute(delete(Stop).where(Stop.shop_id == shop_id, Stop.until <= now))
    entry = Stop(
        shop_id=shop_id,
        until=stop_in.until,
        note=stop_in.note,
        created_by_id=person_id,
        created_at=now,
        **{f"{stop_in.kind}_id": stop_in.target_id},
    )
    session.add(entry)
    with raise_on_constraint(AlreadyStoppedError(), *(f"uq_stops_shop_id_{kind}_id" for kind in _TARGETS)):
        await session.flush()
    await refresh(session, shop_id)
    return await queries.get_stop(session, shop_id=shop_id, stop_id=entry.id)


async def end_stop(session: AsyncSession, *, shop_id: UUID, stop_id: UUID) -> None:
    """Delete an entry of a shop's stop-list."""
    ended = delete(Stop).where(Stop.shop_id == shop_id, Stop.id == stop_id).returning(Stop.id)
    if await session.scalar(ended) is None:
        raise NotFoundError
    await refresh(session, shop_id)


async def change_product(
    session: AsyncSession, *, shop_id: UUID, product_id: UUID, changes: ShopProductPatch, now: datetime
) -> OverrideView:
    """Change what a shop sets for itself about a product, and return it.

    If nothing differs from the chain any more, the row is deleted.
    """
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
    row = await queries.get_shop_product_for_update(session, **key)

    await apply_changes(session, row, changes, now=now)
    shown = OverrideView("product", product_id, product.name, row.price, None, row.is_sold, row.stock, row.updated_at)
    if (row.price, row.is_sold, row.stock) == (None, True, None):
        await session.delete(row)
    await refresh(session, shop_id)
    return shown


async def change_option(
    session: AsyncSession, *, shop_id: UUID, option_id: UUID, changes: ShopOptionPatch, now: datetime
) -> OverrideView:
    """Change what a shop sets for itself about an option, and return it.

    If nothing differs from the chain any more, the row is deleted.
    """
    await queries.check_shop(session, shop_id)
    option = await session.scalar(
        select(Option).where(Option.id == option_id).with_for_update(key_share=True, read=True)
    )
    if option is None:
        raise NotFoundError
    key = {"shop_id": shop_id, "option_id": option_id}
    await session.execute(insert(ShopOption).values(key).on_conflict_do_nothing())
    row = await queries.get_shop_option_for_update(session, **key)

    await apply_changes(session, row, changes, now=now)
    shown = OverrideView("option", option_id, option.name, None, row.price_delta, row.is_sold, None, row.updated_at)
    if (row.price_delta, row.is_sold) == (None, True):
        await session.delete(row)
    await refresh(session, shop_id)
    return shown


@dataclass(frozen=True, slots=True)
class AvailabilityRequest:
    """A question about a product's availability: at which shop, for which pick-up time, in which size.

    `at` is None for as soon as possible, `size_id` for any size.
    """

    shop: OffersOfShop
    schedule: WorkSchedule
    at: datetime | None
    size_id: UUID | None
    now: datetime


class UnknownSizeError(InvalidError):
    """The product has no size with this id."""

    code = "unknown_size"
    title = "The product has no such size."
    advice = "Send the id of one of its `sizes`, or none."

    def __init__(self) -> None:
        super().__init__(errors=[{"loc": ["query", "size_id"], "msg": "is no size of the product", "type": self.code}])


async def availability_at(
    reader: Reader, *, product_id: UUID, requested: AvailabilityRequest, sees_hidden: bool
) -> Availability:
    """Return whether a product is available, with every reason why not. An archived product is not found."""
    product = (await queries.load_for_pricing(reader, {product_id})).get(product_id)
    if product is None or product.is_archived:
        raise NotFoundError
    if not product.is_on_menu and not sees_hidden:
        return _OFF_MENU
    if requested.size_id is not None and requested.size_id not in {size.id for size in product.sizes}:
        raise UnknownSizeError
    at = max(requested.at or requested.now, requested.now)
    offer = domain.offer_of(product, requested.shop.differences)
    of_shop = _reasons_of_shop(requested, work=timedelta(seconds=product.preparation_seconds))
    return Availability((*of_shop, *domain.availability(offer, at=at).reasons))


def _reasons_of_shop(requested: AvailabilityRequest, *, work: timedelta) -> list[Reason]:
    """Return why the shop takes no order for that time, whatever the product; the same reason refuses an order."""
    pickup_at = None if requested.at is None else max(requested.at, requested.now)
    found = requested.schedule.plan(pickup_at, now=requested.now, work=work)
    return [Reason(found.code, found.detail, found.until)] if isinstance(found, HandoverRefusal) else []


_OFF_MENU: Final = Availability((Reason(ReasonCode.OFF_MENU, "This product is off the menu."),))
"""What the public gets for a hidden product: its name isn't shown."""

_LOCK: Final = Statement(
    insert(ShopOffers)
    .values(shop_id=bindparam("shop_id"), version=bindparam("version"))
    .on_conflict_do_update(index_elements=["shop_id"], set_={"version": bindparam("version")})
)
_WRITE: Final = Statement(
    update(ShopOffers).where(ShopOffers.shop_id == bindparam("shop_id")).values(document=queries.OFFERS_DOCUMENT)
)


async def refresh(db: Executor, shop_id: UUID) -> None:
    """Write the shop's row of `ShopOffers` again, with a new version. Call it at the end of a change.

    A statement of its own locks the row first. Of two changes, the second waits there, and then reads what the first
    has committed.
    """
    if isinstance(db, AsyncSession):
        await db.flush()
    await _LOCK.rows(db, shop_id=shop_id, version=uuid4())
    await _WRITE.rows(db, shop_id=shop_id)
