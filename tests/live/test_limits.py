"""What a socket may cost, and how it ends when the server does."""

import asyncio
import json
import signal
import socket as sockets
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from websockets.exceptions import InvalidStatus

from crema.live.domain import MAX_RATE_VIOLATIONS, RATE_VIOLATION_SECONDS, TokenBucket
from crema.live.hub import SEND_SECONDS
from fixtures.live import WAIT_SECONDS, Town, chatting, environment, open_socket, open_town
from fixtures.people import PersonMade
from fixtures.server import Server, http_client, resident, running

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
HISTORY = """
    WITH said AS (
        INSERT INTO messages (id, conversation_id, seq, client_id, author_id, author_role, is_from_customer, text)
        SELECT gen_random_uuid(), :chat, n, 'old-' || n, :anna, 'user', true, repeat('ж', 2000)
        FROM generate_series(1, 4000) n
    )
    UPDATE conversations SET last_seq = 4000 WHERE id = :chat
"""
"""16 MB to read: more than the kernel takes for a reader who doesn't."""
HANDSHAKE = (
    "GET /chat?after=0 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {token}\r\n\r\n"
)


def connect_and_read_nothing(server: Server, person: PersonMade) -> sockets.socket:
    """Open a chat with the smallest window there is, and leave everything the server says where it is."""
    address = urlsplit(server.url)
    assert address.hostname is not None
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    connection.connect((address.hostname, address.port))
    connection.sendall(HANDSHAKE.format(host=address.netloc, token=person.token).encode())
    return connection


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read a process's memory from")
async def test_w5_a_reader_that_stops_reading_costs_little_and_delays_nobody(town: Town) -> None:
    anna, writers = await town.person(), [await town.person("support") for _ in range(10)]
    server, writer = town.servers
    async with http_client(base_url=writer.url) as client:
        opened = await client.post("/chat", headers={"Authorization": f"Bearer {anna.token}"})
        path = f"/chat/{opened.json()['id']}/messages"

        async def say(number: int) -> None:
            headers = {"Authorization": f"Bearer {writers[number % 10].token}"}  # each may write five a second
            answer = await client.post(path, json={"text": "x" * 2_000, "client_id": str(number)}, headers=headers)
            assert answer.status_code == 201

        async with town.sessions.begin() as session:
            await session.execute(text(HISTORY), {"chat": opened.json()["id"], "anna": anna.id})
        async with chatting(server, anna) as reader:
            await reader.send("ping")
            await reader.expect("pong")
        before = resident(server)
        deaf = [connect_and_read_nothing(server, anna) for _ in range(4)]
        async with chatting(server, anna) as reader:
            for number in range(50):
                await say(number)
                await reader.expect("message", client_id=str(number))
            grown = resident(server) - before
        for connection in deaf:
            connection.close()

    assert grown < 8 * MIB
    assert WAIT_SECONDS < SEND_SECONDS, "nobody waited for the deaf, who are cut off only then"


async def test_s5_a_restart_closes_sockets_with_1012_and_leaves_no_seat(database_url: str, tmp_path: Path) -> None:
    with running(tmp_path / "data", **environment(database_url)) as server:
        async with open_town([server], database_url, tmp_path) as town:
            people = [await town.person() for _ in range(5)]
            async with (
                chatting(server, people[0]) as first,
                chatting(server, people[1]) as second,
                open_socket(server, "/orders/live", people[2]) as orders,
            ):
                await orders.expect("snapshot")
                stopping = asyncio.create_task(asyncio.to_thread(server.stop, signal.SIGTERM))
                codes = await asyncio.gather(first.closed(), second.closed(), orders.closed())
                status = await stopping
            async with town.sessions() as session:
                seats = await session.scalar(text("SELECT count(*) FROM seats"))

    assert codes == [1012] * 3
    assert status == 0
    assert seats == 0
    assert "Traceback" not in server.log.read_text()


async def test_a_killed_server_s_people_are_not_counted_for_long(database_url: str, tmp_path: Path) -> None:
    with (
        running(tmp_path / "a", **environment(database_url)) as first,
        running(tmp_path / "b", **environment(database_url)) as second,
    ):
        async with open_town([first, second], database_url, tmp_path) as town:
            anna = await town.person()
            for _ in range(5):
                await open_socket(first, "/chat", anna).__aenter__()
            first.process.kill()
            async with town.sessions.begin() as session:  # sixteen seconds later
                await session.execute(text("UPDATE server_processes SET seen_at = seen_at - interval '16 seconds'"))

            async with chatting(second, anna) as back:
                await back.send("ping")
                await back.expect("pong")


async def test_s1_handshakes_are_counted_like_requests(database_url: str, tmp_path: Path) -> None:
    settings = environment(database_url) | {"CREMA_RATE_LIMIT": "30/minute"}
    with running(tmp_path / "data", **settings) as server:
        async with open_town([server], database_url, tmp_path) as town:
            anna, opened = await town.person(), 0

            async def open_many() -> None:
                nonlocal opened
                while opened < 40:
                    async with chatting(server, anna):
                        opened += 1

            with pytest.raises(InvalidStatus) as refused:
                await open_many()

    response = refused.value.response
    assert opened <= 30
    assert opened >= 20, "the server's own start asks, too"
    assert response.status_code == 429
    assert json.loads(response.body or b"")["code"] == "too_many_requests"
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert "Traceback" not in server.log.read_text()


async def test_strikes_are_forgotten_after_a_while() -> None:
    strikes = TokenBucket(at=0, size=MAX_RATE_VIOLATIONS - 1, per_second=1 / RATE_VIOLATION_SECONDS)

    assert [strikes.take(second) for second in (0, 1, 2)] == [True, True, False], "the third within seconds"
    assert [strikes.take(second) for second in (0, 1, 30, 31, 50)][2:] == [True, True, True], "one now and then"
