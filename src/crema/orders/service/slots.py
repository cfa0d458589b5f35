"""Booking the work of orders in the slots of a shop, moving it, and giving it back.

Slots are locked last of all, by shop and start. Whoever books compares with the limit in the same statement; where
another order was faster, what is booked already is undone, and the order is planned anew.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    Integer,
    Uuid,
    and_,
    any_,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.db.batches import delete_in_batches
from crema.db.driver import Writer, savepoint
from crema.db.session import Sessions
from crema.db.statement import BulkInsert, Statement
from crema.orders import domain, queries
from crema.orders.domain import NewBooking, NewSlot, OrderStatus, PlannedOrder
from crema.orders.models import Order
from crema.orders.models import SlotBooking as SlotBookingRow
from crema.orders.service import numbering
from crema.shops import queries as shops
from crema.shops import service as shop_service
from crema.shops.domain import LONGEST_SLOT, SlotBooking, booking_changes
from crema.shops.models import Shop, WorkSlot
from crema.shops.schemas import ReplaceCapacity

BOOKINGS: Final = BulkInsert(SlotBookingRow, NewBooking)
"""Inserts what orders have booked."""
_INSERT_BOOKINGS: Final = Statement(BOOKINGS.statement)

KEPT_FOR: Final = timedelta(days=15)
"""Slots and bookings of earlier times are deleted; nothing shows them any more."""
_INSTANT: Final = DateTime(timezone=True)
_SHOP_ID: Final = bindparam("shop_id", type_=Uuid)
_WANTED: Final = select(
    func.unnest(
        bindparam("starts", type_=ARRAY(_INSTANT)),
        bindparam("seconds", type_=ARRAY(Integer)),
        bindparam("limits", type_=ARRAY(Integer)),
    )
    .table_valued("starts_at", "seconds", "most")
    .render_derived()
).cte("wanted")
_SAME_SLOT: Final = _WANTED.c.starts_at == literal_column("work_slots.starts_at", _INSTANT)
_USED: Final = literal_column("work_slots.used_seconds", Integer)
_FITS: Final = or_(_WANTED.c.seconds < 0, _USED + _WANTED.c.seconds <= _WANTED.c.most)
_BOOK: Final = Statement(
    insert(WorkSlot)
    .from_select(
        ["shop_id", "starts_at", "used_seconds"],
        select(_SHOP_ID, _WANTED.c.starts_at, func.greatest(_WANTED.c.seconds, 0))
        .where(_WANTED.c.seconds <= _WANTED.c.most)
        .order_by(_WANTED.c.starts_at),
    )
    .on_conflict_do_update(
        index_elements=["shop_id", "starts_at"],
        set_={"used_seconds": _USED + select(_WANTED.c.seconds).where(_SAME_SLOT).scalar_subquery()},
        where=select(_FITS).where(_SAME_SLOT).scalar_subquery(),
    )
    .returning(WorkSlot.starts_at)
)


class _SlotTakenError(Exception):
    """Another order was faster. Never leaves this module."""


async def book(tx: Writer | AsyncSession, *, shop_id: UUID, bookings: Sequence[SlotBooking]) -> bool:
    """Book work in slots of a shop, and give back where the seconds are negative; False if some of it doesn't fit.

    Then nothing is booked, and no slot is locked.
    """
    if not bookings:
        return True
    try:
        async with savepoint(tx):
            await _book_all(tx, shop_id, bookings)
    except _SlotTakenError:
        return False
    return True


async def _book_all(tx: Writer | AsyncSession, shop_id: UUID, bookings: Sequence[SlotBooking]) -> None:
    booked = await _BOOK.rows(
        tx,
        shop_id=shop_id,
        starts=[each.starts_at for each in bookings],
        seconds=[each.seconds for each in bookings],
        limits=[each.limit for each in bookings],
    )
    if len(booked) < len(bookings):
        raise _SlotTakenError


_SLOTS: Final = BulkInsert(WorkSlot, NewSlot)
_INSERT_SLOTS: Final = Statement(_SLOTS.statement)


async def set_capacity(
    session: AsyncSession, *, actor: Actor, shop_id: UUID, wanted: ReplaceCapacity, now: datetime
) -> Shop:
    """Replace how much work a shop takes, and book that of its orders in progress anew.

    Where they are more than slots hold now, they stay, and nothing more is taken there. The shop is locked, and then
    its orders: nobody else books or gives back meanwhile.
    """
    shop = await shop_service.set_capacity(session, actor=actor, shop_id=shop_id, capacity_in=wanted, now=now)
    orders = await queries.list_open_of_shop_for_update(session, shop_id=shop_id)
    to_come = [SlotBookingRow.shop_id == shop_id, SlotBookingRow.starts_at > now - LONGEST_SLOT]
    await session.execute(delete(SlotBookingRow).where(*to_come))
    await session.execute(delete(WorkSlot).where(WorkSlot.shop_id == shop_id, WorkSlot.starts_at > now - LONGEST_SLOT))
    if shops.capacity_of(shop).is_limited:
        await _book_anyway(session, shop, orders, now)
    return shop


async def _book_anyway(session: AsyncSession, shop: Shop, orders: Sequence[Order], now: datetime) -> None:
    schedule = shops.work_schedule_of(shop, None)
    used: dict[datetime, int] = defaultdict(int)
    booked: list[NewBooking] = []
    for order in sorted(orders, key=lambda each: (each.promised_at, each.id)):
        if order.status == OrderStatus.READY:
            continue
        bookings = replace(schedule, used=used).book_anyway(order.promised_at, now=now, work=order.work)
        booked += domain.new_bookings(bookings, order_id=order.id, shop_id=shop.id)
        for each in bookings:
            used[each.starts_at] += each.seconds
    slots = [NewSlot(shop.id, start, seconds) for start, seconds in used.items()]
    await _INSERT_SLOTS.rows(session, **_SLOTS.values(slots))
    await _INSERT_BOOKINGS.rows(session, **BOOKINGS.values(booked))


_BOOKED: Final = Statement(
    select(SlotBookingRow.starts_at, SlotBookingRow.seconds)
    .where(SlotBookingRow.order_id == bindparam("order_id"))
    .order_by(SlotBookingRow.starts_at)
)
_FORGET_BOOKED: Final = Statement(delete(SlotBookingRow).where(SlotBookingRow.order_id == bindparam("order_id")))


async def replan(
    session: AsyncSession, *, order: Order, pickup_at: datetime | None, before: timedelta, now: datetime
) -> None:
    """Plan an order anew that is wanted at another time, or whose work was `before`; it is locked and whole.

    A new day of pick-up may take a new number. That comes first: numbers are locked before slots.
    """
    planned = PlannedOrder(pickup_at=order.pickup_at, promised_at=order.promised_at, work=before, bookings=())
    while True:
        schedule = await shops.get_work_schedule(session, order.shop_id, since=now - LONGEST_SLOT)
        if pickup_at != order.pickup_at:
            order.pickup_at = pickup_at
            await numbering.move_to(session, order=order, day=schedule.schedule.hours.business_date(pickup_at or now))
        booked = await _list_booked(session, order.id) if schedule.capacity.is_limited else []
        handover = domain.replan_handover(
            schedule, replace(planned, bookings=booked), pickup_at=pickup_at, work=order.work, now=now
        )
        changes = booking_changes(booked, handover.bookings)
        if await book(session, shop_id=order.shop_id, bookings=changes):
            break
    if changes:
        await _FORGET_BOOKED.rows(session, order_id=order.id)
        kept = domain.new_bookings(handover.bookings, order_id=order.id, shop_id=order.shop_id)
        await _INSERT_BOOKINGS.rows(session, **BOOKINGS.values(kept))
    order.ready_estimate_at = handover.ready_at
    order.start_at = handover.ready_at - order.work


async def _list_booked(session: AsyncSession, order_id: UUID) -> list[SlotBooking]:
    rows = await _BOOKED.rows(session, order_id=order_id)
    return [SlotBooking(row["starts_at"], row["seconds"], 0) for row in rows]


_ORDER_IDS: Final = bindparam("order_ids", type_=ARRAY(Uuid))
_IS_OF_ORDERS: Final = SlotBookingRow.order_id == any_(_ORDER_IDS)
_OF_SLOT: Final = and_(SlotBookingRow.shop_id == WorkSlot.shop_id, SlotBookingRow.starts_at == WorkSlot.starts_at)
_LOCK: Final = (
    select(WorkSlot.shop_id, WorkSlot.starts_at)
    .where(select(SlotBookingRow.order_id).where(_OF_SLOT, _IS_OF_ORDERS).exists())
    .order_by(WorkSlot.shop_id, WorkSlot.starts_at)
    .with_for_update(of=WorkSlot)
)
_LOCK_SLOTS: Final = Statement(_LOCK)


async def lock(session: AsyncSession, orders: Sequence[Order]) -> None:
    """Lock the slots of orders that are locked, before several of them give back what they have booked."""
    ids = [order.id for order in orders if shops.capacity_of(order.shop).is_limited]
    if ids:
        await _LOCK_SLOTS.rows(session, order_ids=ids)


_LOCKED: Final = _LOCK.cte("locked")
_RETURNED: Final = (
    delete(SlotBookingRow)
    .where(_IS_OF_ORDERS, SlotBookingRow.shop_id == _LOCKED.c.shop_id, SlotBookingRow.starts_at == _LOCKED.c.starts_at)
    .returning(SlotBookingRow.shop_id, SlotBookingRow.starts_at, SlotBookingRow.seconds)
    .cte("returned")
)
_RELEASE: Final = Statement(
    update(WorkSlot)
    .where(WorkSlot.shop_id == _RETURNED.c.shop_id, WorkSlot.starts_at == _RETURNED.c.starts_at)
    .values(used_seconds=WorkSlot.used_seconds - _RETURNED.c.seconds)
)


async def release(session: AsyncSession, order: Order) -> None:
    """Give back what an order has booked, once. It is locked, and loaded with its shop."""
    if shops.capacity_of(order.shop).is_limited:
        await _RELEASE.rows(session, order_ids=[order.id])


async def forget(sessions: Sessions, *, before: datetime) -> None:
    """Delete what was booked in slots that began before a moment. Orders keep all that they show."""
    await delete_in_batches(sessions, SlotBookingRow, SlotBookingRow.starts_at < before)
    is_booked = select(SlotBookingRow.order_id).where(_OF_SLOT).exists()
    await delete_in_batches(sessions, WorkSlot, WorkSlot.starts_at < before, ~is_booked)
