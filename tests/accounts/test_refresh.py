"""POST /refresh: a chain of tokens, each good once."""

import hashlib
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import RefreshToken, Session, User
from factories.people import bearer, mails_to, sign_in
from fixtures.app import Clock

pytestmark = pytest.mark.anyio


async def refresh(client: httpx2.AsyncClient, tokens: dict[str, Any]) -> httpx2.Response:
    return await client.post("/refresh", json={"refresh_token": tokens["refresh_token"]})


async def me(client: httpx2.AsyncClient, tokens: dict[str, Any]) -> int:
    return (await client.get("/me", headers=bearer(tokens))).status_code


async def test_gives_the_next_pair(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    first = await sign_in(client, session)
    clock.advance(minutes=30)

    answer = await refresh(client, first)

    assert answer.status_code == 200
    second = answer.json()
    assert second.keys() == first.keys()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await me(client, first), await me(client, second)) == (401, 200)


async def test_t4_keeps_only_hashes(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    tokens = await sign_in(client, session)

    kept = await session.scalar(select(RefreshToken.token_hash))

    assert kept == hashlib.sha256(tokens["refresh_token"].encode()).digest()


async def test_the_chain_goes_on(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    tokens = await sign_in(client, session)

    for _ in range(5):
        clock.advance(hours=1)
        tokens = (await refresh(client, tokens)).json()

    assert await me(client, tokens) == 200
    live = select(func.count()).select_from(RefreshToken).where(RefreshToken.used_at.is_(None))
    assert await session.scalar(live) == 1


async def test_t4_an_answer_lost_on_the_way_can_be_had_again(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    first = await sign_in(client, session)
    lost = (await refresh(client, first)).json()
    clock.advance(seconds=10)

    again = await refresh(client, first)

    assert again.status_code == 200
    assert again.json()["refresh_token"] == lost["refresh_token"]
    assert await session.scalar(select(func.count()).select_from(RefreshToken)) == 2


async def test_t4_a_stolen_token_ends_the_session_and_a_letter_says_so(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    stolen = await sign_in(client, session, name="Анна")
    current = (await refresh(client, stolen)).json()
    clock.advance(seconds=11)

    answer = await refresh(client, stolen)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert await me(client, current) == 401
    assert (await refresh(client, current)).status_code == 401
    assert await session.scalar(select(Session.end_reason)) == "reuse"
    [letter] = await mails_to(session, template="session_revoked")
    assert letter.context == {"name": "Анна"}


async def test_a_stolen_token_shown_twice_is_one_letter(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    stolen = await sign_in(client, session)
    await refresh(client, stolen)
    clock.advance(minutes=1)

    for _ in range(3):
        assert (await refresh(client, stolen)).status_code == 401

    assert len(await mails_to(session, template="session_revoked")) == 1


async def test_other_sessions_go_on(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    phone = await sign_in(client, session)
    login = {"email": "anna@example.com", "password": "oat milk please"}
    laptop = (await client.post("/authentication", json=login)).json()
    await refresh(client, phone)
    clock.advance(minutes=1)
    await refresh(client, phone)

    assert (await refresh(client, laptop)).status_code == 200


async def test_a_login_lives_thirty_days(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    tokens = await sign_in(client, session)
    clock.advance(days=29, hours=23)
    tokens = (await refresh(client, tokens)).json()
    clock.advance(hours=1)

    assert (await refresh(client, tokens)).status_code == 401
    assert await me(client, tokens) == 401


@pytest.mark.parametrize("change", [{"is_active": False}])
async def test_a12_a_blocked_person_gets_nothing(
    client: httpx2.AsyncClient, session: AsyncSession, change: dict[str, Any]
) -> None:
    tokens = await sign_in(client, session)
    await session.execute(update(User).values(**change))
    await session.commit()

    assert (await refresh(client, tokens)).status_code == 401
    assert await session.scalar(select(RefreshToken.used_at)) is None


@pytest.mark.parametrize("token", ["x" * 43, "'", "\u0000", "ключ", "x" * 200])
async def test_refuses_what_it_never_gave(client: httpx2.AsyncClient, token: str) -> None:
    answer = await client.post("/refresh", json={"refresh_token": token})

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("body", [{}, {"refresh_token": ""}, {"refresh_token": None}, {"refresh_token": "x" * 4097}])
async def test_refuses_what_is_no_token(client: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post("/refresh", json=body)).status_code == 422
