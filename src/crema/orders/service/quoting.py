"""Quoting: what an order would be, by the rules of placing it. Nothing is written."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from crema.accounts.domain import Actor
from crema.cart import queries as carts
from crema.cart.domain import LineRequest
from crema.db.base import new_id
from crema.db.driver import Reader
from crema.orders import domain
from crema.orders.domain import OrderSettings, QuotedOrder
from crema.orders.schemas import QuoteOrder
from crema.orders.service import placing
from crema.orders.service.placing import CartEmptyError


async def quote(
    reader: Reader, *, actor: Actor | None, wanted: QuoteOrder, settings: OrderSettings, now: datetime
) -> QuotedOrder:
    """Return what an order would be that is placed now. The actor of None is somebody who isn't logged in."""
    if actor is not None and not actor.is_verified:
        actor = None  # who can't order by an account yet
    shop_ids = placing.shops_of_request(actor, wanted)
    lines, shop_of_cart = await _read_lines(reader, actor=actor, wanted=wanted)
    shop_ids = shop_ids or ([shop_of_cart, None] if shop_of_cart else [None])
    request = wanted.as_request(lines)
    user_id = actor.user_id if actor else None
    context = await placing.get_context(reader, request, user_id=user_id, shop_ids=shop_ids, now=now)
    return domain.quote_order(request, context, settings=settings, user_id=user_id, now=now, make_id=new_id)


async def _read_lines(
    reader: Reader, *, actor: Actor | None, wanted: QuoteOrder
) -> tuple[Sequence[LineRequest], UUID | None]:
    """Return the lines to quote, and the shop that the cart names; the cart stays as it is."""
    cart = await carts.find_cart(reader, actor.user_id) if actor and wanted.source == "app" else None
    shop_id = cart.shop_id if cart else None
    if wanted.items is not None:
        return [item.as_request() for item in wanted.items], shop_id
    items = await carts.list_items(reader, cart_id=cart.id) if cart else []
    if not items:
        raise CartEmptyError
    return [item.as_request() for item in items], shop_id
