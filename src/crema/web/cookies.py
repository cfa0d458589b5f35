"""Our cookies: the tokens of a browser's login, and the secret of its CSRF token."""

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fastapi import Request, Response

CookieName = Literal["access", "refresh", "csrf"]


@dataclass(frozen=True, slots=True)
class Cookies:
    """Our cookies. Behind TLS their names begin with `__Host-`: no other host, and no plain HTTP, can set those."""

    key: bytes
    is_secure: bool

    def name(self, what: CookieName) -> str:
        """Give a cookie's name."""
        return f"__Host-{what}" if self.is_secure else f"crema_{what}"

    def get(self, request: Request, what: CookieName) -> str | None:
        """Read a cookie of a request."""
        return request.cookies.get(self.name(what))

    def put(self, response: Response, what: CookieName, value: str, *, lifetime: timedelta) -> None:
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

    def drop(self, response: Response, what: Collection[CookieName] = ("access", "refresh")) -> None:
        """Take a login's cookies away."""
        for each in what:
            response.delete_cookie(self.name(each), path="/", secure=self.is_secure, httponly=True, samesite="strict")

    @staticmethod
    def drop_later(request: Request, *what: CookieName) -> None:
        """Take cookies away with whatever answer the request gets: see `CookieRemoval`."""
        request.state.dropped_cookies = what

    def token_for(self, secret: str) -> str:
        """Give the token that goes with a `csrf` cookie: only we can make it, only a page of ours can read it."""
        return hmac.new(self.key, secret.encode(), hashlib.sha256).hexdigest()
