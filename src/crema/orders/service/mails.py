"""The mails about an order. They are queued in the transaction of the change."""

from collections.abc import Sequence
from datetime import UTC
from enum import StrEnum
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.models import User
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail
from crema.orders.domain import NewLine, NewOrder, OrderStatus
from crema.orders.models import Order, OrderEvent, OrderLine

_TEMPLATE_OF: Final = {
    OrderStatus.READY: "order_ready",
    OrderStatus.CANCELLED: "order_cancelled",
    OrderStatus.EXPIRED: "order_expired",
}


class ClosingCause(StrEnum):
    """Why the system closed orders that were in progress."""

    ACCOUNT_DELETED = "account_deleted"
    SHOP_CLOSED = "shop_closed"


def of_new_order(order: NewOrder, *, admins: Sequence[Sequence[str]], shop_language: str) -> list[OutgoingMail]:
    """Return the mails to the customer, to the administrators (address, language), and to the shop's mailbox."""
    context = _summary(order)
    mails = _staff_mails(
        order,
        template="order_placed_staff",
        context=context | {"customer_name": order.pickup_name},
        key="placed",
        admins=admins,
        shop_language=shop_language,
    )
    customer = order.customer
    if customer and customer.email:
        key = f"order-placed:{order.id}:customer"
        mails.append(OutgoingMail(customer.email, "order_placed_customer", customer.language, context, key))
    return mails


async def _customer_of(session: AsyncSession, order: Order) -> User | None:
    """Return the person who ordered; None for an order taken at the counter."""
    return None if order.user_id is None else await session.get_one(User, order.user_id)


async def send_transition(
    session: AsyncSession, *, order: Order, reason: str | None, is_by_customer: bool, shop_language: str
) -> None:
    """Tell the customer when it is ready or won't be, and the shop what a customer cancelled. `order` is whole.

    One that expires because nobody fetched it has no `reason`, and its customer was told that it was ready. That it is
    ready is told once: not again when staff have taken that back in between.
    """
    if order.status == OrderStatus.CANCELLED and is_by_customer:
        await _mail_staff(
            session,
            order=order,
            template="order_cancelled_staff",
            context=await _staff_context(session, order) | {"reason": reason or ""},
            key="cancelled",
            shop_language=shop_language,
        )
    template = _TEMPLATE_OF.get(OrderStatus(order.status))
    if template is None or (order.status == OrderStatus.EXPIRED and not reason):
        return
    customer = await _customer_of(session, order)
    if customer is None or customer.email is None:
        return
    context = {"number": order.number, "shop": order.shop.name, "shop_address": order.shop.address}
    if order.status != OrderStatus.READY:
        context = {"number": order.number, "shop": order.shop.name, "reason": reason or ""}
    await notifications.send(
        session,
        [OutgoingMail(customer.email, template, customer.language, context, f"order-{order.status}:{order.id}")],
    )


async def send_edit(
    session: AsyncSession, *, order: Order, event: OrderEvent, is_by_customer: bool, shop_language: str
) -> None:
    """Tell the shop what the customer changed, or the customer what the shop changed. `order` is whole.

    The customer also hears of a number that became another by their own change.
    """
    changes = {change["field"]: change for change in event.changes or ()}
    number_before = changes["number"]["before"] if "number" in changes else None
    changed = {"changed": [*changes], "number_before": number_before}
    if is_by_customer:
        await _mail_staff(
            session,
            order=order,
            template="order_edited_staff",
            context=await _staff_context(session, order) | changed,
            key=f"edited:{event.id}",
            shop_language=shop_language,
        )
        if number_before is None:
            return
    customer = await _customer_of(session, order)
    if customer and customer.email:
        context = _summary(order) | changed | {"is_by_customer": is_by_customer}
        key = f"order-edited:{event.id}:customer"
        await notifications.send(
            session, [OutgoingMail(customer.email, "order_edited_customer", customer.language, context, key)]
        )


async def send_closing(
    session: AsyncSession,
    *,
    orders: Sequence[Order],
    cause: ClosingCause,
    customer: str | None = None,
    shop_language: str,
) -> None:
    """Tell the administrators of all these orders, and the mailbox of each shop of its own, in one mail each.

    The orders are closed, and loaded with their shops. `customer` is the name of whose they are, if they are one's.
    """
    if not orders:
        return
    of_shops: dict[str, list[Order]] = {}
    for order in orders:
        if order.shop.email:
            of_shops.setdefault(order.shop.email, []).append(order)
    recipients = [(email, language, list(orders)) for email, language in await accounts.list_admin_recipients(session)]
    recipients += [(email, shop_language, theirs) for email, theirs in of_shops.items()]
    await notifications.send(
        session,
        [
            OutgoingMail(
                email,
                "orders_closed_staff",
                language,
                {"cause": cause.value, "orders": [_order_entry(order, customer) for order in theirs]},
                f"orders-closed:{theirs[0].id}:staff:{email}",
            )
            for email, language, theirs in recipients
        ],
    )


def _order_entry(order: Order, customer: str | None) -> dict[str, Any]:
    return {
        "number": order.number,
        "name": order.pickup_name or customer,
        "shop": order.shop.name,
        "timezone": order.shop.timezone,
        "ready_at": order.ready_estimate_at.astimezone(UTC).isoformat(),
        "status": order.status,
        "total": f"{order.total:.2f}",
        "currency": order.currency,
    }


async def _staff_context(session: AsyncSession, order: Order) -> dict[str, Any]:
    customer = await _customer_of(session, order)
    name = customer.name if customer else order.customer_name
    return _summary(order) | {"customer_name": order.pickup_name or name}


async def _mail_staff(
    session: AsyncSession, *, order: Order, template: str, context: dict[str, Any], key: str, shop_language: str
) -> None:
    admins = await accounts.list_admin_recipients(session)
    mails = _staff_mails(order, template=template, context=context, key=key, admins=admins, shop_language=shop_language)
    await notifications.send(session, mails)


def _staff_mails(
    order: Order | NewOrder,
    *,
    template: str,
    context: dict[str, Any],
    key: str,
    admins: Sequence[Sequence[str]],
    shop_language: str,
) -> list[OutgoingMail]:
    """Write to the administrators, as (address, language), and to the shop's mailbox."""
    recipients = [*admins, (order.shop.email, shop_language)] if order.shop.email else admins
    return [
        OutgoingMail(email, template, language, context, f"order-{key}:{order.id}:staff:{email}")
        for email, language in recipients
    ]


def _summary(order: Order | NewOrder) -> dict[str, Any]:
    return {
        "order_id": str(order.id),
        "number": order.number,
        "shop": order.shop.name,
        "shop_address": order.shop.address,
        "timezone": order.shop.timezone,
        "ready_at": order.ready_estimate_at.astimezone(UTC).isoformat(),
        "lines": [
            {
                "name": line.name,
                "details": _details(line),
                "note": line.note,
                "quantity": line.quantity,
                "total": f"{line.total:.2f}",
                "allergens": line.contents["allergens"] if line.contents else [],
                "ingredients": [each["name"] for each in line.contents["ingredients"]] if line.contents else [],
                "nutrition": line.contents["nutrition"] if line.contents else None,
            }
            for line in order.lines
        ],
        "total": f"{order.total:.2f}",
        "currency": order.currency,
        "comment": order.comment,
    }


def describe(line: OrderLine | NewLine) -> str:
    """Write a line as people read it: how many, of what, made how."""
    details = ", ".join(filter(None, (_details(line), line.note)))
    return f"{line.quantity} × {line.name}" + (f" ({details})" if details else "")


def _details(line: OrderLine | NewLine) -> str:
    size = [line.size["name"]] if line.size else []
    options = [
        option["name"] if option["quantity"] == 1 else f"{option['name']} ×{option['quantity']}"
        for option in line.options
    ]
    return ", ".join([*size, *options])
