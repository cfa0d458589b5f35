"""Chat while servers are killed: nothing acknowledged is lost, nothing is stored twice, nobody misses anything.

`make kills` runs it whole: 5,000 messages of 20 clients through 4 processes, 6 of which are killed.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from crema.support.models import Conversation, Message
from fixtures.live import NO_RATE, Socket, Town, environment, open_socket, open_town
from fixtures.people import PersonMade
from fixtures.ports import free_port
from fixtures.server import Server, running

pytestmark = pytest.mark.anyio

MESSAGES = int(os.environ.get("CREMA_KILLS_MESSAGES", "300"))
KILLS = 6 if MESSAGES >= 5000 else 2
KILLS_OF_THE_TWIN = 6 if MESSAGES >= 5000 else 0
"""Lost connections alone double messages: in the suite that is proof enough."""
PROCESSES = 4 if MESSAGES >= 5000 else 2
CHATS = 4
PEOPLE_PER_CHAT = 5
WINDOW = 10
"""Messages a client sends ahead of their acknowledgement."""
DROPS = 0.03
"""How often a client's network fails after a message was stored and before its acknowledgement is read."""
LOST = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError)


@dataclass
class Client:
    """Someone who talks, loses the connection, and comes back elsewhere."""

    person: PersonMade
    chat_id: str
    servers: list[Server]
    texts: list[str]
    keyed: bool
    acknowledged: dict[str, int] = field(default_factory=dict)
    seen: list[tuple[int, str]] = field(default_factory=list)
    said_all: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, last_seq: "asyncio.Future[int]") -> None:
        """Say everything, then read until `last_seq` is known and reached."""
        while not (last_seq.done() and self.position >= last_seq.result()):
            server = random.choice(self.servers)  # noqa: S311 - no secret
            try:
                async with (
                    asyncio.timeout(30),
                    open_socket(server, f"/chat/{self.chat_id}?after={self.position}", self.person) as socket,
                ):
                    await self._converse(socket, last_seq)
            except LOST:
                await asyncio.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - the back-off

    @property
    def position(self) -> int:
        return self.seen[-1][0] if self.seen else 0

    async def _converse(self, socket: Socket, last_seq: "asyncio.Future[int]") -> None:
        await socket.expect("ready")
        waiting: set[str] = set()
        unsaid = iter([text for text in self.texts if text not in self.acknowledged])
        while not (last_seq.done() and self.position >= last_seq.result()):
            while len(waiting) < WINDOW and (text := next(unsaid, None)):
                waiting.add(text)
                client_id = text if self.keyed else f"{text}.{uuid4().hex}"
                await socket.send("message", text=text, client_id=client_id)
                if random.random() < DROPS:  # noqa: S311 - as networks do
                    while (await socket.next()).get("client_id") != client_id:
                        pass
                    raise ConnectionResetError
            if not waiting and len(self.acknowledged) == len(self.texts):
                self.said_all.set()
            try:
                async with asyncio.timeout(0.5):
                    frame = await socket.next()
            except TimeoutError:
                continue
            self._take(frame, waiting)

    def _take(self, frame: dict[str, Any], waiting: set[str]) -> None:
        if frame["type"] == "ack":
            text = frame["client_id"].partition(".")[0]
            self.acknowledged[text] = frame["seq"]
            waiting.discard(text)
        elif frame["type"] == "message":
            self.seen.append((frame["seq"], frame["text"]))


class Chain:
    """Servers that are killed one after another and come back on their port."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._environment = environment(database_url) | {"CREMA_DATABASE_POOL": "5"}
        self._folder = folder
        self._stack = ExitStack()
        self.servers: list[Server] = []

    def start(self, port: int | None = None) -> Server:
        return self._stack.enter_context(
            running(self._folder / uuid4().hex, port=port, prelude=NO_RATE, **self._environment)
        )

    async def start_all(self) -> None:
        self.servers = await asyncio.gather(*(asyncio.to_thread(self.start, free_port()) for _ in range(PROCESSES)))

    async def kill_one(self, index: int) -> None:
        old = self.servers[index]
        old.process.send_signal(signal.SIGKILL)
        old.process.wait(5)
        self.servers[index] = await asyncio.to_thread(self.start, int(old.url.rpartition(":")[2]))

    def close(self) -> None:
        self._stack.close()


async def converse_through_kills(
    database_url: str, folder: Path, *, kills: int, keyed: bool
) -> tuple[list[Client], Town]:
    chain = Chain(database_url, folder)
    async with AsyncExitStack() as stack:
        stack.callback(chain.close)
        await chain.start_all()
        town = await stack.enter_async_context(open_town(chain.servers, database_url, folder))
        clients = [client for _ in range(CHATS) for client in await _a_chat(town, chain.servers, keyed=keyed)]
        loop = asyncio.get_running_loop()
        ends = {client.chat_id: loop.create_future() for client in clients}
        talks = [asyncio.create_task(client.talk(ends[client.chat_id])) for client in clients]
        for number in range(kills):
            await _until_said(clients, (number + 1) / (kills + 1))
            await chain.kill_one(number % PROCESSES)
        for client in clients:
            await asyncio.wait_for(client.said_all.wait(), 120)
        async with town.sessions() as session:
            for row in await session.execute(select(Conversation.id, Conversation.last_seq)):
                ends[str(row.id)].set_result(row.last_seq)
        await asyncio.wait_for(asyncio.gather(*talks), 60)
        stack.pop_all()
        chain.close()
        return clients, town


async def _a_chat(town: Town, servers: list[Server], *, keyed: bool) -> list[Client]:
    customer = await town.person()
    async with open_socket(servers[0], "/chat", customer) as socket:
        chat_id = (await socket.expect("ready"))["conversation"]["id"]
    people = [customer, *[await town.person("support") for _ in range(PEOPLE_PER_CHAT - 1)]]
    each = MESSAGES // (CHATS * PEOPLE_PER_CHAT)
    return [
        Client(person, chat_id, servers, [f"{place}-{number}-{chat_id[-4:]}" for number in range(each)], keyed)
        for place, person in enumerate(people)
    ]


async def _until_said(clients: list[Client], share: float) -> None:
    async with asyncio.timeout(120):
        while sum(len(client.acknowledged) for client in clients) < share * MESSAGES:  # noqa: ASYNC110 - of many
            await asyncio.sleep(0.02)


async def test_w7_p9_nothing_is_lost_or_doubled_when_servers_are_killed(database_url: str, tmp_path: Path) -> None:
    clients, town = await converse_through_kills(database_url, tmp_path, kills=KILLS, keyed=True)

    async with town.sessions() as session:
        rows = (await session.execute(select(Message.conversation_id, Message.seq, Message.text))).all()
    stored: dict[str, list[tuple[int, str]]] = {}
    for chat_id, seq, text in sorted(rows, key=lambda row: row.seq):
        stored.setdefault(str(chat_id), []).append((seq, text))
    await town.sessions.kw["bind"].dispose()

    for client in clients:
        messages = stored[client.chat_id]
        assert client.seen == messages, "everything, once, in order"
        assert [seq for seq, _ in messages] == list(range(1, len(messages) + 1)), "without gaps"
        by_text = {text: seq for seq, text in messages}
        assert client.acknowledged.items() <= by_text.items()
        assert set(client.texts) == client.acknowledged.keys()
    assert Counter(text for messages in stored.values() for _, text in messages).most_common(1)[0][1] == 1


async def test_w7_twin_without_the_client_s_key_messages_are_doubled(database_url: str, tmp_path: Path) -> None:
    clients, town = await converse_through_kills(database_url, tmp_path, kills=KILLS_OF_THE_TWIN, keyed=False)

    async with town.sessions() as session:
        texts = list(await session.scalars(select(Message.text)))
    await town.sessions.kw["bind"].dispose()

    assert Counter(texts).most_common(1)[0][1] > 1
    assert set(texts) == {text for client in clients for text in client.texts}
