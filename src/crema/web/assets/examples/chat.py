"""A support chat that loses nothing: it comes back after every loss of the connection, also of those that nobody tells
it about, asks for what it missed, and sends again what was not acknowledged, one message at a time.

    pip install websockets
    python chat.py http://127.0.0.1:8000 anna@crema.example.com "oat milk and a double shot"

Then type; what the support says is printed.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

FINAL = {1008, 4401, 4403, 4404}  # coming back would not help
REPLACED = "too_many_sockets"  # a newer socket of the same person took this one's place: two would do so for ever
LATER = {"rate_limited", "too_many_requests"}  # refusals that pass by themselves
TOO_LARGE = 1009
MAX_FRAME = 32 * 1024  # bytes


@dataclass
class Waits:
    """Seconds."""

    shortest: float = 0.5  # before coming back; twice as long each time,
    longest: float = 30  # up to this,
    steady: float = 5  # until a connection lasted for so long
    gap: float = 0.25  # between two messages: the server takes five frames a second
    slower: float = 1  # after it said that this is too fast
    answer: float = 10  # for the server to answer; then the connection is given up
    silence: float = 20  # before a ping asks whether the server is still there


class Chat:
    """One's own conversation. `token` fetches an access token, `heard` is given each message, once and in order.

    `refused` is given each message that the server will never take, as {"client_id", "text", "why"}.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], Awaitable[str]],
        heard: Callable[[dict], None],
        refused: Callable[[dict], None] = lambda _: None,
        waits: Waits | None = None,
    ) -> None:
        self._url = url.replace("http", "ws", 1) + "/chat"
        self._token = token
        self._heard = heard
        self._refused = refused
        self._waits = waits or Waits()
        self._delay = self._waits.shortest
        self._position: int | None = None  # the seq of the last message seen
        self._last_seq = 0
        self._unacknowledged: dict[str, str] = {}  # client_id → text, in the order they were said
        self._some = asyncio.Event()  # whether there are any
        self._in_flight: str | None = None  # the client_id that was sent and not answered yet
        self._answer: asyncio.Future[float] | None = None  # how long to wait after it

    async def say(self, text: str) -> str:
        """Say something, now or when the connection is back; return its client_id."""
        client_id = uuid4().hex
        self._unacknowledged[client_id] = text
        self._some.set()
        return client_id

    async def run(self) -> int:
        """Talk until the server says that coming back is useless; return its close code.

        1013 means that a newer socket of this person took this one's place. Raises HTTPError when the login is over.
        """
        while True:
            started = time.monotonic()
            code, reason = await self._connected()
            if code in FINAL or reason == REPLACED:
                return code
            if code == TOO_LARGE and self._in_flight is not None:
                self._drop(self._in_flight, "too_large")
            self._in_flight = None
            if time.monotonic() - started > self._waits.steady:
                self._delay = self._waits.shortest
            await asyncio.sleep(self._delay * random.uniform(0.5, 1))  # not all at once
            self._delay = min(self._delay * 2, self._waits.longest)

    async def _connected(self) -> tuple[int, str]:
        """Talk over one connection; return its close code and reason, 1006 for one that was lost."""
        waits = self._waits
        sending: asyncio.Task | None = None
        closed = 1006, ""
        try:
            headers = {"Authorization": f"Bearer {await self._token()}"}
            after = "" if self._position is None else f"?after={self._position}"
            async with connect(
                self._url + after,
                additional_headers=headers,
                open_timeout=waits.answer,
                ping_interval=waits.silence,
                ping_timeout=waits.answer,
                close_timeout=1,
            ) as socket:
                try:
                    async for text in socket:
                        frame = json.loads(text)
                        self._take(frame)
                        if frame["type"] == "ready":
                            sending = asyncio.create_task(self._send_all(socket))
                except ConnectionClosed:
                    pass
            closed = socket.close_code or 1006, socket.close_reason or ""
        except HTTPError as error:
            if error.code in (401, 403):
                raise
        except (OSError, InvalidHandshake):
            pass
        finally:
            if sending is not None:
                sending.cancel()
        return closed

    def _take(self, frame: dict) -> None:
        match frame["type"]:
            case "ready":
                self._last_seq = frame["last_seq"]
                if self._position is None:
                    self._position = frame["last_seq"]
            case "ack":
                self._unacknowledged.pop(frame["client_id"], None)
                self._delay = self._waits.shortest
                self._answered(frame["client_id"], self._waits.gap)
            case "error" if frame["code"] in LATER:
                self._answered(frame["client_id"], self._waits.slower)
            case "error" if frame["code"] == "invalid_position":
                self._position = self._last_seq  # the server's past was restored from a backup
            case "error" if frame["client_id"] in self._unacknowledged:
                self._drop(frame["client_id"], frame["detail"])
                self._answered(frame["client_id"], self._waits.gap)
            case "message" if frame["seq"] > (self._position or 0):
                self._position = frame["seq"]
                self._heard(frame)

    async def _send_all(self, socket: ClientConnection) -> None:
        """Send messages one by one, each when the one before was answered: their order stays, and so does the rate."""
        try:
            while True:
                if not self._unacknowledged:
                    self._some.clear()
                await self._some.wait()
                client_id, text = next(iter(self._unacknowledged.items()))
                frame = json.dumps({"type": "message", "client_id": client_id, "text": text})
                if len(frame) > MAX_FRAME:
                    self._drop(client_id, "too_large")
                    continue
                self._in_flight, self._answer = client_id, asyncio.get_running_loop().create_future()
                await socket.send(frame)
                await asyncio.sleep(await asyncio.wait_for(self._answer, self._waits.answer))
        except ConnectionClosed:
            pass  # it stays unacknowledged, and goes out with the next connection
        except TimeoutError:
            await socket.close()

    def _answered(self, client_id: str | None, wait: float) -> None:
        if client_id == self._in_flight and self._answer is not None and not self._answer.done():
            self._in_flight = None
            self._answer.set_result(wait)

    def _drop(self, client_id: str, why: str) -> None:
        """Give up what the server will never take, and go on with the rest."""
        self._refused({"client_id": client_id, "text": self._unacknowledged.pop(client_id), "why": why})


def log_in(url: str, email: str, password: str) -> str:
    """Get an access token."""
    credentials = json.dumps({"email": email, "password": password}).encode()
    request = Request(f"{url}/authentication", credentials, {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        return json.load(answer)["access_token"]


async def main(url: str, email: str, password: str) -> None:
    """Talk as this person: what is typed is said."""

    async def token() -> str:
        return await asyncio.to_thread(log_in, url, email, password)

    chat = Chat(
        url,
        token=token,
        heard=lambda message: print(f"{message['author']['role']}: {message['text']}"),
        refused=lambda refusal: print(f"Not sent: {refusal['text'][:40]} ({refusal['why']})"),
    )
    talking = asyncio.create_task(chat.run())
    while line := await asyncio.to_thread(sys.stdin.readline):
        await chat.say(line.strip())
    talking.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
