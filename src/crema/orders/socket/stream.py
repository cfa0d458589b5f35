"""The live feed of orders as server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from fastapi import Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Message, Receive, Scope, Send

from crema.accounts.deps import VerifiedActor
from crema.live.domain import Position
from crema.live.hub import Frame
from crema.live.socket import CLOSE_SECONDS, run_until_first
from crema.orders.deps import OrdersState
from crema.orders.hub import OrderFeed, OrderSubscription
from crema.web.problem import error_responses
from crema.web.routing import make_router
from crema.web.state import state_of

router = make_router("Orders")

RETRY_MILLISECONDS: Final = 1_000
KEEPALIVE_SECONDS: Final = 15
"""After so long without an event a comment is sent, lest something in between takes the stream for dead."""


class FeedResponse(StreamingResponse):
    """A feed as server-sent events. It is subscribed as long as the client reads."""

    media_type = "text/event-stream"

    def __init__(self, feed: OrderFeed, subscription: OrderSubscription) -> None:
        super().__init__(_events(subscription), headers={"X-Accel-Buffering": "no"})
        self._feed = feed
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send frames until the client disconnects, or may no longer read."""
        del scope
        subscription = self._subscription

        async def send_timed(message: Message) -> None:
            subscription.busy_since = time.monotonic()
            await send(message)
            subscription.busy_since = None

        async def cut_off() -> None:
            await subscription.closed()
            await asyncio.sleep(CLOSE_SECONDS)  # the stream ends by itself, unless nobody reads it

        async with self._feed.subscribed(subscription, replaces_oldest=False):
            sending = self.stream_response(send_timed)
            await run_until_first(sending, self.listen_for_disconnect(receive), cut_off())


async def _events(subscription: OrderSubscription) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    async for batches in subscription.updates(idle_seconds=KEEPALIVE_SECONDS):
        yield b"".join(_event(frame) for batch in batches for frame in batch.frames) or KEEPALIVE_COMMENT


def _event(frame: Frame) -> bytes:
    return format_sse_event(event=frame.type, data_str=frame.text, id=frame.position)


@router.get(
    "/orders/live",
    summary="Follow orders live",
    response_class=Response,
    responses={
        200: {
            "description": "Events `snapshot` and `order`; their data are the frames of the WebSocket.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **error_responses(401, 403, 422, 429),
    },
)
async def stream_orders(
    request: Request,
    actor: VerifiedActor,
    shop_id: Annotated[UUID | None, Query(description="Only orders of this shop.")] = None,
    after: Annotated[
        str | None, Query(description="A position from which to resume.", examples=["84213-1795428000"])
    ] = None,
    last_event_id: Annotated[str | None, Header(description="Like `after`; browsers send it.")] = None,
) -> FeedResponse:
    """Sends your own orders; for staff those of their shops. First those in progress, then each order that changes.

    The `contents` of a line are the allergens, ingredients and nutrition of the drink as it was configured.

    The stream ends with the login, or with the right to it. New shops or rights bring a new snapshot. A sixth stream
    or socket of a person is refused here; a sixth WebSocket takes the place of the oldest.
    """
    resumed = last_event_id or after
    subscription = OrderSubscription(actor, shop_id=shop_id, position=Position.parse(resumed) if resumed else None)
    return FeedResponse(state_of(request.app, OrdersState).feed, subscription)
