"""A shop that is open, and who works there."""

from uuid import UUID

import httpx2
import pytest

from crema.db.session import Sessions
from factories.orders import make_shop
from fixtures.people import LogIn


@pytest.fixture
async def shop_id(sessions: Sessions) -> UUID:
    return await make_shop(sessions)


@pytest.fixture
async def barista(log_in: LogIn, shop_id: UUID) -> httpx2.AsyncClient:
    return await log_in("barista@example.com", role="barista", shop_ids=(shop_id,))
