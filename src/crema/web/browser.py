"""What protects people in browsers: our cookies, where a page may come from, CSRF, and the headers of every answer.

Browsers that ask for it (`?mode=cookie`) keep their tokens in cookies no script can read. A cookie is sent by itself,
also when another site's page asks, so whatever changes something must then prove that a page of ours asks: by its
Origin, or the browser's own word that it is the same, and by a token that only a page of ours can read.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crema.core.errors import ForbiddenError, InvalidError
from crema.schemas import Output
from crema.web import problem
from crema.web.routing import make_router

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
YEAR: Final = 365 * 24 * 3600
HEADER: Final = "X-CSRF-Token"
LOCALHOST: Final = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?"
"""The origins of this computer."""
SENT_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    HEADER,
    "X-Request-ID",
)
"""Request headers that pages of other origins may send, beside those that need no leave."""
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
What = Literal["access", "refresh", "csrf"]


class CsrfFailedError(ForbiddenError):
    """A request with our cookies that no page of ours made, or without the token of GET /csrf."""

    code = "csrf_failed"
    title = "This request does not come from one of our pages."
    advice = "Send the token of `GET /csrf` as `X-CSRF-Token`, from an allowed origin."


class UnknownHostError(InvalidError):
    """The Host header is none of CREMA_ALLOWED_HOSTS."""

    code = "unknown_host"
    title = "This server does not answer to this host name."
    advice = "Use an address of `CREMA_ALLOWED_HOSTS`."


def headers_of(*, is_production: bool) -> Mapping[str, str]:
    """Give the headers of every answer, whatever its status; a route may set its own instead."""
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return headers | ({"Strict-Transport-Security": f"max-age={YEAR}"} if is_production else {})


@dataclass(frozen=True, slots=True)
class Cookies:
    """Our cookies. Behind TLS their names begin with `__Host-`: no other host, and no plain HTTP, can set those."""

    key: bytes
    is_secure: bool

    def name(self, what: What) -> str:
        """Give a cookie's name."""
        return f"__Host-{what}" if self.is_secure else f"crema_{what}"

    def get(self, request: Request, what: What) -> str | None:
        """Read a cookie of a request."""
        return request.cookies.get(self.name(what))

    def put(self, response: Response, what: What, value: str, *, lifetime: timedelta) -> None:
        """Give a browser a cookie that no script reads and no other site's request carries."""
        response.set_cookie(
            self.name(what),
            value,
            max_age=int(lifetime.total_seconds()),
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="strict",
        )

    def drop(self, response: Response, what: Collection[What] = ("access", "refresh")) -> None:
        """Take a login's cookies away."""
        for each in what:
            response.delete_cookie(self.name(each), path="/", secure=self.is_secure, httponly=True, samesite="strict")

    @staticmethod
    def drop_later(request: Request, *what: What) -> None:
        """Take cookies away with whatever answer the request gets: see `CookieRemoval`."""
        request.state.dropped_cookies = what

    def token_for(self, secret: str) -> str:
        """Give the token that goes with a `csrf` cookie: only we can make it, only a page of ours can read it."""
        return hmac.new(self.key, secret.encode(), hashlib.sha256).hexdigest()


Origin = tuple[str, str, int | None]
"""Scheme, host and port, as browsers compare them; None for the scheme's own port."""
_PORTS: Final = {"http": 80, "https": 443}
_HTTP_SCHEMES: Final = {"ws": "http", "wss": "https"}


def origin_of(url: str) -> Origin | None:
    """Return the origin of a URL, or None if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, None if port == _PORTS.get(parts.scheme) else port


class Origins:
    """The origins whose pages are ours: this very host, `public_url`, and those of a list.

    In development also those of this computer, whatever the port.
    """

    def __init__(
        self, allowed: Iterable[str], *, public_url: str | None = None, allows_localhost: bool = False
    ) -> None:
        self._allows_localhost = allows_localhost
        self._public = origin_of(public_url) if public_url else None
        self._allowed = frozenset(filter(None, (*map(origin_of, allowed), self._public)))

    def include(self, connection: HTTPConnection) -> bool:
        """Return whether the request's `Origin` is ours: scheme, host and port alike.

        The scheme is what the server sees, or what a trusted proxy tells by X-Forwarded-Proto. Where `public_url` names
        the same host, only the scheme of `public_url` counts.
        """
        named = connection.headers.get("origin", "")
        origin = origin_of(named)
        if origin is None:
            return False
        if origin in self._allowed or (self._allows_localhost and re.fullmatch(LOCALHOST, named)):
            return True
        scheme: str = connection.scope["scheme"]
        own = origin_of(f"{_HTTP_SCHEMES.get(scheme, scheme)}://{connection.headers.get('host', '')}")
        if own is None or (self._public and own[1:] == self._public[1:]):
            return False
        return origin == own


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """Return the token of the Authorization header, as `OAuth2PasswordBearer` finds it."""
    scheme, token = get_authorization_scheme_param(headers.get("authorization"))
    return token if scheme.lower() == "bearer" and token else None


class Guard:
    """Pure ASGI: refuses unknown hosts, and changes with our cookies that no page of ours asked for."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self.app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        refused: UnknownHostError | CsrfFailedError | None = None
        if self._hosts and not scope["path"].startswith("/health/") and not self._knows(request):
            refused = UnknownHostError()
        elif self._needs_proof(request) and not self._has_proof(request):
            refused = CsrfFailedError()
        if refused is None:
            await self.app(scope, receive, send)
            return
        await problem.from_error(request, refused)(scope, receive, send)

    def _knows(self, request: Request) -> bool:
        host = request.headers.get("host", "").lower().rpartition(":")
        name = host[0] if host[0] and host[2].isdecimal() else "".join(host)
        return any(name == known or (known[:2] == "*." and name.endswith(known[1:])) for known in self._hosts)

    @staticmethod
    def _needs_proof(request: Request) -> bool:
        if request.method in SAFE:
            return False
        if "cookie" in request.query_params.getlist("mode") or request.url.path.rstrip("/").endswith("/cookie"):
            return True  # it reads or sets cookies, whatever else it brings
        if bearer_token(request.headers):
            return False  # `accounts.deps.visitor` looks at no cookie then
        cookies: Cookies = request.app.state.cookies
        return any(cookies.get(request, what) for what in ("access", "refresh"))

    def _has_proof(self, request: Request) -> bool:
        if "origin" in request.headers:
            origins: Origins = request.app.state.origins
            if not origins.include(request):
                return False
        elif request.headers.get("sec-fetch-site") != "same-origin":
            return False
        cookies: Cookies = request.app.state.cookies
        secret, token = cookies.get(request, "csrf"), request.headers.get(HEADER, "")
        return secret is not None and hmac.compare_digest(cookies.token_for(secret).encode(), token.encode())


class Cors(CORSMiddleware):
    """Starlette's, which says nothing to pages of origins that it doesn't allow."""

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
    """Pure ASGI: takes away the cookies that were found to be over, unless the answer sets them anew.

    Such an answer is for this browser alone, whatever the route says about keeping it. Where something fails on our
    side nothing is known, and nothing taken away.
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
                cookies: Cookies = scope["app"].state.cookies
                given = [each.partition("=")[0] for each in headers.getlist("set-cookie")]
                removal = Response()
                cookies.drop(removal, [what for what in dropped if cookies.name(what) not in given])
                for each in removal.headers.getlist("set-cookie"):
                    headers.append("set-cookie", each)
                headers["cache-control"] = "no-store"
            await send(message)

        await self.app(scope, receive, send_without)


class CsrfOut(Output):
    """Send it as `X-CSRF-Token` with whatever changes something."""

    csrf_token: str


router: APIRouter = make_router("Working with JWT")
CSRF_LIFETIME: Final = timedelta(days=30)


@router.get("/csrf", summary="Get a CSRF token")
async def get_csrf_token(request: Request, response: Response) -> CsrfOut:
    """For browsers that keep their login in cookies, before `POST /authentication/cookie` and as often as they like."""
    cookies: Cookies = request.app.state.cookies
    secret = cookies.get(request, "csrf") or secrets.token_urlsafe(32)
    cookies.put(response, "csrf", secret, lifetime=CSRF_LIFETIME)
    return CsrfOut(csrf_token=cookies.token_for(secret))
