"""The live feed of orders: a snapshot of the orders in progress, then each order that changes."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.db import changes
from crema.live.domain import RESUMABLE, Position
from crema.live.hub import Batch, Feed, Frame, Hub, Subscription
from crema.orders import domain, queries
from crema.orders.domain import READ_ORDERS, OrderVersion
from crema.orders.queries import BOARD_LIMIT, FeedScope
from crema.orders.schemas import ChangedOrderFrame, OrderOut, SnapshotFrame

MAX_CHANGES: Final = 500
"""So many changes are a snapshot too."""
MAX_READ: Final = 5_000
"""Changes read at once, those among them that were told before: a transaction that stays open keeps them in reach."""


class OrderSubscription(Subscription):
    """A subscription to orders. One that was opened as staff ends when the person is no longer staff.

    `position` is where it resumes at the next reading; with None it begins with a snapshot.
    """

    def __init__(self, actor: Actor, *, shop_id: UUID | None, position: Position | None) -> None:
        is_staff = actor.may(READ_ORDERS)
        super().__init__(
            actor=actor, topic=domain.FOLLOWERS_TOPIC, allows=lambda now: now.may(READ_ORDERS) or not is_staff
        )
        self.shop_id = shop_id
        self.position = position

    def start_over(self) -> None:
        """Begin again with a snapshot."""
        self.position = None
        super().start_over()

    def may_see(self, order: OrderVersion) -> bool:
        """Return whether the subscription's reader may see an order and follows its shop."""
        return self.shop_id in {None, order.shop_id} and domain.may_see(self.actor, order)


@dataclass(frozen=True, slots=True)
class _Updates:
    """The updates for a subscription after a reading: the orders changed since a position, or a snapshot of all."""

    orders: Sequence[OrderVersion]
    since: Position | None


class OrderFeed(Feed[OrderSubscription]):
    """The orders that somebody follows in this process. They are read and encoded once for all subscriptions.

    Each frame has the whole order, so a frame that is received twice does no harm.
    """

    pause_factor = 10  # a board has many readers, and nobody notices a quarter of a second

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.reset()

    def reset(self) -> None:
        """Forget what was read, because nobody follows orders any more."""
        self._position: Position | None = None
        self._told: dict[UUID, int] = {}

    def _topics_of(self, subscription: OrderSubscription) -> Iterable[str]:
        return domain.topics_for(subscription.actor, shop_id=subscription.shop_id)

    async def _read(self, session: AsyncSession) -> None:
        position = Position(*await changes.get_position(session))
        news = await self._list_news(session, position)
        due, followers = self._take_due(), self._find_followers(news)
        await self._check(session, {*due, *followers})
        updates = await self._start([each for each in due if each.closing is None], session, position)
        for subscription, orders in followers.items():
            if not subscription.is_due and subscription.closing is None:
                updates[subscription] = _Updates(
                    [each for each in orders if subscription.may_see(each)], self._position
                )
        rendered = _Renderer(position, await _load(session, updates.values()))
        for subscription, update in updates.items():
            subscription.is_due = False
            subscription.push(rendered.batch(subscription.actor, update))
        self._position = position

    async def _list_news(self, session: AsyncSession, position: Position) -> Sequence[OrderVersion]:
        """Return the orders that changed since the last reading, without those that were sent then."""
        if self._position is None:
            return []
        since = self._position.transaction
        changed = await queries.list_changed(session, scope=_scope_of(self._topics), since=since, limit=MAX_READ)
        news = [order for order in changed if self._told.get(order.id) != order.changed_in]
        self._told = {order.id: order.changed_in for order in changed}
        is_too_much = len(changed) == MAX_READ or len(news) > MAX_CHANGES
        if is_too_much or since > position.transaction:  # of another database
            for subscription in self._topics:
                subscription.start_over()
            return []
        return news

    def _find_followers(self, news: Iterable[OrderVersion]) -> dict[OrderSubscription, list[OrderVersion]]:
        """Return the changed orders by subscription. One with too many frames waiting resumes from here later."""
        found: dict[OrderSubscription, list[OrderVersion]] = defaultdict(list)
        for order in news:
            topics = domain.topics_of(shop_id=order.shop_id, user_id=order.user_id)
            for subscription in {each for topic in topics for each in self._by_topic.get(topic, ())}:
                if subscription.is_full and not subscription.is_due:
                    subscription.position, subscription.is_due = self._position, True
                if not subscription.is_due:
                    found[subscription].append(order)
        return found

    async def _start(
        self, due: Sequence[OrderSubscription], session: AsyncSession, position: Position
    ) -> dict[OrderSubscription, _Updates]:
        """Return the updates of subscriptions that are due: what they missed if they resume, else a snapshot."""
        updates = {}
        for subscription in due:
            self._subscribe(subscription)  # by the rights they have now
            since = subscription.position
            if since is None or since.at < self._hub.now() - RESUMABLE or since.transaction > position.transaction:
                continue
            changed = await queries.list_changed(
                session, scope=_scope_of([subscription]), since=since.transaction, limit=MAX_CHANGES + 1
            )
            if len(changed) <= MAX_CHANGES:
                updates[subscription] = _Updates([each for each in changed if subscription.may_see(each)], since)
        others = [subscription for subscription in due if subscription not in updates]
        return updates | (await self._list_boards(session, others) if others else {})

    async def _list_boards(
        self, session: AsyncSession, subscriptions: Sequence[OrderSubscription]
    ) -> dict[OrderSubscription, _Updates]:
        by_topic: dict[str, list[OrderVersion]] = defaultdict(list)
        for order in await queries.list_boards(session, scope=_scope_of(subscriptions)):
            for topic in domain.topics_of(shop_id=order.shop_id, user_id=order.user_id):
                by_topic[topic].append(order)
        boards = {}
        for subscription in subscriptions:
            found = {order.id: order for topic in self._topics[subscription] for order in by_topic.get(topic, ())}
            shown = [
                order
                for order in sorted(found.values(), key=domain.board_order)
                if subscription.may_see(order) and domain.is_listed(subscription.actor, order)
            ]
            boards[subscription] = _Updates(shown[:BOARD_LIMIT], None)
        return boards


def _scope_of(subscriptions: Iterable[OrderSubscription]) -> FeedScope:
    """Return whose orders these subscriptions are about."""
    shop_ids, user_ids, everywhere = set[UUID](), set[UUID](), False
    for each in subscriptions:
        user_ids.add(each.actor.user_id)
        if not each.actor.may(READ_ORDERS):
            continue
        if each.shop_id is not None:
            shop_ids.add(each.shop_id)
        elif each.actor.serves_all_shops:
            everywhere = True
        else:
            shop_ids |= each.actor.shop_ids
    return FeedScope(shop_ids, user_ids, everywhere)


async def _load(session: AsyncSession, updates: Collection[_Updates]) -> Mapping[UUID, OrderOut]:
    return await queries.load_orders_out(session, order_ids={order.id for update in updates for order in update.orders})


class _Renderer:
    """Encodes the orders read at one position: once for the staff of a shop, and once for its customers."""

    def __init__(self, position: Position, shown: Mapping[UUID, OrderOut]) -> None:
        self._position = position
        self._order_out = shown
        self._batches: dict[Hashable, Batch] = {}
        self._frames: dict[Hashable, Frame] = {}

    def batch(self, actor: Actor, updates: _Updates) -> Batch:
        """Return the frames of these updates for an actor. Actors who see the same get the same frames.

        Only the last frame has the position of the reading. Who resumes from an earlier one gets the others again.
        """
        forms = tuple((order.id, domain.is_staff_of(actor, order.shop_id)) for order in updates.orders)
        key = forms, updates.since
        if key not in self._batches:
            since = updates.since
            self._batches[key] = Batch([self._snapshot(forms)] if since is None else [*self._changes(forms, since)])
        return self._batches[key]

    def _snapshot(self, forms: Iterable[tuple[UUID, bool]]) -> Frame:
        return Frame(SnapshotFrame(position=str(self._position), orders=[self._order(form) for form in forms]))

    def _changes(self, forms: Sequence[tuple[UUID, bool]], since: Position) -> Iterator[Frame]:
        last = len(forms) - 1
        return (self._changed(form, self._position if at == last else since) for at, form in enumerate(forms))

    def _changed(self, form: tuple[UUID, bool], position: Position) -> Frame:
        key = form, position
        if key not in self._frames:
            self._frames[key] = Frame(ChangedOrderFrame(position=str(position), order=self._order(form)))
        return self._frames[key]

    def _order(self, form: tuple[UUID, bool]) -> OrderOut:
        order_id, is_staff = form
        order = self._order_out[order_id]
        return order if is_staff else order.without_customer()
