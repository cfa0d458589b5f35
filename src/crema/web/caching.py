"""Answers that may be kept: Cache-Control, the strong ETag, and 304 for those who have what would be sent."""

from collections.abc import Awaitable, Callable

from fastapi import Depends, Request, Response
from starlette.status import HTTP_200_OK, HTTP_304_NOT_MODIFIED

from crema.web import tags
from crema.web.answering import on_answer
from crema.web.state import WebState, state_of


async def _public(request: Request) -> None:
    on_answer(request, share)


async def share(request: Request, response: Response) -> None:
    """Let a public answer be kept by whoever asks, if they look whether it is still good."""
    # Staff see more than the public does, so a shared cache may only keep what nobody in particular asked for.
    cookies = state_of(request.app, WebState).cookies
    is_somebody = "authorization" in request.headers or cookies.get(request, "access") is not None
    scope = b"private" if is_somebody else b"public"
    response.raw_headers.append((b"cache-control", scope + b", max-age=0, must-revalidate"))
    response.raw_headers.append((b"vary", b"Authorization, Cookie, Accept-Encoding"))


Public = Depends(_public)
"""A dependency for GETs that anyone may keep: adds Cache-Control, and with it the strong ETag and 304."""


def conditional(request: Request, response: Response) -> Response:
    """Name what an answer that may be kept says, and leave it out where that is known."""
    if request.method != "GET" or response.status_code != HTTP_200_OK:
        return response
    headers = dict(response.raw_headers)
    if b"max-age" not in headers.get(b"cache-control", b""):
        return response
    etag = headers.get(b"etag") or tags.tag_of(response.body).encode()
    if b"etag" not in headers:
        response.raw_headers.append((b"etag", etag))
    if not _is_known(request, etag.decode()):
        return response
    known = Response(status_code=HTTP_304_NOT_MODIFIED)
    known.raw_headers += [each for each in response.raw_headers if each[0] in (b"etag", b"cache-control", b"vary")]
    return known


async def unless_known(request: Request, etag: str, make: Callable[[], Awaitable[Response]]) -> Response:
    """Make an answer only for those who don't have what this tag names."""
    if _is_known(request, etag):
        return Response(status_code=HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
    return await make()


def _is_known(request: Request, etag: str) -> bool:
    header = request.headers.get("if-none-match")
    return header is not None and tags.matches(header, etag)
