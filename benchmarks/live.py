"""What the sockets cost: fan-out, latency between processes, the orders' board, memory; and one pool exhausted.

The peers serve the same frame to the same readers, and nothing else: no login, no database, no order of messages.
"""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import psycopg
from data import LEAST, MENU, Chain, id_of, started
from measuring import cpu_seconds, settings_of
from results import QUICK, keep, record
from websockets.asyncio.client import connect

from fixtures.live import Town, chatting, environment, open_town
from fixtures.nats import nats_server
from fixtures.people import PersonMade
from fixtures.ports import free_port
from fixtures.server import Server, resident, running

SOCKETS: Final = 500
MESSAGES: Final = 20 if QUICK else 60
AT_ONCE: Final = 10
ROUNDS: Final = 1 if QUICK else 3
TO_TEN: Final = 40 if QUICK else 300
IDLE: Final = 400 if QUICK else 2_000
IDLE_SECONDS: Final = 8 if QUICK else 20
SETTLE_SECONDS: Final = 4
BARISTAS: Final = 50
ORDERS_PER_SECOND: Final = 100
BOARD_SECONDS: Final = 3 if QUICK else 10
ASKING_A_LOCKED_TABLE: Final = 60
LARGEST_SHORT_FRAME: Final = 125
PING: Final = 9

PEER = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect

readers = set()

async def join(socket):
    await socket.accept()
    readers.add(socket)
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        readers.discard(socket)

async def say(request):
    text = (await request.body()).decode()
    for reader in [*readers]:
        await reader.send_text(text)
    return Response(status_code=204)

app = Starlette(routes=[WebSocketRoute("/", join), Route("/", say, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
"""
BARE = """
import asyncio, sys
from http import HTTPStatus
from websockets.asyncio.server import broadcast, serve

readers = set()

async def join(socket):
    readers.add(socket)
    try:
        async for text in socket:
            broadcast(readers, text)
    finally:
        readers.discard(socket)

async def main():
    async with serve(join, "127.0.0.1", int(sys.argv[1])):
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


class Crowd:
    """Readers that wait for the same frame."""

    def __init__(self, readers: Sequence["Reader"]) -> None:
        self._readers = readers
        self._missing = 0
        self._all = asyncio.get_running_loop().create_future()

    def expect(self, wanted: bytes, *, count: int = 1) -> "asyncio.Future[None]":
        """Give what is done once each has got so many frames with these bytes."""
        self._missing = len(self._readers) * count
        self._all = asyncio.get_running_loop().create_future()
        for reader in self._readers:
            reader.crowd, reader.wanted, reader.missing = self, wanted, count
        return self._all

    def one_more(self) -> None:
        """One has got it."""
        self._missing -= 1
        if not self._missing:
            self._all.set_result(None)


class Reader(asyncio.Protocol):
    """The cheapest client there is: it counts text frames and notes when each came."""

    def __init__(self, path: str, host: str, token: str | None, greeting: bytes = b'"ready"') -> None:
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._handshake = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{authorization}\r\n"
        ).encode()
        self._greeting = greeting if token else b""
        self._buffer = b""
        self._is_open = False
        self.opened = asyncio.get_running_loop().create_future()
        self.crowd = Crowd([])
        self.came_at = 0.0
        self.wanted = b""
        self.missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head, head
            self._is_open, self._buffer = True, rest
            if not self._greeting:
                self.opened.set_result(None)
        while (frame := self._frame()) is not None:
            if not self.opened.done() and self._greeting in frame:
                self.opened.set_result(None)
            self.take(frame)

    def take(self, frame: bytes) -> None:
        """Look whether a frame is the one that is waited for."""
        if self.missing and self.wanted in frame:
            self.came_at = time.perf_counter()
            self.missing -= 1
            self.crowd.one_more()

    def _frame(self) -> bytes | None:
        if len(self._buffer) < 2:
            return None
        size, start = self._buffer[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(self._buffer[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(self._buffer[2:10]), 10
        if len(self._buffer) < start + size:
            return None
        if self._buffer[0] & 15 == PING and size <= LARGEST_SHORT_FRAME:  # answered with its payload, masked by zeros
            pong = bytes([0x8A, 0x80 | size, 0, 0, 0, 0]) + self._buffer[start : start + size]
            self.transport.write(pong)
        frame, self._buffer = self._buffer[start : start + size], self._buffer[start + size :]
        return frame


class BoardReader(Reader):
    """Notes when it saw each order, by the number in its comment."""

    def __init__(self, path: str, host: str, token: str) -> None:
        super().__init__(path, host, token, b'"snapshot"')
        self.seen: dict[int, float] = {}

    def take(self, frame: bytes) -> None:
        """Note when an order was first seen."""
        if found := re.search(rb'"comment":"n-(\d+)\."', frame):
            self.seen.setdefault(int(found[1]), time.perf_counter())


@asynccontextmanager
async def readers(url: str, path: str, tokens: list[str | None]) -> AsyncIterator[list[Reader]]:
    """Connect one reader per token."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    joined: list[Reader] = []
    for token in tokens:
        _, reader = await loop.create_connection(
            lambda token=token: Reader(path, address.netloc, token), address.hostname, address.port
        )
        joined.append(reader)
    for reader in joined:
        await reader.opened
    yield joined
    for reader in joined:
        reader.transport.abort()


@dataclass
class FanOut:
    """One round: deliveries a second, server CPU per delivery, and how long the slowest waited."""

    per_second: list[float] = field(default_factory=list)
    microseconds: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        middle = statistics.median
        return f"| {name} | {middle(self.per_second):,.0f} | {middle(self.microseconds):.1f} | {middle(self.p99):.0f} |"


async def fan_out(result: FanOut, joined: list[Reader], pid: int, say: Any) -> None:
    """Say MESSAGES in bursts, each as soon as the last has reached everybody."""
    text = '"text":"' + "x" * 100
    delays: list[float] = []
    cpu, began = cpu_seconds(pid), time.perf_counter()
    for _ in range(MESSAGES // AT_ONCE):
        arrived = Crowd(joined).expect(b"xxxxxxxxxx", count=AT_ONCE)
        started = time.perf_counter()
        await asyncio.gather(*(say("x" * 100, text) for _ in range(AT_ONCE)))
        await arrived
        delays += [reader.came_at - started for reader in joined]
    seconds = time.perf_counter() - began
    count = MESSAGES * len(joined)
    result.per_second.append(count / seconds)
    result.microseconds.append((cpu_seconds(pid) - cpu) / count * 1e6)
    result.p99.append(sorted(delays)[int(len(delays) * 0.99)] * 1000)


@contextmanager
def peer(source: str) -> Iterator[tuple[int, int]]:
    """Run a peer's program; give its process id and port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", source, str(port)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                httpx2.get(f"http://127.0.0.1:{port}/")
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


async def compare_fan_out(town: Town) -> tuple[list[str], dict[str, float]]:
    """Interleave the rounds of all three."""
    server = town.servers[0]
    staff = [await town.person("support") for _ in range(SOCKETS // 5)]
    writers = cycle(
        [(await town.person("support")).token for _ in range(MESSAGES // 5)]
    )  # each may write five a second
    chat = await chat_of(server, await town.person())
    crema, default, bare = FanOut(), FanOut(), FanOut()
    with peer(PEER) as (default_pid, default_port), peer(BARE) as (bare_pid, bare_port):
        async with (
            httpx2.AsyncClient(base_url=server.url) as client,
            readers(server.url, f"/chat/{chat}", [person.token for person in staff for _ in range(5)]) as ours,
            readers(f"http://127.0.0.1:{default_port}", "/", [None] * SOCKETS) as theirs,
            readers(f"http://127.0.0.1:{bare_port}", "/", [None] * SOCKETS) as bares,
        ):
            async with connect(f"ws://127.0.0.1:{bare_port}/") as sender:

                async def say_ours(text: str, _: str) -> None:
                    headers = {"Authorization": f"Bearer {next(writers)}"}
                    answer = await client.post(f"/chat/{chat}/messages", json={"text": text}, headers=headers)
                    assert answer.status_code == 201, answer.text

                async def say_theirs(_: str, frame: str) -> None:
                    await client.post(f"http://127.0.0.1:{default_port}/", content=frame)

                async def say_bare(_: str, frame: str) -> None:
                    await sender.send(frame)

                for number in range(ROUNDS):
                    print(f"fan-out, round {number + 1} of {ROUNDS}", flush=True)
                    await fan_out(crema, ours, server.process.pid, say_ours)
                    await fan_out(default, theirs, default_pid, say_theirs)
                    await fan_out(bare, bares, bare_pid, say_bare)
    ratio = statistics.median(a / b for a, b in zip(crema.per_second, default.per_second, strict=True))
    lines = [
        f"### Fan-out to {SOCKETS} sockets",
        "",
        "| server | deliveries/s | server CPU per delivery, µs | p99 until a burst is whole, ms |",
        "|---|---|---|---|",
        crema.row("Crema: stored, numbered, access checked, then told"),
        default.row("uvicorn's default, a loop over `send_text`"),
        bare.row("`websockets` alone, its `broadcast`"),
        "",
        f"{MESSAGES} messages a round, in bursts of {AT_ONCE}; the median of {ROUNDS} interleaved rounds.",
    ]
    return lines, {"chat, fan-out to 500: deliveries/s over those of uvicorn's default with a bare loop": ratio}


async def chat_of(server: Server, person: PersonMade) -> str:
    """Open a person's conversation."""
    async with httpx2.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/chat", headers={"Authorization": f"Bearer {person.token}"})
    chat_id: str = answer.json()["id"]
    return chat_id


async def to_ten_staff(town: Town) -> tuple[float, float]:
    """Say things in one process to ten staff in another, one after another; give p50 and p99 in milliseconds."""
    first, second = town.servers
    anna, staff = await town.person(), [await town.person("support") for _ in range(10)]
    chat = await chat_of(first, anna)
    delays: list[float] = []
    async with chatting(first, anna) as customer, readers(second.url, f"/chat/{chat}", [p.token for p in staff]) as ten:
        for number in range(TO_TEN):
            arrived = Crowd(ten).expect(f'"n-{number}."'.encode())
            started = time.perf_counter()
            await customer.connection.send(
                json.dumps({"type": "message", "client_id": f"n-{number}.", "text": "Где мой латте?"})
            )
            await arrived
            delays += [(reader.came_at - started) * 1000 for reader in ten]
            while (await customer.next())["type"] != "message":
                pass
    delays.sort()
    return delays[len(delays) // 2], delays[int(len(delays) * 0.99)]


async def idle(server: Server, chain: Chain) -> tuple[list[str], dict[str, float]]:
    """Hold IDLE sockets that say nothing, each of another customer."""
    people = chain.customers(IDLE + 1)
    async with readers(server.url, "/chat", [people[-1].token]):
        before, quiet = resident(server), await cpu_at_rest(server)
    async with readers(server.url, "/chat", [person.token for person in people[:IDLE]]):
        busy = await cpu_at_rest(server)
        grown = resident(server) - before
    lines = [
        f"### {IDLE:,} idle sockets",
        "",
        f"{grown / 2**20:.1f} MiB of memory, {busy:.1f} % of a core; {quiet:.1f} % with a single one.",
        "",
        "Logins are looked at twice a second, the conversations every 15 s.",
    ]
    return lines, {
        "idle socket, memory": grown / IDLE / 1000,
        "2,000 idle sockets, CPU": quiet + (busy - quiet) * 2_000 / IDLE,
    }


async def cpu_at_rest(server: Server) -> float:
    """Return how much of a core a server takes, in percent, once it has settled."""
    await asyncio.sleep(SETTLE_SECONDS)
    cpu, began = cpu_seconds(server.process.pid), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    return (cpu_seconds(server.process.pid) - cpu) / (time.perf_counter() - began) * 100


@dataclass
class Offered:
    """What became of orders that were sent at a steady rate, whether or not the last were answered."""

    answered_at: dict[int, float] = field(default_factory=dict)
    refused: int = 0
    server_us: float = 0


async def offer(server: Server, chain: Chain, *, first: int) -> Offered:
    """Send orders for BOARD_SECONDS, numbered from `first` in their comments."""
    offered = Offered()
    people = chain.customers(BOARD_SECONDS * ORDERS_PER_SECOND)
    cpu, began = cpu_seconds(server.process.pid), time.perf_counter()
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:

        async def place(number: int, headers: dict[str, str]) -> None:
            body = {
                "shop_id": id_of("shop"),
                "items": [{"product_id": id_of("product21")}],
                "comment": f"n-{number}.",
            }
            answer = await client.post("/order", json=body, headers=headers)
            if answer.status_code == 201:
                offered.answered_at[number] = time.perf_counter()
            else:
                assert answer.status_code in (429, 503), answer.text
                offered.refused += 1

        async with asyncio.TaskGroup() as group:
            for count, person in enumerate(people):
                await asyncio.sleep(began + count / ORDERS_PER_SECOND - time.perf_counter())
                group.create_task(place(first + count, person.headers))
    offered.server_us = (cpu_seconds(server.process.pid) - cpu) / len(people) * 1e6
    return offered


async def board(server: Server, chain: Chain) -> tuple[list[str], dict[str, float]]:
    """Show all baristas of a shop the orders that are placed there, after the same with nobody looking."""
    unwatched = await offer(server, chain, first=0)
    loop = asyncio.get_running_loop()
    address = urlsplit(server.url)
    watching = []
    for number in range(BARISTAS):
        token = chain.person(f"barista{number}").token
        path = f"/orders/live?shop_id={id_of('shop')}"
        _, reader = await loop.create_connection(
            lambda path=path, token=token: BoardReader(path, address.netloc, token), address.hostname, address.port
        )
        await reader.opened
        watching.append(reader)
    watched = await offer(server, chain, first=1_000_000)
    deadline = time.monotonic() + 60
    while any(watched.answered_at.keys() - reader.seen.keys() for reader in watching):
        assert time.monotonic() < deadline, "orders are missing on boards"
        await asyncio.sleep(0.1)
    for reader in watching:
        reader.transport.abort()
    lags = sorted(
        reader.seen[number] - answered for number, answered in watched.answered_at.items() for reader in watching
    )
    p50, p99 = lags[len(lags) // 2], lags[int(len(lags) * 0.99)]
    refused = watched.refused / (len(watched.answered_at) + watched.refused) * 100
    lines = [
        f"### Live board: {BARISTAS} baristas at one shop, {ORDERS_PER_SECOND} orders/s offered",
        "",
        "| | server CPU of an order, µs | refused | p50 of the lag, ms | p99, ms |",
        "|---|---:|---:|---:|---:|",
        f"| nobody looks | {unwatched.server_us:,.0f} | {unwatched.refused} | – | – |",
        f"| {BARISTAS} look | {watched.server_us:,.0f} | {watched.refused} | {p50 * 1000:,.0f} | {p99 * 1000:,.0f} |",
        "",
        "From the answer to who ordered to the moment it is on a board. The readers share the cores.",
    ]
    name = "live board, 50 readers, 100 orders/s offered"
    return lines, {
        f"{name}: p99 of the lag": p99,
        f"{name}: orders refused": refused,
        f"{name}: server CPU of an order over its own unwatched": watched.server_us / unwatched.server_us,
    }


async def locked_table(server: Server, chain: Chain, database_url: str) -> tuple[list[str], dict[str, float]]:
    """Lock the orders, ask for them until nobody is answered, and see who else is."""
    paths = ("/me", "/health/ready")
    people = chain.customers(ASKING_A_LOCKED_TABLE)
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
            asking = [asyncio.create_task(client.get("/orders", headers=person.headers)) for person in people]
            await asyncio.sleep(0.7)
            answers = {path: [] for path in paths}
            for _ in range(10):
                for path in paths:
                    answer = await client.get(path, headers=people[0].headers)
                    answers[path].append(answer.status_code)
            connection.rollback()
            await asyncio.gather(*asking)
    every = [status == 200 for statuses in answers.values() for status in statuses]
    lines = ["### One pool exhausted by a locked table", "", "| | answered with |", "|---|---|"]
    lines += [f"| {path} | {', '.join(map(str, sorted(set(statuses))))} |" for path, statuses in answers.items()]
    name = "a locked table exhausts its pool: `/me` and `/health/ready` that answer"
    return lines, {name: sum(every) / len(every) * 100}


@asynccontextmanager
async def town(database_url: str, folder: Path, **settings: str) -> AsyncIterator[Town]:
    """Two servers on one database, without the rate limit of a single writer."""
    prelude = "from crema.live import domain; domain.FRAMES_PER_SECOND = domain.BURST = 1_000_000"
    settings = environment(database_url) | settings
    folder.mkdir()
    with (
        running(folder / "first", prelude=prelude, **settings) as first,
        running(folder / "second", prelude=prelude, **settings) as second,
    ):
        async with open_town([first, second], database_url, folder) as opened:
            yield opened


async def measure_chat(database_url: str, chain: Chain) -> tuple[list[str], dict[str, float]]:
    """Measure what the chat's sockets cost."""
    async with town(database_url, chain.folder / "notify") as opened:
        lines, figures = await compare_fan_out(opened)
        print("one message to ten staff, NOTIFY", flush=True)
        p50, p99 = await to_ten_staff(opened)
        print("idle sockets", flush=True)
        resting, more = await idle(opened.servers[1], chain)
    rows = [f"| LISTEN/NOTIFY | {p50:.1f} | {p99:.1f} |"]
    print("one message to ten staff, NATS", flush=True)
    with nats_server() as nats:
        async with town(database_url, chain.folder / "nats", CREMA_EVENTS_URL=nats.url) as opened:
            by_nats = await to_ten_staff(opened)
    rows.append(f"| NATS | {by_nats[0]:.1f} | {by_nats[1]:.1f} |")
    ten = ["### One message to ten staff in another process", "", "| by | p50, ms | p99, ms |", "|---|---|---|"]
    latency = "chat, one message to ten in another process"
    figures |= more | {f"{latency}: p50": p50, f"{latency}: p99": p99}
    return [*lines, "", *ten, *rows, "", *resting], figures


async def measure_board(database_url: str, chain: Chain) -> tuple[list[str], dict[str, float]]:
    """Measure the orders' board, and what goes on while a table is locked."""
    with running(chain.folder / "board", **settings_of(database_url)) as server:
        print("live board", flush=True)
        lines, figures = await board(server, chain)
        print("locked table", flush=True)
        locked, more = await locked_table(server, chain, database_url)
    return [*lines, "", *locked], figures | more


def measure(chain: Chain) -> None:
    """Measure, print and keep."""
    with chain.copy(LEAST, "board") as url:
        board_lines, figures = asyncio.run(measure_board(url, chain))
    with chain.copy(MENU, "chat") as url:
        chat_lines, more = asyncio.run(measure_chat(url, chain))
    text = "\n".join([*board_lines, "", *chat_lines])
    print(text)
    record(figures | more)
    keep("Live", text)


async def measure_one(case: str, database_url: str, chain: Chain) -> list[str]:
    """Measure the case that the command line names, and keep nothing."""
    if case == "board":
        return (await measure_board(database_url, chain))[0]
    async with town(database_url, chain.folder / "one") as opened:
        lines, _ = await compare_fan_out(opened) if case == "fan-out" else await idle(opened.servers[1], chain)
    return lines


def main() -> None:
    """Measure all, or the cases that the command line names: board, fan-out, idle."""
    with started() as chain:
        if not sys.argv[1:]:
            measure(chain)
        for case in sys.argv[1:]:
            with chain.copy(LEAST, "one_case") as url:
                print("\n".join(asyncio.run(measure_one(case, url, chain))))


if __name__ == "__main__":
    main()
