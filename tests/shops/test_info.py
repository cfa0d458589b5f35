"""The chain's public page."""

from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from crema.settings import Settings
from factories.shops import add_shop
from fixtures.app import SECRET, Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return Settings(
        _env_file=None,
        env="development",
        secret_key=SECRET,
        data_dir=data_dir,
        run_worker=False,
        chain_name="Зерно",
        chain_description="Кофе с собой",
        contact_email="hello@example.com",
        contact_phone="+74951234567",
        social_links={"telegram": "https://t.me/zerno"},
        currency="KZT",
    )


async def test_tells_who_the_chain_is(client: httpx2.AsyncClient) -> None:
    response = await client.get("/info")

    assert response.status_code == 200
    assert response.json() == {
        "name": "Зерно",
        "description": "Кофе с собой",
        "contacts": {"email": "hello@example.com", "phone": "+74951234567"},
        "currency": "KZT",
        "social_links": {"telegram": "https://t.me/zerno"},
        "shops": [],
    }


async def test_shows_every_active_shop_by_name(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    beta = await add_shop(session, name="Бета")
    alpha = await add_shop(session, name="альфа")
    await add_shop(session, name="Спрятано", is_active=False)

    shops = (await client.get("/info")).json()["shops"]

    assert shops == [(await client.get(f"/shop/{shop.id}")).json() for shop in (alpha, beta)]


async def test_even_an_administrator_sees_what_everyone_sees(
    client: httpx2.AsyncClient, admin: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await add_shop(session, is_active=False)

    assert (await admin.get("/info")).json() == (await client.get("/info")).json()


async def test_an_unchanged_answer_is_not_sent_twice(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await add_shop(session)
    etag = (await client.get("/info")).headers["etag"]

    again = await client.get("/info", headers={"If-None-Match": etag})
    await add_shop(session)
    changed = await client.get("/info", headers={"If-None-Match": etag})

    assert (again.status_code, changed.status_code) == (304, 200)


async def test_refuses_unknown_parameters(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/info?language=ru")).status_code == 422


@pytest.mark.parametrize(
    ("second", "is_open"), [(-1, False), (0, True), (59, True), (14 * 3600 - 1, True), (14 * 3600, False)]
)
async def test_it_opens_and_closes_at_the_very_second(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, second: int, *, is_open: bool
) -> None:
    await add_shop(session)
    clock.now = clock.now.replace(hour=5, minute=0) + timedelta(seconds=second, microseconds=1)  # 08:00 in Moscow

    told = (await client.get("/info")).json()["shops"][0]
    listed = (await client.get("/shops")).json()["items"][0]

    assert (told["is_open"], listed["is_open"]) == (is_open, is_open)
    assert told == {name: value for name, value in listed.items() if name != "distance_m"}
