"""Events between processes: after the commit, and again after a loss of the way they go."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from crema.db import hints
from crema.db.hints import Bus, Hint, NatsBus, PostgresBus, publish
from crema.db.session import make_engine, make_sessions
from fixtures.live import chatting, environment, open_town
from fixtures.nats import nats_server
from fixtures.server import http_client, running

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 10


class Ear:
    """What was noticed."""

    def __init__(self) -> None:
        self.heard: list[Hint | None] = []
        self._news = asyncio.Event()

    def __call__(self, event: Hint | None) -> None:
        self.heard.append(event)
        self._news.set()

    async def until(self, arrived: Callable[[list[Hint | None]], bool]) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not arrived(self.heard):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pytest.fail(f"heard only {self.heard}")

    @property
    def topics(self) -> list[str]:
        return [topic for event in self.heard if event is not None for topic in event.topics]


@asynccontextmanager
async def subscribed(*buses: Bus) -> AsyncIterator[list[Ear]]:
    async with AsyncExitStack() as stack:
        ears = [Ear() for _ in buses]
        for bus, ear in zip(buses, ears, strict=True):
            await stack.enter_async_context(bus.subscribed(ear))
        for ear in ears:
            await ear.until(lambda heard: None in heard)
        yield ears


@pytest.fixture(params=["postgres", "nats"])
def make_bus(request: pytest.FixtureRequest, database_url: str) -> Iterator[Callable[[], Bus]]:
    if request.param == "postgres":
        yield lambda: PostgresBus(database_url)
        return
    with nats_server() as nats:
        yield lambda: NatsBus(nats.url)


async def test_an_event_comes_after_its_commit_to_every_process_and_a_rollback_sends_none(
    make_bus: Callable[[], Bus], database_url: str
) -> None:
    sender, other = make_bus(), make_bus()
    engine = make_engine(database_url)
    sessions = make_sessions(engine, bus=sender)

    async with subscribed(sender, other) as ears:
        async with sessions() as session:
            publish(session, topics=["undone"])
            await session.rollback()
        async with sessions.begin() as session:
            publish(session, topics=["a", "b"], frame={"say": "Привет"})
            async with session.begin_nested():
                publish(session, topics=["nested"])
            await asyncio.sleep(0)
            assert ears[1].topics == []
        for ear in ears:
            await ear.until(lambda heard: Hint(("nested",)) in heard)
            # A slow machine may lose a connection on the way: then they come once more, after a None.
            assert list(dict.fromkeys(ear.topics)) == ["a", "b", "nested"]
            assert Hint(("a", "b"), {"say": "Привет"}) in ear.heard
    await engine.dispose()


async def test_what_is_put_while_the_database_connection_is_lost_arrives_later(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "HEARTBEAT_SECONDS", 0.2)
    bus = PostgresBus(database_url)

    async with subscribed(bus) as (ear,):
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'crema events'"
            )
        bus.publish(Hint(("kept",)))
        await ear.until(lambda heard: heard.count(None) == 2 and "kept" in ear.topics)


async def test_a_broker_that_dies_is_noticed_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "HEARTBEAT_SECONDS", 0.2)
    with nats_server() as nats:
        bus = NatsBus(nats.url)
        async with subscribed(bus) as (ear,):
            nats.kill()
            bus.publish(Hint(("kept",)))
            await asyncio.sleep(0.3)
            with nats_server(nats.port):
                await ear.until(lambda heard: heard.count(None) == 2 and "kept" in ear.topics)


async def test_w7_servers_talk_through_nats_and_resynchronise_after_it_was_away(
    database_url: str, tmp_path: Path
) -> None:
    with nats_server() as nats:
        settings = environment(database_url) | {"CREMA_EVENTS_URL": nats.url}
        with running(tmp_path / "a", **settings) as first, running(tmp_path / "b", **settings) as second:
            async with open_town([first, second], database_url, tmp_path) as town:
                anna, support = await town.person(), await town.person("support")
                async with http_client(base_url=first.url) as client:
                    answer = await client.post("/chat", headers={"Authorization": f"Bearer {anna.token}"})
                chat = answer.json()["id"]
                async with chatting(first, anna) as customer, chatting(second, support, chat) as staff:
                    await customer.say("through the broker")
                    await staff.expect("message", seq=1)
                    nats.kill()
                    await customer.say("while it was away")
                    with nats_server(nats.port):
                        await staff.expect("message", seq=2)
                        await staff.say("and back")
                        await customer.expect("message", seq=3)

    interruptions = re.findall("events_interrupted", first.log.read_text())
    assert 1 <= len(interruptions) <= 3, "once an outage, not once a try"
