"""Feeds: they read the tables once for all connections of this process, and push what is new to each."""

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

from crema.db.hints import Hint
from crema.live.domain import SERVER_BUSY
from crema.live.hub.connections import DATABASE_ERRORS, Hub
from crema.live.hub.subscriptions import Subscription

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 15
"""How often a feed reads without a hint. A lost hint causes a delay up to this long."""
MAX_PAUSE: Final = 0.25
"""The longest pause between two readings, in seconds."""
MAX_DUE_AT_ONCE: Final = 100
"""Subscriptions that are read for separately in one reading, so that many reconnecting clients don't delay others."""

SubscriptionT = TypeVar("SubscriptionT", bound=Subscription)


class Feed(ABC, Generic[SubscriptionT]):
    """A live feed of one kind of changes, for all its subscriptions in this process.

    It reads when a hint wakes it, when a subscription is due, and every POLL_SECONDS. Hints that come while it
    reads or pauses are read together. One reading is one snapshot of the database. The rights of all who get something
    are read in the same snapshot, so nobody gets what was written after their rights ended.
    """

    pause_factor: float = 1
    """The pause after a reading, as a multiple of its duration. A longer pause makes each change cheaper under load,
    and later."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._by_topic: dict[str, set[SubscriptionT]] = defaultdict(set)
        self._topics: dict[SubscriptionT, frozenset[str]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._is_woken = False
        self._read_at = time.monotonic()
        hub.add_feed(self)

    @asynccontextmanager
    async def subscribed(self, subscription: SubscriptionT, *, replaces_oldest: bool = True) -> AsyncIterator[None]:
        """Push what is new to a subscription while the body of this context runs.

        Beyond MAX_CONNECTIONS it replaces the person's oldest or, unless it `replaces_oldest`, raises
        TooManySocketsError.
        """
        subscription.wake_feed = self.wake
        self._subscribe(subscription)
        try:
            async with self._hub.connected(subscription, replaces_oldest=replaces_oldest):
                try:
                    yield
                finally:
                    await asyncio.shield(self._leave(subscription))
        finally:
            await asyncio.shield(self._leave(subscription))  # if it could not connect

    async def _leave(self, subscription: SubscriptionT) -> None:
        """Remove a subscription. After the last one the feed stops, but never during a statement."""
        self._remove(subscription)
        async with self._reading:
            if self._topics or self._reader is None:
                return
            self._reader.cancel()  # it is pausing, since this holds the lock
            self._reader = None
            self.reset()

    def reset(self) -> None:
        """Forget the last reading: there are no subscriptions any more."""

    def handle_hint(self, hint: Hint | None) -> None:
        """Read what is new if a hint has a topic with subscriptions, or when hints may have been lost (None)."""
        if hint is None:
            self.poll()
        elif any(topic in self._by_topic for topic in hint.topics):
            self.wake()

    def poll_if_due(self, *, now: float) -> None:
        """Read if nothing was read for POLL_SECONDS of the monotonic clock."""
        if self._topics and now - self._read_at > POLL_SECONDS:
            self.poll()

    def poll(self) -> None:
        """Read whatever is new, without a hint."""
        self.wake()

    def wake(self) -> None:
        """Read soon, if there are subscriptions."""
        self._is_woken = True
        if self._topics and (self._reader is None or self._reader.done()):
            self._reader = asyncio.create_task(self._run(), name=type(self).__name__, context=Context())

    async def _run(self) -> None:
        while self._is_woken and self._topics:
            self._is_woken = False
            self._read_at = time.monotonic()
            try:
                async with self._reading, self._hub.snapshot() as session:
                    await self._read(session)
            except DATABASE_ERRORS as error:
                log.warning("feed_interrupted", feed=type(self).__name__, error=type(error).__name__)
                self._close_all()
            except Exception:
                self._close_all()  # else they would wait for ever; asyncio logs the exception
                raise
            await asyncio.sleep(min(MAX_PAUSE, (time.monotonic() - self._read_at) * self.pause_factor))

    def _close_all(self) -> None:
        for subscription in self._topics:
            subscription.close(SERVER_BUSY)

    @abstractmethod
    async def _read(self, session: AsyncSession) -> None:
        """Read what is new in this snapshot, and push it to the subscriptions that may see it."""

    @abstractmethod
    def _topics_of(self, subscription: SubscriptionT) -> Iterable[str]:
        """Return the topics of a subscription."""

    def _subscribe(self, subscription: SubscriptionT) -> None:
        """Add a subscription with the topics of its present rights, instead of its former topics."""
        self._remove(subscription)
        self._topics[subscription] = frozenset(self._topics_of(subscription))
        for topic in self._topics[subscription]:
            self._by_topic[topic].add(subscription)

    def _remove(self, subscription: SubscriptionT) -> None:
        for topic in self._topics.pop(subscription, ()):
            self._by_topic[topic].discard(subscription)
            if not self._by_topic[topic]:
                del self._by_topic[topic]

    def _take_due(self) -> list[SubscriptionT]:
        """Return the subscriptions to read for separately now. If there are too many, the others follow next time."""
        due = [subscription for subscription in self._topics if subscription.needs_reading]
        if len(due) > MAX_DUE_AT_ONCE:
            self._is_woken = True
        return due[:MAX_DUE_AT_ONCE]

    async def _check(self, session: AsyncSession, subscriptions: Collection[SubscriptionT]) -> None:
        """Update the actors of subscriptions in the snapshot of the reading."""
        if subscriptions:
            await self._hub.check(session, subscriptions)
