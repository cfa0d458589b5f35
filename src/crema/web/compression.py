"""Compression of answers with zstd or gzip, as Accept-Encoding asks (RFC 9110, 12.5.3).

A cacheable answer with a strong ETag is compressed once for each ETag. The ETag of an encoded answer ends with the
encoding. The routes never see that ending: `If-None-Match` matches in every encoding.
"""

import re
import sys
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SMALLEST: Final = 1_000
"""Bytes from which an answer is compressed: a smaller one fits into one packet anyway."""
LARGEST: Final = 8 * 1024 * 1024
"""Bytes up to which an answer is compressed."""
KEPT_BYTES: Final = 16 * 1024 * 1024
"""Bytes of compressed answers that a process keeps."""
SECRET: Final = frozenset(
    {
        "/access",
        "/authentication",
        "/chat/ticket",
        "/csrf",
        "/refresh",
        "/registration",
        "/verification",
        "/verification/login",
    }
)
"""Paths whose answers hold secrets. Their length would tell something about them (BREACH)."""
_TYPES: Final = re.compile(r"application/(json|problem\+json|javascript)|text/(?!event-stream)|image/svg\+xml")
_ENDING: Final = re.compile(rb'-(gzip|zstd)"')
_WEIGHT: Final = re.compile(r"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.IGNORECASE)


def _gzip(content: bytes, level: int) -> bytes:
    compressor = zlib.compressobj(level, wbits=31)
    return compressor.compress(content) + compressor.flush()


_ENCODERS: Final[Mapping[str, tuple[Callable[[bytes, int], bytes], int, int]]] = {
    "zstd": (zstd.compress, 3, 6),
    "gzip": (_gzip, 4, 6),
}
"""In order of preference: the function, its level, and its level for answers that are kept."""


@lru_cache(256)
def choose(accept_encoding: str) -> str | None:
    """Return the encoding that a header asks for, or None if the answer is best sent as it is."""
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameter = part.strip().partition(";")
        found = _WEIGHT.fullmatch(parameter)
        weights[name.strip()] = float(found[1]) if found else 1.0 if not parameter.strip() else 0.0
    others = weights.get("*", 0.0)
    best = max(_ENCODERS, key=lambda name: weights.get(name, others))
    weight = weights.get(best, others)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


class CompressionMiddleware:
    """ASGI middleware: compresses whole answers. Streams without a length are sent as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.kept = _Kept()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        accepted, known = "", b""
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                accepted = f"{accepted},{value.decode('latin-1')}" if accepted else value.decode("latin-1")
            elif name == b"if-none-match" and _ENDING.search(value):
                known = value
        if known:
            headers = [(n, _ENDING.sub(b'"', v) if n == b"if-none-match" else v) for n, v in scope["headers"]]
            scope = {**scope, "headers": headers}
        encoding = choose(accepted) if accepted else None
        if encoding is None and not known:
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, _Sender(self.kept, scope["path"], encoding, known, send))


class _Kept:
    """A cache of compressed answers by path, ETag and encoding; the least recently used is dropped first."""

    def __init__(self) -> None:
        self._contents: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()
        self._size = 0

    def get(self, key: tuple[str, str, str]) -> bytes | None:
        content = self._contents.get(key)
        if content is not None:
            self._contents.move_to_end(key)
        return content

    def put(self, key: tuple[str, str, str], content: bytes) -> None:
        if key in self._contents:
            return
        self._contents[key] = content
        self._size += len(content)
        while self._size > KEPT_BYTES:
            _, dropped = self._contents.popitem(last=False)
            self._size -= len(dropped)


class _Sender:
    """Sends one answer; its start is sent together with its compressed body."""

    def __init__(self, kept: _Kept, path: str, encoding: str | None, known: bytes, send: Send) -> None:
        self._kept = kept
        self._path = path
        self._encoding = encoding
        self._known = known
        self._send = send
        self._start: Message | None = None
        self._key: tuple[str, str, str] | None = None
        self._pieces: list[bytes] = []
        self._is_sent = False

    async def __call__(self, message: Message) -> None:
        if self._is_sent:
            return
        if message["type"] == "http.response.start":
            if message["status"] == HTTPStatus.NOT_MODIFIED:
                self._repeat_tag(message)
            if self._encoding is not None and _pays(message, self._path):
                self._start = message
                self._key = self._key_of(message, self._encoding)
                return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        await self._take(message, self._start, self._encoding or "")

    async def _take(self, message: Message, start: Message, encoding: str) -> None:
        content = self._kept.get(self._key) if self._key else None
        if content is None:
            self._pieces.append(message.get("body", b""))
            if message.get("more_body"):
                return
            encode, level, kept_level = _ENCODERS[encoding]
            content = encode(b"".join(self._pieces), kept_level if self._key else level)
            if self._key:
                self._kept.put(self._key, content)
        headers = MutableHeaders(scope=start)
        headers["Content-Encoding"] = encoding
        headers["Content-Length"] = str(len(content))
        headers.add_vary_header("Accept-Encoding")
        if etag := headers.get("etag"):
            headers["ETag"] = f'{etag[:-1]}-{encoding}"'
        self._is_sent = True
        await self._send(start)
        await self._send({"type": "http.response.body", "body": content, "more_body": False})

    def _key_of(self, start: Message, encoding: str) -> tuple[str, str, str] | None:
        """Return the cache key of an answer that may be cached and has a strong ETag; None for any other."""
        headers = Headers(scope=start)
        etag, cache_control = headers.get("etag", ""), headers.get("cache-control", "")
        may_be_kept = etag.startswith('"') and "max-age" in cache_control
        return (self._path, etag, encoding) if may_be_kept else None

    def _repeat_tag(self, start: Message) -> None:
        """Set the ETag of a 304 to the one that the client sent."""
        headers = MutableHeaders(scope=start)
        etag = headers.get("etag", "").encode()
        for ending in (b"-zstd", b"-gzip"):
            if etag and (known := etag[:-1] + ending + b'"') in self._known and etag not in self._known:
                headers["ETag"] = known.decode()
                return


def _pays(start: Message, path: str) -> bool:
    if not start["status"] >= HTTPStatus.OK or start["status"] in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        return False
    headers = Headers(scope=start)
    length = headers.get("content-length", "")
    if not length.isdigit() or not SMALLEST <= int(length) <= LARGEST or path in SECRET:
        return False
    return (
        "content-encoding" not in headers
        and "content-range" not in headers
        and _TYPES.match(headers.get("content-type", "")) is not None
    )
