"""What the sockets cost: fan-out, latency between processes, memory. `make bench` runs it and keeps the table.

The peers serve the same frame to the same readers, and nothing else: no login, no database, no order of messages.
"""

import asyncio
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from results import keep
from sqlalchemy import update
from websockets.asyncio.client import connect

from crema.db import schema
from crema.db.embedded import EmbeddedPostgres
from crema.orders.models import Order
from factories.orders import make_shop, make_simple_product
from fixtures.live import Town, chatting, environment, open_town
from fixtures.nats import nats_server
from fixtures.people import PersonMade
from fixtures.ports import free_port
from fixtures.server import Server, running

QUICK = os.environ.get("QUICK") == "1"
SOCKETS = 500
MESSAGES = 20 if QUICK else 60
AT_ONCE = 10
GOAL = 1.0
ROUNDS = 2 if QUICK else 5
TO_TEN = 100 if QUICK else 400
IDLE = 2_000
BARISTAS = 50
ORDERS_A_SECOND = 100
ORDER_SECONDS = 5 if QUICK else 20
PING = 9
ID = re.compile(rb'"order":{"id":"([0-9a-f-]{36})"')

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

    def __init__(self, path: str, host: str, token: str | None) -> None:
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._handshake = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{authorization}\r\n"
        ).encode()
        self._greeting = (b'"snapshot"' if "orders" in path else b'"ready"') if token else b""
        self._buffer = b""
        self._is_open = False
        self.opened = asyncio.get_running_loop().create_future()
        self.crowd = Crowd([])
        self.came_at = 0.0
        self.wanted = b""
        self.missing = 0
        self.orders: dict[str, float] = {}

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
            if found := ID.search(frame):
                self.orders.setdefault(found[1].decode(), time.perf_counter())
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
        if len(self._buffer) < start + size:
            return None
        if self._buffer[0] & 15 == PING:  # answered with its payload, masked by zeros
            pong = bytes([0x8A, 0x80 | size, 0, 0, 0, 0]) + self._buffer[start : start + size]
            self.transport.write(pong)
        frame, self._buffer = self._buffer[start : start + size], self._buffer[start + size :]
        return frame


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


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Bytes of memory a process holds."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024


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


async def compare_fan_out(town: Town) -> list[str]:
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
    return [
        f"### Fan-out to {SOCKETS} sockets",
        "",
        "| server | deliveries/s | server CPU per delivery, µs | p99 until a burst is whole, ms |",
        "|---|---|---|---|",
        crema.row("Crema: stored, numbered, access checked, then told"),
        default.row("uvicorn's default, a loop over `send_text`"),
        bare.row("`websockets` alone, its `broadcast`"),
        "",
        f"{MESSAGES} messages a round, in bursts of {AT_ONCE}; the median of {ROUNDS} interleaved rounds.",
        "",
        f"Crema over uvicorn's default: {ratio:.2f}. The goal of {GOAL} is {'' if ratio >= GOAL else 'not '}reached.",
    ]


async def chat_of(server: Server, person: PersonMade) -> str:
    """Open a person's conversation."""
    async with httpx2.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/chat", headers={"Authorization": f"Bearer {person.token}"})
    chat_id: str = answer.json()["id"]
    return chat_id


async def to_ten_staff(town: Town, name: str) -> str:
    """Say things in one process to ten staff in another, one after another."""
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
    return f"| {name} | {delays[len(delays) // 2]:.1f} | {delays[int(len(delays) * 0.99)]:.1f} |"


@dataclass
class Offered:
    """Orders offered at a steady pace: when each was answered, the statuses, and the server's CPU."""

    answered: dict[str, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    cpu: float = 0.0

    @property
    def microseconds(self) -> float:
        return self.cpu / max(1, len(self.answered)) * 1e6

    @property
    def refused(self) -> float:
        return self.statuses[503] / self.statuses.total()


async def offer_orders(server: Server, tokens: Sequence[str], body: dict[str, Any]) -> Offered:
    """Offer ORDERS_A_SECOND for ORDER_SECONDS, whether the last are answered or not."""
    offered, turn = Offered(), cycle(tokens)
    limits = httpx2.Limits(max_connections=200)
    async with httpx2.AsyncClient(base_url=server.url, limits=limits, timeout=30) as client:

        async def order() -> None:
            headers = {"Authorization": f"Bearer {next(turn)}", "Connection": "close"}
            answer = await client.post("/order", json=body, headers=headers)
            offered.statuses[answer.status_code] += 1
            if answer.status_code == 201:
                offered.answered[answer.json()["id"]] = time.perf_counter()

        for _ in range(20):
            await order()
        offered.answered.clear()
        offered.statuses.clear()
        cpu, began = cpu_seconds(server.process.pid), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(ORDERS_A_SECOND * ORDER_SECONDS):
                await asyncio.sleep(began + number / ORDERS_A_SECOND - time.perf_counter())
                group.create_task(order())
        await asyncio.sleep(1)
        offered.cpu = cpu_seconds(server.process.pid) - cpu
    return offered


async def watch_a_board(database_url: str, folder: Path) -> list[str]:
    """Offer orders to a shop that nobody watches, then to the same while BARISTAS do."""
    settings = environment(database_url) | {"CREMA_MAX_OPEN_ORDERS": "10000"}
    with running(folder / "board", **settings) as server:
        async with open_town([server], database_url, folder) as town:
            shop_id = await make_shop(town.sessions, slug="watched")
            product_id = await make_simple_product(town.sessions)
            body = {"shop_id": str(shop_id), "items": [{"product_id": str(product_id)}]}
            customers = [(await town.person()).token for _ in range(100)]
            baristas = [(await town.person("barista", shop_ids=(shop_id,))).token for _ in range(BARISTAS)]
            unwatched = await offer_orders(server, customers, body)
            async with town.sessions.begin() as session:
                await session.execute(update(Order).values(status="completed"))
            async with readers(server.url, "/orders/live", [*baristas]) as boards:
                watched = await offer_orders(server, customers, body)
                await asyncio.sleep(2)
                lags = sorted(
                    (board.orders.get(order, math.inf) - answered) * 1000
                    for order, answered in watched.answered.items()
                    for board in boards
                )
    ratio = watched.microseconds / unwatched.microseconds

    def at(part: float) -> float:
        return lags[int(len(lags) * part)]

    return [
        f"### {BARISTAS} baristas watch one shop, {ORDERS_A_SECOND} orders a second are offered for {ORDER_SECONDS} s",
        "",
        "| | server CPU per order, µs | answered 503 |",
        "|---|---|---|",
        f"| unwatched | {unwatched.microseconds:,.0f} | {unwatched.refused:.0%} |",
        f"| watched | {watched.microseconds:,.0f} | {watched.refused:.0%} |",
        "",
        f"From an order's answer to its frame: p50 {at(0.5):.0f} ms, p99 {at(0.99):.0f} ms.",
        f"An order that is watched costs {ratio:.2f} times the other.",
    ]


async def idle(town: Town) -> list[str]:
    """Hold IDLE sockets that say nothing."""
    server = town.servers[0]
    people = [await town.person() for _ in range(IDLE // 5)]
    async with readers(server.url, "/chat", [people[0].token]):
        before = resident(server.process.pid)
    async with readers(server.url, "/chat", [person.token for person in people for _ in range(5)]):
        await asyncio.sleep(3)
        grown = resident(server.process.pid) - before
        cpu = cpu_seconds(server.process.pid)
        await asyncio.sleep(20)
        cpu = (cpu_seconds(server.process.pid) - cpu) / 20
    return [
        f"### {IDLE:,} idle sockets",
        "",
        f"{grown / IDLE / 1000:.1f} kB of memory each, {cpu * 100:.1f} % of a core together.",
        "",
        "Logins are looked at twice a second, the conversations every 15 s.",
    ]


@asynccontextmanager
async def town(database_url: str, folder: Path, **settings: str) -> AsyncIterator[Town]:
    """Two servers on one database, without the rate limit of a single writer."""
    prelude = "from crema.live import domain; domain.FRAMES_PER_SECOND = domain.BURST = 1_000_000"
    settings = environment(database_url) | settings
    with (
        running(folder / "first", prelude=prelude, **settings) as first,
        running(folder / "second", prelude=prelude, **settings) as second,
    ):
        async with open_town([first, second], database_url, folder) as opened:
            yield opened


def show(lines: Sequence[str]) -> list[str]:
    """Print a case as soon as it is measured: the next may take long."""
    print("\n".join([*lines, ""]), flush=True)
    return [*lines, ""]


async def measure(database_url: str, folder: Path) -> list[str]:
    """All of it, or the cases that the command line names: board, fan-out, idle, ten."""
    cases = set(sys.argv[1:]) or {"board", "fan-out", "idle", "ten"}
    lines: list[str] = []
    if "board" in cases:
        lines += show(await watch_a_board(database_url, folder))
    if cases == {"board"}:
        return lines
    async with town(database_url, folder / "notify") as opened:
        if "fan-out" in cases:
            lines += show(await compare_fan_out(opened))
        by_notify = await to_ten_staff(opened, "LISTEN/NOTIFY") if "ten" in cases else ""
        if "idle" in cases:
            lines += show(await idle(opened))
    if "ten" not in cases:
        return lines
    with nats_server() as nats:
        async with town(database_url, folder / "nats", CREMA_EVENTS_URL=nats.url) as opened:
            by_nats = await to_ten_staff(opened, "NATS")
    ten = ["### One message to ten staff in another process", "", "| by | p50, ms | p99, ms |", "|---|---|---|"]
    return lines + show([*ten, by_notify, by_nats])


def main() -> None:
    """Measure, print and keep."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ("notify", "nats"):
            (folder / each).mkdir()
        with EmbeddedPostgres(folder / "postgres") as postgres:
            url = postgres.start()
            schema.upgrade(url)
            lines = asyncio.run(measure(url, folder))
    if not QUICK and not sys.argv[1:]:
        keep("Live", "\n".join(lines))


if __name__ == "__main__":
    main()
