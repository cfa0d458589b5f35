"""How requests authenticate: the security schemes of OpenAPI, and which of them an operation accepts."""

from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto
from typing import Any, Final

from crema.web.browser import CSRF_HEADER, SAFE_METHODS
from crema.web.cookies import Cookies

Requirements = list[dict[str, list[str]]]
"""Alternatives. The schemes in one are needed together; an empty one is an anonymous request."""

_PASSWORD: Final = "Password"  # noqa: S105 - the name of a scheme
_BEARER: Final = "AccessToken"
_COOKIE: Final = "AccessCookie"
_REFRESH_COOKIE: Final = "RefreshCookie"
_CSRF: Final = "CsrfToken"


class Access(Enum):
    """The authentication that a dependency needs, the strictest first."""

    REFRESHING_PAGE = auto()
    """The CSRF proof of a trusted page, else 403, and the cookie with the refresh token."""
    PAGE = auto()
    """The CSRF proof only."""
    LOGIN = auto()
    """A login, else 401."""
    VISITOR = auto()
    """A login, if there is one."""


def access_of(calls: Collection[Callable[..., Any]], accesses: Mapping[Callable[..., Any], Access]) -> Access | None:
    """Return the strictest access that the calls of an operation need, or None."""
    found = {accesses[call] for call in calls if call in accesses}
    return next((access for access in Access if access in found), None)


def requirements(access: Access | None, *, method: str) -> Requirements:
    """Return the `security` of an operation. Cookies need the CSRF proof if it changes something."""
    if access is None:
        return []
    proof: dict[str, list[str]] = {} if method.upper() in SAFE_METHODS else {_CSRF: []}
    if access is Access.PAGE:
        return [proof]
    if access is Access.REFRESHING_PAGE:
        return [{_REFRESH_COOKIE: []} | proof]
    login: Requirements = [{_BEARER: []}, {_PASSWORD: []}, {_COOKIE: []} | proof]
    return login if access is Access.LOGIN else [*login, {}]


def schemes_of_sockets(cookies: Cookies) -> dict[str, dict[str, Any]]:
    """Return the security schemes of AsyncAPI, either of which opens a socket; the third way is a frame `auth`."""
    return {
        _BEARER: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token in the header `Authorization` of the handshake. Browsers can't send it: "
            "they send a first frame `auth` instead, with a token or a ticket of `POST /chat/ticket`.",
        },
        _COOKIE: {
            "type": "httpApiKey",
            "in": "cookie",
            "name": cookies.full_name("access"),
            "description": "Set by `POST /authentication/cookie`, for pages of known origins.",
        },
    }


def schemes(cookies: Cookies) -> dict[str, dict[str, Any]]:
    """Return the schemes that `requirements` names."""
    return {
        _BEARER: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An `access_token` of `POST /authentication`, pasted. It lasts ten minutes.",
        },
        _PASSWORD: {
            "type": "oauth2",
            "description": "An e-mail address and a password, such as a demo account's.",
            "flows": {"password": {"tokenUrl": "access", "scopes": {}}},
        },
        _COOKIE: {
            "type": "apiKey",
            "in": "cookie",
            "name": cookies.full_name("access"),
            "description": "Set by `POST /authentication/cookie`; browsers send it by themselves. "
            f"Whatever changes something needs `{CSRF_HEADER}` beside it.",
        },
        _REFRESH_COOKIE: {
            "type": "apiKey",
            "in": "cookie",
            "name": cookies.full_name("refresh"),
            "description": "Set together with the access cookie, for `POST /refresh/cookie`.",
        },
        _CSRF: {
            "type": "apiKey",
            "in": "header",
            "name": CSRF_HEADER,
            "description": "The `csrf_token` of `GET /csrf`, for pages that log in with cookies: needed by everything "
            "but GET and HEAD, from a page whose origin is known here. Without it the answer is 403 `csrf_failed`.",
        },
    }
