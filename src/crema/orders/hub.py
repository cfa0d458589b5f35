"""What the live feed of orders tells: a snapshot of what is in progress, then each order as it changes."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID

from crema.accounts.domain import Actor
from crema.core.errors import InvalidError
from crema.live.hub import Hub, Seat
from crema.orders import domain, queries
from crema.orders.models import Order
from crema.orders.schemas import ChangedOrderFrame, OrderOut, SnapshotFrame

RESUMABLE: Final = timedelta(hours=12)
"""Whoever was away for longer gets a snapshot."""
MAX_CHANGES: Final = 500
"""So many changes are a snapshot too."""


class InvalidPositionError(InvalidError):
    """Not what a frame of the feed called its position."""

    code = "invalid_position"
    title = "This is no position of the live feed."


@dataclass(frozen=True, slots=True)
class Position:
    """How far somebody has read: whatever a transaction from `transaction` on wrote, they may not have seen."""

    transaction: int
    at: datetime

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote. Raises InvalidPositionError."""
        match = re.fullmatch(r"(\d{1,18})-(\d{1,10})", text, re.ASCII)
        if match is None:
            raise InvalidPositionError
        return cls(int(match[1]), datetime.fromtimestamp(int(match[2]), UTC))

    def __str__(self) -> str:
        return f"{self.transaction}-{int(self.at.timestamp())}"


def topics_for(actor: Actor, *, shop_id: UUID | None) -> set[str]:
    """Name what an actor hears of: their own orders and, for staff, those of their shops, or of one of them."""
    topics = {domain.topic_of_person(actor.user_id)}
    if not actor.may("orders:read"):
        return topics
    if shop_id is not None:
        return topics | ({domain.topic_of_shop(shop_id)} if actor.serves(shop_id) else set())
    if actor.serves_all_shops:
        return topics | {domain.EVERYWHERE}
    return topics | {domain.topic_of_shop(shop) for shop in actor.shop_ids}


class Feed:
    """One reader's feed. Each order comes whole, so a frame that comes twice does no harm."""

    def __init__(self, actor: Actor, *, hub: Hub, shop_id: UUID | None, position: Position | None) -> None:
        self.seat = Seat(actor, domain.LIVE)
        self._hub = hub
        self._shop_id = shop_id
        self._position = position
        self._told: dict[UUID, int] = {}

    @asynccontextmanager
    async def seated(self) -> AsyncIterator[None]:
        """Hear, and hold a seat, while the body of this context runs. Raises TooManySocketsError."""
        with self._hub.hearing(self.seat, topics_for(self.seat.actor, shop_id=self._shop_id)):
            async with self._hub.seated(self.seat):
                self.seat.rouse()  # something may have come before
                yield

    async def frames(self, *, now: datetime) -> AsyncIterator[SnapshotFrame | ChangedOrderFrame | None]:
        """Give frames as they come, and None every LOOK_SECONDS without one. Ends when the seat is closing."""
        if self._position is None or self._position.at < now - RESUMABLE:
            yield await self._snapshot()
        while self.seat.closing is None:
            has_news = await self.seat.woken()
            for frame in await self._changes():
                yield frame
            if not has_news:
                yield None

    async def _snapshot(self) -> SnapshotFrame:
        async with self._hub.transaction() as session:
            self._position = Position(*await queries.get_position(session))
            orders = await queries.list_board(session, actor=self.seat.actor, shop_id=self._shop_id)
            return SnapshotFrame(
                position=str(self._position), orders=[OrderOut.model_validate(order) for order in orders]
            )

    async def _changes(self) -> Sequence[SnapshotFrame | ChangedOrderFrame]:
        assert self._position is not None
        async with self._hub.transaction() as session:
            await self._hub.check(session, [self.seat])
            if self.seat.closing is not None:
                return []
            position = Position(*await queries.get_position(session))
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
        return ChangedOrderFrame(position=str(position), order=OrderOut.model_validate(order))
