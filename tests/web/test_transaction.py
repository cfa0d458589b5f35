"""COMMIT happens before the reply, and a failing one is no success."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest
from fastapi import Depends
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.driver import READ_SETTINGS, WRITE_SETTINGS, PoolReader, Writer, open_pool
from crema.db.session import Sessions, make_engine, make_sessions
from crema.menu.models import Ingredient
from crema.settings import Settings
from crema.web.transaction import Transaction, transaction
from fixtures.app import Clock, connect, make_app

pytestmark = pytest.mark.anyio

# A constraint that is checked only at COMMIT.
DEFERRED = """
CREATE TABLE doomed (id uuid PRIMARY KEY, ingredient_id uuid
  REFERENCES ingredients (id) DEFERRABLE INITIALLY DEFERRED)
"""


async def doom(tx: AsyncSession) -> dict[str, str]:
    tx.add(Ingredient(name="Ваниль"))
    await tx.flush()
    await tx.execute(text("INSERT INTO doomed VALUES (:id, :missing)"), {"id": uuid4(), "missing": uuid4()})
    return {"status": "made"}


@pytest.fixture
async def client_of_doom(settings: Settings, own_sessions: Sessions, clock: Clock) -> AsyncIterator[httpx2.AsyncClient]:
    async with own_sessions.begin() as session:
        await session.execute(text(DEFERRED))

    app = make_app(settings, own_sessions, clock)

    async def make(tx: Transaction) -> dict[str, str]:
        return await doom(tx)

    async def make_late(tx: AsyncSession = Depends(transaction)) -> dict[str, str]:
        return await doom(tx)

    app.post("/doomed", status_code=201)(make)
    app.post("/doomed-late", status_code=201)(make_late)
    async with connect(app) as client:
        yield client


async def test_a_failing_commit_is_not_answered_with_a_success(
    client_of_doom: httpx2.AsyncClient, own_sessions: Sessions
) -> None:
    response = await client_of_doom.post("/doomed")

    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    async with own_sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Ingredient)) == 0


async def test_without_the_function_scope_it_would_be(
    client_of_doom: httpx2.AsyncClient, own_sessions: Sessions
) -> None:
    """The twin with its guard off: the default scope answers 201 and keeps nothing."""
    response = await client_of_doom.post("/doomed-late")

    assert response.status_code == 201
    async with own_sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Ingredient)) == 0


async def test_f7_timeouts_outlive_the_first_use_of_a_connection(database_url: str) -> None:
    shown = "SELECT pg_backend_pid(), current_setting('statement_timeout')"
    engine = make_engine(database_url, pool_size=1)
    read, written, kept = [], [], []
    async with (
        open_pool(database_url, size=1, settings=READ_SETTINGS) as reading,
        open_pool(database_url, size=1, settings=WRITE_SETTINGS) as writing,
    ):
        for _ in range(2):
            read += map(tuple, await PoolReader(reading).fetch(shown))
            async with Writer(writing, None) as writer:
                written += map(tuple, await writer.fetch(shown))
            async with make_sessions(engine)() as session:
                kept.append(tuple((await session.execute(text(shown))).one()))
    await engine.dispose()

    assert read == [(read[0][0], "2s")] * 2
    assert written == [(written[0][0], "5s")] * 2
    assert kept == [(kept[0][0], "5s")] * 2
