"""Moving orders to another status, by the rules of `orders.domain`. Every move is a row in the history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.core.errors import CremaError, ForbiddenError, NotFoundError
from crema.orders import domain, queries
from crema.orders.domain import (
    FINAL,
    STEPS_BACK,
    EventKind,
    IllegalTransitionError,
    OrderRole,
    OrderStatus,
    ReasonRequiredError,
    StepBackTooLateError,
)
from crema.orders.models import Order, OrderEvent
from crema.orders.service import history, numbering, slots, stock
from crema.shops import queries as shops

_TRANSITION_ERRORS: Final = (IllegalTransitionError, ReasonRequiredError, StepBackTooLateError)
_UNACCEPTED: Final = {
    "ru": "Кофейня не приняла заказ вовремя.",
    "en": "The shop did not accept the order in time.",
}
EXPIRY_WITHOUT_CLOSING_TIME: Final = timedelta(hours=12)
"""After how long a ready order expires at a shop that never closes."""


def roles_in(actor: Actor, order: Order) -> frozenset[OrderRole]:
    """Return the roles that the actor has in relation to the order: customer, staff of its shop, both or none."""
    owner = {OrderRole.OWNER} if order.user_id == actor.user_id else set()
    staff = {OrderRole.STAFF} if actor.may("orders:write") and actor.serves(order.shop_id) else set()
    return frozenset(owner | staff)


async def move(
    session: AsyncSession,
    *,
    order: Order,
    to: OrderStatus,
    actor: Actor | None,
    now: datetime,
    reason: str | None = None,
) -> OrderEvent | None:
    """Move an order that is locked and whole; an actor of None is the system.

    Return the entry in the history; None if the order has that status already. The mails about it follow from the log.
    """
    current = OrderStatus(order.status)
    if current == to:
        return None
    roles = roles_in(actor, order) if actor else {OrderRole.SYSTEM}
    domain.check_move(
        current, to, roles, reason=reason, time_since_move=_time_since_move(order, now) if actor else None
    )
    if current in FINAL:
        await _check_number_is_free(session, order)

    order.status = to
    order.updated_at = now
    if to == OrderStatus.COMPLETED:
        order.payment_status = "paid"
    elif to in {OrderStatus.CANCELLED, OrderStatus.EXPIRED}:
        order.payment_status = "cancelled"
        await slots.release(session, order)
        await stock.give_back(session, order)
    elif current == OrderStatus.COMPLETED:
        order.payment_status = "pending"
    entry = OrderEvent(
        order_id=order.id,
        from_status=current,
        status=to,
        actor_id=actor.user_id if actor else None,
        actor_role=actor.role if actor else "system",
        reason=reason,
        created_at=now,
    )
    await history.record(session, order, entry, kind=EventKind.MOVED)
    return entry


def _time_since_move(order: Order, now: datetime) -> timedelta | None:
    """Return the time since the move forward to the current status; None without one, or if the order is hidden."""
    if order.hidden_at is not None:
        return None
    made = [
        event.created_at
        for event in order.history
        if event.status == order.status
        and event.from_status not in {None, event.status}
        and (event.from_status, event.status) not in STEPS_BACK
    ]
    return now - max(made) if made else None


async def _check_number_is_free(session: AsyncSession, order: Order) -> None:
    """Refuse to put an order on the board again whose number another one there has got meanwhile."""
    if await numbering.is_taken(
        session, shop_id=order.shop_id, number=order.number, day=order.business_date, order_id=order.id
    ):
        raise IllegalTransitionError("Another order in progress has this number by now.")


@dataclass(frozen=True, slots=True)
class AdvancedOrder:
    """What became of an order that was to move; `status` is None where there is no such order."""

    order_id: UUID
    status: str | None
    problem: CremaError | None


async def advance(
    session: AsyncSession,
    *,
    actor: Actor,
    order_ids: Sequence[UUID],
    to: OrderStatus,
    reason: str | None,
    now: datetime,
) -> list[AdvancedOrder]:
    """Move several orders as staff. Each moves or tells why not, as if it had been asked for alone."""
    orders = {order.id: order for order in await queries.list_for_update(session, order_ids=order_ids, actor=actor)}
    if to in FINAL:
        await slots.lock(session, [*orders.values()])
    await stock.lock_stocks_of(session, orders.values())
    problems: dict[UUID, CremaError] = {}
    for order in orders.values():
        if OrderRole.STAFF not in roles_in(actor, order):
            problems[order.id] = ForbiddenError("Only the shop's staff set the status.")
            continue
        try:
            await move(session, order=order, to=to, actor=actor, reason=reason, now=now)
        except _TRANSITION_ERRORS as error:  # raised before anything is changed
            problems[order.id] = error
    return [
        AdvancedOrder(order_id, orders[order_id].status, problems.get(order_id))
        if order_id in orders
        else AdvancedOrder(order_id, None, NotFoundError())
        for order_id in dict.fromkeys(order_ids)
    ]


async def cancel(session: AsyncSession, *, actor: Actor, order_id: UUID, reason: str | None, now: datetime) -> Order:
    """Cancel as the owner or as staff, whichever may."""
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    if not roles_in(actor, order):
        raise ForbiddenError
    await move(session, order=order, to=OrderStatus.CANCELLED, actor=actor, reason=reason, now=now)
    return await queries.get_order(session, order_id=order_id, actor=actor)


async def hide(session: AsyncSession, *, actor: Actor, order_id: UUID, now: datetime) -> None:
    """Cancel what can be cancelled, and take it off the lists: the customer off their own, an administrator off all.

    Staff see what a customer deleted as cancelled; accounting keeps everything. An administrator may hide what is
    over; an owner may not, except what was cancelled anyway.
    """
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    is_owner = order.user_id == actor.user_id
    if not is_owner and not actor.is_admin:
        raise ForbiddenError("Only the customer or an administrator deletes an order.")
    is_over = order.status in FINAL and (actor.is_admin or order.status == OrderStatus.CANCELLED)
    if not is_over:
        await move(session, order=order, to=OrderStatus.CANCELLED, actor=actor, now=now)
    if is_owner:
        order.hidden_from_customer_at = order.hidden_from_customer_at or now
    elif order.hidden_at is None:
        order.hidden_at = now
        session.add(
            OrderEvent(
                order_id=order.id,
                from_status=order.status,
                status=order.status,
                actor_id=actor.user_id,
                actor_role=actor.role,
                changes=[{"field": "is_hidden", "before": False, "after": True}],
                created_at=now,
            )
        )
    await session.flush()
    history.announce(session, order)


async def expire_unclaimed(session: AsyncSession, *, now: datetime, limit: int = 200) -> int:
    """Expire ready orders nobody fetched before their shop closed; return how many. Run by the worker."""
    ready = await queries.list_ready_for_update(session, limit=limit)
    unclaimed = [order for order in ready if await _is_over(session, order, now)]
    await slots.lock(session, unclaimed)
    await stock.lock_stocks_of(session, unclaimed)
    for order in unclaimed:
        await move(session, order=order, to=OrderStatus.EXPIRED, actor=None, now=now)
    return len(unclaimed)


async def expire_unaccepted(
    session: AsyncSession, *, shop_id: UUID, within: timedelta, now: datetime, limit: int = 200
) -> int:
    """Expire a shop's orders that nobody accepted while it was open for so long; return how many. Run by the worker."""
    hours = (await shops.get_schedule(session, shop_id)).hours
    placed_before = hours.open_since(now, within)
    if placed_before is None:
        return 0
    orders = await queries.list_unaccepted_for_update(
        session, shop_id=shop_id, placed_before=placed_before, limit=limit
    )
    await slots.lock(session, orders)
    await stock.lock_stocks_of(session, orders)
    for order in orders:
        reason = _UNACCEPTED[order.customer.language if order.customer else "en"]
        await move(session, order=order, to=OrderStatus.EXPIRED, actor=None, reason=reason, now=now)
    return len(orders)


async def _is_over(session: AsyncSession, order: Order, now: datetime) -> bool:
    """Return whether the shop has closed since an order became ready."""
    ready_at = max(event.created_at for event in order.history if event.status == OrderStatus.READY)
    schedule = await shops.get_schedule(session, order.shop_id)
    return now >= (schedule.hours.closing_after(ready_at) or ready_at + EXPIRY_WITHOUT_CLOSING_TIME)
