"""Routes of shops, and of the chain's public information."""

from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

from fastapi import Request, Response

from crema.accounts.deps import Idempotent, ShopEditor, ShopStaff
from crema.shops import queries, service
from crema.shops.deps import SHOP, ActorPermissions, ClosingSteps, Near, OpenNow, TheChain
from crema.shops.models import Shop
from crema.shops.queries import ShopView
from crema.shops.schemas import (
    HoursIn,
    InfoOut,
    ListedShopOut,
    ReplaceShop,
    ShopIn,
    ShopOut,
    ShopPatch,
    SpecialDaysIn,
    StatusPatch,
)
from crema.web.caching import Public
from crema.web.clock import Now
from crema.web.listing import PageOut, json_response, listing_parameters, page_response, parse_list_query
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction

router = make_router("Shops and static information")


HIDDEN_EMAIL: Final = {"email": None}
"""What the public sees instead of the address to which orders are mailed."""


def _shop_out(shop: Shop | ShopView, now: datetime, *, sees_email: bool = True) -> ShopOut:
    return ShopOut.at(now, shop=shop, schedule=queries.schedule_of(shop), **({} if sees_email else HIDDEN_EMAIL))


@lru_cache(1_000)
def _public_json(shop: ShopView, as_of: datetime) -> bytes:
    """Return a shop as JSON for the public. `as_of` is `ShopView.shown_as_of`, so that the result can be cached."""
    return _shop_out(shop, as_of, sees_email=False).model_dump_json().encode()


@lru_cache(1_000)
def _listed_json(shop: ShopView, as_of: datetime, distance_m: int | None, *, sees_email: bool) -> bytes:
    more = {"distance_m": distance_m} | ({} if sees_email else HIDDEN_EMAIL)
    shown = ListedShopOut.at(as_of, shop=shop, schedule=queries.schedule_of(shop), **more)
    return shown.model_dump_json().encode()


@router.get(
    "/info",
    summary="Read about the chain",
    response_model=InfoOut,
    dependencies=[Public],
    responses=error_responses(422),
)
async def read_info(reader: Reads, chain: TheChain, now: Now) -> Response:
    """Who the chain is, how to reach it, and its active shops: their hours, special days and whether they are open."""
    shops = [_public_json(shop, shop.shown_as_of(now)) for shop in await queries.list_all_active(reader)]
    return json_response(InfoOut.of(chain, shops))


@router.get(
    "/shops",
    summary="List shops",
    response_model=PageOut[ListedShopOut],
    openapi_extra=listing_parameters(queries.ALL_SORTS),
    dependencies=[Public],
    responses=error_responses(401, 422),
)
async def list_shops(
    request: Request, reader: Reads, permissions: ActorPermissions, now: Now, near: Near, open_now: OpenNow = None
) -> Response:
    """The active shops. Those who edit shops see all."""
    listing = queries.SHOPS if near is None else queries.SHOPS_NEAR
    query = parse_list_query(request, listing, permissions, extra_parameters=("near", "open_now"))
    page = await queries.list_shops(reader, query=query, permissions=permissions, near=near, open_now=open_now, now=now)
    edits = queries.EDIT in permissions
    return page_response(
        request,
        page.map(
            lambda listed: _listed_json(listed.shop, listed.shop.shown_as_of(now), listed.distance_m, sees_email=edits)
        ),
    )


@router.get(
    "/shop/{shop_id}", summary="See a shop", dependencies=[Public, SHOP.shown], responses=error_responses(401, 404, 422)
)
async def see_shop(shop_id: UUID, reader: Reads, permissions: ActorPermissions, now: Now) -> ShopOut:
    """With its week, its special days, its status, and whether it is open now."""
    shop = await queries.get_visible_shop(reader, shop_id, permissions=permissions)
    return _shop_out(shop, now, sees_email=queries.EDIT in permissions)


@router.post(
    "/shop",
    status_code=201,
    summary="Add a shop",
    dependencies=[SHOP.made],
    responses=LOCATED | error_responses(401, 403, 409, 422),
)
async def open_shop(
    body: ShopIn, response: Response, tx: Transaction, actor: ShopEditor, now: Now, _idempotent: Idempotent
) -> ShopOut:
    """For administrators. The shop is closed until its hours are set."""
    shop = await service.create_shop(tx, actor=actor, shop_in=body, now=now)
    response.headers["Location"] = f"/shop/{shop.id}"
    return _shop_out(shop, now)


@router.put(
    "/shop/{shop_id}",
    summary="Replace a shop",
    dependencies=[SHOP.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def replace_shop(
    shop_id: UUID, body: ReplaceShop, tx: Transaction, actor: ShopEditor, now: Now, closing: ClosingSteps
) -> ShopOut:
    """For those who serve the shop. Its hours stay. To deactivate it with orders in progress, send `force=true`."""
    shop = await service.update_shop(tx, actor=actor, shop_id=shop_id, changes=body, closing=closing, now=now)
    return _shop_out(shop, now)


@router.patch(
    "/shop/{shop_id}",
    summary="Change a shop",
    dependencies=[SHOP.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def change_shop(
    shop_id: UUID, body: ShopPatch, tx: Transaction, actor: ShopEditor, now: Now, closing: ClosingSteps
) -> ShopOut:
    """For those who serve the shop. To deactivate it with orders in progress, send `force=true`."""
    shop = await service.update_shop(tx, actor=actor, shop_id=shop_id, changes=body, closing=closing, now=now)
    return _shop_out(shop, now)


@router.delete(
    "/shop/{shop_id}",
    status_code=204,
    summary="Delete a shop",
    dependencies=[SHOP.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def delete_shop(shop_id: UUID, tx: Transaction, actor: ShopEditor) -> None:
    """For administrators. A shop that has orders can only be deactivated."""
    await service.delete_shop(tx, actor=actor, shop_id=shop_id)


@router.put(
    "/shop/{shop_id}/hours",
    summary="Set a shop's week",
    dependencies=[SHOP.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def set_hours(
    shop_id: UUID, body: HoursIn, tx: Transaction, actor: ShopEditor, now: Now, closing: ClosingSteps
) -> ShopOut:
    """Replaces the whole week.

    For those who serve the shop. If orders in progress would be closed out: `force=true`.
    """
    intervals = [each.interval() for each in body.hours]
    shop = await service.set_hours(tx, actor=actor, shop_id=shop_id, intervals=intervals, closing=closing, now=now)
    return _shop_out(shop, now)


@router.put(
    "/shop/{shop_id}/special-days",
    summary="Set a shop's special days",
    dependencies=[SHOP.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def set_special_days(
    shop_id: UUID, body: SpecialDaysIn, tx: Transaction, actor: ShopEditor, now: Now, closing: ClosingSteps
) -> ShopOut:
    """Replaces all of them. For those who serve the shop. If orders in progress would be closed out: `force=true`."""
    days = [each.special_day() for each in body.special_days]
    shop = await service.set_special_days(tx, actor=actor, shop_id=shop_id, special_days=days, closing=closing, now=now)
    return _shop_out(shop, now)


@router.patch(
    "/shop/{shop_id}/status",
    summary="Say that a shop is busy or paused",
    dependencies=[SHOP.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def change_status(shop_id: UUID, body: StatusPatch, tx: Transaction, actor: ShopStaff, now: Now) -> ShopOut:
    """For the shop's staff. Orders in progress go on. The status ends at `until`, or when somebody sends `open`."""
    shop = await service.change_status(tx, actor=actor, shop_id=shop_id, changes=body, now=now)
    return _shop_out(shop, now, sees_email=actor.may(queries.EDIT))
