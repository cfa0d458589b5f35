"""Things of every kind, stored."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from listing.things import Thing, create_table, make_things, store


@pytest.fixture
async def things(session: AsyncSession) -> list[Thing]:
    await create_table(await session.connection())
    things = make_things()
    await store(session, things)
    return things
