"""Hints: they tell other processes that something happened.

A hint names topics and may carry a small frame, but no content: subscribers read that from the database. It is sent
after the commit of its transaction, on a connection of its own: transactions with a NOTIFY commit one after another. An
hint is lost if its process is killed in between, or the broker is away. So subscribers also read at intervals, and
when their connection comes back.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import asyncpg
import nats
import nats.errors
import structlog
from sqlalchemy import event as orm_events
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

log = structlog.get_logger(__name__)

CHANNEL: Final = "crema"
HEARTBEAT_SECONDS: Final = 5
RETRY_SECONDS: Final = 0.5
PACE_SECONDS: Final = 0.01
"""The least time between two batches: under load, hints are sent together rather than in a statement each."""
MAX_WAITING: Final = 10_000
"""Hints kept while the connection is interrupted; older ones are dropped."""
BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Hint:
    """What happened, by topics; up to 8 kB as JSON."""

    topics: tuple[str, ...]
    frame: dict[str, Any] | None = None

    def dump(self) -> str:
        """Return the hint as JSON."""
        return json.dumps({"topics": self.topics, "frame": self.frame})

    @classmethod
    def load(cls, text: str | bytes) -> "Hint":
        """Return the hint that `dump` wrote."""
        fields = json.loads(text)
        return cls(tuple(fields["topics"]), fields["frame"])


HintHandler = Callable[[Hint | None], None]
"""Called with each hint, and with None after the connection was lost: hints may be missing."""


class Bus(Protocol):
    """Carries hints between processes."""

    def publish(self, hint: Hint) -> None:
        """Send a hint soon, without waiting for it."""

    def subscribed(self, handler: HintHandler) -> AbstractAsyncContextManager[None]:
        """Send hints, and call `handler` with the hints of all processes, until this context ends."""


class HintSession(Session):
    """A session that sends its hints after its commit."""


class PublishingTransaction(Protocol):
    """A transaction without a session, such as `db.driver.Writer`."""

    def publish(self, hint: Hint) -> None:
        """Send a hint after the commit."""


def publish(
    tx: AsyncSession | PublishingTransaction, *, topics: Sequence[str], frame: dict[str, Any] | None = None
) -> None:
    """Send a hint after the commit of the transaction; a rollback drops it."""
    hint = Hint(tuple(topics), frame)
    if not isinstance(tx, AsyncSession):
        tx.publish(hint)
    elif tx.info.get("bus") is not None:
        tx.info.setdefault("hints", []).append(hint)


@orm_events.listens_for(HintSession, "after_commit")
def _send(session: Session) -> None:
    if not session.in_nested_transaction():
        for hint in session.info.pop("hints", ()):
            session.info["bus"].publish(hint)


@orm_events.listens_for(HintSession, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop("hints", None)


class _EventPublisher:
    """The hints of this process that aren't sent yet; subclasses connect to what carries them."""

    def __init__(self) -> None:
        self._waiting: deque[Hint] = deque(maxlen=MAX_WAITING)
        self._some = asyncio.Event()
        self._next_at = 0.0

    def publish(self, hint: Hint) -> None:
        """Send a hint soon, without waiting for it."""
        self._waiting.append(hint)
        self._some.set()

    async def _batch(self) -> list[str]:
        """Return the next hints, or none if a heartbeat is due; at least PACE_SECONDS after the last batch."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._some.wait()
        if (pause := self._next_at - time.monotonic()) > 0:
            await asyncio.sleep(pause)
        self._next_at = time.monotonic() + PACE_SECONDS
        return [hint.dump() for hint in list(self._waiting)[:BATCH]]

    def _sent(self, batch: Sequence[str]) -> None:
        for _ in range(min(len(batch), len(self._waiting))):
            self._waiting.popleft()
        if not self._waiting:
            self._some.clear()

    @asynccontextmanager
    async def subscribed(self, handler: HintHandler) -> AsyncIterator[None]:
        """Send hints, and call `handler` with the hints of all processes, until this context ends."""
        task = asyncio.create_task(self._keep_connected(handler), name="events")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_connected(self, handler: HintHandler) -> None:
        told = ""
        while True:
            started = time.monotonic()
            try:
                await self._connected(handler)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, nats.errors.Error) as error:
                if told != repr(error) or time.monotonic() - started > HEARTBEAT_SECONDS:
                    log.warning("events_interrupted", error=repr(error)[:200])
                told = repr(error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _connected(self, handler: HintHandler) -> None:
        raise NotImplementedError


class PostgresBus(_EventPublisher):
    """Hints by PostgreSQL's LISTEN and NOTIFY."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self._url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)

    async def _connected(self, handler: HintHandler) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=2, command_timeout=2, server_settings={"application_name": "crema events"}
        )
        try:
            await connection.add_listener(CHANNEL, lambda *heard: handler(Hint.load(heard[-1])))
            handler(None)
            while True:
                batch = await self._batch()
                await connection.execute("SELECT pg_notify($1, hint) FROM unnest($2::text[]) hint", CHANNEL, batch)
                self._sent(batch)
        finally:
            connection.terminate()


class NatsBus(_EventPublisher):
    """A NATS server, for more messages than NOTIFY's single queue carries."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    async def _connected(self, handler: HintHandler) -> None:
        lost = asyncio.Event()

        async def lose(*_: object) -> None:
            lost.set()

        connection = await nats.connect(
            self._url, connect_timeout=2, allow_reconnect=False, error_cb=lose, disconnected_cb=lose, closed_cb=lose
        )

        async def hear(message: Any) -> None:
            handler(Hint.load(message.data))

        try:
            await connection.subscribe(CHANNEL, cb=hear)
            await connection.flush(timeout=2)
            handler(None)
            while not lost.is_set():
                batch = await self._batch()
                for hint in batch:
                    await connection.publish(CHANNEL, hint.encode())
                await connection.flush(timeout=2)  # the heartbeat, too: it waits for the server's answer
                self._sent(batch)
        finally:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await connection.close()


def open_bus(events_url: str | None, *, database_url: str) -> Bus:
    """Choose the carrier: `nats://…` or, without an address, the database."""
    if events_url is None:
        return PostgresBus(database_url)
    return NatsBus(events_url)
