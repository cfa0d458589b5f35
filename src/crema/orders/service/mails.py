"""The mails about orders. They follow from the event log, read by the worker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.models import User
from crema.events.queries import LoggedEvent
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail
from crema.orders import queries
from crema.orders.domain import EventKind, OrderStatus, details_of
from crema.orders.models import Order, OrderEvent

_TEMPLATE_OF: Final = {
    OrderStatus.READY: "order_ready",
    OrderStatus.CANCELLED: "order_cancelled",
    OrderStatus.EXPIRED: "order_expired",
}


class ClosingCause(StrEnum):
    """Why the system closed orders that were in progress."""

    ACCOUNT_DELETED = "account_deleted"
    SHOP_CLOSED = "shop_closed"


@dataclass(frozen=True, slots=True)
class MailedChange:
    """A change of an order that is mailed: the order, the entry of its history, and who gets the mails.

    `customer` is None for an order taken at the counter, and for a person who was deleted.
    `admins` are pairs of address and language, `shop_language` is that of the shops' mailboxes.
    """

    order: Order
    entry: OrderEvent
    customer: User | None
    admins: Sequence[tuple[str, str]]
    shop_language: str

    @property
    def is_by_customer(self) -> bool:
        """Whether the customer did it."""
        return self.entry.actor_id is not None and self.entry.actor_id == self.order.user_id


async def mail_events(session: AsyncSession, events: Sequence[LoggedEvent], *, shop_language: str) -> None:
    """Queue the mails that follow from these events. A mail that was queued for one of them before isn't again."""
    entries = await queries.load_entries(session, {event.id for event in events})
    orders = await queries.load_orders(session, {event.subject_id for event in events})
    admins = await accounts.list_admin_recipients(session)
    mails: list[OutgoingMail] = []
    for event in events:
        order = orders[event.subject_id]
        about = MailedChange(order, entries[event.id], order.customer, admins, shop_language)
        mails += _MAILS_OF[EventKind(event.kind)](about)
    await notifications.send(session, mails)


async def mail_before_deletion(
    session: AsyncSession, moved: Sequence[tuple[Order, OrderEvent]], *, person: User
) -> None:
    """Queue the mails about orders that were just moved to their customer, whose address is about to be erased."""
    mails = [
        mail
        for order, entry in moved
        for mail in _of_transition(MailedChange(order, entry, person, admins=(), shop_language=""))
    ]
    await notifications.send(session, mails)


def _of_new_order(about: MailedChange) -> list[OutgoingMail]:
    """Return the mails to the administrators, the shop and the customer."""
    order = about.order
    mails = _staff_mails(about, "order_placed_staff", key="placed")
    return mails + _customer_mails(
        about, "order_placed_customer", _summary(order), key=f"order-placed:{order.id}:customer"
    )


def _of_transition(about: MailedChange) -> list[OutgoingMail]:
    """Tell the customer when it is ready or won't be, and the shop what a customer cancelled.

    One that expires because nobody fetched it has no `reason`, and its customer was told that it was ready. That it is
    ready is told once: not again when staff have taken that back in between. A step back is no mail.
    """
    order, entry = about.order, about.entry
    status = OrderStatus(entry.status)
    reason = entry.reason or ""
    mails = []
    if status == OrderStatus.CANCELLED and about.is_by_customer:
        mails = _staff_mails(about, "order_cancelled_staff", key="cancelled", reason=reason)
    template = _TEMPLATE_OF.get(status)
    if template is None or (status == OrderStatus.EXPIRED and not reason):
        return mails
    context = {"number": order.number, "shop": order.shop.name}
    context |= {"shop_address": order.shop.address} if status == OrderStatus.READY else {"reason": reason}
    return mails + _customer_mails(about, template, context, key=f"order-{status}:{order.id}")


def _of_edit(about: MailedChange) -> list[OutgoingMail]:
    """Tell the shop what the customer changed, or the customer what the shop changed.

    The customer also hears of a number that became another by their own change.
    """
    changes = {change["field"]: change for change in about.entry.changes or ()}
    number_before = changes["number"]["before"] if "number" in changes else None
    changed = {"changed": [*changes], "number_before": number_before}
    mails = []
    if about.is_by_customer:
        mails = _staff_mails(about, "order_edited_staff", key=f"edited:{about.entry.id}", **changed)
        if number_before is None:
            return mails
    context = _summary(about.order) | changed | {"is_by_customer": about.is_by_customer}
    key = f"order-edited:{about.entry.id}:customer"
    return mails + _customer_mails(about, "order_edited_customer", context, key=key)


_MAILS_OF: Final[Mapping[EventKind, Callable[[MailedChange], list[OutgoingMail]]]] = {
    EventKind.PLACED: _of_new_order,
    EventKind.MOVED: _of_transition,
    EventKind.EDITED: _of_edit,
    EventKind.ARRIVAL: lambda _: [],
}


def _customer_mails(about: MailedChange, template: str, context: dict[str, Any], *, key: str) -> list[OutgoingMail]:
    """Return the mail to the customer, in a list; none to whom nobody can write."""
    customer = about.customer
    if customer is None or customer.email is None:
        return []
    return [OutgoingMail(customer.email, template, customer.language, context, key)]


def _staff_mails(about: MailedChange, template: str, *, key: str, **details: Any) -> list[OutgoingMail]:
    """Return the mails to the administrators and the shop's mailbox."""
    order, customer = about.order, about.customer
    name = order.pickup_name or (customer.name if customer else order.customer_name)
    context = _summary(order) | details | {"customer_name": name}
    recipients = [*about.admins, *([(order.shop.email, about.shop_language)] if order.shop.email else [])]
    return [
        OutgoingMail(email, template, language, context, f"order-{key}:{order.id}:staff:{email}")
        for email, language in recipients
    ]


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
                "details": details_of(line),
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
