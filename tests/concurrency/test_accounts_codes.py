"""Rivals with one code, one address, one password: truly parallel, and twins whose guard is off."""

import asyncio
import hmac
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import CUSTOMER
from crema.accounts.models import OneTimeCode, Throttle, User
from crema.accounts.service import codes, logins, mail_limits, recovery, registration, throttle, verification
from crema.accounts.service.codes import CountedGuess, InvalidCodeError
from crema.accounts.service.passwords import Passwords
from crema.accounts.service.registration import RegistrationAttempt
from crema.db.session import Sessions
from factories.people import PASSWORD, authenticate, last_code, register, sign_up, verify, wrong
from fixtures.app import connect

pytestmark = pytest.mark.anyio
RIVALS = 20


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


def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any number of mails go to an address."""
    monkeypatch.setattr(mail_limits, "PER_NETWORK", {})
    monkeypatch.setattr(mail_limits, "PER_ADDRESS", (1000, timedelta(days=1)))
    monkeypatch.setattr(mail_limits, "PER_ADDRESS_A_DAY", (1000, timedelta(days=1)))


async def count(session: AsyncSession, table: type[Any]) -> int:
    return await session.scalar(select(func.count()).select_from(table)) or 0


# One address, many registrations


async def test_t11_one_address_is_one_row_however_many_register_it(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlimited(monkeypatch)

    statuses = await together(*(register(client, name=f"{n}") for n in range(RIVALS)))

    assert statuses == {201: RIVALS}
    assert await count(session, User) == 1


async def test_t11_looking_before_inserting_would_make_many_rows(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: look, then insert, and no index to stop it."""
    await session.execute(text("DROP INDEX uq_users_email_lower"))

    async def look_then_insert(session: AsyncSession, *, wanted: Any, now: datetime, **_: Any) -> RegistrationAttempt:
        if await session.scalar(select(User.id).where(User.email == wanted.email)):
            raise registration.EmailTakenError
        await asyncio.sleep(0.05)  # what the guard has to withstand
        user = User(email=wanted.email, role_id=await queries.get_role_id(session, CUSTOMER), created_at=now)
        session.add(user)
        await session.flush()
        return RegistrationAttempt(await queries.get_user(session, user.id), None, None, "x")

    monkeypatch.setattr(registration, "register", look_then_insert)

    await together(*(register(client) for _ in range(RIVALS)))

    assert await count(session, User) > 1


# One code, many guesses


class Comparing:
    """Stands for hmac in `codes`, and counts comparisons."""

    def __init__(self) -> None:
        self.comparisons = 0

    digest = staticmethod(hmac.digest)

    def compare_digest(self, one: bytes, other: bytes) -> bool:
        self.comparisons += 1
        return hmac.compare_digest(one, other)


async def test_t7_parallel_guesses_are_five_comparisons(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparing = Comparing()
    await register(client)
    code = await last_code(session)
    monkeypatch.setattr(codes, "hmac", comparing)

    statuses = await together(*(verify(client, wrong(code)) for _ in range(50)))

    assert statuses == {422: 50}
    assert comparing.comparisons == codes.TRIES
    assert (await verify(client, code)).status_code == 422


async def test_t7_counting_after_comparing_would_compare_every_guess(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: read the tries, then write them, and compare before that is committed."""
    comparing = Comparing()

    async def read_then_write(session: AsyncSession, *, email: str, now: datetime, **_: Any) -> CountedGuess:
        row = await session.get_one(Throttle, f"guess:verification:{email}:127.0.0.0/24")
        if row.hits >= codes.TRIES:
            raise InvalidCodeError
        hits = row.hits
        await asyncio.sleep(0.02)  # what the guard has to withstand
        row.hits = hits + 1
        return CountedGuess((), 0)

    await register(client)
    code = await last_code(session)
    await verify(client, wrong(code))  # so that there is a counter
    monkeypatch.setattr(codes, "hmac", comparing)
    monkeypatch.setattr(verification, "count_guess", read_then_write)

    await together(*(verify(client, wrong(code)) for _ in range(30)))

    assert comparing.comparisons > codes.TRIES


@pytest.fixture
async def reset_code(client: httpx2.AsyncClient, session: AsyncSession) -> str:
    await sign_up(client, session)
    await client.post("/password/forgot", json={"email": "anna@example.com"})
    return await last_code(session, template="password_reset")


def reset(client: httpx2.AsyncClient, code: str, number: int) -> Any:
    body = {"email": "anna@example.com", "code": code, "new_password": f"flat white number {number}"}
    return client.post("/password/reset", json=body)


@pytest.mark.parametrize("path", ["/verification", "/verification?login=true"])
async def test_a_code_sent_twice_at_once_is_right_twice(
    client: httpx2.AsyncClient, session: AsyncSession, path: str
) -> None:
    for number in range(10):
        email = f"{number}@example.com"
        await register(client, email)
        body = {"email": email, "code": await last_code(session, email)}

        assert await together(*(client.post(path, json=body) for _ in range(2))) == {200: 2}


async def test_t7_a_right_code_is_spent_once_for_many_at_once(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed: list[Any] = []
    confirm = verification._confirm_registration

    async def note(session: AsyncSession, *, found: OneTimeCode, now: datetime) -> None:
        confirmed.append(found.id)
        await confirm(session, found=found, now=now)

    monkeypatch.setattr(verification, "_confirm_registration", note)
    await register(client)
    code = await last_code(session)

    statuses = await together(*(verify(client, code) for _ in range(RIVALS)))

    assert statuses.keys() <= {200, 422}
    assert statuses[200] >= 2
    assert len(confirmed) == 1


async def test_one_reset_code_is_one_new_password(client: httpx2.AsyncClient, reset_code: str) -> None:
    statuses = await together(*(reset(client, reset_code, number) for number in range(RIVALS)))

    assert statuses == {204: 1, 422: RIVALS - 1}


async def test_t7_a_code_that_is_not_spent_would_be_good_for_many(
    client: httpx2.AsyncClient, reset_code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: nobody takes the code away."""

    async def leave(*_: Any, **__: Any) -> bool:
        return True

    monkeypatch.setattr(recovery, "consume", leave)

    statuses = await together(*(reset(client, reset_code, number) for number in range(RIVALS)))

    assert statuses[204] > 1


async def test_t12_one_address_goes_to_one_of_many_who_prove_it(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlimited(monkeypatch)
    people = []
    for number in range(5):
        await sign_up(client, session, f"{number}@example.com")
        tokens = (await authenticate(client, f"{number}@example.com")).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        wish = {"email": "new@example.com", "current_password": PASSWORD}
        await client.patch(f"/user/{tokens['user']['id']}", json=wish, headers=headers)
        people.append(await last_code(session, "new@example.com", "email_change_code"))

    statuses = await together(*(verify(client, code, "new@example.com", password=PASSWORD) for code in people))

    assert statuses[200] == 1
    assert statuses[200] + statuses[409] + statuses[422] == 5
    assert await session.scalar(select(func.count()).where(User.email == "new@example.com")) == 1


# One password, many guesses


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every password that is compared."""
    compared: list[str] = []
    verify_password = Passwords.verify

    async def note(self: Passwords, password_hash: str | None, password: str) -> bool:
        compared.append(password)
        return await verify_password(self, password_hash, password)

    monkeypatch.setattr(Passwords, "verify", note)
    return compared


async def test_t9_parallel_logins_are_five_comparisons(
    client: httpx2.AsyncClient, session: AsyncSession, verified: list[str]
) -> None:
    await sign_up(client, session)

    statuses = await together(*(authenticate(client, password=f"guess number {n}") for n in range(RIVALS)))

    assert statuses == {401: 5, 429: RIVALS - 5}
    assert len(verified) == 5


async def test_t9_counting_by_reading_first_would_compare_them_all(
    client: httpx2.AsyncClient, session: AsyncSession, verified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: read the count, then write it."""
    await sign_up(client, session)

    async def read_then_write(session: AsyncSession, *, key: str, limit: int, window: timedelta, now: datetime) -> None:
        if limit > logins.TRIES:
            return  # the network's counter, whose row would make them queue
        row = await session.get(Throttle, key)
        hits = row.hits if row else 0
        if hits >= limit:
            raise throttle.TooManyAttemptsError(retry_after=1)
        await asyncio.sleep(0.02)
        await session.merge(Throttle(key=key, hits=hits + 1, window_ends_at=now + window))

    await authenticate(client, password="so that there are counters")
    monkeypatch.setattr(throttle, "count", read_then_write)

    await together(*(authenticate(client, password=f"guess number {n}") for n in range(RIVALS)))

    assert len(verified) > 1 + logins.TRIES


# While a password is being hashed, its owner acts


@pytest.mark.parametrize("act", ["changes the password", "is blocked", "is deleted"])
async def test_t6_a_login_under_way_does_not_outlive_what_its_owner_does(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    await sign_up(client, session)
    verify_password = Passwords.verify
    acts = {
        "changes the password": "UPDATE users SET password_hash = 'another'",
        "is blocked": "UPDATE users SET is_active = false",
        "is deleted": "UPDATE users SET deleted_at = now(), email = NULL, name = NULL, phone = NULL, password_hash = NULL",  # noqa: E501
    }

    async def act_meanwhile(self: Passwords, password_hash: str | None, password: str) -> bool:
        is_right = await verify_password(self, password_hash, password)
        await session.execute(text(acts[act]))
        return is_right

    monkeypatch.setattr(Passwords, "verify", act_meanwhile)

    answer = await authenticate(client)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert await session.scalar(text("SELECT count(*) FROM sessions")) == 0


async def test_a_change_of_password_does_not_undo_one_made_meanwhile(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_up(client, session)
    tokens = (await authenticate(client)).json()
    verify_password = Passwords.verify

    async def act_meanwhile(self: Passwords, password_hash: str | None, password: str) -> bool:
        is_right = await verify_password(self, password_hash, password)
        await session.execute(text("UPDATE users SET password_hash = 'another'"))
        return is_right

    monkeypatch.setattr(Passwords, "verify", act_meanwhile)

    answer = await client.post(
        "/password/change",
        json={"old_password": PASSWORD, "new_password": "flat white please"},
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
    )

    assert answer.status_code == 401
    assert await session.scalar(select(User.password_hash)) == "another"
