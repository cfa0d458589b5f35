"""A load generator that costs little: `python load.py url seconds connections [address] < requests`.

Reads a JSON list of requests, {"method", "path", "headers", "body"}, and sends them in turn over connections that stay
open. Prints {"count", "seconds", "failures", "p50", "p99"}: the first failure, if there is one, and milliseconds.
Understands answers with a Content-Length only. `address` is where to come from, such as 127.0.0.2. Where a request
says {new}, each time it is sent says something else, nothing that was said before.
"""

import asyncio
import json
import sys
import time
from itertools import count, cycle
from typing import Any
from urllib.parse import urlsplit


class Connection(asyncio.Protocol):
    """Sends the next request when the last is answered."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.received = bytearray()
        self.missing = -1
        self.sent_at = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(next(self.load.requests).replace(b"{new}", next(self.load.words)))

    def data_received(self, data: bytes) -> None:
        if self.missing < 0:
            self.received += data
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.received[:end]).lower()
            if head[9:10] not in (b"2", b"3"):
                self.load.failures.append(data.decode(errors="replace")[:500])
            length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            self.missing = int(length or 0) - (len(self.received) - end - 4)
            self.received.clear()
        else:
            self.missing -= len(data)
        if self.missing <= 0:
            self.missing = -1
            self.load.times.append(time.perf_counter() - self.sent_at)
            if time.monotonic() < self.load.until:
                self.ask()
            else:
                self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.load.open -= 1
        if not self.load.open:
            self.load.done.set_result(None)


class Load:
    """All connections together."""

    def __init__(self, requests: list[bytes], seconds: float, connections: int) -> None:
        self.requests = cycle(requests)
        self.words = (b"%d-%d" % (time.time_ns(), number) for number in count())
        self.until = time.monotonic() + seconds
        self.times: list[float] = []
        self.failures: list[str] = []
        self.open = connections
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


def encode(host: str, request: dict[str, Any]) -> bytes:
    """Write a request as it goes over the line."""
    body = json.dumps(request["body"]).encode() if request.get("body") is not None else b""
    headers = {"Host": host, **request.get("headers", {})}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{request.get('method', 'GET')} {request['path']} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def main() -> None:
    """Send, and tell."""
    url, seconds, connections = urlsplit(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    requests = [encode(url.netloc, each) for each in json.load(sys.stdin)]
    load = Load(requests, seconds, connections)
    loop = asyncio.get_running_loop()
    come_from = (sys.argv[4], 0) if len(sys.argv) > 4 else None
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(load), url.hostname, url.port, local_addr=come_from)
    await load.done
    took = seconds + time.monotonic() - load.until
    times = sorted(load.times)
    at = {name: round(times[int(len(times) * part)] * 1000, 2) for name, part in (("p50", 0.5), ("p99", 0.99))}
    print(json.dumps({"count": len(times), "seconds": took, "failures": load.failures[:1]} | at))


asyncio.run(main())
