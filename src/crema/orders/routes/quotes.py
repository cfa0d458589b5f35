"""Quotes over HTTP."""

from crema.accounts.deps import OptionalActor
from crema.orders.deps import OrderSettingsDep
from crema.orders.schemas import QuoteOrder, QuoteOut
from crema.orders.service import quoting
from crema.web.clock import Now
from crema.web.problem import error_responses
from crema.web.routing import make_router
from crema.web.transaction import Reads

router = make_router("Orders")


@router.post("/quote", summary="Quote an order", responses=error_responses(401, 403, 404, 409, 422))
async def quote_order(
    body: QuoteOrder, reader: Reads, actor: OptionalActor, now: Now, settings: OrderSettingsDep
) -> QuoteOut:
    """Returns what an order would cost and when it would be ready. Nothing is reserved.

    One order with the `quote_id` within two minutes has exactly that total, and is ready no later. Lines that can't be
    sold are in `problems`. Problems with the shop, the time or the customer are refused as for an order.
    """
    quoted = await quoting.quote(reader, actor=actor, wanted=body, settings=settings, now=now)
    return QuoteOut.of(quoted, key=settings.quote_key)
