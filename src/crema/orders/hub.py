"""What the live feed of orders tells: a snapshot of what is in progress, then each order as it changes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from crema.accounts.domain import Actor
from crema.db import changes
from crema.live.domain import RESUMABLE, Position
from crema.live.hub import Feed, Hub, Seat
from crema.orders import domain, queries
from crema.orders.models import Order
from crema.orders.schemas import ChangedOrderFrame, OrderOut, SnapshotFrame

READ: Final = "orders:read"
MAX_CHANGES: Final = 500
"""So many changes are a snapshot too."""

Frame: TypeAlias = SnapshotFrame | ChangedOrderFrame


def topics_for(actor: Actor, *, shop_id: UUID | None) -> set[str]:
    """Name what an actor hears of: their own orders and, for staff, those of their shops, or of one of them."""
    topics = {domain.topic_of_person(actor.user_id)}
    if not actor.may(READ):
        return topics
    if shop_id is not None:
        return topics | ({domain.topic_of_shop(shop_id)} if actor.serves(shop_id) else set())
    if actor.serves_all_shops:
        return topics | {domain.EVERYWHERE}
    return topics | {domain.topic_of_shop(shop) for shop in actor.shop_ids}


class OrderFeed(Feed[Frame]):
    """One reader's feed of orders. Each order comes whole, so a frame that comes twice does no harm.

    Who opened it as staff stays as long as they are; who opened it for their own orders stays anyway.
    """

    def __init__(self, actor: Actor, *, hub: Hub, shop_id: UUID | None, position: Position | None) -> None:
        is_staff = actor.may(READ)
        super().__init__(Seat(actor, domain.LIVE, allows=lambda now: now.may(READ) or not is_staff), hub=hub)
        self._shop_id = shop_id
        self._position = position
        self._told: dict[UUID, int] = {}

    def _topics(self, actor: Actor) -> set[str]:
        return topics_for(actor, shop_id=self._shop_id)

    async def _start(self, now: datetime) -> Sequence[Frame]:
        is_resumable = self._position is not None and self._position.at >= now - RESUMABLE
        return [] if is_resumable else [await self._snapshot()]

    async def _snapshot(self) -> SnapshotFrame:
        async with self._hub.snapshot() as session:
            self._position = Position(*await changes.get_position(session))
            orders = await queries.list_board(session, actor=self.seat.actor, shop_id=self._shop_id)
            found = [OrderOut.seen_by(self.seat.actor, order) for order in orders]
        return SnapshotFrame(position=str(self._position), orders=found)

    async def _changes(self) -> Sequence[Frame]:
        assert self._position is not None
        async with self._hub.snapshot() as session:
            await self._hub.check(session, [self.seat])
            if self.seat.closing is not None:
                return []
            position = Position(*await changes.get_position(session))
            since = self._position.transaction
            changed = await queries.list_changed(
                session, actor=self.seat.actor, shop_id=self._shop_id, since=since, limit=MAX_CHANGES + 1
            )
            news = [order for order in changed if self._told.get(order.id) != order.changed_in]
            frames = [self._frame(order, is_last=order is news[-1], after=position) for order in news]
        if len(changed) > MAX_CHANGES or since > position.transaction:  # too much, or of another database
            return [await self._snapshot()]
        self._told = {order.id: order.changed_in for order in changed}
        self._position = position
        return frames

    def _frame(self, order: Order, *, is_last: bool, after: Position) -> ChangedOrderFrame:
        # Who resumes from the middle of a batch gets the rest of it again.
        position = after if is_last else self._position
        return ChangedOrderFrame(position=str(position), order=OrderOut.seen_by(self.seat.actor, order))
