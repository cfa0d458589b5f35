"""A support chat that loses nothing: it comes back after every loss of the connection, asks for what it missed, and
sends again what was not acknowledged.

    pip install websockets
    python chat.py http://127.0.0.1:8000 anna@crema.example.com "oat milk and a double shot"

Then type; what the support says is printed.
"""

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from urllib.request import Request, urlopen
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

FINAL = {1008, 4401, 4403, 4404}  # coming back would not help
SHORTEST, LONGEST = 0.5, 30.0


class Chat:
    """One's own conversation. `token` fetches an access token, `heard` is given each message, once and in order."""

    def __init__(self, url: str, *, token: Callable[[], Awaitable[str]], heard: Callable[[dict], None]) -> None:
        self._url = url.replace("http", "ws", 1) + "/chat"
        self._token = token
        self._heard = heard
        self._position: int | None = None  # the seq of the last message seen
        self._unacknowledged: dict[str, str] = {}  # client_id → text, in the order they were said
        self._socket: ClientConnection | None = None

    async def say(self, text: str) -> None:
        """Say something, now or when the connection is back."""
        client_id = uuid4().hex
        self._unacknowledged[client_id] = text
        if self._socket is not None:
            await self._send(self._socket, client_id)

    async def run(self) -> int:
        """Talk until the server says that coming back is useless; return its close code."""
        delay = SHORTEST
        while True:
            try:
                headers = {"Authorization": f"Bearer {await self._token()}"}
                after = "" if self._position is None else f"?after={self._position}"
                async with connect(self._url + after, additional_headers=headers) as socket:
                    async for text in socket:
                        await self._take(socket, json.loads(text))
                        delay = SHORTEST
            except (OSError, InvalidHandshake):
                pass
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code in FINAL:
                    return closed.rcvd.code
            finally:
                self._socket = None
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # not all at once
            delay = min(delay * 2, LONGEST)

    async def _take(self, socket: ClientConnection, frame: dict) -> None:
        match frame["type"]:
            case "ready":
                if self._position is None:
                    self._position = frame["last_seq"]
                self._socket = socket
                for client_id in [*self._unacknowledged]:
                    await self._send(socket, client_id)
            case "ack":
                self._unacknowledged.pop(frame["client_id"], None)
            case "message" if frame["seq"] > (self._position or 0):
                self._position = frame["seq"]
                self._heard(frame)

    async def _send(self, socket: ClientConnection, client_id: str) -> None:
        frame = {"type": "message", "client_id": client_id, "text": self._unacknowledged[client_id]}
        try:
            await socket.send(json.dumps(frame))
        except ConnectionClosed:
            pass  # it stays unacknowledged, and goes out with the next connection


def log_in(url: str, email: str, password: str) -> str:
    """Get an access token."""
    credentials = json.dumps({"email": email, "password": password}).encode()
    request = Request(f"{url}/authentication", credentials, {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        return json.load(answer)["access_token"]


async def main(url: str, email: str, password: str) -> None:
    """Talk as this person: what is typed is said."""

    async def token() -> str:
        return await asyncio.to_thread(log_in, url, email, password)

    chat = Chat(url, token=token, heard=lambda message: print(f"{message['author']['role']}: {message['text']}"))
    talking = asyncio.create_task(chat.run())
    while line := await asyncio.to_thread(sys.stdin.readline):
        await chat.say(line.strip())
    talking.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
