"""The ways to the database for what runs all the time: past SQLAlchemy's session, on the driver itself.

They run the compiled statements of `db.statement`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Protocol, Self

import asyncpg
from asyncpg.transaction import Transaction
from sqlalchemy import PoolProxiedConnection, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from crema.db.events import Bus, Event
from crema.db.session import SETTINGS, Sessions

_WAIT_SECONDS: Final = 2
_READING: Final = SETTINGS | {"server_settings": SETTINGS["server_settings"] | {"statement_timeout": "2s"}}


class Reader(Protocol):
    """Runs single statements."""

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and give all its rows."""


class PoolReader:
    """Reads on connections of its own, outside transactions, so that each statement sees its own moment.

    A caller waits 2 s at most for a connection. It is not reset between uses, since nothing here leaves state in it.
    """

    def __init__(self, url: str, *, size: int) -> None:
        self._url = url
        self._free: asyncio.LifoQueue[asyncpg.Connection | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._free.put_nowait(None)  # a place where a connection can be

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and give all its rows."""
        if self._free.empty():
            connection = await asyncio.wait_for(self._free.get(), _WAIT_SECONDS)
        else:
            connection = self._free.get_nowait()
        try:
            if connection is None or connection.is_closed():
                connection = await self._connect()
            rows: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return rows
        finally:
            self._free.put_nowait(connection)

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._url, **_READING)
        # JSON as SQLAlchemy's connections give it.
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        return connection

    async def close(self) -> None:
        """End the connections that are free."""
        while not self._free.empty():
            if connection := self._free.get_nowait():
                await connection.close(timeout=_WAIT_SECONDS)


@asynccontextmanager
async def open_reader(database_url: str, *, size: int = 5) -> AsyncIterator[PoolReader]:
    """Hold connections for single SELECTs, opened as they are needed."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    reader = PoolReader(url, size=size)
    try:
        yield reader
    finally:
        await reader.close()


class SessionReader:
    """Reads through sessions: what their connection's transaction has written, too."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and give all its rows."""
        async with self._sessions() as session:
            rows: list[asyncpg.Record] = await (await driver_of(session)).fetch(sql, *values)
            return rows


class Writer:
    """One transaction without a unit of work, on a connection of the sessions' pool; begun by its first statement.

    Leaving it commits, or rolls back what an exception has ended. Events leave after the commit.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._bind = sessions.kw["bind"]
        self._bus: Bus | None = (sessions.kw.get("info") or {}).get("bus")
        self._pooled: PoolProxiedConnection | None = None
        self._driver: Any = None
        self._transaction: Transaction | None = None
        self._events: list[Event] = []

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Run a statement and give all its rows."""
        if self._transaction is None:
            self._transaction = await self._begin()
        rows: list[asyncpg.Record] = await self._driver.fetch(sql, *values)
        return rows

    def publish(self, event: Event) -> None:
        """Send an event at the commit."""
        self._events.append(event)

    async def _begin(self) -> Transaction:
        if isinstance(self._bind, AsyncEngine):
            self._pooled = await self._bind.raw_connection()
            self._driver = self._pooled.driver_connection
        else:  # one connection, whose owner has begun a transaction on it: ours is a part of that
            self._driver = (await self._bind.get_raw_connection()).driver_connection
        transaction: Transaction = self._driver.transaction()
        await transaction.start()
        return transaction

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._transaction is not None and error is None:
                await self._transaction.commit()
            elif self._transaction is not None and not self._driver.is_closed():
                await self._transaction.rollback()
        finally:
            if self._pooled is not None:
                self._pooled.close()
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
