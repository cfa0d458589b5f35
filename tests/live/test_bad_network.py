"""The examples people copy, on a bad network: connections that are reset, half-open, held up and delivered in bursts.

Ten minutes of it are compressed by the clients' waits, which are a twentieth of what people have.
"""

import asyncio
import json
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from crema.support.models import Message
from crema.web.docs import ASSETS
from fixtures.examples import load_example
from fixtures.live import Town
from fixtures.network import Network, bad_network
from fixtures.people import PersonMade
from fixtures.server import http_client

pytestmark = pytest.mark.anyio

WAITS = {"shortest": 0.03, "longest": 1.0, "steady": 0.3, "gap": 0.22, "slower": 1.0, "answer": 0.6, "silence": 0.6}
"""Seconds. The gap is that of the server's rate, which knows no hurry."""
HASTY = WAITS | {"longest": 0.5, "steady": 0.15, "gap": 0.02, "slower": 0.5, "answer": 0.3, "silence": 0.3}
"""For a server without a rate, where to connect anew in vain harms nothing."""
PATIENCE = 60
NODE = shutil.which("node")
DRIVER = Path(__file__).parents[1] / "fixtures" / "chat_driver.mjs"
MAX_FRAME = "32 * 1024"


def node_options() -> list[str] | None:
    """What makes this machine's Node know WebSocket, or None if nothing does."""
    if NODE is None:
        return None
    for options in ([], ["--experimental-websocket"]):
        asked = [NODE, *options, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
        if subprocess.run(asked, check=False, capture_output=True).returncode == 0:  # noqa: S603
            return options
    return None


OPTIONS = node_options()
Waits = Mapping[str, float]


class Watched:
    """What a client told so far, and waiting for more."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def tell(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._news.set()

    def of(self, type_: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == type_]

    async def until(self, arrived: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not arrived():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"only {len(self.events)} events, the last: {self.events[-5:]}") from None


class PythonTalker(Watched):
    def __init__(self, url: str, person: PersonMade, *, waits: Waits, sends_any_size: bool) -> None:
        super().__init__()
        example = load_example()
        if sends_any_size:
            example.MAX_FRAME = 10**9

        async def token() -> str:
            return person.token

        self._chat = example.Chat(
            url,
            token=token,
            heard=self.tell,
            refused=lambda refusal: self.tell({"type": "refused"} | refusal),
            waits=example.Waits(**waits),
        )
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        code = await self._chat.run()
        self.tell({"type": "state", "state": "replaced" if code == 1013 else f"closed {code}"})

    async def say(self, text: str) -> None:
        await self._chat.say(text)

    async def end(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


class NodeTalker(Watched):
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__()
        self._process = process
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, url: str, person: PersonMade, folder: Path, *, waits: Waits, sends_any_size: bool
    ) -> "NodeTalker":
        source = (ASSETS / "examples" / "chat.js").read_text()
        if sends_any_size:
            assert MAX_FRAME in source
            source = source.replace(MAX_FRAME, "10 ** 9")
        example = folder / "chat.mjs"
        example.write_text(source)
        milliseconds = json.dumps({name: seconds * 1000 for name, seconds in waits.items()})
        assert NODE is not None
        assert OPTIONS is not None
        process = await asyncio.create_subprocess_exec(
            *(NODE, *OPTIONS, "--no-warnings", str(DRIVER), str(example), url, person.token, milliseconds),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=2**20,
        )
        return cls(process)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.tell(json.loads(line))

    async def say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(text).encode() + b"\n")
        await self._process.stdin.drain()

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reading


LANGUAGES = ("python",) if OPTIONS is None else ("python", "node")


async def in_each_language(scenario: Callable[[str], Coroutine[Any, Any, None]]) -> None:
    """Run it side by side with each example: most of it is waiting."""
    async with asyncio.TaskGroup() as scenarios:
        for language in LANGUAGES:
            scenarios.create_task(scenario(language))


@pytest.mark.skipif(OPTIONS is None, reason="no Node.js with WebSocket (20.10 or later) here")
def test_the_example_in_javascript_is_tried_too() -> None:
    assert "node" in LANGUAGES


@asynccontextmanager
async def talking(
    language: str,
    url: str,
    person: PersonMade,
    folder: Path,
    *,
    waits: Waits = WAITS,
    sends_any_size: bool = False,
) -> AsyncIterator[PythonTalker | NodeTalker]:
    talker: PythonTalker | NodeTalker
    if language == "python":
        talker = PythonTalker(url, person, waits=waits, sends_any_size=sends_any_size)
    else:
        talker = await NodeTalker.start(url, person, folder, waits=waits, sends_any_size=sends_any_size)
    try:
        yield talker
    finally:
        await talker.end()


class Support:
    """Answers over HTTP, past the bad network."""

    def __init__(self, town: Town, client: httpx2.AsyncClient, chat_id: str) -> None:
        self._town, self._client, self.chat_id = town, client, chat_id

    async def answer(self, text: str) -> None:
        """Answer, as often as it takes past the limit of five a second."""
        while True:
            answer = await self._client.post(f"/chat/{self.chat_id}/messages", json={"text": text})
            if answer.status_code != 429:
                break
            await asyncio.sleep(int(answer.headers["Retry-After"]))
        assert answer.status_code == 201, answer.text

    async def stored(self) -> list[tuple[int, str, bool]]:
        async with self._town.sessions() as session:
            rows = await session.execute(
                select(Message.seq, Message.text, Message.is_from_customer)
                .where(Message.conversation_id == self.chat_id)
                .order_by(Message.seq)
            )
            return [(row.seq, row.text, row.is_from_customer) for row in rows]


@asynccontextmanager
async def support_of(town: Town, person: PersonMade) -> AsyncIterator[Support]:
    staff = await town.person("support")
    headers = {"Authorization": f"Bearer {staff.token}"}
    async with http_client(base_url=town.servers[0].url, headers=headers) as client:
        opened = await client.post("/chat", headers={"Authorization": f"Bearer {person.token}"})
        yield Support(town, client, opened.json()["id"])


async def misbehave(network: Network, turn: int) -> None:
    """One of the ways in which networks fail, for a moment."""
    moment = random.uniform(0.05, 0.4)  # noqa: S311 - as networks do
    match turn % 4:
        case 0:
            network.drop()
        case 1:
            network.freeze()
        case 2:
            network.hold()
            await asyncio.sleep(moment)
            network.release()
        case 3:
            network.is_down = True
            network.drop()
            await asyncio.sleep(moment)
            network.is_down = False


async def test_w7_the_examples_lose_nothing_through_ten_minutes_of_a_bad_network(
    unlimited_town: Town, tmp_path: Path
) -> None:
    async def scenario(language: str) -> None:
        anna = await unlimited_town.person()
        said, answers = [f"said {number}" for number in range(40)], [f"answer {number}" for number in range(40)]
        async with support_of(unlimited_town, anna) as support, bad_network(unlimited_town.servers[0].url) as network:
            async with talking(language, network.url, anna, tmp_path, waits=HASTY) as talker:
                await talker.say(said[0])
                await talker.until(lambda: bool(talker.of("message")))
                for turn, (text, answer) in enumerate(zip(said[1:], answers, strict=False)):
                    await talker.say(text)
                    await support.answer(answer)
                    await misbehave(network, turn)
                    if turn % 3 == 2:  # else it would hardly be online between two failures
                        heard = len(talker.of("message"))
                        await talker.until(lambda heard=heard: len(talker.of("message")) > heard)
                everything = len(said) + len(answers) - 1
                await talker.until(lambda: len(talker.of("message")) == everything)
                heard = [(frame["seq"], frame["text"]) for frame in talker.of("message")]
            stored = await support.stored()

        assert [text for _, text, is_hers in stored if is_hers] == said, "everything, once, in order"
        assert heard == [(seq, text) for seq, text, _ in stored], "everything, once, in order"
        assert not talker.of("refused")
        assert network.connections < 500, "no endless loop"

    await in_each_language(scenario)


async def test_fifteen_messages_typed_offline_are_all_sent(town: Town, tmp_path: Path) -> None:
    async def scenario(language: str) -> None:
        anna = await town.person()
        async with support_of(town, anna) as support, bad_network(town.servers[0].url) as network:
            async with talking(language, network.url, anna, tmp_path) as talker:
                await talker.say("online")
                await talker.until(lambda: len(talker.of("message")) == 1)
                network.is_down = True
                network.drop()
                for number in range(15):
                    await talker.say(f"offline {number}")
                network.is_down = False
                await talker.until(lambda: len(talker.of("message")) == 16)
            stored = [text for _, text, _ in await support.stored()]

        assert stored == ["online", *(f"offline {number}" for number in range(15))]

    await in_each_language(scenario)


async def test_w5_seven_half_open_connections_after_a_tunnel_lock_nobody_out(
    unlimited_town: Town, tmp_path: Path
) -> None:
    async def scenario(language: str) -> None:
        anna = await unlimited_town.person()
        async with (
            bad_network(unlimited_town.servers[0].url) as network,
            talking(language, network.url, anna, tmp_path, waits=HASTY) as talker,
        ):
            for number in range(8):
                await talker.say(f"from tunnel {number}")
                await talker.until(lambda number=number: len(talker.of("message")) == number + 1)
                network.freeze()

        assert [frame["text"] for frame in talker.of("message")] == [f"from tunnel {number}" for number in range(8)]

    await in_each_language(scenario)


@pytest.mark.parametrize("limit", ["the client's", "the server's"])
async def test_a_text_that_is_refused_is_given_up_and_what_follows_it_arrives(
    town: Town, limit: str, tmp_path: Path
) -> None:
    """Legal ones first: 2,000 emoji are 24,000 bytes as Python escapes them. 40,000 letters are 1009."""

    async def scenario(language: str) -> None:
        anna = await town.person()
        texts = ["🙂" * 1_400, "🙂" * 2_000, "🙂" * 2_001, "next", "x" * 40_000, "last"]
        async with support_of(town, anna) as support:
            url, sends_any_size = town.servers[0].url, limit == "the server's"
            async with talking(language, url, anna, tmp_path, sends_any_size=sends_any_size) as talker:
                for text in texts:
                    await talker.say(text)
                await talker.until(lambda: len(talker.of("message")) == 4 and len(talker.of("refused")) == 2)
            stored = [text for _, text, _ in await support.stored()]

        assert stored == [texts[0], texts[1], "next", "last"]
        assert [refusal["text"] for refusal in talker.of("refused")] == [texts[2], texts[4]]

    await in_each_language(scenario)


async def test_w5_six_windows_of_one_person_do_not_take_each_other_s_place_for_ever(town: Town, tmp_path: Path) -> None:
    async def scenario(language: str) -> None:
        anna = await town.person()
        async with AsyncExitStack() as stack:
            network = await stack.enter_async_context(bad_network(town.servers[0].url))
            windows: list[Any] = []
            for number in range(6):
                window = await stack.enter_async_context(talking(language, network.url, anna, tmp_path))
                await window.say(f"window {number}")
                await window.until(lambda window=window: bool(window.of("message")))
                windows.append(window)
            await windows[0].until(lambda: windows[0].events[-1] == {"type": "state", "state": "replaced"})
            before = network.connections
            for number, window in enumerate(windows[1:], start=1):
                await window.say(f"still here {number}")
                await window.until(
                    lambda window=window, number=number: (
                        f"still here {number}" in [m["text"] for m in window.of("message")]
                    )
                )

            assert windows[0].events[-1] == {"type": "state", "state": "replaced"}
            assert network.connections == before

    await in_each_language(scenario)
