"""The origins whose pages may send requests with cookies."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

LOCALHOST: Final = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?"
"""A pattern of the origins on this computer."""

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
    """The trusted origins: this host itself, `public_url`, and those of a list.

    In development also this computer, on any port.
    """

    def __init__(
        self, allowed: Iterable[str], *, public_url: str | None = None, allows_localhost: bool = False
    ) -> None:
        self._allows_localhost = allows_localhost
        self._public = origin_of(public_url) if public_url else None
        self._allowed = frozenset(filter(None, (*map(origin_of, allowed), self._public)))

    def include(self, connection: HTTPConnection) -> bool:
        """Return whether the request's `Origin` is trusted: scheme, host and port are compared.

        The scheme is that of the connection, or a trusted proxy's X-Forwarded-Proto. If `public_url` has the same host,
        only the scheme of `public_url` is accepted.
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
