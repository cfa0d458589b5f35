"""The clients connected to this process: their record in the database, their rights, and what wakes their feeds.

Whoever is connected is told what the tables say, read when an event comes and every so often unasked. So order and
completeness come from the tables, and an event that got lost delays, but loses nothing.
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
from crema.db.events import Bus, Event
from crema.db.session import Sessions, make_snapshots
from crema.live import queries, service
from crema.live.domain import TOO_MANY, TOO_SLOW
from crema.live.hub.subscriptions import Subscription
from crema.web.problem import DATABASE_AWAY

log = structlog.get_logger(__name__)

SEND_SECONDS: Final = 20
"""A reader that takes nothing for so long is cut off."""
CHECK_SECONDS: Final = 0.5
"""How often logins, roles and places are looked at: two statements for all clients of a process."""
HEARTBEAT_SECONDS: Final = 5
MAX_TRANSACTIONS: Final = 4
"""Transactions that all clients of a process have at a time: a herd that comes back waits."""
MAX_FEEDS: Final = 4
"""Feeds read beside them, one transaction each."""
CONNECTIONS: Final = MAX_TRANSACTIONS + MAX_FEEDS
"""Connections of the database for clients and feeds alone, so that HTTP never waits behind them, nor they for it."""
GONE: Final = (*DATABASE_AWAY, SQLAlchemyError)
"""What a database that is away raises."""


class Follower(Protocol):
    """What hears of events: a feed."""

    def handle_event(self, event: Event | None) -> None:
        """Take an event, or None after a loss: anything may have happened."""

    def poll_if_due(self, *, now: float) -> None:
        """Look for oneself, if one has not for a while. `now` is of the monotonic clock."""


class Hub:
    """The connected clients of one process, and the feeds that tell them what is new."""

    def __init__(self, *, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._snapshots = make_snapshots(sessions)
        self._process_id = new_id()
        self._turns = asyncio.Semaphore(MAX_TRANSACTIONS)
        self._subscriptions: set[Subscription] = set()
        self._feeds: list[Follower] = []
        self._heartbeat_at = 0.0
        self.now = clock

    def add_feed(self, feed: Follower) -> None:
        """Let a feed hear of events from now on."""
        assert len(self._feeds) < MAX_FEEDS, "each needs a connection to itself"
        self._feeds.append(feed)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction for a client, in its turn; never one inside another."""
        async with self._turns, self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """Open a feed's transaction, whose statements all see the database as it was at the first of them.

        A feed compares what several statements read: a message must not be seen without the move that hides it.
        """
        async with self._snapshots.begin() as session:
            yield session

    @asynccontextmanager
    async def connected(self, subscription: Subscription, *, replaces: bool = True) -> AsyncIterator[None]:
        """Keep the record of a connected client while the body of this context runs.

        A person's sixth takes the place of their oldest or, unless it `replaces`, raises TooManySocketsError.
        """
        async with self.transaction() as session:
            await self._heartbeat(session)
            await service.add_connection(
                session,
                connection_id=subscription.id,
                process_id=self._process_id,
                user_id=subscription.actor.user_id,
                topic=subscription.topic,
                replaces=replaces,
            )
        self._subscriptions.add(subscription)
        try:
            yield
        finally:
            self._subscriptions.discard(subscription)
            await asyncio.shield(self._disconnect(subscription))

    async def _disconnect(self, subscription: Subscription) -> None:
        with suppress(*GONE):  # then the record goes with the process
            async with self.transaction() as session:
                await service.remove_connection(session, connection_id=subscription.id, topic=subscription.topic)

    def handle_event(self, event: Event | None) -> None:
        """Pass an event on to the feeds; None, after a lost connection, concerns everybody."""
        for feed in self._feeds:
            feed.handle_event(event)

    async def check(self, session: AsyncSession, subscriptions: Collection[Subscription]) -> None:
        """Let subscriptions follow the rights of their people; those that may not stay are told to close."""
        subscriptions = tuple(subscriptions)  # others may come meanwhile
        ids = {each.actor.session_id for each in subscriptions}
        actors = await accounts.find_actors(session, session_ids=ids, now=self.now())
        for each in subscriptions:
            each.follow(actors.get(each.actor.session_id))

    async def _close_replaced(self, session: AsyncSession, subscriptions: Collection[Subscription]) -> None:
        """Close the clients whose place a newer one of the same person took."""
        subscriptions = tuple(subscriptions)
        kept = await queries.find_connections(session, process_id=self._process_id)
        if kept is None:
            return  # the whole process had been given up for dead: the next heartbeat restores its records
        for each in subscriptions:
            if each.id not in kept:
                each.close(TOO_MANY)

    @asynccontextmanager
    async def running(self, bus: Bus) -> AsyncIterator[None]:
        """Listen to all processes, and watch over logins, while the body of this context runs."""
        watch = asyncio.create_task(self._watch(), name="live.watch")
        try:
            async with bus.listening(self.handle_event):
                yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            with suppress(*GONE):
                async with self.transaction() as session:
                    await service.remove_process(session, process_id=self._process_id)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            self._look_at_clocks()
            if not self._subscriptions:
                continue
            try:
                async with self.transaction() as session:
                    await self.check(session, self._subscriptions)
                    await self._close_replaced(session, self._subscriptions)
                    if time.monotonic() - self._heartbeat_at > HEARTBEAT_SECONDS:
                        await service.remove_dead_processes(session)
                        await self._heartbeat(session)
            except GONE as error:
                log.warning("logins_unwatched", error=type(error).__name__)

    def _look_at_clocks(self) -> None:
        """Let feeds poll that have not read for a while, and cut off clients that read no more."""
        now = time.monotonic()
        for feed in self._feeds:
            feed.poll_if_due(now=now)
        for each in self._subscriptions:
            if each.busy_since is not None and now - each.busy_since > SEND_SECONDS:
                each.close(TOO_SLOW)

    async def _heartbeat(self, session: AsyncSession) -> None:
        """Say that this process lives; if it had been given up, restore the records of its clients."""
        self._heartbeat_at = time.monotonic()
        if not await service.heartbeat(session, process_id=self._process_id):
            connections = [
                (each.id, each.actor.user_id, each.topic) for each in self._subscriptions if not each.closing
            ]
            await service.restore_connections(session, process_id=self._process_id, connections=connections)
