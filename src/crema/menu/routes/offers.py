"""Routes of what shops have different from the chain: stop-lists, prices, stocks."""

from uuid import UUID

from fastapi import Request, Response

from crema.accounts.deps import Idempotent
from crema.menu import queries
from crema.menu.deps import OfferEditor, ShopStockKeeper
from crema.menu.schemas import OverrideOut, ShopOptionPatch, ShopProductPatch, StopIn, StopOut
from crema.menu.service import offers
from crema.web import fields
from crema.web.clock import Now
from crema.web.listing import PageOut, listing_parameters, page_out, parse_list_query
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction

router = make_router("Menu")


@router.get(
    "/shop/{shop_id}/stop-list",
    summary="See a shop's stop-list",
    openapi_extra=listing_parameters(queries.STOPS, fields=fields.PARAMETER),
    dependencies=[fields.of_list(StopOut)],
    responses=error_responses(401, 403, 422),
)
async def list_stops(
    shop_id: UUID, request: Request, response: Response, reader: Reads, actor: ShopStockKeeper, now: Now
) -> PageOut[StopOut]:
    """What the shop has run out of now. For its staff. Entries whose end has passed are left out."""
    query = parse_list_query(request, queries.STOPS, actor.permissions, extra_parameters=(fields.NAME,))
    page = await queries.list_stops(reader, shop_id=shop_id, query=query, now=now)
    return page_out(request, response, page, StopOut.model_validate)


@router.post(
    "/shop/{shop_id}/stop-list",
    status_code=201,
    summary="Put something on a stop-list",
    responses=LOCATED | error_responses(401, 403, 404, 409, 422),
)
async def add_stop(
    shop_id: UUID,
    body: StopIn,
    response: Response,
    tx: Transaction,
    actor: ShopStockKeeper,
    now: Now,
    _idempotent: Idempotent,
) -> StopOut:
    """For the shop's staff. The entry ends by itself at `until`; orders for pick-up after that are still taken."""
    stop = await offers.add_stop(tx, shop_id=shop_id, stop_in=body, person_id=actor.user_id, now=now)
    response.headers["Location"] = f"/shop/{shop_id}/stop-list/{stop.id}"
    return StopOut.model_validate(stop)


@router.delete(
    "/shop/{shop_id}/stop-list/{stop_id}",
    status_code=204,
    summary="Take something off a stop-list",
    responses=error_responses(401, 403, 404, 422),
)
async def end_stop(shop_id: UUID, stop_id: UUID, tx: Transaction, _: ShopStockKeeper) -> None:
    """For the shop's staff."""
    await offers.end_stop(tx, shop_id=shop_id, stop_id=stop_id)


@router.get(
    "/shop/{shop_id}/overrides",
    summary="See what a shop sets for itself",
    openapi_extra=listing_parameters(queries.OVERRIDES, fields=fields.PARAMETER),
    dependencies=[fields.of_list(OverrideOut)],
    responses=error_responses(401, 403, 422),
)
async def list_overrides(
    shop_id: UUID, request: Request, response: Response, reader: Reads, actor: OfferEditor
) -> PageOut[OverrideOut]:
    """Products and options for which this shop sets the price or the stock itself, or that it doesn't sell."""
    query = parse_list_query(request, queries.OVERRIDES, actor.permissions, extra_parameters=(fields.NAME,))
    page = await queries.list_overrides_of_shop(reader, shop_id=shop_id, query=query)
    return page_out(request, response, page, OverrideOut.model_validate)


@router.patch(
    "/shop/{shop_id}/product/{product_id}",
    summary="Change a product at one shop",
    responses=error_responses(401, 403, 404, 422),
)
async def change_product_of_shop(
    shop_id: UUID, product_id: UUID, body: ShopProductPatch, tx: Transaction, _: OfferEditor, now: Now
) -> OverrideOut:
    """Its price there, whether it is sold there, and how many are left. null: as the chain has it."""
    return OverrideOut.model_validate(
        await offers.change_product(tx, shop_id=shop_id, product_id=product_id, changes=body, now=now)
    )


@router.patch(
    "/shop/{shop_id}/option/{option_id}",
    summary="Change an option at one shop",
    responses=error_responses(401, 403, 404, 422),
)
async def change_option_of_shop(
    shop_id: UUID, option_id: UUID, body: ShopOptionPatch, tx: Transaction, _: OfferEditor, now: Now
) -> OverrideOut:
    """Its price there, and whether it is sold there. null: as the chain has it."""
    return OverrideOut.model_validate(
        await offers.change_option(tx, shop_id=shop_id, option_id=option_id, changes=body, now=now)
    )
