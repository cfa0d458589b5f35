"""The capacity of shops and their free slots over HTTP."""

from uuid import UUID

from crema.accounts.deps import OptionalActor, ShopEditor, ShopStaff
from crema.orders.service import slots
from crema.shops import queries as shops
from crema.shops.deps import SHOP, SlotDate
from crema.shops.schemas import CapacityOut, DaySlotsOut, ReplaceCapacity
from crema.web.caching import Public
from crema.web.clock import Now
from crema.web.problem import error_responses
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction

router = make_router("Shops and static information")


@router.get(
    "/shop/{shop_id}/capacity",
    summary="See how much work a shop takes",
    dependencies=[SHOP.shown],
    responses=error_responses(401, 403, 404, 422),
)
async def see_capacity(shop_id: UUID, reader: Reads, actor: ShopStaff) -> CapacityOut:
    """For staff of the shop."""
    return CapacityOut.of(await shops.get_shop_served_by(reader, shop_id, actor=actor))


@router.put(
    "/shop/{shop_id}/capacity",
    summary="Set how much work a shop takes",
    dependencies=[SHOP.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def set_capacity(
    shop_id: UUID, body: ReplaceCapacity, tx: Transaction, actor: ShopEditor, now: Now
) -> CapacityOut:
    """Replaces the whole capacity. Orders in progress stay, even if they exceed it. For staff of the shop."""
    shop = await slots.set_capacity(tx, actor=actor, shop_id=shop_id, wanted=body, now=now)
    return CapacityOut.of(shop)


@router.get(
    "/shop/{shop_id}/slots",
    summary="List a day's slots at a shop",
    dependencies=[Public],
    responses=error_responses(401, 404, 422),
)
async def list_slots(
    shop_id: UUID, reader: Reads, actor: OptionalActor, now: Now, date: SlotDate = None
) -> DaySlotsOut:
    """Lists the pick-up times of a day, and why some can't be had. Nothing is reserved.

    A large order may need another slot.
    """
    return DaySlotsOut.of(await shops.get_day_slots(reader, shop_id, day=date, actor=actor, now=now))
