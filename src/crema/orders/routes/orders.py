"""Orders over HTTP, for customers and staff. Which orders are visible depends on the actor."""

from functools import partial
from uuid import UUID

from fastapi import Request, Response

from crema.accounts.deps import Idempotent, OrderStaff, VerifiedActor
from crema.orders import queries
from crema.orders.deps import ORDER, OrderSettingsDep
from crema.orders.queries import HISTORY, ORDERS
from crema.orders.schemas import (
    AdvancedOrdersOut,
    AdvanceOrders,
    Arrival,
    CancelOrder,
    ChangeOrder,
    MarkLine,
    OrderEventOut,
    OrderOut,
    PlaceOrder,
    ReorderOut,
    ReplaceOrder,
)
from crema.orders.service import changes, placing, transitions
from crema.web import audit
from crema.web.clock import Now
from crema.web.listing import PageOut, created_response, listing_parameters, page_out, parse_list_query
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction, Writes

router = make_router("Orders")


@router.post(
    "/order",
    status_code=201,
    response_model=OrderOut,
    summary="Place an order",
    dependencies=[ORDER.made],
    responses=LOCATED | error_responses(401, 403, 404, 409, 422),
)
async def place_order(
    body: PlaceOrder,
    request: Request,
    tx: Writes,
    actor: VerifiedActor,
    now: Now,
    settings: OrderSettingsDep,
    _idempotent: Idempotent,
) -> Response:
    """Orders the cart, or `items`. Send an `Idempotency-Key` to repeat it safely; a cart becomes only one order anyway.

    Staff with `orders:write` take an order at the counter with `source: counter` and a `customer_name`. It is in the
    shop's queue, belongs to no account, and only staff see it.
    """
    order = await placing.place(tx, actor=actor, wanted=body, settings=settings, now=now)
    location = f"/order/{order.id}"
    await audit.record(request, tx, created=location, sent=body)
    return created_response(OrderOut.seen_by(actor, order).model_dump_json(), location)


@router.get(
    "/orders",
    summary="List orders",
    openapi_extra=listing_parameters(ORDERS),
    responses=error_responses(401, 403, 422),
)
async def list_orders(request: Request, response: Response, reader: Reads, actor: VerifiedActor) -> PageOut[OrderOut]:
    """Lists your own orders; for staff those of the shops they serve."""
    query = parse_list_query(request, ORDERS, actor.permissions)
    page = await queries.list_orders(reader, actor=actor, query=query)
    return page_out(request, response, page, partial(OrderOut.seen_by, actor))


@router.get(
    "/order/{order_id}",
    summary="See an order",
    dependencies=[ORDER.shown],
    responses=error_responses(401, 403, 404, 422),
)
async def see_order(order_id: UUID, reader: Reads, actor: VerifiedActor) -> OrderOut:
    return OrderOut.seen_by(actor, await queries.get_order_out(reader, order_id=order_id, actor=actor))


@router.put(
    "/order/{order_id}",
    summary="Replace an order",
    dependencies=[ORDER.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def replace_order(
    order_id: UUID, body: ReplaceOrder, tx: Transaction, actor: VerifiedActor, now: Now, settings: OrderSettingsDep
) -> OrderOut:
    """The owner sends `items`, `pickup_at`, `comment` while it is placed; staff send `status`, or also `pickup_at`.

    Staff can take a move back that they made by mistake: `ready` to `preparing`, `preparing` to `accepted`, `completed`
    to `ready`, within ten minutes of that move. Both moves are in the history and in the feeds; the mail that the order
    is ready is not sent twice. An order that moves to a day on which its number is taken gets a new number.
    """
    order = await changes.replace(tx, actor=actor, order_id=order_id, wanted=body, settings=settings, now=now)
    return OrderOut.seen_by(actor, order)


@router.patch(
    "/order/{order_id}",
    summary="Change an order",
    dependencies=[ORDER.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def change_order(
    order_id: UUID, body: ChangeOrder, tx: Transaction, actor: VerifiedActor, now: Now, settings: OrderSettingsDep
) -> OrderOut:
    """Works like PUT, but changes only the fields that are sent."""
    order = await changes.change(tx, actor=actor, order_id=order_id, wanted=body, settings=settings, now=now)
    return OrderOut.seen_by(actor, order)


@router.patch(
    "/order/{order_id}/line/{line_id}",
    summary="Mark a line as made",
    dependencies=[ORDER.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def mark_line(
    order_id: UUID, line_id: UUID, body: MarkLine, tx: Transaction, actor: VerifiedActor, now: Now
) -> OrderOut:
    """For staff of the shop, while the order is accepted or being prepared. The order's status stays as it is."""
    order = await changes.mark_line(tx, actor=actor, order_id=order_id, line_id=line_id, is_made=body.is_made, now=now)
    return OrderOut.seen_by(actor, order)


@router.delete(
    "/order/{order_id}",
    status_code=204,
    summary="Cancel and hide an order",
    dependencies=[ORDER.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def delete_order(order_id: UUID, tx: Transaction, actor: VerifiedActor, now: Now) -> None:
    """Cancels it if possible, and hides it: from the customer's lists, or from all if an administrator deletes it."""
    await transitions.hide(tx, actor=actor, order_id=order_id, now=now)


@router.post(
    "/order/{order_id}/cancel",
    summary="Cancel an order",
    dependencies=[ORDER.made],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def cancel_order(
    order_id: UUID,
    tx: Transaction,
    actor: VerifiedActor,
    now: Now,
    _idempotent: Idempotent,
    body: CancelOrder | None = None,
) -> OrderOut:
    """The customer can cancel until it is prepared, staff until it is handed over, with a reason once it is ready.

    Cancelling an order that is already cancelled changes nothing.
    """
    order = await transitions.cancel(
        tx,
        actor=actor,
        order_id=order_id,
        reason=body.reason if body else None,
        now=now,
    )
    return OrderOut.seen_by(actor, order)


@router.post(
    "/order/{order_id}/arrival",
    summary="Say that the customer is here, or late",
    dependencies=[ORDER.made],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def tell_arrival(
    order_id: UUID, body: Arrival, tx: Transaction, actor: VerifiedActor, now: Now, _idempotent: Idempotent
) -> OrderOut:
    """The customer or staff say it. `start_at`, by which boards are sorted, is planned again; `promised_at` stays.

    If the customer is here, the order is begun first; if they are late, it is begun later. The last request counts.
    """
    order = await changes.arrive(tx, actor=actor, order_id=order_id, delay=body.delay, now=now)
    return OrderOut.seen_by(actor, order)


@router.post("/orders/advance", summary="Move several orders", responses=error_responses(401, 403, 422))
async def advance_orders(
    body: AdvanceOrders, tx: Transaction, actor: OrderStaff, now: Now, _idempotent: Idempotent
) -> AdvancedOrdersOut:
    """For staff. Orders that can't move stay, and the answer says why; its status is 200 in any case.

    Moves are taken back as in PUT of an order.
    """
    advanced = await transitions.advance(
        tx,
        actor=actor,
        order_ids=body.order_ids,
        to=body.status,
        reason=body.reason,
        now=now,
    )
    return AdvancedOrdersOut.model_validate({"items": advanced})


@router.post(
    "/order/{order_id}/reorder",
    status_code=201,
    summary="Put an order into the cart again",
    responses=LOCATED | error_responses(401, 403, 404, 409, 422),
)
async def reorder(
    order_id: UUID,
    response: Response,
    tx: Transaction,
    actor: VerifiedActor,
    now: Now,
    settings: OrderSettingsDep,
    _idempotent: Idempotent,
) -> ReorderOut:
    """Adds the same products and options at today's prices. `skipped` lists what can't be sold or doesn't fit."""
    cart, skipped = await changes.reorder(tx, actor=actor, order_id=order_id, currency=settings.currency, now=now)
    response.headers["Location"] = "/cart"
    return ReorderOut.model_validate({"cart": cart, "skipped": skipped})


@router.get(
    "/order/{order_id}/history",
    summary="See an order's history",
    openapi_extra=listing_parameters(HISTORY),
    responses=error_responses(401, 403, 404, 422),
)
async def see_history(
    order_id: UUID, request: Request, response: Response, reader: Reads, actor: VerifiedActor
) -> PageOut[OrderEventOut]:
    query = parse_list_query(request, HISTORY, actor.permissions)
    page = await queries.list_history(reader, order_id=order_id, actor=actor, query=query)
    return page_out(request, response, page, OrderEventOut.model_validate)
