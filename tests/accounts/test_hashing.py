"""Hashing passwords: at its cost, off the event loop, bounded."""

import asyncio
import time
from collections.abc import Iterator
from threading import Event, Semaphore
from typing import Literal

import httpx2
import pytest
from argon2 import PasswordHasher, extract_parameters
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.deps import AccountsState
from crema.accounts.models import Throttle, User
from crema.accounts.service.passwords import MAX_ADMITTED, MAX_WAITING, REFUSAL_DELAY_SECONDS, THREADS, Passwords
from crema.web.state import state_of
from factories.people import PASSWORD, authenticate, register

pytestmark = pytest.mark.anyio
PLACES = MAX_ADMITTED + MAX_WAITING


class Held(PasswordHasher):
    """Hashes nothing until it is let go."""

    def __init__(self, let_go: Event) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.let_go = let_go
        self.begun = Semaphore(0)

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.begun.release()
        assert self.let_go.wait(10)
        return super().hash(password, salt=salt)


@pytest.fixture
def let_go() -> Iterator[Event]:
    event = Event()
    yield event
    event.set()


async def test_t10_a_flood_is_told_to_come_again(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    passwords = state_of(app, AccountsState).passwords

    async def take_a_turn() -> None:
        async with passwords.admission():
            await let_go.wait()

    let_go = asyncio.Event()
    everyone = [asyncio.create_task(take_a_turn()) for _ in range(PLACES)]
    await asyncio.sleep(0)
    started = time.monotonic()
    answers = await asyncio.gather(register(client), authenticate(client))
    took = time.monotonic() - started
    counted = await session.scalar(select(func.count()).select_from(Throttle))
    let_go.set()
    await asyncio.gather(*everyone)

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(429, "too_busy")] * 2
    assert {answer.headers["Retry-After"] for answer in answers} == {"1"}
    assert await session.scalar(select(func.count()).select_from(User)) == 0
    assert took >= REFUSAL_DELAY_SECONDS, "nobody gains by trying again at once"
    assert counted == 0, "a refused try costs no statement"
    assert (await register(client)).status_code == 201


async def test_t10_a_refused_request_gives_its_turn_back(app: FastAPI, client: httpx2.AsyncClient) -> None:
    for _ in range(PLACES + 1):
        assert (await authenticate(client, "")).status_code == 422

    assert (await register(client)).status_code == 201


async def test_r10_who_hangs_up_leaves_no_work_in_the_queue(let_go: Event) -> None:
    hasher = Held(let_go)
    passwords = Passwords(hasher)
    waiting = [asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(PLACES)]
    for _ in range(THREADS):
        assert await asyncio.to_thread(hasher.begun.acquire, timeout=10)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    let_go.set()
    await passwords.hash(PASSWORD)

    assert hasher.begun.acquire(timeout=10)
    assert not hasher.begun.acquire(blocking=False), "only what the threads had begun was finished"


async def test_t10_costs_what_owasp_asks() -> None:
    assert (await Passwords().hash(PASSWORD)).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


verified: list[str] = []


class Recording(PasswordHasher):
    """Notes which hashes are worked on."""

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's own name
        verified.append(str(hash))
        return super().verify(hash, password)


async def test_t8_an_unknown_address_takes_as_long_as_a_wrong_password() -> None:
    """The same work is done: as many hashes, each at the cost of those that are kept."""
    passwords = Passwords(Recording(time_cost=2, memory_cost=19456, parallelism=1))
    kept = await Passwords().hash(PASSWORD)
    work = {}

    for password_hash in (kept, None):
        verified.clear()
        assert not await passwords.verify(password_hash, "wrong password")
        work[password_hash] = [extract_parameters(each) for each in verified]

    assert work[None] == work[kept] == [extract_parameters(kept)]


async def test_t10_does_not_stop_the_event_loop() -> None:
    passwords = Passwords()
    hashing = asyncio.create_task(passwords.hash(PASSWORD))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1

    assert turns > 20
