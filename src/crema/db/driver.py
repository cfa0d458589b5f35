"""The ways to the database for what runs all the time: past SQLAlchemy's session, on the driver itself.

They run the compiled statements of `db.statement`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Protocol, Self

import asyncpg
from asyncpg.transaction import Transaction
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.events import Bus, Event
from crema.db.session import SETTINGS, Sessions

_WAIT_SECONDS: Final = 2
_LIMITS: Final = SETTINGS["server_settings"]
READING: Final = _LIMITS | {"statement_timeout": "2s"}
WRITING: Final = _LIMITS | {"plan_cache_mode": "force_generic_plan"}
"""What is written all the time goes by primary keys: to plan it anew for its values took longer than to run it."""
SEARCHING: Final = READING | {"plan_cache_mode": "force_generic_plan"}
"""A search looks through many tables by their indexes: planning took ten times as long as running, 22 ms to 2 ms."""


class Reader(Protocol):
    """Runs single statements."""

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and give all its rows."""

    @property
    def planning_once(self) -> "Reader":
        """The same on connections that plan a statement once, whatever its values."""


class Connections(Protocol):
    """Lends connections of the driver."""

    async def take(self) -> Any:
        """Lend one."""

    def give(self, connection: Any) -> None:
        """Take it back."""


class Pool:
    """Connections opened at need. Who finds none free waits 2 s at most. They aren't reset: nobody leaves state."""

    def __init__(self, url: str, *, size: int, settings: Mapping[str, str]) -> None:
        self._url = url
        self._settings = SETTINGS | {"server_settings": settings}
        self._free: asyncio.LifoQueue[asyncpg.Connection | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._free.put_nowait(None)  # a place where a connection can be

    async def take(self) -> asyncpg.Connection:
        """Lend the connection that was used last."""
        # Only with the clock set when there is something to wait for: it costs a task.
        waiting = self._free.empty()
        found = await asyncio.wait_for(self._free.get(), _WAIT_SECONDS) if waiting else self._free.get_nowait()
        if found is not None and not found.is_closed():
            return found
        try:
            return await self._connect()
        except BaseException:
            self._free.put_nowait(None)
            raise

    def give(self, connection: asyncpg.Connection) -> None:
        """Take it back; end it if its transaction could not be, so that nobody goes on inside that."""
        if not connection.is_closed() and connection.is_in_transaction():
            connection.terminate()
        self._free.put_nowait(connection)

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._url, **self._settings)
        try:
            # JSON as on SQLAlchemy's connections, for whose types statements are compiled.
            await connection.set_type_codec(
                "jsonb",
                schema="pg_catalog",
                format="binary",
                encoder=lambda text: b"\x01" + text.encode(),
                decoder=lambda stored: json.loads(stored[1:]),
            )
        except BaseException:
            connection.terminate()  # nobody has it yet who could
            raise
        return connection

    async def close(self) -> None:
        """End the connections that are free."""
        while not self._free.empty():
            if connection := self._free.get_nowait():
                await connection.close(timeout=_WAIT_SECONDS)


@asynccontextmanager
async def open_pool(database_url: str, *, size: int, settings: Mapping[str, str]) -> AsyncIterator[Pool]:
    """Hold connections for compiled statements, until the body of this context ends."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    pool = Pool(url, size=size, settings=settings)
    try:
        yield pool
    finally:
        await pool.close()


class OneConnection:
    """The connection that sessions are bound to, by someone who has begun a transaction on it."""

    def __init__(self, sessions: Sessions) -> None:
        self._bind = sessions.kw["bind"]

    async def take(self) -> Any:
        """Lend it."""
        return (await self._bind.get_raw_connection()).driver_connection

    def give(self, connection: Any) -> None:
        """Do nothing."""


class PoolReader:
    """Reads outside transactions, so that each statement sees its own moment."""

    def __init__(self, connections: Connections, *, searching: Connections | None = None) -> None:
        self._connections = connections
        self._planning_once = PoolReader(searching) if searching else self

    @property
    def planning_once(self) -> Reader:
        """The same on connections that plan a statement once, whatever its values."""
        return self._planning_once

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and give all its rows."""
        connection = await self._connections.take()
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return rows
        finally:
            self._connections.give(connection)


class Writer:
    """One transaction without a unit of work, begun by its first statement.

    Leaving it commits, or rolls back what an exception has ended. Events leave after the commit.
    """

    def __init__(self, connections: Connections, bus: Bus | None) -> None:
        self._connections = connections
        self._bus = bus
        self._driver: Any = None
        self._transaction: Transaction | None = None
        self._events: list[Event] = []

    @property
    def planning_once(self) -> Reader:
        """Itself: what it writes is planned so, too."""
        return self

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and give all its rows."""
        if self._transaction is None:
            self._driver = self._driver or await self._connections.take()
            transaction = self._driver.transaction()
            await transaction.start()
            self._transaction = transaction
        rows: list[asyncpg.Record] = await self._driver.fetch(sql, *values)
        return rows

    def publish(self, event: Event) -> None:
        """Send an event at the commit."""
        self._events.append(event)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._driver is None:
            return
        try:
            if self._transaction is not None and error is None:
                await self._transaction.commit()
            elif self._transaction is not None and not self._driver.is_closed():
                await self._transaction.rollback()
        finally:
            self._connections.give(self._driver)
        if error is None and self._bus is not None:
            for event in self._events:
                self._bus.put(event)


async def driver_of(session: AsyncSession) -> Any:
    """Give the driver's connection that a session's transaction runs on."""
    connection = await session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if not driver.is_in_transaction():  # SQLAlchemy begins it with a first statement of its own
        await connection.exec_driver_sql("SELECT 1")
    return driver
