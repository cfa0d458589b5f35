"""Rivals over tokens, keys and roles, and the clean-up against a verification; with twins whose guard is off."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.deps import AccountsState
from crema.accounts.domain import ADMIN, CUSTOMER
from crema.accounts.models import RefreshToken, Role, User
from crema.accounts.service import cleanup, codes, logins
from crema.accounts.service.codes import REGISTRATION, Codes
from crema.accounts.service.logins import Logins, Tokens
from crema.db.session import Sessions
from crema.web.state import DatabaseState, state_of
from factories.people import bearer, sign_in, verify
from fixtures.app import Clock, clients, connect
from fixtures.people import make_person

pytestmark = pytest.mark.anyio
RIVALS = 20
TTL = timedelta(hours=48)


@pytest.fixture
async def client(own_app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with connect(own_app) as client:
        yield client


@pytest.fixture
async def session(own_sessions: Sessions) -> AsyncIterator[AsyncSession]:
    async with own_sessions() as session:
        await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        yield session


async def together(*requests: Any) -> Counter[int]:
    return Counter(answer.status_code for answer in await asyncio.gather(*requests))


# One refresh token, many tabs


async def refresh_at_once(client: httpx2.AsyncClient, tokens: dict[str, Any]) -> list[httpx2.Response]:
    body = {"refresh_token": tokens["refresh_token"]}
    return await asyncio.gather(*(client.post("/refresh", json=body) for _ in range(RIVALS)))


async def live_tokens(session: AsyncSession) -> int:
    live = select(func.count()).select_from(RefreshToken).where(RefreshToken.used_at.is_(None))
    return await session.scalar(live) or 0


async def test_t4_one_token_has_one_successor(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    tokens = await sign_in(client, session)

    answers = await refresh_at_once(client, tokens)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert await live_tokens(session) == 1


async def test_t4_spending_without_a_guard_would_make_many_successors(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: look whether it is spent, then spend it, and no index to stop it."""
    await session.execute(text("DROP INDEX uq_refresh_tokens_live"))

    async def look_then_spend(self: Logins, session: AsyncSession, *, refresh_token: str, now: datetime) -> Tokens:
        spent = await session.get_one(RefreshToken, logins._hash(refresh_token))
        if spent.used_at is not None:
            raise logins.InvalidRefreshTokenError
        await asyncio.sleep(0.05)  # what the guard has to withstand
        spent.used_at = now
        successor = secrets.token_urlsafe(32)
        session.add(RefreshToken(token_hash=logins._hash(successor), session_id=spent.session_id, created_at=now))
        user = (await session.scalars(queries._with_role_and_shops(select(User)))).one()
        return self._tokens(user, spent.session_id, successor, now)

    tokens = await sign_in(client, session)
    monkeypatch.setattr(Logins, "refresh", look_then_spend)

    await refresh_at_once(client, tokens)

    assert await live_tokens(session) > 1


async def test_t4_a_thief_s_many_tries_are_one_letter(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    tokens = await sign_in(client, session)
    current = (await client.post("/refresh", json={"refresh_token": tokens["refresh_token"]})).json()
    assert (await client.get("/me", headers=bearer(current))).status_code == 200
    clock.advance(minutes=1)

    answers = await refresh_at_once(client, tokens)

    assert {answer.status_code for answer in answers} == {401}
    assert await session.scalar(text("SELECT count(*) FROM mails WHERE template = 'session_revoked'")) == 1


# Two administrators, one key


async def demote_each_other(app: FastAPI, session: AsyncSession, *, how: str) -> tuple[Counter[int], int]:
    """Give the answers and how many administrators are left."""
    await session.execute(text("TRUNCATE users CASCADE"))
    one, other = [await make_person(app, email=f"{name}@example.com", role="admin") for name in ("one", "other")]

    def act(client: httpx2.AsyncClient, user_id: UUID) -> Any:
        if how == "delete":
            return client.delete(f"/user/{user_id}")
        return client.patch(f"/user/{user_id}", json={"role": "user"} if how == "demote" else {"is_active": False})

    async with clients(app, one.token, other.token) as (first, second):
        statuses = await together(act(first, other.id), act(second, one.id))
    left = select(func.count()).select_from(User).join(User.role)
    return statuses, await session.scalar(left.where(Role.name == ADMIN, User.is_active)) or 0


@pytest.mark.parametrize("how", ["demote", "block", "delete"])
async def test_a7_somebody_keeps_the_keys(own_app: FastAPI, session: AsyncSession, how: str) -> None:
    for _ in range(5):
        statuses, left = await demote_each_other(own_app, session, how=how)

        # The slower one is refused as the last, or was already put out by the quicker.
        assert statuses.total() - statuses[409] - statuses[401] - statuses[404] - statuses[403] == 1, statuses
        assert left == 1


async def test_a7_counting_without_a_lock_would_lose_the_keys(
    own_app: FastAPI, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: count the administrators and hope."""

    async def count_only(session: AsyncSession) -> list[UUID]:
        admins = select(User.id).join(User.role).where(Role.name == ADMIN, User.is_active).order_by(User.id)
        found = list(await session.scalars(admins))
        await asyncio.sleep(0.05)  # what the guard has to withstand
        return found

    monkeypatch.setattr(queries, "lock_and_list_admins", count_only)

    _, left = await demote_each_other(own_app, session, how="demote")

    assert left == 0


# One role, many editors


async def edit_at_once(app: FastAPI) -> Counter[int]:
    admin = await make_person(app, email="admin@example.com", role="admin")
    async with connect(app, admin.token) as client:
        role = (await client.post("/role", json={"name": "trainee", "permissions": ["orders:read"]})).json()
        wishes = (["orders:read", "menu:write"], ["orders:read"], ["orders:read", "shops:write"])
        return await together(
            *(client.patch(f"/role/{role['id']}", json={"permissions": wishes[n % 3]}) for n in range(RIVALS))
        )


async def test_editors_of_one_role_take_turns(own_app: FastAPI) -> None:
    assert await edit_at_once(own_app) == {200: RIVALS}


async def test_editors_who_don_t_wait_would_fail(own_app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: nobody locks the role."""
    monkeypatch.setattr(queries, "get_role_for_update", queries.get_role)

    assert (await edit_at_once(own_app))[500] > 0


# The clean-up against a verification

PAIRS = 100
AT_ONCE = 20
SPARED = 10
"""How many more verify than are cleaned up after, so that some are left however slow the machine."""


async def race(app: FastAPI, session: AsyncSession, clock: Clock) -> Counter[str]:
    """Let PAIRS of forgotten people verify while the clean-up runs once for each; count how they ended."""
    sessions: Sessions = state_of(app, DatabaseState).sessions
    pick = Random(7)  # noqa: S311 - only for the order of things
    ends: Counter[str] = Counter()

    async def clean(after: asyncio.Task[Any] | None) -> None:
        if after:
            await asyncio.wait([after])
        async with sessions.begin() as cleaning:
            await cleanup.delete_unverified(cleaning, older_than=TTL, now=clock(), batch=1)

    async with connect(app) as client:
        for group in range(PAIRS // AT_ONCE):
            claims = await make_forgotten(app, [f"{group}-{n}@example.com" for n in range(AT_ONCE + SPARED)], clock)
            verifying = [asyncio.create_task(verify(client, code, email)) for email, code in claims.items()]
            # Some clean at once, the others each when some verification is through and most are under way.
            await asyncio.gather(*(clean(pick.choice(verifying) if n % 4 else None) for n in range(AT_ONCE)))
            answers = await asyncio.gather(*verifying)
            left = {row.email: row.verified_at for row in await session.execute(select(User.email, User.verified_at))}
            for email, answer in zip(claims, answers, strict=True):
                state = "gone" if email not in left else "verified" if left[email] else "unverified"
                ends[f"{answer.status_code} {state}"] += 1
    return ends


async def make_forgotten(app: FastAPI, emails: list[str], clock: Clock) -> dict[str, str]:
    """Make people who are due to be forgotten but hold a good code; give the codes."""
    claims = {}
    sessions: Sessions = state_of(app, DatabaseState).sessions
    codes: Codes = state_of(app, AccountsState).codes
    async with sessions.begin() as session:
        role_id = await queries.get_role_id(session, CUSTOMER)
        for email in emails:
            long_ago = clock() - TTL - timedelta(hours=1)
            user = User(email=email, role_id=role_id, created_at=long_ago)
            session.add(user)
            await session.flush()
            row = codes.new_row(user_id=user.id, purpose=REGISTRATION, now=clock(), password_hash="x")
            row.created_at = long_ago
            session.add(row)
            claims[email] = codes.short_code_of(row.id, row.nonce)
    return claims


@pytest.mark.usefixtures("patient_database")
async def test_r5_nobody_is_deleted_who_was_told_they_are_verified(
    own_app: FastAPI, session: AsyncSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "TRIES_PER_NETWORK", PAIRS * 10)

    ends = await race(own_app, session, clock)

    assert ends.keys() <= {"200 verified", "422 gone"}, ends
    assert min(ends["200 verified"], ends["422 gone"]) >= PAIRS // AT_ONCE, "the two hardly met"


@pytest.mark.usefixtures("patient_database")
async def test_r5_looking_before_deleting_would_delete_the_verified(
    own_app: FastAPI, session: AsyncSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: look who is due, then delete them."""

    async def look_then_delete(session: AsyncSession, *, now: datetime, batch: int, **_: Any) -> None:
        due = select(User.id).where(User.verified_at.is_(None), User.created_at < now - TTL).limit(batch)
        found = list(await session.scalars(due.order_by(func.random())))
        await asyncio.sleep(0.01)  # what the guard has to withstand
        await session.execute(delete(User).where(User.id.in_(found)))

    monkeypatch.setattr(codes, "TRIES_PER_NETWORK", PAIRS * 10)
    monkeypatch.setattr(cleanup, "delete_unverified", look_then_delete)

    assert (await race(own_app, session, clock))["200 gone"] > 0
