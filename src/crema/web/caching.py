"""Cacheable answers: Cache-Control, strong ETags and 304 Not Modified."""

from collections.abc import Awaitable, Callable

from fastapi import Depends, Request, Response
from starlette.status import HTTP_200_OK, HTTP_304_NOT_MODIFIED

from crema.web import tags
from crema.web.response_hooks import on_response
from crema.web.state import WebState, state_of


async def _public(request: Request) -> None:
    on_response(request, set_cache_headers)


async def set_cache_headers(request: Request, response: Response) -> None:
    """Allow an answer to be cached if it is revalidated at each use."""
    # Staff see more than the public: shared caches may only store answers to anonymous requests.
    cookies = state_of(request.app, WebState).cookies
    has_login = "authorization" in request.headers or cookies.get(request, "access") is not None
    scope = b"private" if has_login else b"public"
    response.raw_headers.append((b"cache-control", scope + b", max-age=0, must-revalidate"))
    response.raw_headers.append((b"vary", b"Authorization, Cookie, Accept-Encoding"))


Public = Depends(_public)
"""A dependency of GETs whose answers may be cached: adds Cache-Control, a strong ETag and 304."""


def conditional(request: Request, response: Response) -> Response:
    """Return a cacheable answer with its ETag, or 304 if the client has it; any other answer as it is."""
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


async def not_modified_or(request: Request, etag: str, make: Callable[[], Awaitable[Response]]) -> Response:
    """Return 304 if the client has what this ETag names, otherwise the answer of `make`."""
    if _is_known(request, etag):
        return Response(status_code=HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
    return await make()


def _is_known(request: Request, etag: str) -> bool:
    header = request.headers.get("if-none-match")
    return header is not None and tags.matches(header, etag)
