"""POST /authentication and POST /access."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import httpx2
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.deps import AccountsState
from crema.accounts.models import Session, User
from crema.accounts.service.passwords import MAX_ADMITTED, Admission, Passwords
from crema.web.state import state_of
from factories.people import PASSWORD, authenticate, bearer, register, sign_in, sign_up
from fixtures.app import CHEAP, Clock, change_state, connect

pytestmark = pytest.mark.anyio


def from_address(app: FastAPI, host: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=(host, 50000))
    return httpx2.AsyncClient(transport=transport, base_url="http://crema")


async def count_sessions(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Session)) or 0


async def test_answers_with_tokens_and_the_person(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    user = await sign_up(client, session, name="Анна")

    answer = await authenticate(client, "ANNA@example.com")

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    tokens = answer.json()
    assert tokens["user"] == user
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 600)
    assert tokens.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert (await client.get("/me", headers=bearer(tokens))).json() == user


async def test_the_form_gives_the_same_answer(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    user = await sign_up(client, session)
    form = {"grant_type": "password", "username": "anna@example.com", "password": PASSWORD}

    answer = await client.post("/access", data=form)

    assert answer.status_code == 200
    assert answer.json()["user"] == user
    assert (await client.get("/me", headers=bearer(answer.json()))).status_code == 200


async def test_the_form_takes_what_swagger_sends(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session)
    form = {"username": "anna@example.com", "password": PASSWORD, "scope": "", "client_id": "", "client_secret": ""}

    answer = await client.post("/access", data=form | {"grant_type": "password"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"username": "anna@example.com"},
        {"username": "anna", "password": PASSWORD},
        {"username": "anna@example.com", "password": "x" * 129},
        {"username": "anna@example.com", "password": PASSWORD, "grant_type": "client_credentials"},
        {"username": "anna@example.com", "password": PASSWORD, "mode": "cookie"},
    ],
)
async def test_the_form_refuses_what_it_can_t_read(client: httpx2.AsyncClient, form: dict[str, str]) -> None:
    assert (await client.post("/access", data=form)).status_code == 422


async def test_swagger_asks_the_form_for_its_token(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    flow = document["components"]["securitySchemes"]["Password"]["flows"]["password"]
    assert flow["tokenUrl"] == "access"


@pytest.mark.parametrize("path", ["/authentication?next=/", "/registration?mode=x"])
async def test_refuses_parameters_it_does_not_know(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={"email": "anna@example.com", "password": PASSWORD})

    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_parameter")


async def test_t8_wrong_unknown_and_blocked_look_the_same(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session)
    await sign_up(client, session, "blocked@example.com")
    await session.execute(update(User).where(User.email == "blocked@example.com").values(is_active=False))
    await session.commit()

    answers = [
        await authenticate(client, password="wrong password"),
        await authenticate(client, "nobody@example.com"),
        await authenticate(client, "blocked@example.com"),
        await authenticate(client, "blocked@example.com", "wrong password"),
    ]

    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert bodies == [bodies[0]] * 4
    assert bodies[0]["code"] == "invalid_credentials"
    assert {(answer.status_code, answer.headers["WWW-Authenticate"]) for answer in answers} == {(401, "Bearer")}
    assert await count_sessions(session) == 0


async def test_the_right_password_of_an_unverified_address_says_so(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await register(client)

    right = await authenticate(client)
    wrong = await authenticate(client, password="wrong password")

    assert (right.status_code, right.json()["code"]) == (403, "email_not_verified")
    assert wrong.status_code == 401
    assert await count_sessions(session) == 0


async def test_right_passwords_of_an_unverified_address_are_no_wrong_tries(client: httpx2.AsyncClient) -> None:
    await register(client)

    assert [(await authenticate(client)).status_code for _ in range(7)] == [403] * 7


async def test_t9_five_wrong_passwords_and_then_a_quarter_of_an_hour_s_rest(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await sign_up(client, session)
    for _ in range(5):
        assert (await authenticate(client, password="wrong password")).status_code == 401
    clock.advance(minutes=5)

    refused = await authenticate(client)

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
    assert refused.headers["Retry-After"] == "600"
    assert refused.json()["retry_after"] == 600
    clock.advance(minutes=10)
    assert (await authenticate(client)).status_code == 200


async def test_an_unknown_address_is_throttled_like_a_known_one(client: httpx2.AsyncClient) -> None:
    statuses = [(await authenticate(client, "nobody@example.com")).status_code for _ in range(6)]

    assert statuses == [401] * 5 + [429]


async def test_t9_nothing_the_client_says_resets_the_count(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    """Neither the address's case, nor headers that claim another network, nor the other login route."""
    await sign_up(client, session, "änna@example.com")
    for number, email in enumerate(["änna@example.com", "ÄNNA@Example.com", "änna@EXAMPLE.com", "Ännа@example.com"]):
        client.headers["X-Forwarded-For"] = f"10.0.{number}.1"
        client.headers["Forwarded"] = f"for=10.0.{number}.1"
        client.headers["X-Real-IP"] = f"10.0.{number}.1"
        await authenticate(client, email, "wrong password")
    for _ in range(2):
        await client.post("/access", data={"username": "änna@example.com", "password": "wrong password"})

    assert (await authenticate(client, "änna@example.com")).status_code == 429


async def test_a_right_password_gives_the_count_back(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session)
    for _ in range(3):
        for _ in range(4):
            assert (await authenticate(client, password="wrong password")).status_code == 401
        assert (await authenticate(client)).status_code == 200


async def test_t9_nobody_is_locked_out_of_another_network(app: FastAPI, session: AsyncSession) -> None:
    async with from_address(app, "203.0.113.7") as guesser, from_address(app, "198.51.100.9") as owner:
        await sign_up(owner, session)
        for _ in range(6):
            await authenticate(guesser, password="wrong password")

        assert (await authenticate(guesser)).status_code == 429
        assert (await authenticate(owner)).status_code == 200


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the waits of those who are slowed down, and shorten them to nothing."""
    paused: list[float] = []

    async def pause(self: Admission, seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr(Admission, "pause", pause)
    return paused


async def test_t9_a_network_is_slowed_down_as_one(app: FastAPI, session: AsyncSession, paused: list[float]) -> None:
    """And no other is: after a hundred wrong passwords on a shop's Wi-Fi its staff get in after some seconds."""
    change_state(app, AccountsState, logins=replace(state_of(app, AccountsState).logins, tries_per_network=3))
    async with from_address(app, "203.0.114.1") as stranger:
        await sign_up(stranger, session)
        for number in range(5):
            async with from_address(app, f"203.0.113.{number}") as guesser:
                assert (await authenticate(guesser, f"{number}@example.com", "wrong")).status_code == 401
        async with from_address(app, "203.0.113.200") as neighbour:
            assert (await authenticate(neighbour)).status_code == 200
        assert (await authenticate(stranger)).status_code == 200

    assert paused == [0, 0, 0, 0, 5, 10, 0]


async def test_t9_a_slowed_network_guesses_twelve_times_a_minute(
    app: FastAPI, clock: Clock, session: AsyncSession, paused: list[float]
) -> None:
    change_state(app, AccountsState, logins=replace(state_of(app, AccountsState).logins, tries_per_network=1))
    answers = []
    async with connect(app) as guesser:
        for number in range(1 + 240):
            answers.append(await authenticate(guesser, f"{number}@example.com", "wrong"))
            clock.advance(seconds=0.25)
        await sign_up(guesser, session)
        clock.advance(seconds=5)
        passed = await authenticate(guesser)

    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(answers) - len(refused) - 1 <= 60 / 5 + 3
    assert max(paused) <= 10
    assert {answer.headers["Retry-After"] for answer in refused} == {"5"}
    assert passed.status_code == 200


async def test_t9_who_waits_for_a_slowed_login_keeps_nobody_from_hashing(app: FastAPI, session: AsyncSession) -> None:
    """However many networks are slowed down at once."""
    passwords = state_of(app, AccountsState).passwords
    going_on = asyncio.Event()

    async def wait(self: Admission, seconds: float) -> None:
        self.release()
        await going_on.wait()
        await self.acquire()

    async with AsyncExitStack() as admissions:
        waiting = []
        for _ in range(MAX_ADMITTED):
            admission = await admissions.enter_async_context(passwords.admission())
            waiting.append(asyncio.create_task(wait(admission, 5)))
        async with connect(app) as client:
            await sign_up(client, session)
            assert (await authenticate(client)).status_code == 200
        going_on.set()
        await asyncio.gather(*waiting)


async def test_who_hangs_up_while_they_wait_gives_back_nothing_twice() -> None:
    passwords = Passwords(CHEAP)

    async def hang_up() -> None:
        async with passwords.admission() as admission:
            await admission.pause(60)

    for _ in range(3):
        task = asyncio.create_task(hang_up())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with AsyncExitStack() as admissions:
        for _ in range(MAX_ADMITTED):
            await admissions.enter_async_context(passwords.admission())
        late = asyncio.create_task(admissions.enter_async_context(passwords.admission()))
        await asyncio.sleep(0)

        assert not late.done()
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)


async def test_any_of_those_who_registered_an_address_are_told_to_verify_it(
    app: FastAPI, client: httpx2.AsyncClient
) -> None:
    await register(client, password="a stranger's password")
    await register(client)

    statuses = [
        (await authenticate(client, password=password)).status_code
        for password in (PASSWORD, "a stranger's password", "nobody's password")
    ]

    assert statuses == [403, 403, 401]


async def test_right_passwords_don_t_use_up_the_network(app: FastAPI, session: AsyncSession) -> None:
    change_state(app, AccountsState, logins=replace(state_of(app, AccountsState).logins, tries_per_network=2))
    async with connect(app) as client:
        await sign_up(client, session)

        assert [(await authenticate(client)).status_code for _ in range(5)] == [200] * 5


async def test_remembers_device_and_network(app: FastAPI, session: AsyncSession) -> None:
    async with from_address(app, "2001:db8:1:2:3:4:5:6") as client:
        client.headers["User-Agent"] = "Till/1.0 " + "x" * 400
        tokens = await sign_in(client, session)

        [shown] = (await client.get("/sessions", headers=bearer(tokens))).json()["items"]

    assert shown["network"] == "2001:db8:1:2::/64"
    assert shown["user_agent"] == ("Till/1.0 " + "x" * 400)[:300]


async def test_a_password_hashed_at_another_cost_is_hashed_anew(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await sign_up(client, session)
    change_state(app, AccountsState, passwords=Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)))

    await authenticate(client)

    assert "t=2" in (await session.scalar(select(User.password_hash)) or "")
    assert (await authenticate(client)).status_code == 200
