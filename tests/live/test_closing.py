"""How sockets end that nothing is wrong with: the reader is too slow, or the database is away. Both pass."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url
from websockets.exceptions import ConnectionClosed

from crema.live.deps import LiveState
from crema.live.hub import connections as hub_module
from crema.web.state import state_of
from fixtures.live import WAIT_SECONDS, Socket, environment, open_socket, open_town
from fixtures.people import make_person
from fixtures.server import running

pytestmark = pytest.mark.anyio

SOCKETS = ["/chat", "/chats/live", "/orders/live"]
FIRST = {"/chat": "ready", "/chats/live": "snapshot", "/orders/live": "snapshot"}


class NoBus:
    """Events of other processes, of which there are none."""

    @asynccontextmanager
    async def subscribed(self, notice: object) -> AsyncIterator[None]:
        del notice
        yield


class Deaf:
    """A client that takes its first frame and then no other, as ASGI shows it to the application."""

    def __init__(self, path: str, token: str) -> None:
        self.scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"crema"), (b"authorization", f"Bearer {token}".encode())],
            "client": ("192.0.2.77", 123),
            "server": ("crema", 80),
            "subprotocols": [],
        }
        self.closed: tuple[int, str] | None = None
        self._says: Iterator[dict[str, Any]] = iter(
            [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": '{"type": "ping"}'}]
        )
        self._takes = 1

    async def receive(self) -> dict[str, Any]:
        return next(self._says, None) or await asyncio.Event().wait()

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            self.closed = message["code"], message["reason"]
        elif message["type"] == "websocket.send":
            self._takes -= 1
            if self._takes < 0:
                await asyncio.Event().wait()


@pytest.mark.parametrize("path", SOCKETS)
async def test_w5_who_reads_no_more_is_closed_with_1013_too_slow(
    own_app: FastAPI, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(hub_module, "SEND_SECONDS", 0)
    person = await make_person(own_app, email="support@example.com", role="support")
    deaf = Deaf(path, person.token)

    async with state_of(own_app, LiveState).hub.running(NoBus()), asyncio.timeout(WAIT_SECONDS):
        await own_app(deaf.scope, deaf.receive, deaf.send)

    assert deaf.closed == (1013, "too_slow")


@pytest.mark.parametrize("path", SOCKETS)
async def test_twin_w5_without_the_limit_who_reads_no_more_stays(
    own_app: FastAPI, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Until others have been looked after several times."""
    monkeypatch.setattr(hub_module, "SEND_SECONDS", 10**6)
    looks, check = asyncio.Semaphore(0), hub_module.accounts.find_actors

    async def find_actors(*args: Any, **names: Any) -> Any:
        looks.release()
        return await check(*args, **names)

    person = await make_person(own_app, email="support@example.com", role="support")
    deaf = Deaf(path, person.token)

    async with state_of(own_app, LiveState).hub.running(NoBus()), asyncio.timeout(WAIT_SECONDS):
        socket = asyncio.create_task(own_app(deaf.scope, deaf.receive, deaf.send))
        monkeypatch.setattr(hub_module.accounts, "find_actors", find_actors)
        for _ in range(3):
            await looks.acquire()
        ended = socket.done()
        socket.cancel()
        await asyncio.gather(socket, return_exceptions=True)

    assert not ended
    assert deaf.closed is None


OFTEN = "from crema.live.hub import feeds; feeds.POLL_SECONDS = 1"
"""Makes feeds that read nothing look for themselves soon."""


@asynccontextmanager
async def database_away(server_url: str, database_url: str) -> AsyncIterator[None]:
    """Let nobody into a database, and put out who is there."""
    name = make_url(database_url).database
    async with await psycopg.AsyncConnection.connect(server_url, autocommit=True) as connection:
        await connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        await connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')


async def closed_while_asking(socket: Socket) -> int | None:
    """Ask until the socket is closed: what reads nothing finds out at the latest when it looks for itself."""
    with suppress(ConnectionClosed):
        while True:
            await socket.send("ping")
            await socket.expect("pong")
            await asyncio.sleep(1)  # five frames a second are taken
    return socket.connection.close_code


async def test_sockets_whose_database_is_away_are_closed_with_1013_server_busy_and_logged_with_their_network(
    server_url: str, database_url: str, tmp_path: Path
) -> None:
    settings = environment(database_url) | {"CREMA_LOG_FORMAT": "json"}
    with running(tmp_path / "data", prelude=OFTEN, **settings) as server:
        async with open_town([server], database_url, tmp_path) as town, AsyncExitStack() as stack:
            support = await town.person("support")
            sockets: list[Socket] = []
            for path in SOCKETS:
                socket = await stack.enter_async_context(open_socket(server, path, support))
                await socket.expect(FIRST[path])
                sockets.append(socket)
            async with database_away(server_url, database_url):
                codes = await asyncio.gather(*map(closed_while_asking, sockets))
            reasons = [socket.connection.close_reason for socket in sockets]
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]

    assert codes == [1013] * 3
    assert reasons == ["server_busy"] * 3
    interrupted = [line for line in lines if line["event"] == "socket_interrupted"]
    assert len(interrupted) >= 3
    assert {line.get("client") for line in interrupted} == {"127.0.0.0/24"}
