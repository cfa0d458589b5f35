"""One slow table takes nothing else down."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from crema.db import driver
from crema.db.driver import READ_SETTINGS, PoolReader, open_pool
from crema.web.state import DatabaseState, state_of
from fixtures.app import change_state, clients
from fixtures.people import make_person

pytestmark = pytest.mark.anyio
FLOOD = 12
"""Requests that all wait for the locked table, six times what there are connections for."""
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


@pytest.fixture
async def few_connections(own_app: FastAPI, database_url: str) -> AsyncIterator[FastAPI]:
    async with (
        open_pool(database_url, size=2, settings=READ_SETTINGS) as reading,
        open_pool(database_url, size=2, settings=READ_SETTINGS) as identity,
        open_pool(database_url, size=1, settings=READ_SETTINGS) as health,
    ):
        change_state(
            own_app,
            DatabaseState,
            reader=PoolReader(reading),
            identity_reader=PoolReader(identity),
            health_reader=PoolReader(health),
        )
        yield own_app


@pytest.mark.parametrize("guard", ["own-connections", "off"])
async def test_s4_a_locked_orders_table_stops_neither_health_checks_nor_who_am_i(
    few_connections: FastAPI, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    app = few_connections
    monkeypatch.setattr(driver, "_WAIT_SECONDS", 1)  # less than a statement may take
    anna = await make_person(app, email="anna@example.com")
    database = state_of(app, DatabaseState)
    if guard == "off":
        change_state(app, DatabaseState, identity_reader=database.reader, health_reader=database.reader)
    async with clients(app, anna.token, anna.token) as (flood, client), database.sessions() as session:
        await asyncio.gather(client.get("/health/ready"), client.get("/me"))  # connections are opened, the schema read
        await session.execute(text("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"))
        waiting = [asyncio.create_task(flood.get("/orders")) for _ in range(FLOOD)]
        while await session.scalar(WAITING) < 2:  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.01)
        answers = await asyncio.gather(client.get("/me"), client.get("/health/ready"))
        await session.rollback()
        await asyncio.gather(*waiting)

    statuses = {answer.status_code for answer in answers}
    assert statuses == {200} if guard == "own-connections" else 503 in statuses
