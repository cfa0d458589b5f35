"""Middlewares and headers that protect people in browsers: CSRF, allowed hosts, CORS, security headers.

With `?mode=cookie` browsers keep their tokens in cookies that scripts can't read. Browsers send cookies with requests
of other sites' pages, too. So a request that changes something must prove that a trusted page sent it: by its Origin,
or by Sec-Fetch-Site, and by a token that only such a page can read.
"""

import hmac
import secrets
from collections.abc import Collection, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crema.core.errors import ForbiddenError, InvalidError
from crema.schemas import Output
from crema.web import problem
from crema.web.routing import make_router
from crema.web.state import WebState, state_of

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
YEAR: Final = 365 * 24 * 3600
CSRF_HEADER: Final = "X-CSRF-Token"
SENT_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    CSRF_HEADER,
    "X-Request-ID",
)
"""Request headers that pages of other origins may send, besides those that CORS always allows."""
EXPOSED_HEADERS: Final = (
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
"""Response headers that such pages may read."""


class CsrfFailedError(ForbiddenError):
    """A request with our cookies that no trusted page sent, or without the token of GET /csrf."""

    code = "csrf_failed"
    title = "This request does not come from one of our pages."
    advice = "Send the token of `GET /csrf` as `X-CSRF-Token`, from an allowed origin."


class UnknownHostError(InvalidError):
    """The Host header is none of CREMA_ALLOWED_HOSTS."""

    code = "unknown_host"
    title = "This server does not answer to this host name."
    advice = "Use an address of `CREMA_ALLOWED_HOSTS`."


def security_headers(*, is_production: bool) -> Mapping[str, str]:
    """Return the headers of every answer, whatever its status; a route may set its own instead."""
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return headers | ({"Strict-Transport-Security": f"max-age={YEAR}"} if is_production else {})


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """Return the token of the Authorization header, as `OAuth2PasswordBearer` finds it."""
    scheme, token = get_authorization_scheme_param(headers.get("authorization"))
    return token if scheme.lower() == "bearer" and token else None


class HostAndCsrfMiddleware:
    """ASGI middleware: refuses unknown hosts, and changes with our cookies that no trusted page sent."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self.app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        refused: UnknownHostError | CsrfFailedError | None = None
        if self._hosts and not scope["path"].startswith("/health/") and not self._is_known_host(request):
            refused = UnknownHostError()
        elif self._needs_proof(request) and not self._has_proof(request):
            refused = CsrfFailedError()
        if refused is None:
            await self.app(scope, receive, send)
            return
        await problem.from_error(request, refused)(scope, receive, send)

    def _is_known_host(self, request: Request) -> bool:
        host = request.headers.get("host", "").lower().rpartition(":")
        name = host[0] if host[0] and host[2].isdecimal() else "".join(host)
        return any(name == known or (known[:2] == "*." and name.endswith(known[1:])) for known in self._hosts)

    @staticmethod
    def _needs_proof(request: Request) -> bool:
        if request.method in SAFE_METHODS:
            return False
        if "cookie" in request.query_params.getlist("mode") or request.url.path.rstrip("/").endswith("/cookie"):
            return True  # it reads or sets cookies, whatever else it brings
        if bearer_token(request.headers):
            return False  # `accounts.deps.visitor` looks at no cookie then
        cookies = state_of(request.app, WebState).cookies
        return any(cookies.get(request, name) for name in ("access", "refresh"))

    def _has_proof(self, request: Request) -> bool:
        if "origin" in request.headers:
            if not state_of(request.app, WebState).origins.include(request):
                return False
        elif request.headers.get("sec-fetch-site") != "same-origin":
            return False
        cookies = state_of(request.app, WebState).cookies
        secret, token = cookies.get(request, "csrf"), request.headers.get(CSRF_HEADER, "")
        return secret is not None and hmac.compare_digest(cookies.token_for(secret).encode(), token.encode())


class Cors(CORSMiddleware):
    """Starlette's CORS middleware, which adds no headers for origins that aren't allowed."""

    async def simple_response(self, scope: Scope, receive: Receive, send: Send, request_headers: Headers) -> None:
        """Answer a request that isn't a preflight."""
        if self.is_allowed_origin(request_headers.get("origin", "")):
            await super().simple_response(scope, receive, send, request_headers)
            return

        async def send_varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header("Origin")
            await send(message)

        await self.app(scope, receive, send_varied)


class CookieRemoval:
    """ASGI middleware: deletes the cookies that `Cookies.drop_later` named, unless the answer sets them.

    Such an answer must not be cached, whatever its route says. Answers of status 500 and higher delete nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not any(name == b"cookie" for name, _ in scope["headers"]):
            await self.app(scope, receive, send)
            return

        async def send_without(message: Message) -> None:
            dropped = scope["state"].get("dropped_cookies") if message["type"] == "http.response.start" else None
            if dropped and message["status"] < HTTPStatus.INTERNAL_SERVER_ERROR:
                headers = MutableHeaders(scope=message)
                cookies = state_of(scope["app"], WebState).cookies
                given = [each.partition("=")[0] for each in headers.getlist("set-cookie")]
                removal = Response()
                cookies.drop(removal, [name for name in dropped if cookies.full_name(name) not in given])
                for each in removal.headers.getlist("set-cookie"):
                    headers.append("set-cookie", each)
                headers["cache-control"] = "no-store"
            await send(message)

        await self.app(scope, receive, send_without)


class CsrfOut(Output):
    """Send it as `X-CSRF-Token` with every request that changes something."""

    csrf_token: str


router: APIRouter = make_router("Working with JWT")
CSRF_LIFETIME: Final = timedelta(days=30)


@router.get("/csrf", summary="Get a CSRF token")
async def get_csrf_token(request: Request, response: Response) -> CsrfOut:
    """For browsers that keep their login in cookies: needed once before `POST /authentication/cookie`."""
    cookies = state_of(request.app, WebState).cookies
    secret = cookies.get(request, "csrf") or secrets.token_urlsafe(32)
    cookies.put(response, "csrf", secret, lifetime=CSRF_LIFETIME)
    return CsrfOut(csrf_token=cookies.token_for(secret))
