"""Limits of requests: their size, and how many a client may send.

Requests are counted in memory, for each process alone, or in Redis or Valkey for all processes. If the store is
unavailable, requests pass. Logins and codes have limits of their own, in their features.
"""

import math
import os
import time
from typing import Final

import structlog
from fastapi import Request
from limits import parse
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crema.core.errors import CremaError, HeadersTooLargeError, InvalidError, TooManyError, UrlTooLongError
from crema.core.networks import network_of
from crema.web import problem

log = structlog.get_logger(__name__)

MEMORY: Final = "memory://"
MAX_URL: Final = 16 * 1024
"""Bytes of path and query: ten filters of fifty ids fit, percent signs included."""
MAX_PARAMETERS: Final = 100
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 16 * 1024
"""Bytes of all header names and values together."""
REQUESTS: Final = frozenset({"http", "websocket"})
"""The ASGI scopes that are limited: the handshake of a WebSocket is a request, too."""
DENIAL: Final = "websocket.http.response"
"""The ASGI extension that lets a handshake be answered with a document."""


class TooManyParametersError(InvalidError):
    """The query string has more than 100 parameters."""

    code = "too_many_parameters"
    title = "There are too many query parameters."
    advice = "Send fewer."


class RequestSize:
    """ASGI middleware: refuses requests whose URL or headers are too large.

    Bytes are counted before anything is parsed. Handshakes of WebSockets are answered with 403.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in REQUESTS:
            await self.app(scope, receive, send)
            return
        error = _excess(scope)
        if error is None:
            scope["headers"] = [_without_escapes(*header) for header in scope["headers"]]
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await problem.from_error(Request(scope), error)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": ""})


def _excess(scope: Scope) -> CremaError | None:
    query: bytes = scope["query_string"]
    if len(scope.get("raw_path") or b"") + len(query) > MAX_URL:
        return UrlTooLongError(f"Send at most {MAX_URL} bytes of path and query.")
    if query.count(b"&") >= MAX_PARAMETERS:
        return TooManyParametersError(f"Send at most {MAX_PARAMETERS} query parameters.")
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return HeadersTooLargeError(f"Send at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together.")
    return None


def _without_escapes(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    r"""Return a Cookie header without backslashes, other headers as they are.

    RFC 6265 allows none. Python before 3.11.10 and 3.12.6 needs quadratic time to unescape a quoted cookie
    (CVE-2024-7592): a quarter of a second for 16 KB.
    """
    return (name, value.replace(b"\\", b"")) if name == b"cookie" else (name, value)


class RateLimit:
    """ASGI middleware: refuses clients that send more than `rate`, such as `100/second`, with 429 and Retry-After.

    Answers have the headers of draft-ietf-httpapi-ratelimit-headers. With a shared store only refusals tell how many
    requests are left: asking costs a round trip.
    """

    def __init__(self, app: ASGIApp, *, rate: str, store: str) -> None:
        self.app = app
        self._rate = parse(rate)
        storage = storage_from_string(f"async+{store}", wrap_exceptions=store != MEMORY, implementation="redispy")
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._counts_here = store == MEMORY
        self._policy = f'"requests";q={self._rate.amount};w={self._rate.get_expiry()}'.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in REQUESTS or scope["path"].startswith("/health/"):
            await self.app(scope, receive, send)
            return
        client = network_of(scope["client"][0] if scope["client"] else "", ipv4_prefix=32)
        try:
            is_allowed = await self._limiter.hit(self._rate, client)
            rest, seconds = await self._rest(client) if self._counts_here or not is_allowed else (None, 0)
        except StorageError as error:
            log.warning("limits_uncounted", error=type(error).__name__)
            is_allowed, rest, seconds = True, None, 0
        if scope["type"] == "http":
            send = self._with_headers(send, rest, seconds)
        if is_allowed:
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket" and DENIAL not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})
            return
        scope.setdefault("state", {}).setdefault("request_id", os.urandom(16).hex())  # handshakes have none
        answer = problem.from_error(Request({**scope, "type": "http"}), TooManyError(retry_after=seconds))
        await answer(scope, receive, send)

    async def _rest(self, client: str) -> tuple[int, int]:
        """Return how many requests are left, and in how many seconds there are more."""
        stats = await self._limiter.get_window_stats(self._rate, client)
        return stats.remaining, max(1, math.ceil(stats.reset_time - time.time()))

    def _with_headers(self, send: Send, rest: int | None, seconds: int) -> Send:
        headers = [(b"ratelimit-policy", self._policy)]
        if rest is not None:
            headers.append((b"ratelimit", b'"requests";r=%d;t=%d' % (rest, seconds)))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        return send_with_headers
