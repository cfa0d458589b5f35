"""Fair turns: however much one person asks for, the next one waits for what runs, not for a queue."""

import asyncio

import httpx2
import pytest
from fastapi import FastAPI

from crema.media.service.fair_semaphore import FairSemaphore
from factories.menu import Json, make_product, upload
from fixtures.app import clients
from fixtures.people import make_person

pytestmark = pytest.mark.anyio


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


class Stage:
    """People who take turns, and when each of them ends."""

    def __init__(self, places: int) -> None:
        self.semaphore = FairSemaphore(places)
        self.running: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    def ask(self, name: str) -> "asyncio.Task[None]":
        """Ask for a turn as the person whom the name's letter names."""
        self._ends[name] = asyncio.Event()

        async def run() -> None:
            async with self.semaphore.slot(name[0]):
                self.running.append(name)
                try:
                    await self._ends[name].wait()
                finally:
                    self.running.remove(name)

        return asyncio.ensure_future(run())

    async def end(self, name: str) -> list[str]:
        self._ends[name].set()
        await settle()
        return sorted(self.running)


async def test_one_person_never_holds_two_places() -> None:
    stage = Stage(2)
    tasks = [stage.ask(name) for name in ("a1", "a2", "a3")]
    await settle()

    found = [sorted(stage.running), await stage.end("a1"), await stage.end("a2"), await stage.end("a3")]

    assert found == [["a1"], ["a2"], ["a3"], []]
    await asyncio.gather(*tasks)


async def test_who_comes_later_is_next_however_long_the_others_queue_is() -> None:
    stage = Stage(1)
    tasks = [stage.ask(name) for name in ("a1", "a2", "a3", "b1", "b2", "c1")]
    await settle()

    order = [*stage.running]
    while stage.running:
        order += await stage.end(stage.running[0])

    assert order == ["a1", "a2", "b1", "c1", "a3", "b2"]
    await asyncio.gather(*tasks)


async def test_who_gives_up_while_waiting_or_running_blocks_nobody() -> None:
    stage = Stage(1)
    running, waiting, last = stage.ask("a1"), stage.ask("b1"), stage.ask("c1")
    await settle()

    waiting.cancel()
    running.cancel()
    await settle()

    assert stage.running[-1] == "c1"
    await stage.end("c1")
    await last
    async with asyncio.timeout(1), stage.semaphore.slot("d"):
        pass


async def test_who_gives_up_the_moment_their_turn_comes_gives_it_on() -> None:
    stage = Stage(1)
    first, second, third = stage.ask("a1"), stage.ask("b1"), stage.ask("c1")
    await settle()

    stage._ends["a1"].set()
    while "b" not in stage.semaphore._running:  # noqa: ASYNC110 - the moment between two steps of the loop
        await asyncio.sleep(0)
    assert stage.running == []  # it is b's turn, and b doesn't know yet
    second.cancel()
    await settle()

    assert stage.running == ["c1"]
    await stage.end("c1")
    await asyncio.gather(first, third)


async def test_u4_a_picture_does_not_wait_for_another_s_twenty_four(own_app: FastAPI) -> None:
    people = [await make_person(own_app, email=f"{name}@example.com", role="manager") for name in ("many", "one")]
    done: list[str] = []
    async with clients(own_app, *(person.token for person in people)) as (many, one):
        products = [await make_product(many, f"Латте {number}") for number in range(4)]

        async def send(name: str, client: httpx2.AsyncClient, product: Json) -> None:
            assert (await upload(client, product)).status_code == 201
            done.append(name)

        tasks = [asyncio.ensure_future(send("many", many, products[number % 3])) for number in range(24)]
        while not done:  # noqa: ASYNC110 - any of many
            await asyncio.sleep(0.01)
        before = len(done)
        await send("one", one, products[3])
        ahead = len(done) - 1 - before
        await asyncio.gather(*tasks)

    assert ahead < 12
    assert done.count("many") == 24
