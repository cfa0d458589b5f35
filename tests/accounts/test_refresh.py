"""POST /refresh: a chain of tokens, each good once."""

import hashlib
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.deps import AccountsState
from crema.accounts.models import RefreshToken, Session, User
from crema.accounts.service.logins import mark_tokens_used
from crema.web.state import DatabaseState, WebState, state_of
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


@pytest.mark.parametrize("later", [{"seconds": 10}, {"seconds": 11}, {"hours": 1}, {"days": 20}], ids=str)
async def test_t4_an_answer_lost_on_the_way_can_be_had_again(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, later: dict[str, int]
) -> None:
    first = await sign_in(client, session)
    assert await me(client, first) == 200
    lost = (await refresh(client, first)).json()

    for _ in range(2):
        clock.advance(**later)
        again = await refresh(client, first)
        if again.status_code != 200:  # the login itself is over after thirty days
            assert again.json()["code"] == "invalid_refresh_token"
            break
        assert again.json()["refresh_token"] == lost["refresh_token"]

    assert await session.scalar(select(func.count()).select_from(RefreshToken)) == 2
    assert await mails_to(session, template="session_revoked") == []


async def test_t4_of_two_lost_answers_the_second_can_be_had_again(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    first = await sign_in(client, session)
    second = (await refresh(client, first)).json()
    third = (await refresh(client, second)).json()
    clock.advance(minutes=5)

    again = await refresh(client, second)

    assert again.json()["refresh_token"] == third["refresh_token"]
    assert await me(client, again.json()) == 200


@pytest.mark.parametrize("use", ["access", "refresh", "socket"])
async def test_t4_what_is_in_use_is_not_given_out_again(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, use: str
) -> None:
    first = await sign_in(client, session)
    second = (await refresh(client, first)).json()
    if use == "access":
        assert await me(client, second) == 200
    elif use == "refresh":
        assert (await refresh(client, second)).status_code == 200
    else:
        async with state_of(app, DatabaseState).sessions.begin() as transaction:
            pair = state_of(app, AccountsState).logins.access_tokens.read(second["access_token"], now=clock()).pair
            await mark_tokens_used(transaction, session_id=await session.scalar(select(Session.id)), pair=pair)
    clock.advance(seconds=11)

    answer = await refresh(client, first)

    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_reused")
    again = await refresh(client, first)
    assert (again.status_code, again.json()["code"]) == (401, "invalid_refresh_token")


async def in_lockstep(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> int:
    """Let a thief follow the owner, always one token behind; give how often both got tokens."""
    thief = owner = await sign_in(client, session)
    for step in range(5):
        answer = await refresh(client, owner)
        if answer.status_code != 200:
            return step
        owner = answer.json()
        await me(client, owner)
        clock.advance(minutes=5)
        answer = await refresh(client, thief)
        if answer.status_code != 200:
            return step
        thief = answer.json()
        clock.advance(minutes=5)
    return 5


async def test_t4_a_thief_one_step_behind_is_found(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    assert await in_lockstep(client, session, clock) == 0
    assert await session.scalar(select(Session.end_reason)) == "reuse"


async def test_t4_twin_were_no_use_noted_the_thief_would_follow_for_ever(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unnoticed(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr("crema.accounts.deps.mark_tokens_used", unnoticed)

    assert await in_lockstep(client, session, clock) == 5


@pytest.mark.parametrize("first_to_use", ["owner", "thief"])
async def test_t4_owner_and_thief_of_one_lost_answer_don_t_both_stay(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, first_to_use: str
) -> None:
    """Both show the old token and get the same successor; the one who goes on ends it for both."""
    stolen = await sign_in(client, session)
    await refresh(client, stolen)
    clock.advance(minutes=1)
    owner, thief = [(await refresh(client, stolen)).json() for _ in range(2)]
    quick, slow = (owner, thief) if first_to_use == "owner" else (thief, owner)
    assert quick["refresh_token"] == slow["refresh_token"]

    gone_on = (await refresh(client, quick)).json()
    assert await me(client, gone_on) == 200
    clock.advance(minutes=1)
    answer = await refresh(client, slow)

    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_reused")
    assert await me(client, gone_on) == 401


async def test_t4_use_is_noted_once_a_refresh(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []

    async def counting(session: AsyncSession, *, session_id: UUID, pair: str) -> None:
        noted.append(pair)
        await mark_tokens_used(session, session_id=session_id, pair=pair)

    monkeypatch.setattr("crema.accounts.deps.mark_tokens_used", counting)
    tokens = await sign_in(client, session)
    for _ in range(3):
        assert await me(client, tokens) == 200
    assert noted == []
    tokens = (await refresh(client, tokens)).json()
    for _ in range(3):
        assert await me(client, tokens) == 200

    assert len(noted) == 1


async def test_t4_a_stolen_token_ends_the_session_and_a_letter_says_so(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    stolen = await sign_in(client, session, name="Анна")
    current = (await refresh(client, stolen)).json()
    assert await me(client, current) == 200
    clock.advance(seconds=11)

    answer = await refresh(client, stolen)

    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_reused")
    assert await me(client, current) == 401
    assert (await refresh(client, current)).status_code == 401
    assert await session.scalar(select(Session.end_reason)) == "reuse"
    [letter] = await mails_to(session, template="session_revoked")
    assert letter.context == {"name": "Анна"}


async def test_a_stolen_token_shown_twice_is_one_letter(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    stolen = await sign_in(client, session)
    await me(client, (await refresh(client, stolen)).json())
    clock.advance(minutes=1)

    for _ in range(3):
        assert (await refresh(client, stolen)).status_code == 401

    assert len(await mails_to(session, template="session_revoked")) == 1


async def test_other_sessions_go_on(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    phone = await sign_in(client, session)
    login = {"email": "anna@example.com", "password": "oat milk please"}
    laptop = (await client.post("/authentication", json=login)).json()
    await me(client, (await refresh(client, phone)).json())
    clock.advance(minutes=1)
    assert (await refresh(client, phone)).status_code == 401

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
    assert answer.json()["code"] == "invalid_refresh_token"


async def log_out(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, tokens: dict[str, Any]) -> str:
    await client.post("/logout", headers=bearer(tokens))
    return str(tokens["refresh_token"])


async def expire(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, tokens: dict[str, Any]) -> str:
    clock.advance(days=31)
    return str(tokens["refresh_token"])


async def block(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, tokens: dict[str, Any]) -> str:
    await session.execute(update(User).values(is_active=False))
    await session.commit()
    return str(tokens["refresh_token"])


async def delete_account(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, tokens: dict[str, Any]
) -> str:
    await client.delete(f"/user/{tokens['user']['id']}", headers=bearer(tokens))
    return str(tokens["refresh_token"])


async def send_the_access_token(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, tokens: dict[str, Any]
) -> str:
    return str(tokens["access_token"])


async def spend(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, tokens: dict[str, Any]) -> str:
    current = (await refresh(client, tokens)).json()
    assert await me(client, current) == 200
    clock.advance(minutes=1)
    return str(tokens["refresh_token"])


async def spend_and_be_found(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, tokens: dict[str, Any]
) -> str:
    await spend(client, session, clock, tokens)
    assert (await refresh(client, tokens)).status_code == 401
    return str(tokens["refresh_token"])


@pytest.mark.parametrize("way", ["json", "cookie"])
@pytest.mark.parametrize(
    ("happens", "code"),
    [
        (spend, "refresh_token_reused"),
        (spend_and_be_found, "invalid_refresh_token"),
        (log_out, "invalid_refresh_token"),
        (expire, "invalid_refresh_token"),
        (block, "invalid_refresh_token"),
        (delete_account, "invalid_refresh_token"),
        (send_the_access_token, "invalid_refresh_token"),
    ],
)
async def test_t4_a_spent_refresh_token_is_refused_in_its_own_words(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, happens: Any, code: str, way: str
) -> None:
    """Tried: a spent refresh token: "The access token is not valid"."""
    tokens = await sign_in(client, session)
    token = await happens(client, session, clock, tokens)

    if way == "json":
        answer = await client.post("/refresh", json={"refresh_token": token})
    else:
        name = state_of(app, WebState).cookies.full_name("refresh")
        headers = {"Cookie": f"{name}={token}", "Sec-Fetch-Site": "same-origin"}
        secret = "s" * 43
        headers["Cookie"] += f"; {state_of(app, WebState).cookies.full_name('csrf')}={secret}"
        headers["X-CSRF-Token"] = state_of(app, WebState).cookies.token_for(secret)
        answer = await client.post("/refresh", params={"mode": "cookie"}, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, code), answer.text
    assert "refresh token" in answer.json()["title"]
    assert "access token" not in answer.text


async def test_no_refresh_token_at_all_is_no_access_token_s_fault(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/refresh")

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")


@pytest.mark.parametrize("body", [{}, {"refresh_token": ""}, {"refresh_token": None}, {"refresh_token": "x" * 4097}])
async def test_refuses_what_is_no_token(client: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post("/refresh", json=body)).status_code == 422
