"""Connections that are lent, and transactions without a unit of work."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from crema.db import driver
from crema.db.driver import READ_SETTINGS, WRITE_SETTINGS, PoolReader, Writer, open_pool
from crema.db.hints import Hint

pytestmark = pytest.mark.anyio
PID = "SELECT pg_backend_pid()"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database_url, size=2, settings=WRITE_SETTINGS) as pool:
        async with Writer(pool, None) as writer:
            await writer.fetch("CREATE TABLE scraps (text text CHECK (text <> ''))")
        yield pool


class Sent(list[Hint]):
    """A bus that keeps what is published."""

    publish = list.append

    def subscribed(self, *_: object) -> Any:
        raise NotImplementedError


async def scraps(pool: asyncpg.Pool) -> list[str]:
    return [text for (text,) in await PoolReader(pool).fetch("SELECT text FROM scraps ORDER BY text")]


async def test_leaving_commits_and_then_tells(pool: asyncpg.Pool) -> None:
    bus = Sent()
    async with Writer(pool, bus) as writer:
        await writer.fetch("INSERT INTO scraps VALUES ('a')")
        writer.publish(Hint(("topic",)))
        assert (await scraps(pool), bus) == ([], [])

    assert (await scraps(pool), bus) == (["a"], [Hint(("topic",))])


async def test_a_refusal_leaves_nothing_and_tells_nobody(pool: asyncpg.Pool) -> None:
    async def refuse() -> None:
        async with Writer(pool, bus) as writer:
            await writer.fetch("INSERT INTO scraps VALUES ('a')")
            writer.publish(Hint(("topic",)))
            raise ZeroDivisionError

    async def break_a_rule() -> None:
        async with Writer(pool, bus) as writer:
            await writer.fetch("INSERT INTO scraps VALUES ('b')")
            await writer.fetch("INSERT INTO scraps VALUES ('')")

    bus = Sent()
    with pytest.raises(ZeroDivisionError):
        await refuse()
    with pytest.raises(asyncpg.CheckViolationError):
        await break_a_rule()

    assert (await scraps(pool), bus) == ([], [])


async def test_one_that_asks_nothing_takes_no_connection(pool: asyncpg.Pool) -> None:
    taken = [await pool.acquire() for _ in range(2)]

    async with Writer(pool, None):
        pass

    for connection in taken:
        await pool.release(connection)


async def test_r11_what_is_cut_off_leaves_no_transaction_behind(pool: asyncpg.Pool) -> None:
    async def slow() -> None:
        async with Writer(pool, None) as writer:
            await writer.fetch("INSERT INTO scraps VALUES ('a')")
            started.set()
            await writer.fetch("SELECT pg_sleep(30)")

    started = asyncio.Event()
    task = asyncio.create_task(slow())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    states = await PoolReader(pool).fetch(
        "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state = 'idle in transaction'"
    )
    assert (states, await scraps(pool)) == ([], [])


async def test_who_finds_none_free_waits_and_then_gives_up(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await pool.acquire(), await pool.acquire()
    waiting = asyncio.create_task(PoolReader(pool).fetch(PID))
    await asyncio.sleep(0)
    await pool.release(first)
    await waiting

    third = await pool.acquire()
    monkeypatch.setattr(driver, "_WAIT_SECONDS", 0.01)
    with pytest.raises(TimeoutError):
        await PoolReader(pool).fetch(PID)
    for connection in (second, third):
        await pool.release(connection)


async def test_one_that_has_ended_is_replaced(database_url: str) -> None:
    async with open_pool(database_url, size=1, settings=READ_SETTINGS) as pool:
        ((before,),) = await PoolReader(pool).fetch(PID)
        connection = await pool.acquire()
        connection.terminate()
        await pool.release(connection)
        ((after,),) = await PoolReader(pool).fetch(PID)

    assert before != after


async def test_r11_one_that_comes_back_inside_a_transaction_is_rolled_back(pool: asyncpg.Pool) -> None:
    connection = await pool.acquire()
    await connection.execute("BEGIN")
    await connection.execute("INSERT INTO scraps VALUES ('a')")
    await pool.release(connection)

    async with Writer(pool, None) as writer:
        await writer.fetch("INSERT INTO scraps VALUES ('b')")

    assert await scraps(pool) == ["b"]


async def test_a_server_that_is_away_costs_no_place() -> None:
    async with open_pool("postgresql://nobody@127.0.0.1:1/nothing", size=1, settings=READ_SETTINGS) as away:
        for _ in range(3):
            with pytest.raises(OSError, match=r".*"):
                await PoolReader(away).fetch(PID)
