"""Changing orders, marking their lines as made, and ordering again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.cart import service as carts
from crema.cart.domain import Choice, ItemUnavailableError, LineRequest, Problem
from crema.cart.queries import PricedCart
from crema.cart.schemas import AddToCart
from crema.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from crema.core.instants import format_instant
from crema.db.base import new_id
from crema.db.statement import Statement
from crema.menu import queries as menu
from crema.orders import domain, queries
from crema.orders.domain import EDITABLE, FINAL, IN_WORK, EventKind, OrderRole, OrderSettings, OrderStatus, describe
from crema.orders.models import Order, OrderEvent, OrderLine
from crema.orders.schemas import ChangeOrder, OrderOut, ReplaceOrder
from crema.orders.service import history, placing, slots, stock, transitions
from crema.orders.service.stock import DraftedLines
from crema.schemas import value_or

MAX_EDITS: Final = 20
"""Changes and arrivals of one order by its customer: each tells the shop. Staff may always change it."""


class OrderNotEditableError(ConflictError):
    """The shop has begun with the order, or it is over."""

    code = "order_not_editable"
    title = "The order can no longer be changed."
    advice = "Ask the shop, or place another order."


class OrderNotInWorkError(ConflictError):
    """Nobody at the bar makes the order now."""

    code = "order_not_in_work"
    title = "The order is not being prepared."
    advice = "Mark lines while it is accepted or being prepared."


class TooManyEditsError(ConflictError):
    """The order was edited as often as the shop is told of it."""

    code = "too_many_edits"
    title = f"This order has been edited {MAX_EDITS} times."
    advice = "Ask the shop, or place another order."


class IncompleteReplacementError(InvalidError):
    """A PUT that doesn't say everything it replaces."""

    code = "incomplete_replacement"
    title = "This PUT leaves out what it has to replace."
    advice = "Send `items` as the customer, or `status` as staff."


@dataclass(frozen=True, slots=True)
class ChangedFields:
    """The changes to an order; a field that is MISSING stays."""

    pickup_at: datetime | MISSING | None = MISSING
    comment: str | MISSING = MISSING
    items: Sequence[AddToCart] | MISSING = MISSING
    status: OrderStatus | MISSING = MISSING
    reason: str | MISSING | None = MISSING


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of an order before and after an edit, as JSON shows it in the history."""

    field: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class SkippedLine:
    """Pieces of an order's line, from 0, that couldn't be put into the cart again, and why."""

    line: int
    name: str
    quantity: int
    reason: str
    problems: tuple[Problem, ...]

    def as_json(self) -> dict[str, object]:
        """Return it as refusals show it."""
        return {
            "line": self.line,
            "name": self.name,
            "quantity": self.quantity,
            "reason": self.reason,
            "problems": [problem.as_json() for problem in self.problems],
        }


async def replace(
    session: AsyncSession, *, actor: Actor, order_id: UUID, wanted: ReplaceOrder, settings: OrderSettings, now: datetime
) -> Order:
    """PUT: the owner replaces time, comment and items; staff replace the status, and the time if they send it.

    Of the whole document, as GET gives it, what is as it was is left alone.
    """
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    _check_role(transitions.roles_in(actor, order))
    wanted.check_read_only(OrderOut.seen_by(actor, order))
    if wanted.sent_read_only("lines"):
        changes = _differences(wanted, order)
    elif wanted.items is not None:
        changes = ChangedFields(pickup_at=wanted.pickup_at, comment=wanted.comment or "", items=wanted.items)
    elif wanted.status is not None and wanted.comment is None:
        moves = "pickup_at" in wanted.model_fields_set
        changes = ChangedFields(status=wanted.status, pickup_at=wanted.pickup_at if moves else MISSING)
    else:
        raise IncompleteReplacementError
    return await _update(session, actor=actor, order=order, changes=changes, settings=settings, now=now)


def _differences(wanted: ReplaceOrder, order: Order) -> ChangedFields:
    """Return what a document changes of the order it was made from."""
    moves = "pickup_at" in wanted.model_fields_set and wanted.pickup_at != order.pickup_at
    comments = "comment" in wanted.model_fields_set and (wanted.comment or "") != order.comment
    return ChangedFields(
        pickup_at=wanted.pickup_at if moves else MISSING,
        comment=wanted.comment or "" if comments else MISSING,
        items=MISSING if wanted.items is None else wanted.items,
        status=MISSING if wanted.status is None or wanted.status == order.status else wanted.status,
    )


async def change(
    session: AsyncSession, *, actor: Actor, order_id: UUID, wanted: ChangeOrder, settings: OrderSettings, now: datetime
) -> Order:
    """PATCH: only what was sent."""
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    changes = ChangedFields(
        pickup_at=wanted.pickup_at,
        comment=wanted.comment,
        items=wanted.items,
        status=wanted.status,
        reason=wanted.reason,
    )
    return await _update(session, actor=actor, order=order, changes=changes, settings=settings, now=now)


async def _update(
    session: AsyncSession, *, actor: Actor, order: Order, changes: ChangedFields, settings: OrderSettings, now: datetime
) -> Order:
    roles = transitions.roles_in(actor, order)
    _check_role(roles)
    _check_writable(order, changes=changes, roles=roles)
    before, work_before = _editable_fields(order), order.work

    order.comment = value_or(changes.comment, order.comment)
    pickup_at = value_or(changes.pickup_at, order.pickup_at)
    drafted = None
    if changes.items is not MISSING:
        requests = [item.as_request() for item in changes.items]
        drafted = await _replace_lines(session, order=order, requests=requests, settings=settings, at=pickup_at or now)
    elif pickup_at != order.pickup_at and OrderRole.STAFF not in roles:
        await _check_lines_at(session, order=order, pickup_at=pickup_at, now=now)
    if pickup_at != order.pickup_at or before["items"] != _editable_fields(order)["items"]:
        await slots.replan(session, order=order, pickup_at=pickup_at, before=work_before, now=now)
    if drafted is not None:
        await stock.take_anew(session, order, drafted)
    edits = _field_changes(before, _editable_fields(order))
    if edits:
        await _record_edit(session, order=order, actor=actor, edits=edits, now=now)
    if changes.status is not MISSING:
        await transitions.move(
            session,
            order=order,
            to=changes.status,
            actor=actor,
            reason=value_or(changes.reason, None),
            now=now,
        )
    return await queries.get_order(session, order_id=order.id, actor=actor)


async def arrive(
    session: AsyncSession, *, actor: Actor, order_id: UUID, delay: timedelta | None, now: datetime
) -> Order:
    """Plan the start of an order anew whose customer comes so late, or is here if `delay` is None.

    The history says so, and the live feeds are told. An order that is ready stays as it is.
    """
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    _check_role(transitions.roles_in(actor, order))
    if order.status in FINAL:
        raise OrderNotEditableError
    start_at = domain.plan_start(promised_at=order.promised_at, work=order.work, delay=delay, now=now)
    if order.status == OrderStatus.READY or start_at == order.start_at:
        return order
    edit = FieldChange("start_at", format_instant(order.start_at), format_instant(start_at))
    order.start_at = start_at
    await _record_edit(session, order=order, actor=actor, edits=[edit], now=now, kind=EventKind.ARRIVAL)
    return await queries.get_order(session, order_id=order.id, actor=actor)


async def mark_line(
    session: AsyncSession, *, actor: Actor, order_id: UUID, line_id: UUID, is_made: bool, now: datetime
) -> Order:
    """Note as staff whether a line is made, and tell those who follow the order. It moves nothing by itself."""
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    if OrderRole.STAFF not in transitions.roles_in(actor, order):
        raise ForbiddenError("Only the shop's staff mark what is made.")
    line = next((line for line in order.lines if line.id == line_id), None)
    if line is None:
        raise NotFoundError
    if line.is_made == is_made:
        return order
    if order.status not in IN_WORK:
        raise OrderNotInWorkError
    line.is_made = is_made
    await session.flush()
    await session.execute(update(Order).where(Order.id == order.id).values(updated_at=now))
    history.announce(session, order)
    return await queries.get_order(session, order_id=order.id, actor=actor)


_INSERT_LINES: Final = Statement(placing.LINES.statement)


async def _check_lines_at(session: AsyncSession, *, order: Order, pickup_at: datetime | None, now: datetime) -> None:
    """Refuse a time at which lines can't be had that could be had before. Staff know better."""
    requests = [_line_request(line) for line in order.lines]
    product_ids = {request.product_id for request in requests}
    offers = await menu.load_offers(session, product_ids, shop_id=order.shop_id)
    domain.check_new_time(requests, offers, before=order.pickup_at or now, after=pickup_at or now)


async def _replace_lines(
    session: AsyncSession, *, order: Order, requests: Sequence[LineRequest], settings: OrderSettings, at: datetime
) -> DraftedLines:
    """Write other lines, to be handed over at `at`. Their stock is taken last: stocks are locked after numbers."""
    product_ids = {request.product_id for request in requests}
    await menu.lock_products(session, product_ids)
    offers = await menu.load_offers(session, product_ids, shop_id=order.shop_id)
    offers = stock.with_own(offers, await stock.taken_by(session, order))
    lines = domain.draft_lines(requests, offers, at=at)
    order.subtotal = order.total = domain.check_total(lines, expected=None, minimum=settings.minimum)
    await session.execute(delete(OrderLine).where(OrderLine.order_id == order.id))
    session.expire(order, ["lines"])
    new_lines = domain.new_lines(lines, order_id=order.id, make_id=new_id)
    await _INSERT_LINES.rows(session, **placing.LINES.values(new_lines))
    await session.refresh(order, ["lines"])
    return DraftedLines(lines, requests, offers, order.shop_id, at)


async def _record_edit(
    session: AsyncSession,
    *,
    order: Order,
    actor: Actor,
    edits: Sequence[FieldChange],
    now: datetime,
    kind: EventKind = EventKind.EDITED,
) -> None:
    """Note in the history what was edited."""
    if actor.user_id == order.user_id:
        own = [entry for entry in order.history if entry.changes is not None and entry.actor_id == actor.user_id]
        if len(own) >= MAX_EDITS:
            raise TooManyEditsError
    entry = OrderEvent(
        order_id=order.id,
        from_status=order.status,
        status=order.status,
        actor_id=actor.user_id,
        actor_role=actor.role,
        changes=[asdict(edit) for edit in edits],
        created_at=now,
    )
    order.updated_at = now
    await history.record(session, order, entry, kind=kind)


def _editable_fields(order: Order) -> dict[str, object]:
    """Return the fields that an edit may change, as the history shows them."""
    return {
        "pickup_at": format_instant(order.pickup_at) if order.pickup_at else None,
        "number": order.number,
        "comment": order.comment,
        "items": [describe(line) for line in order.lines],
        "total": f"{order.total:.2f}",
    }


def _field_changes(before: Mapping[str, object], after: Mapping[str, object]) -> list[FieldChange]:
    return [FieldChange(name, before[name], after[name]) for name in before if before[name] != after[name]]


def _check_role(roles: frozenset[OrderRole]) -> None:
    """Refuse whoever is neither the customer nor staff of the shop, whatever they sent; they may see the order."""
    if not roles:
        raise ForbiddenError("Only the customer and the shop's staff change an order.")


def _check_writable(order: Order, *, changes: ChangedFields, roles: frozenset[OrderRole]) -> None:
    moves = changes.status is not MISSING or changes.reason is not MISSING
    edits = changes.comment is not MISSING or changes.items is not MISSING
    delays = changes.pickup_at is not MISSING
    if moves and OrderRole.STAFF not in roles:
        raise ForbiddenError("Only the shop's staff set the status; cancel your order instead.")
    if edits and OrderRole.OWNER not in roles:
        raise ForbiddenError("Only the customer changes what was ordered.")
    if (edits or (delays and OrderRole.STAFF not in roles)) and order.status != OrderStatus.PLACED:
        raise OrderNotEditableError
    if delays and order.status not in EDITABLE and changes.pickup_at != order.pickup_at:
        raise OrderNotEditableError


async def reorder(
    session: AsyncSession, *, actor: Actor, order_id: UUID, currency: str, now: datetime
) -> tuple[PricedCart, Sequence[SkippedLine]]:
    """Put an old order's lines into the cart again, exactly as they were chosen.

    Return the cart, and what can't be had any more or doesn't fit, with the reasons. Raises ItemUnavailableError when
    nothing can be had.
    """
    order = await queries.get_order(session, order_id=order_id, actor=actor)
    if OrderRole.OWNER not in transitions.roles_in(actor, order):
        raise ForbiddenError("Only the customer orders it again.")
    requests = [_line_request(line) for line in order.lines]
    cart, found = await carts.add_lines(session, user_id=actor.user_id, wanted=requests, currency=currency, now=now)
    skipped = [
        SkippedLine(each.index, order.lines[each.index].name, each.quantity, each.reason, each.problems)
        for each in found
    ]
    if sum(each.quantity for each in found) == sum(request.quantity for request in requests):
        raise ItemUnavailableError(
            "Nothing of it can be put into the cart.",
            skipped=[each.as_json() for each in skipped],
            problems=[
                problem.of_line(each.index, product_id=requests[each.index].product_id)
                for each in found
                for problem in each.problems
            ],
        )
    return cart, skipped


def _line_request(line: OrderLine) -> LineRequest:
    return LineRequest(
        product_id=line.product_id,
        size_id=UUID(line.size["id"]) if line.size else None,
        choices=tuple(
            Choice(UUID(option["option_id"]), option["quantity"], option["name"], option["group"])
            for option in line.options
        ),
        note=line.note,
        quantity=line.quantity,
    )
