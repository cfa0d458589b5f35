"""Things of every kind, stored."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crema.db.session import make_engine, make_sessions
from fixtures.database import create_database, drop_database
from listing.things import Thing, create_table, make_things, store


@pytest.fixture(scope="session")
async def stored_things(server_url: str, template: str) -> AsyncIterator[tuple[AsyncEngine, list[Thing]]]:
    name = f"crema_things_{uuid4().hex[:8]}"
    engine = make_engine(create_database(server_url, name, template=template))
    things = make_things()
    async with make_sessions(engine).begin() as session:
        await create_table(await session.connection())
        await store(session, things)
    yield engine, things
    await engine.dispose()
    drop_database(server_url, name)


@pytest.fixture(scope="session")
def engine(stored_things: tuple[AsyncEngine, list[Thing]]) -> AsyncEngine:
    """Give the tests of lists a database that has things in it."""
    return stored_things[0]


@pytest.fixture
def things(stored_things: tuple[AsyncEngine, list[Thing]]) -> list[Thing]:
    return [*stored_things[1]]
