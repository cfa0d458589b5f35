"""A load generator that costs little: `python load.py url seconds least connections [address] < requests`.

Reads a JSON list of requests, {"method", "path", "headers", "body"}, and sends them in turn over connections that stay
open, or are opened anew where the server closes them: for so many seconds, and until so many are answered (`least`, but
for six seconds at most); with 0 seconds each of them once.
Prints {"count", "seconds", "failures", "p50", "p99"}: the first failure, if there is one, and milliseconds.
Understands answers with a Content-Length, and chunked ones. `address` is where to come from, such as 127.0.0.2.
Where a request says {new}, each time it is sent says something else, nothing that was said before.
"""

import asyncio
import json
import sys
import time
from itertools import count, cycle
from typing import Any
from urllib.parse import urlsplit

LONGEST_SECONDS = 6
PLACE = b"{new".ljust(29) + b"}"
"""As long as what goes there, so that the length of a body is known."""


class Connection(asyncio.Protocol):
    """Sends the next request when the last is answered."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.received = bytearray()
        self.head_size = -1
        self.whole = 0
        self.is_chunked = False
        self.sent_at = 0.0
        self.is_asking = False
        self.is_over = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        request = self.load.next_request()
        if request is None:
            self.is_over = True
            self.transport.close()
            return
        self.is_asking = True
        self.sent_at = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.head_size < 0:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            self.read_head(end)
        if self.is_chunked:
            if not self.received.endswith(b"0\r\n\r\n"):
                return
        elif len(self.received) < self.whole:
            return
        self.received.clear()
        self.head_size = -1
        self.is_asking = False
        self.load.times.append(time.perf_counter() - self.sent_at)
        if not self.load.closes:
            self.ask()

    def read_head(self, end: int) -> None:
        head = bytes(self.received[:end]).lower()
        if head[9:10] not in (b"2", b"3"):
            self.load.failures.append(self.received.decode(errors="replace")[:700])
        length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        self.head_size = end + 4
        self.whole = self.head_size + int(length or 0)
        self.is_chunked = b"transfer-encoding: chunked" in head
        self.load.closes |= b"connection: close" in head

    def connection_lost(self, _: Exception | None) -> None:
        if self.is_asking:
            self.load.failures.append("the server closed the connection without an answer")
        if self.is_over or self.is_asking or not self.load.goes_on():
            self.load.end_one()
        else:
            self.load.connect()


class Load:
    """All connections together."""

    def __init__(
        self, url: str, requests: list[dict[str, Any]], seconds: float, least: int, address: str | None
    ) -> None:
        self.url = urlsplit(url)
        encoded = [encode(self.url.netloc, each) for each in requests]
        self.requests = cycle(encoded) if seconds else iter(encoded)
        self.words = (b"%019d-%010d" % (time.time_ns(), number) for number in count())
        self.until = time.monotonic() + seconds if seconds else float("inf")
        self.until_at_most = max(self.until, time.monotonic() + LONGEST_SECONDS)
        self.least = least
        self.address = (address, 0) if address else None
        self.times: list[float] = []
        self.failures: list[str] = []
        self.closes = False
        self.opening: set[asyncio.Task[Any]] = set()
        self.open = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def goes_on(self) -> bool:
        now = time.monotonic()
        return now < self.until or (len(self.times) < self.least and now < self.until_at_most)

    def next_request(self) -> bytes | None:
        request = next(self.requests, None) if self.goes_on() else None
        return request and request.replace(PLACE, next(self.words))

    def connect(self) -> None:
        opened = asyncio.get_running_loop().create_connection(
            lambda: Connection(self), self.url.hostname, self.url.port, local_addr=self.address
        )
        task = asyncio.ensure_future(opened)
        self.opening.add(task)
        task.add_done_callback(self.opened)

    def opened(self, task: "asyncio.Task[Any]") -> None:
        self.opening.discard(task)
        if error := task.exception():
            self.failures.append(repr(error))
            self.end_one()

    def end_one(self) -> None:
        self.open -= 1
        if not self.open:
            self.done.set_result(None)


def encode(host: str, request: dict[str, Any]) -> bytes:
    """Write a request as it goes over the line."""
    body = json.dumps(request["body"]).encode() if request.get("body") is not None else b""
    body = body.replace(b"{new}", PLACE)
    headers = {"Host": host, **request.get("headers", {})}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{request.get('method', 'GET')} {request['path']} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode().replace(b"{new}", PLACE) + body


async def main() -> None:
    """Send, and tell."""
    url, seconds, least, connections = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    requests = json.load(sys.stdin)
    began = time.monotonic()
    load = Load(url, requests, seconds, least, sys.argv[5] if len(sys.argv) > 5 else None)
    load.open = connections
    for _ in range(connections):
        load.connect()
    await load.done
    times = sorted(load.times)
    at = {name: round(times[int(len(times) * part)] * 1000, 2) for name, part in (("p50", 0.5), ("p99", 0.99))}
    took = time.monotonic() - began
    print(json.dumps({"count": len(times), "seconds": took, "failures": load.failures[:1]} | at))


asyncio.run(main())
