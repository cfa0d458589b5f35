"""Editing and repeating orders."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.cart import service as carts
from crema.cart.domain import InvalidConfigurationError, ItemUnavailableError
from crema.cart.queries import PricedCart
from crema.cart.schemas import AddToCart, ChoiceIn
from crema.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from crema.menu import queries as menu
from crema.orders import queries
from crema.orders.domain import Party, Status
from crema.orders.models import Order, OrderLine
from crema.orders.schemas import ChangeOrder, ReplaceOrder
from crema.orders.service import moving, placing
from crema.orders.service.placing import Rules
from crema.shops import queries as shops


class OrderNotEditableError(ConflictError):
    """The bar has it already."""

    code = "order_not_editable"
    title = "The order can't be changed any more."


class IncompleteReplacementError(InvalidError):
    """A PUT that doesn't say everything it replaces."""

    code = "incomplete_replacement"
    title = "PUT needs `items` from the owner, or `status` from staff."


async def replace(
    session: AsyncSession, *, actor: Actor, order_id: UUID, wanted: ReplaceOrder, rules: Rules, now: datetime
) -> Order:
    """PUT: the owner replaces time, comment and items; staff replace status and time."""
    if wanted.items is not None:
        sent = {"pickup_at": wanted.pickup_at, "comment": wanted.comment or "", "items": wanted.items}
    elif wanted.status is not None and wanted.comment is None:
        sent = {"pickup_at": wanted.pickup_at, "status": wanted.status}
    else:
        # Nobody's business before it is known that they may change the order.
        _check_party(moving.parties_of(actor, await queries.get_order(session, order_id=order_id, actor=actor)))
        raise IncompleteReplacementError
    return await _update(session, actor=actor, order_id=order_id, sent=sent, rules=rules, now=now)


async def change(
    session: AsyncSession, *, actor: Actor, order_id: UUID, wanted: ChangeOrder, rules: Rules, now: datetime
) -> Order:
    """PATCH: only what was sent."""
    return await _update(session, actor=actor, order_id=order_id, sent=wanted.changes(), rules=rules, now=now)


async def _update(
    session: AsyncSession, *, actor: Actor, order_id: UUID, sent: dict[str, Any], rules: Rules, now: datetime
) -> Order:
    order = await queries.get_order_for_update(session, order_id=order_id, actor=actor)
    parties = moving.parties_of(actor, order)
    _check_party(parties)
    _check_writable(order, sent=sent, parties=parties)

    if "pickup_at" in sent and sent["pickup_at"] != order.pickup_at:
        shop = await shops.get_shop(session, order.shop_id)
        placing.check_time(shops.hours_of(shop), pickup_at=sent["pickup_at"], now=now)
        order.ready_estimate_at = max(order.ready_estimate_at, sent["pickup_at"] or now)
        order.pickup_at = sent["pickup_at"]
    if "comment" in sent:
        order.comment = sent["comment"]
    if "items" in sent:
        product_ids = {item.product_id for item in sent["items"]}
        await menu.lock_products(session, product_ids)
        lines = placing.configure(await menu.load_for_pricing(session, product_ids), sent["items"])
        order.subtotal = order.total = placing.check_total(lines, expected=None, minimum=rules.minimum)
        order.ready_estimate_at = placing.estimate(lines, pickup_at=order.pickup_at, now=now)
        await session.execute(delete(OrderLine).where(OrderLine.order_id == order.id))
        session.add_all(OrderLine(**values) for values in placing.line_values(lines, order_id=order.id))
    if "status" in sent:
        await moving.move(session, order=order, to=sent["status"], actor=actor, reason=sent.get("reason"), now=now)
    order.updated_at = now
    await session.flush()
    moving.announce(session, order)
    return await queries.get_order(session, order_id=order.id, actor=actor)


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
    if owners and order.status != Status.PLACED:
        raise OrderNotEditableError
    if "pickup_at" in sent and order.status not in Rules.WORK_STATUSES and sent["pickup_at"] != order.pickup_at:
        raise OrderNotEditableError


async def reorder(
    session: AsyncSession, *, actor: Actor, order_id: UUID, currency: str, now: datetime
) -> tuple[PricedCart, list[dict[str, str]]]:
    """Put an old order's lines into the cart again; return the cart, and what can't be had any more with the reason."""
    order = await queries.get_order(session, order_id=order_id, actor=actor)
    if Party.OWNER not in moving.parties_of(actor, order):
        raise ForbiddenError("Only the customer orders it again.")
    cart, skipped = None, []
    for line in order.lines:
        item = AddToCart(
            product_id=line.product_id,
            size_id=line.size["id"] if line.size else None,
            options=[ChoiceIn(option_id=o["option_id"], quantity=o["quantity"]) for o in line.options],
            note=line.note,
            quantity=line.quantity,
        )
        try:
            cart = await carts.add(session, user_id=actor.user_id, wanted=item, currency=currency, now=now)
        except (NotFoundError, ItemUnavailableError, InvalidConfigurationError) as error:
            skipped.append({"name": line.name, "reason": error.detail})
    if cart is None:
        raise ItemUnavailableError("Nothing of it is available any more.")
    return cart, skipped
