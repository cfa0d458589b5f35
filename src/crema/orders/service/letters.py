"""The mails an order promises, written in its transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import User
from crema.notifications import service as notifications
from crema.notifications.service import Letter
from crema.orders.domain import Status
from crema.orders.models import Order, OrderLine

_TEMPLATE_OF = {Status.READY: "order_ready", Status.CANCELLED: "order_cancelled"}


@dataclass(frozen=True, slots=True)
class Customer:
    """Whom to write to; an address is None for a person who was deleted."""

    email: str | None
    language: str
    name: str | None


def placed(
    *,
    order: Order,
    customer: Customer,
    admins: Sequence[Sequence[str]],
    shop_language: str,
) -> list[Letter]:
    """Write to the customer, the administrators, as (address, language), and the shop's mailbox. `order` is whole."""
    context = _summary(order)
    for_staff = context | {"customer_name": customer.name}
    letters = [
        Letter(email, "order_placed_staff", language, for_staff, f"order-placed:{order.id}:staff:{email}")
        for email, language in admins
    ]
    if order.shop.email:
        letters.append(
            Letter(
                order.shop.email,
                "order_placed_staff",
                shop_language,
                for_staff,
                f"order-placed:{order.id}:staff:{order.shop.email}",
            )
        )
    if customer.email:
        letters.append(
            Letter(
                customer.email, "order_placed_customer", customer.language, context, f"order-placed:{order.id}:customer"
            )
        )
    return letters


async def moved(session: AsyncSession, *, order: Order, reason: str | None) -> None:
    """Tell the customer when it is ready, or won't be."""
    template = _TEMPLATE_OF.get(Status(order.status))
    if template is None:
        return
    customer = await session.get_one(User, order.user_id)
    if customer.email is None:
        return
    context = {"number": order.number, "shop": order.shop.name, "shop_address": order.shop.address}
    if order.status == Status.CANCELLED:
        context = {"number": order.number, "shop": order.shop.name, "reason": reason or ""}
    await notifications.send(
        session,
        [Letter(customer.email, template, customer.language, context, f"order-{order.status}:{order.id}")],
    )


def _summary(order: Order) -> dict[str, Any]:
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
            }
            for line in order.lines
        ],
        "total": f"{order.total:.2f}",
        "currency": order.currency,
        "comment": order.comment,
    }


def _details(line: OrderLine) -> str:
    size = [line.size["name"]] if line.size else []
    options = [
        option["name"] if option["quantity"] == 1 else f"{option['name']} ×{option['quantity']}"
        for option in line.options
    ]
    return ", ".join([*size, *options])
