"""Run the compiled statements of `db.statement` on asyncpg itself, without SQLAlchemy's session."""

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

from crema.db.hints import Bus, Hint
from crema.db.session import CONNECT_ARGS

_WAIT_SECONDS: Final = 2
_SERVER_SETTINGS: Final = CONNECT_ARGS["server_settings"]
READ_SETTINGS: Final = _SERVER_SETTINGS | {"statement_timeout": "2s"}
WRITE_SETTINGS: Final = _SERVER_SETTINGS | {"plan_cache_mode": "force_generic_plan"}
"""Writes use primary keys: planning one anew for its values took longer than running it."""
SEARCH_SETTINGS: Final = READ_SETTINGS | {"plan_cache_mode": "force_generic_plan"}
"""A search reads many tables by their indexes: planning took 22 ms, running 2 ms."""


IDENTITY_CONNECTIONS: Final = 3
"""Connections that load the actor of a request: one indexed row each."""
HEALTH_CONNECTIONS: Final = 1


class Reader(Protocol):
    """Runs single statements."""

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and return all its rows."""

    @property
    def planning_once(self) -> "Reader":
        """The same reader on connections that plan a statement once for all values."""


class Connections(Protocol):
    """A source of asyncpg connections, such as `asyncpg.Pool`."""

    def acquire(self) -> Awaitable[Any]:
        """Return a connection, which the caller releases."""

    def release(self, connection: Any) -> Awaitable[None]:
        """Take a connection back."""


@asynccontextmanager
async def open_pool(database_url: str, *, size: int, settings: Mapping[str, str]) -> AsyncIterator[asyncpg.Pool]:
    """Return a pool of up to `size` connections for compiled statements, closed when this context ends.

    Connections open when they are needed. They aren't reset between uses, which would cost a round trip: no statement
    leaves state on them, and asyncpg rolls back a transaction that was left open.
    """
    pool = asyncpg.create_pool(
        make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False),
        min_size=0,
        max_size=size,
        init=_set_json_codec,
        reset=_do_not_reset,
        **CONNECT_ARGS | {"server_settings": settings},
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
    """Read and write JSON as SQLAlchemy's connections do: statements are compiled for its types."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda text: b"\x01" + text.encode(),
        decoder=lambda stored: json.loads(stored[1:]),
    )


async def _do_not_reset(connection: asyncpg.Connection) -> None:
    del connection


async def _acquire(connections: Connections) -> Any:
    """Return a connection, or raise TimeoutError if none is free within 2 s."""
    async with asyncio.timeout(_WAIT_SECONDS):
        return await connections.acquire()


class PoolReader:
    """Runs reads outside transactions: each statement sees its own snapshot."""

    def __init__(self, connections: Connections, *, searching: Connections | None = None) -> None:
        self._connections = connections
        self._planning_once = PoolReader(searching) if searching else self

    @property
    def planning_once(self) -> Reader:
        """The same reader on connections that plan a statement once for all values."""
        return self._planning_once

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and return all its rows."""
        connection = await _acquire(self._connections)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return rows
        finally:
            await self._connections.release(connection)


class Writer:
    """A transaction of compiled statements, without SQLAlchemy's unit of work. The first statement begins it.

    Leaving the context commits, or rolls back after an exception. Hints are sent after the commit.
    """

    def __init__(self, connections: Connections, bus: Bus | None) -> None:
        self._connections = connections
        self._bus = bus
        self._connection: Any = None
        self._transaction: Transaction | None = None
        self._hints: list[Hint] = []

    @property
    def planning_once(self) -> Reader:
        """Itself: its connections plan a statement once, too."""
        return self

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and return all its rows."""
        rows: list[asyncpg.Record] = await (await self.connection()).fetch(sql, *values)
        return rows

    async def connection(self) -> Any:
        """Return the driver's connection, in the transaction, which begins if it hasn't."""
        if self._transaction is None:
            self._connection = self._connection or await _acquire(self._connections)
            transaction = self._connection.transaction()
            await transaction.start()
            self._transaction = transaction
        return self._connection

    def publish(self, hint: Hint) -> None:
        """Send a hint after the commit."""
        self._hints.append(hint)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is None:
            return
        try:
            if self._transaction is not None and error is None:
                await self._transaction.commit()
            elif self._transaction is not None and not self._connection.is_closed():
                await self._transaction.rollback()
        finally:
            await self._connections.release(self._connection)
        if error is None and self._bus is not None:
            for hint in self._hints:
                self._bus.publish(hint)


async def raw_connection(session: AsyncSession) -> Any:
    """Return the asyncpg connection that a session's transaction runs on."""
    connection = await session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if not driver.is_in_transaction():  # SQLAlchemy begins it with a first statement of its own
        await connection.exec_driver_sql("SELECT 1")
    return driver


@asynccontextmanager
async def savepoint(tx: Writer | AsyncSession) -> AsyncIterator[None]:
    """Undo what compiled statements do in the body, and give their locks back, if it raises."""
    driver = await tx.connection() if isinstance(tx, Writer) else await raw_connection(tx)
    async with driver.transaction():
        yield
