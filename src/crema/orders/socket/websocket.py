"""The live feed of orders as a WebSocket."""

from typing import Final

from fastapi import APIRouter, WebSocket
from pydantic import TypeAdapter

from crema.live.schemas import AuthFrame, ErrorFrame, PingFrame, PongFrame
from crema.live.socket import Connection, serve
from crema.orders.deps import OrdersState
from crema.orders.hub import OrderSubscription
from crema.orders.schemas import ChangedOrderFrame, FollowOrders, SnapshotFrame
from crema.web.asyncapi import Channel
from crema.web.state import state_of

router = APIRouter()

CLIENT_FRAME: Final[TypeAdapter[PingFrame]] = TypeAdapter(PingFrame)
CHANNELS: Final = (
    Channel(
        name="orders",
        address="/orders/live",
        summary="Orders live",
        description="One's own orders; for staff those of their shops. First a snapshot, then each that changes. "
        "The snapshot is sorted by `ready_estimate_at`, then `id`: what is to be ready first comes first. To keep that "
        "order, put each order that a frame brings at the place that its own `ready_estimate_at` and `id` give it. "
        "Each line tells the allergens, ingredients and nutrition of the drink as it was configured.",
        receives=(AuthFrame, PingFrame),
        sends=(SnapshotFrame, ChangedOrderFrame, ErrorFrame, PongFrame),
        query=FollowOrders.model_json_schema()["properties"],
    ),
)


@router.websocket("/orders/live")
async def follow_orders(websocket: WebSocket) -> None:
    """Send a person's own orders, or for staff those of their shops. `?after=` is a position, `?shop_id=` one shop."""

    async def handle(connection: Connection) -> None:
        wanted = connection.query(FollowOrders)
        position = connection.position(wanted.after)
        actor = await connection.authenticate()
        subscription = OrderSubscription(actor, shop_id=wanted.shop_id, position=position)
        async with state_of(websocket.app, OrdersState).feed.subscribed(subscription):
            await connection.run(subscription, _answer_pings(connection))

    await serve(websocket, handle)


async def _answer_pings(connection: Connection) -> None:
    async for _ in connection.frames(CLIENT_FRAME):
        await connection.send(PongFrame())
