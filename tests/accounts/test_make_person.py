"""People made from the command line, and whom the staff's mails go to."""

from datetime import timedelta

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.deps import AccountsState
from crema.accounts.models import User
from crema.accounts.service.people import make_person
from crema.web.state import state_of
from factories.people import authenticate, last_code, register, sign_up, verify
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
OWN = "the keys of the house"


async def make_admin(app: FastAPI, session: AsyncSession, clock: Clock, email: str = "Anna@example.com") -> User:
    password_hash = await state_of(app, AccountsState).passwords.hash(OWN)
    user = await make_person(session, email=email, password_hash=password_hash, role="admin", now=clock())
    await session.commit()
    return user


async def test_makes_an_administrator_who_can_log_in(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await make_admin(app, session, clock)

    user = (await authenticate(client, password=OWN)).json()["user"]

    assert (user["role"], user["is_verified"]) == ("admin", True)


async def test_a_second_time_changes_nothing(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    user = await make_admin(app, session, clock)
    clock.advance(days=1)

    again = await make_admin(app, session, clock, "anna@example.com")

    assert again.id == user.id
    assert again.updated_at == clock() - timedelta(days=1)
    assert await session.scalar(select(func.count()).select_from(User)) == 1


async def test_who_has_the_address_stays_as_they_are(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await sign_up(client, session)

    user = await make_admin(app, session, clock)

    assert user.role_name == "user"
    assert (await authenticate(client)).status_code == 200


async def test_a_claim_nobody_verified_gives_way(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await register(client)
    code = await last_code(session)

    await make_admin(app, session, clock)

    assert (await verify(client, code)).status_code == 422
    assert (await authenticate(client)).status_code == 401
    assert (await authenticate(client, password=OWN)).json()["user"]["role"] == "admin"


async def test_staff_mails_go_to_administrators_who_can_log_in(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, log_in: LogIn, session: AsyncSession
) -> None:
    await log_in("unverified@example.com", role="admin", is_verified=False)
    for name, act in (("blocked", {"is_active": False}), ("demoted", {"role": "user"})):
        other = await log_in(f"{name}@example.com", role="admin")
        await admin.patch(f"/user/{other.person.id}", json=act)
    deleted = await log_in("deleted@example.com", role="admin")
    await admin.delete(f"/user/{deleted.person.id}")

    assert await session.scalar(select(queries.admin_recipients())) == [["admin@example.com", "en"]]
