"""Cookies: the tokens of a browser's login, and the secret of its CSRF token."""

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
    """The cookies of Crema. With TLS their names begin with `__Host-`: only this host sets them, only by HTTPS."""

    key: bytes
    is_secure: bool

    def full_name(self, name: CookieName) -> str:
        """Return the cookie's name as browsers see it."""
        return f"__Host-{name}" if self.is_secure else f"crema_{name}"

    def get(self, request: Request, name: CookieName) -> str | None:
        """Return a cookie of a request, or None."""
        return request.cookies.get(self.full_name(name))

    def put(self, response: Response, name: CookieName, value: str, *, lifetime: timedelta) -> None:
        """Set a cookie that scripts can't read and that requests of other sites don't carry."""
        response.set_cookie(
            self.full_name(name),
            value,
            max_age=int(lifetime.total_seconds()),
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="strict",
        )

    def drop(self, response: Response, names: Collection[CookieName] = ("access", "refresh")) -> None:
        """Delete cookies; by default those of a login."""
        for each in names:
            response.delete_cookie(
                self.full_name(each), path="/", secure=self.is_secure, httponly=True, samesite="strict"
            )

    @staticmethod
    def drop_later(request: Request, *names: CookieName) -> None:
        """Delete cookies with the answer to this request, whatever it is: see `browser.CookieRemoval`."""
        request.state.dropped_cookies = names

    def token_for(self, secret: str) -> str:
        """Return the CSRF token of a `csrf` cookie: only the server can make it, only its pages can read it."""
        return hmac.new(self.key, secret.encode(), hashlib.sha256).hexdigest()
