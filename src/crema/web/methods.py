"""HEAD for every GET (RFC 9110, 9.3.2)."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """ASGI middleware: answers HEAD with the status and headers of GET, without content.

    An endless answer, such as an event stream, ends after its headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        answered = asyncio.Event()
        is_read = False

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered.set()

        async def receive_until_answered() -> Message:
            nonlocal is_read
            if not is_read:
                is_read = True
                return await receive()
            await answered.wait()
            return {"type": "http.disconnect"}

        # A copy: the server must still see HEAD in its own scope.
        get = {**scope, "method": "GET"}
        try:
            await self.app(get, receive_until_answered, send_headers)
        finally:
            if "route" in get:
                scope["route"] = get["route"]
