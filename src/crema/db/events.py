"""Telling other processes that something happened: PostgreSQL's LISTEN and NOTIFY.

A notification is published in the transaction of the change, so it comes after the commit or not at all. It carries
ids and small frames, never the content: whoever listens reads that itself, and so misses nothing that a lost
connection swallowed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import func, make_url, select
from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

CHANNEL: Final = "crema"
HEARTBEAT_SECONDS: Final = 5
RETRY_SECONDS: Final = 0.5

Notice = Callable[[dict[str, Any] | None], None]
"""Takes one event, or None after a loss of the connection: anything may have happened meanwhile."""


async def publish(session: AsyncSession, event: Mapping[str, Any]) -> None:
    """Send an event, up to 8 kB of JSON, when the session commits. Publishers commit one after another."""
    await session.execute(select(func.pg_notify(CHANNEL, json.dumps(event))))


@asynccontextmanager
async def listening(database_url: str, notice: Notice) -> AsyncIterator[None]:
    """Call `notice` for every event while the body of this context runs."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    task = asyncio.create_task(_listen(url, notice), name="events")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _listen(url: str, notice: Notice) -> None:
    while True:
        connection = None
        try:
            connection = await asyncpg.connect(url, timeout=2, command_timeout=2)
            await connection.add_listener(CHANNEL, lambda *event: notice(json.loads(event[-1])))
            notice(None)
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                await connection.execute("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("events_interrupted", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            if connection is not None:
                connection.terminate()
