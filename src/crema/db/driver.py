"""The ways to the database for what runs all the time: past SQLAlchemy's session, on the driver itself.

They run the compiled statements of `db.statement`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Protocol, Self

import asyncpg
from asyncpg.transaction import Transaction
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.events import Bus, Event
from crema.db.session import SETTINGS

_WAIT_SECONDS: Final = 2
_LIMITS: Final = SETTINGS["server_settings"]
READING: Final = _LIMITS | {"statement_timeout": "2s"}
WRITING: Final = _LIMITS | {"plan_cache_mode": "force_generic_plan"}
"""What is written all the time goes by primary keys: to plan it anew for its values took longer than to run it."""
SEARCHING: Final = READING | {"plan_cache_mode": "force_generic_plan"}
"""A search looks through many tables by their indexes: planning took ten times as long as running, 22 ms to 2 ms."""


IDENTITY_CONNECTIONS: Final = 3
"""For who is asking: one indexed row each, at every request."""
HEALTH_CONNECTIONS: Final = 1


class Reader(Protocol):
    """Runs single statements."""

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and give all its rows."""

    @property
    def planning_once(self) -> "Reader":
        """The same on connections that plan a statement once, whatever its values."""


class Connections(Protocol):
    """Lends connections of the driver, such as `asyncpg.Pool`."""

    def acquire(self) -> Awaitable[Any]:
        """Lend one."""

    def release(self, connection: Any) -> Awaitable[None]:
        """Take it back."""


@asynccontextmanager
async def open_pool(database_url: str, *, size: int, settings: Mapping[str, str]) -> AsyncIterator[asyncpg.Pool]:
    """Hold up to `size` connections for compiled statements, opened at need, until the body of this context ends.

    They aren't reset between uses, which would cost a round trip: nobody leaves state on them. asyncpg rolls a
    transaction back that somebody left open.
    """
    pool = asyncpg.create_pool(
        make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False),
        min_size=0,
        max_size=size,
        init=_set_json_codec,
        reset=_keep,
        **SETTINGS | {"server_settings": settings},
    )
    await pool
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def _set_json_codec(connection: asyncpg.Connection) -> None:
    """Read and write JSON as on SQLAlchemy's connections, for whose types statements are compiled."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda text: b"\x01" + text.encode(),
        decoder=lambda stored: json.loads(stored[1:]),
    )


async def _keep(connection: asyncpg.Connection) -> None:
    del connection


async def _acquire(connections: Connections) -> Any:
    """Lend a connection; TimeoutError when none gets free in 2 s."""
    async with asyncio.timeout(_WAIT_SECONDS):
        return await connections.acquire()


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
        connection = await _acquire(self._connections)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return rows
        finally:
            await self._connections.release(connection)


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
            self._driver = self._driver or await _acquire(self._connections)
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
            await self._connections.release(self._driver)
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
