"""Editing and repeating orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.cart import service as carts
from crema.cart.domain import Choice, ItemUnavailableError, LineRequest
from crema.cart.queries import PricedCart
from crema.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from crema.core.instants import written
from crema.menu import queries as menu
from crema.orders import domain, queries
from crema.orders.domain import EDITABLE, IN_WORK, OrderStatus, Party
from crema.orders.models import Order, OrderEvent, OrderLine
from crema.orders.schemas import ChangeOrder, OrderOut, ReplaceOrder
from crema.orders.service import letters, moving, numbering, placing
from crema.orders.service.placing import Rules
from crema.shops import queries as shops

MAX_EDITS: Final = 20
"""Edits of one order: each of them tells the shop by mail."""


class OrderNotEditableError(ConflictError):
    """The shop has begun with the order, or it is over."""

    code = "order_not_editable"
    title = "The order can't be changed any more."


class OrderNotInWorkError(ConflictError):
    """Nobody at the bar makes the order now."""

    code = "order_not_in_work"
    title = "Lines are marked while the order is accepted or being prepared."


class TooManyEditsError(ConflictError):
    """The order was edited as often as the shop is told of it."""

    code = "too_many_edits"
    title = f"An order can be edited {MAX_EDITS} times."


class IncompleteReplacementError(InvalidError):
    """A PUT that doesn't say everything it replaces."""

    code = "incomplete_replacement"
    title = "PUT needs `items` from the owner, or `status` from staff."


async def replace(
    session: AsyncSession, *, actor: Actor, order_id: UUID, wanted: ReplaceOrder, rules: Rules, now: datetime
) -> Order:
    """PUT: the owner replaces time, comment and items; staff replace the status, and the time if they send it.

    Of the whole document, as GET gives it, what is as it was is left alone.
    """
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    _check_party(moving.parties_of(actor, order))
    wanted.check_read_only(OrderOut.seen_by(actor, order))
    if wanted.repeats("lines"):
        sent = _changed_in(wanted, order)
    elif wanted.items is not None:
        sent = {"pickup_at": wanted.pickup_at, "comment": wanted.comment or "", "items": wanted.items}
    elif wanted.status is not None and wanted.comment is None:
        sent = {"status": wanted.status}
        if "pickup_at" in wanted.model_fields_set:
            sent["pickup_at"] = wanted.pickup_at
    else:
        raise IncompleteReplacementError
    return await _update(session, actor=actor, order=order, sent=sent, rules=rules, now=now)


def _changed_in(wanted: ReplaceOrder, order: Order) -> dict[str, Any]:
    """Give what a document changes of the order it was made from."""
    sent = wanted.changes()
    present = {"pickup_at": order.pickup_at, "comment": order.comment, "items": None, "status": order.status}
    empty = {"comment": "", "items": None, "status": order.status}
    sent = {name: empty.get(name) if value is None else value for name, value in sent.items()}
    return {name: value for name, value in sent.items() if value != present[name]}


async def change(
    session: AsyncSession, *, actor: Actor, order_id: UUID, wanted: ChangeOrder, rules: Rules, now: datetime
) -> Order:
    """PATCH: only what was sent."""
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    return await _update(session, actor=actor, order=order, sent=wanted.changes(), rules=rules, now=now)


async def _update(
    session: AsyncSession, *, actor: Actor, order: Order, sent: dict[str, Any], rules: Rules, now: datetime
) -> Order:
    parties = moving.parties_of(actor, order)
    _check_party(parties)
    _check_writable(order, sent=sent, parties=parties)
    before = _edited(order)

    if "comment" in sent:
        order.comment = sent["comment"]
    if "items" in sent:
        await _replace_lines(session, order=order, requests=[i.as_request() for i in sent["items"]], rules=rules)
    if "pickup_at" in sent and sent["pickup_at"] != order.pickup_at:
        hours = shops.hours_of(await shops.get_shop(session, order.shop_id))
        domain.check_time(hours, pickup_at=sent["pickup_at"], now=now)
        order.pickup_at = sent["pickup_at"]
        await numbering.move_to(session, order=order, day=hours.business_date(order.pickup_at or now))
    changes = _changes(before, _edited(order))
    if {change["field"] for change in changes} & {"pickup_at", "items"}:
        work = sum(line.preparation_seconds * line.quantity for line in order.lines)
        order.ready_estimate_at = domain.estimate_ready(now=now, pickup_at=order.pickup_at, work_seconds=work)
    if changes:
        event = await _record_edit(session, order=order, actor=actor, changes=changes, now=now)
        await letters.edited(
            session,
            order=order,
            event=event,
            is_by_customer=Party.OWNER in parties,
            shop_language=rules.shop_language,
        )
    if "status" in sent:
        await moving.move(
            session,
            order=order,
            to=sent["status"],
            actor=actor,
            reason=sent.get("reason"),
            shop_language=rules.shop_language,
            now=now,
        )
    return await queries.get_order(session, order_id=order.id, actor=actor)


async def mark_line(
    session: AsyncSession, *, actor: Actor, order_id: UUID, line_id: UUID, is_made: bool, now: datetime
) -> Order:
    """Note as staff whether a line is made, and tell those who follow the order. It moves nothing by itself."""
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    if Party.STAFF not in moving.parties_of(actor, order):
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
    moving.announce(session, order)
    return await queries.get_order(session, order_id=order.id, actor=actor)


async def _replace_lines(session: AsyncSession, *, order: Order, requests: Sequence[LineRequest], rules: Rules) -> None:
    product_ids = {request.product_id for request in requests}
    await menu.lock_products(session, product_ids)
    lines = domain.draft_lines(requests, await menu.load_for_pricing(session, product_ids))
    order.subtotal = order.total = domain.check_total(lines, expected=None, minimum=rules.minimum)
    await session.execute(delete(OrderLine).where(OrderLine.order_id == order.id))
    session.expire(order, ["lines"])
    session.add_all(OrderLine(**values) for values in placing.line_values(lines, order_id=order.id))
    await session.flush()
    await session.refresh(order, ["lines"])


async def _record_edit(
    session: AsyncSession, *, order: Order, actor: Actor, changes: list[dict[str, Any]], now: datetime
) -> OrderEvent:
    """Note in the history what was edited, and wake those who follow the order."""
    if sum(event.changes is not None for event in order.history) >= MAX_EDITS:
        raise TooManyEditsError
    event = OrderEvent(
        order_id=order.id,
        from_status=order.status,
        status=order.status,
        actor_id=actor.user_id,
        actor_role=actor.role,
        changes=changes,
        created_at=now,
    )
    session.add(event)
    order.updated_at = now
    await session.flush()
    moving.announce(session, order)
    return event


def _edited(order: Order) -> dict[str, Any]:
    """Write what an edit may change as the history shows it."""
    return {
        "pickup_at": written(order.pickup_at) if order.pickup_at else None,
        "number": order.number,
        "comment": order.comment,
        "items": [letters.describe(line) for line in order.lines],
        "total": f"{order.total:.2f}",
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"field": name, "before": before[name], "after": after[name]} for name in before if before[name] != after[name]
    ]


def _check_party(parties: frozenset[Party]) -> None:
    """Refuse whoever is neither the customer nor staff of the shop, whatever they sent; they may see the order."""
    if not parties:
        raise ForbiddenError("Only the customer and the shop's staff change an order.")


def _check_writable(order: Order, *, sent: dict[str, Any], parties: frozenset[Party]) -> None:
    if sent.keys() & {"status", "reason"} and Party.STAFF not in parties:
        raise ForbiddenError("Only the shop's staff set the status; cancel your order instead.")
    if sent.keys() & {"comment", "items"} and Party.OWNER not in parties:
        raise ForbiddenError("Only the customer changes what was ordered.")
    owners = sent.keys() & {"comment", "items"} or ("pickup_at" in sent and Party.STAFF not in parties)
    if owners and order.status != OrderStatus.PLACED:
        raise OrderNotEditableError
    if "pickup_at" in sent and order.status not in EDITABLE and sent["pickup_at"] != order.pickup_at:
        raise OrderNotEditableError


async def reorder(
    session: AsyncSession, *, actor: Actor, order_id: UUID, currency: str, now: datetime
) -> tuple[PricedCart, list[dict[str, Any]]]:
    """Put an old order's lines into the cart again, exactly as they were chosen.

    Return the cart, and what can't be had any more or doesn't fit, with the reasons. Raises ItemUnavailableError when
    nothing can be had.
    """
    order = await queries.get_order(session, order_id=order_id, actor=actor)
    if Party.OWNER not in moving.parties_of(actor, order):
        raise ForbiddenError("Only the customer orders it again.")
    requests = [_as_request(line) for line in order.lines]
    cart, found = await carts.add_again(session, user_id=actor.user_id, wanted=requests, currency=currency, now=now)
    skipped = [
        {
            "line": each.index,
            "name": order.lines[each.index].name,
            "quantity": each.quantity,
            "reason": each.reason,
            "problems": [problem.as_json() for problem in each.problems],
        }
        for each in found
    ]
    if sum(each.quantity for each in found) == sum(request.quantity for request in requests):
        raise ItemUnavailableError(
            "Nothing of it can be put into the cart.",
            skipped=skipped,
            problems=[
                problem.of_line(each.index, product_id=requests[each.index].product_id)
                for each in found
                for problem in each.problems
            ],
        )
    return cart, skipped


def _as_request(line: OrderLine) -> LineRequest:
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
