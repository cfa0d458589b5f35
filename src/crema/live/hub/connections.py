"""The connections of this process: their records in the database, their rights, and the hints for their feeds.

Connections get what is in the tables, read when a hint comes and at intervals without one. So order and
completeness come from the tables: a lost hint delays what it is about, but nothing is lost.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.db.base import new_id
from crema.db.hints import Bus, Hint
from crema.db.session import Sessions, make_snapshot_sessions
from crema.live import queries, service
from crema.live.domain import TOO_MANY, TOO_SLOW
from crema.live.hub.subscriptions import Subscription
from crema.web.problem import DATABASE_UNAVAILABLE

log = structlog.get_logger(__name__)

SEND_SECONDS: Final = 20
"""A client that reads nothing for so long is disconnected."""
CHECK_SECONDS: Final = 0.5
"""How often logins, roles and connections are checked, with two statements for all connections of a process."""
HEARTBEAT_SECONDS: Final = 5
MAX_TRANSACTIONS: Final = 4
"""Transactions that all connections of a process may have at once. When all clients reconnect, most wait."""
MAX_FEEDS: Final = 4
"""Feeds, each of which may have one more transaction."""
CONNECTIONS: Final = MAX_TRANSACTIONS + MAX_FEEDS
"""Database connections for sockets and feeds only, so that they and HTTP requests never wait for each other."""
DATABASE_ERRORS: Final = (*DATABASE_UNAVAILABLE, SQLAlchemyError)
"""The exceptions of a database that can't be reached."""


class HintReceiver(Protocol):
    """A receiver of hints: a feed."""

    def handle_hint(self, hint: Hint | None) -> None:
        """Handle a hint, or None when hints may have been lost."""

    def poll_if_due(self, *, now: float) -> None:
        """Read the tables if that wasn't done for a while. `now` is of the monotonic clock."""


class Hub:
    """The connections of one process, and the feeds that send them what is new."""

    def __init__(self, *, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._snapshots = make_snapshot_sessions(sessions)
        self._process_id = new_id()
        self._transaction_slots = asyncio.Semaphore(MAX_TRANSACTIONS)
        self._subscriptions: set[Subscription] = set()
        self._feeds: list[HintReceiver] = []
        self._heartbeat_at = 0.0
        self.now = clock

    def add_feed(self, feed: HintReceiver) -> None:
        """Pass hints to this feed from now on."""
        assert len(self._feeds) < MAX_FEEDS, "each needs a database connection of its own"
        self._feeds.append(feed)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction for a connection, after waiting for a free slot. Never open one inside another."""
        async with self._transaction_slots, self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """Open a feed's transaction. All its statements see the database as it was at the first of them.

        A feed compares the results of several statements: it must not see a message without the change that hides it.
        """
        async with self._snapshots.begin() as session:
            yield session

    @asynccontextmanager
    async def connected(self, subscription: Subscription, *, replaces_oldest: bool = True) -> AsyncIterator[None]:
        """Keep the record of a connection while the body of this context runs.

        Beyond MAX_CONNECTIONS it replaces the person's oldest or, unless it `replaces_oldest`, raises
        TooManySocketsError.
        """
        async with self.transaction() as session:
            await self._heartbeat(session)
            await service.add_connection(
                session,
                connection_id=subscription.id,
                process_id=self._process_id,
                user_id=subscription.actor.user_id,
                topic=subscription.topic,
                replaces_oldest=replaces_oldest,
            )
        self._subscriptions.add(subscription)
        try:
            yield
        finally:
            self._subscriptions.discard(subscription)
            await asyncio.shield(self._disconnect(subscription))

    async def _disconnect(self, subscription: Subscription) -> None:
        with suppress(*DATABASE_ERRORS):  # then the record is deleted with the process
            async with self.transaction() as session:
                await service.remove_connection(session, connection_id=subscription.id, topic=subscription.topic)

    def handle_hint(self, hint: Hint | None) -> None:
        """Pass a hint to the feeds. None, after a lost connection to the broker, is for all topics."""
        for feed in self._feeds:
            feed.handle_hint(hint)

    async def check(self, session: AsyncSession, subscriptions: Collection[Subscription]) -> None:
        """Update the actors of subscriptions, and close those that are not allowed any more."""
        subscriptions = tuple(subscriptions)  # the set may change meanwhile
        ids = {each.actor.session_id for each in subscriptions}
        actors = await accounts.find_actors(session, session_ids=ids, now=self.now())
        for each in subscriptions:
            each.update_actor(actors.get(each.actor.session_id))

    async def _close_replaced(self, session: AsyncSession, subscriptions: Collection[Subscription]) -> None:
        """Close the connections that a newer one of the same person has replaced."""
        subscriptions = tuple(subscriptions)
        kept = await queries.find_connections(session, process_id=self._process_id)
        if kept is None:
            return  # the process counted as dead: the next heartbeat restores its records
        for each in subscriptions:
            if each.id not in kept:
                each.close(TOO_MANY)

    @asynccontextmanager
    async def running(self, bus: Bus) -> AsyncIterator[None]:
        """Receive hints and check logins while the body of this context runs."""
        watch = asyncio.create_task(self._watch(), name="live.watch")
        try:
            async with bus.subscribed(self.handle_hint):
                yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            with suppress(*DATABASE_ERRORS):
                async with self.transaction() as session:
                    await service.remove_process(session, process_id=self._process_id)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            self._check_timeouts()
            if not self._subscriptions:
                continue
            try:
                async with self.transaction() as session:
                    await self.check(session, self._subscriptions)
                    await self._close_replaced(session, self._subscriptions)
                    if time.monotonic() - self._heartbeat_at > HEARTBEAT_SECONDS:
                        await service.remove_dead_processes(session)
                        await self._heartbeat(session)
            except DATABASE_ERRORS as error:
                log.warning("logins_unwatched", error=type(error).__name__)

    def _check_timeouts(self) -> None:
        """Poll feeds that have not read for a while, and close connections whose client reads nothing."""
        now = time.monotonic()
        for feed in self._feeds:
            feed.poll_if_due(now=now)
        for each in self._subscriptions:
            if each.busy_since is not None and now - each.busy_since > SEND_SECONDS:
                each.close(TOO_SLOW)

    async def _heartbeat(self, session: AsyncSession) -> None:
        """Record that this process is alive, and restore the records of its connections if they were deleted."""
        self._heartbeat_at = time.monotonic()
        if not await service.heartbeat(session, process_id=self._process_id):
            connections = [
                (each.id, each.actor.user_id, each.topic) for each in self._subscriptions if not each.closing
            ]
            await service.restore_connections(session, process_id=self._process_id, connections=connections)
