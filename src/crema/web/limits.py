"""A general limit of requests per client, against floods; throttles of logins and codes are features' own.

Counted in memory, each process for itself, or in Redis or Valkey for all together. A store that is away lets
requests through: it must not take the shop down with it.
"""

import math
import os
import time
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

import structlog
from fastapi import Request
from limits import parse
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from starlette.types import ASGIApp, Receive, Scope, Send

from crema.core.errors import TooManyError
from crema.web import problem

log = structlog.get_logger(__name__)

MEMORY: Final = "memory://"
COUNTED: Final = frozenset({"http", "websocket"})
"""A socket's handshake is a request, too."""
DENIAL: Final = "websocket.http.response"
"""The extension of ASGI by which a handshake is answered with a document."""


@lru_cache(10_000)
def client_of(host: str) -> str:
    """Name who is asking: an IPv4 address, or the /64 of an IPv6 one, which one person commands whole."""
    try:
        address = ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return str(address)


class Throttle:
    """Pure ASGI: refuses a client who has had `rate`, such as `100/second`, with 429 and Retry-After."""

    def __init__(self, app: ASGIApp, *, rate: str, store: str) -> None:
        self.app = app
        self._rate = parse(rate)
        storage = storage_from_string(f"async+{store}", wrap_exceptions=store != MEMORY, implementation="redispy")
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in COUNTED or scope["path"].startswith("/health/"):
            await self.app(scope, receive, send)
            return
        client = client_of(scope["client"][0] if scope["client"] else "")
        try:
            is_allowed = await self._limiter.hit(self._rate, client)
            seconds = 0 if is_allowed else await self._seconds(client)
        except StorageError as error:
            log.warning("limits_uncounted", error=type(error).__name__)
            is_allowed, seconds = True, 0
        if is_allowed:
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket" and DENIAL not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})
            return
        scope.setdefault("state", {}).setdefault("request_id", os.urandom(16).hex())  # handshakes have none
        answer = problem.problem(
            Request({**scope, "type": "http"}),
            status=problem.STATUS_OF[TooManyError],
            code=TooManyError.code,
            title=TooManyError.title,
            headers={"Retry-After": str(seconds)},
            retry_after=seconds,
        )
        await answer(scope, receive, send)

    async def _seconds(self, client: str) -> int:
        stats = await self._limiter.get_window_stats(self._rate, client)
        return max(1, math.ceil(stats.reset_time - time.time()))
