"""Methods that every path understands alike: HEAD wherever there is GET, and 405 that names the path's methods."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.status import HTTP_405_METHOD_NOT_ALLOWED
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ORDER: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Head:
    """Pure ASGI: answers HEAD with the status and headers of GET, Content-Length among them, and no content.

    An answer without an end, such as an event stream, ends after its headers.
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

        # A copy: the server decides by its own scope how it sends what it gets, and must go on seeing HEAD.
        get = {**scope, "method": "GET"}
        try:
            await self.app(get, receive_until_answered, send_headers)
        finally:
            if "route" in get:
                scope["route"] = get["route"]


class MethodTable:
    """Which methods each path of the routers takes."""

    def __init__(self, routers: Sequence[APIRouter]) -> None:
        self._routes = [route for router in routers for route in router.routes if isinstance(route, Route)]
        fixed: dict[str, set[str]] = defaultdict(set)
        for route in self._routes:
            if not route.param_convertors:
                fixed[route.path] |= route.methods or set()
        self._fixed = {path: frozenset(methods) for path, methods in fixed.items()}

    def check(self, path: str, method: str) -> None:
        """Refuse a method that a path without parameters doesn't take.

        Without this `GET /chat/ticket`, where only POST is, would be taken for a conversation called "ticket".
        """
        methods = self._fixed.get(path)
        if methods is not None and method not in methods:
            raise _not_allowed(methods)

    def not_allowed(self, error: HTTPException, path: str) -> HTTPException:
        """Return a 405 with all methods of the path, where Starlette's names those of the first route it found."""
        methods = set((error.headers or {}).get("Allow", "GET").split(", "))
        for route in self._routes:
            if route.path_regex.match(path):
                methods |= route.methods or set()
        return _not_allowed(methods)


def _not_allowed(methods: frozenset[str] | set[str]) -> HTTPException:
    allowed = methods | {"HEAD"} if "GET" in methods else methods
    headers = {"Allow": ", ".join(sorted(allowed, key=_ORDER.index))}
    return HTTPException(HTTP_405_METHOD_NOT_ALLOWED, headers=headers)
