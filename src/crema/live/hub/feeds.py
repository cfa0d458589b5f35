"""What is read from the tables once for all clients of this process, and told to those whom it concerns."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Final, Generic, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.events import Event
from crema.live.domain import SERVER_BUSY
from crema.live.hub.connections import GONE, Hub
from crema.live.hub.subscriptions import Subscription

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 15
"""How often a feed reads that heard of nothing: an event that got lost delays so long."""
MAX_PAUSE: Final = 0.25
"""Seconds between two readings at most, however long they take."""
DUE_AT_ONCE: Final = 100
"""Clients that get a reading of their own with one of the feed's: a herd that comes back delays the others little."""

SubscriptionT = TypeVar("SubscriptionT", bound=Subscription)


class Feed(ABC, Generic[SubscriptionT]):
    """One kind of news, for all its subscriptions in this process.

    It reads when an event wakes it, when a subscription is due, and every POLL_SECONDS. What comes while it reads and
    pauses is read together. One reading is one snapshot of the database: rights are looked up in it for all whom it
    tells something, so nobody is told what was written after their rights ended.
    """

    pause_factor: float = 1
    """How long it pauses after a reading, in times of what that took. More makes each order, message … cheaper under
    load, and later."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._by_topic: dict[str, set[SubscriptionT]] = defaultdict(set)
        self._topics: dict[SubscriptionT, frozenset[str]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._is_woken = False
        self._read_at = time.monotonic()
        hub.add_feed(self)

    @asynccontextmanager
    async def subscribed(self, subscription: SubscriptionT, *, replaces: bool = True) -> AsyncIterator[None]:
        """Tell a client what is new while the body of this context runs.

        A person's sixth takes the place of their oldest or, unless it `replaces`, raises TooManySocketsError.
        """
        subscription.ask = self.wake
        self._listen(subscription)
        try:
            async with self._hub.connected(subscription, replaces=replaces):
                yield
        finally:
            self._forget(subscription)
            if not self._topics:
                self._stop()

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        self.reset()

    def reset(self) -> None:
        """Forget what was read: nobody is subscribed any more, so nothing is told on from there."""

    def handle_event(self, event: Event | None) -> None:
        """Read what is new, if it is of a topic that somebody follows; None, after a loss, may be anything."""
        if event is None:
            self.poll()
        elif any(topic in self._by_topic for topic in event.topics):
            self.wake()

    def poll_if_due(self, *, now: float) -> None:
        """Read once more if nothing was read for POLL_SECONDS of the monotonic clock."""
        if self._topics and now - self._read_at > POLL_SECONDS:
            self.poll()

    def poll(self) -> None:
        """Read whatever is new, though no event said what."""
        self.wake()

    def wake(self) -> None:
        """Read soon, unless nobody is subscribed."""
        self._is_woken = True
        if self._topics and (self._reader is None or self._reader.done()):
            self._reader = asyncio.create_task(self._run(), name=type(self).__name__, context=Context())

    async def _run(self) -> None:
        while self._is_woken and self._topics:
            self._is_woken = False
            self._read_at = time.monotonic()
            try:
                async with self._hub.snapshot() as session:
                    await self._read(session)
            except GONE as error:
                log.warning("feed_interrupted", feed=type(self).__name__, error=type(error).__name__)
                self._close_all()
            except Exception:
                self._close_all()  # else they would wait for ever; asyncio logs the rest
                raise
            await asyncio.sleep(min(MAX_PAUSE, (time.monotonic() - self._read_at) * self.pause_factor))

    def _close_all(self) -> None:
        for subscription in self._topics:
            subscription.close(SERVER_BUSY)

    @abstractmethod
    async def _read(self, session: AsyncSession) -> None:
        """Read what is new, in one snapshot, and push it to those whom it concerns."""

    @abstractmethod
    def _topics_of(self, subscription: SubscriptionT) -> Iterable[str]:
        """Name what a subscription is told of."""

    def _listen(self, subscription: SubscriptionT) -> None:
        """Follow the topics that a subscription has by its present rights, and no others."""
        self._forget(subscription)
        self._topics[subscription] = frozenset(self._topics_of(subscription))
        for topic in self._topics[subscription]:
            self._by_topic[topic].add(subscription)

    def _forget(self, subscription: SubscriptionT) -> None:
        for topic in self._topics.pop(subscription, ()):
            self._by_topic[topic].discard(subscription)
            if not self._by_topic[topic]:
                del self._by_topic[topic]

    def _take_due(self) -> list[SubscriptionT]:
        """Give those that get a reading of their own now. The others' turn comes with the next."""
        due = [subscription for subscription in self._topics if subscription.wants_reading]
        if len(due) > DUE_AT_ONCE:
            self._is_woken = True
        return due[:DUE_AT_ONCE]

    async def _check(self, session: AsyncSession, subscriptions: Collection[SubscriptionT]) -> None:
        """Let subscriptions follow their people's rights as the reading's snapshot has them."""
        if subscriptions:
            await self._hub.check(session, subscriptions)
