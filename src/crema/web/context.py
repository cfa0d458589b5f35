"""The outermost layer: request ids, the access log, metrics, default headers and the answer to a defect."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crema.core.networks import network_of
from crema.web import problem

log = structlog.get_logger("crema.access")

BAD_REQUEST: Final = int(HTTPStatus.BAD_REQUEST)
TOO_LARGE: Final = int(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
LONG_BODY_DIGITS: Final = 8
"""A refused body of ten megabytes or more is cut off. A shorter one is read: browsers show the answer only then."""
REQUESTS: Final = Counter("crema_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS: Final = Histogram("crema_http_request_seconds", "Time until the answer began.", ["method", "route"])


class RequestContext:
    """ASGI middleware: costs an eighth of a BaseHTTPMiddleware, and sees the failures of everything inside."""

    def __init__(self, app: ASGIApp, *, headers: Mapping[str, str]) -> None:
        self.app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = network_of(scope["client"][0]) if scope.get("client") else ""
        if scope["type"] == "http":
            await self._answer(scope, receive, send, client=client)
        elif scope["type"] == "websocket":
            _strip_trailing_slash(scope)
            with structlog.contextvars.bound_contextvars(client=client):
                await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, client: str) -> None:
        request_id = _given_id(scope) or os.urandom(16).hex()
        scope.setdefault("state", {})["request_id"] = request_id
        _strip_trailing_slash(scope)
        structlog.contextvars.bind_contextvars(request_id=request_id, client=client)
        started = time.perf_counter()
        answer = _Answer(scope, receive, send, headers=[(b"x-request-id", request_id.encode()), *self._headers])
        try:
            await self.app(scope, receive, answer.send)
        except Exception:
            log.exception("unhandled")
            if answer.status:
                raise
            await problem.internal(Request(scope))(scope, receive, answer.send)
        finally:
            _record(scope, status=answer.status, seconds=time.perf_counter() - started)
            structlog.contextvars.unbind_contextvars("request_id", "client")


class _Answer:
    """The answer to one request, sent with the default headers. `status` is 0 until it begins."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status = 0
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = headers
        self._is_replaced = False

    async def send(self, message: Message) -> None:
        """Send a message of the application, or an answer that replaces it."""
        if self._is_replaced:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status == TOO_LARGE and not _is_problem(message):
                # Starlette's counter of bytes answers by itself, in plain text.
                await problem.too_large(Request(self._scope))(self._scope, self._receive, self.send)
                self._is_replaced = True
                return
            self._complete(message)
        await self._send(message)

    def _complete(self, start: Message) -> None:
        """Add the headers that the answer doesn't set itself."""
        own = dict(start["headers"])
        start["headers"] = [*start["headers"], *(header for header in self._headers if header[0] not in own)]
        if self.status >= BAD_REQUEST and _has_long_body(Request(self._scope)):
            # rather than read the rest of a body that isn't used
            MutableHeaders(scope=start)["Connection"] = "close"


def _record(scope: Scope, *, status: int, seconds: float) -> None:
    """Count the request, and write its line of the access log."""
    # The template, not the path: bounded labels, and no personal data in them.
    route = getattr(scope.get("route"), "path", "none")
    requests, durations = _measures(scope["method"], route, status)
    requests.inc()
    durations.observe(seconds)
    log.info("request", method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1000, 1))


@lru_cache(10_000)
def _measures(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), SECONDS.labels(method, route)


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            return given if REQUEST_ID.fullmatch(given) else None
    return None


def _has_long_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or len(request.headers.get("content-length", "")) >= LONG_BODY_DIGITS


def _is_problem(start: Message) -> bool:
    return Headers(scope=start).get("content-type", "").startswith("application/problem+json")


def _strip_trailing_slash(scope: Scope) -> None:
    """Handle `/cart/` as `/cart`: with a redirect clients would lose their body."""
    if len(scope["path"]) > 1 and scope["path"].endswith("/"):
        scope["path"] = scope["path"].rstrip("/") or "/"
        scope["raw_path"] = scope["raw_path"].rstrip(b"/") or b"/"
