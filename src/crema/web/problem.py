"""Error answers as RFC 9457 `application/problem+json`, and the table from families of errors to statuses."""

import asyncio
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import sqlalchemy.exc
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from crema.core import errors
from crema.web.validation import sentence_of

log = structlog.get_logger(__name__)

STATUS_OF: Final[Mapping[type[errors.CremaError], HTTPStatus]] = {
    errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.PreconditionFailedError: HTTPStatus.PRECONDITION_FAILED,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UrlTooLongError: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.UnsupportedTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooManyError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.HeadersTooLargeError: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}

DATABASE_UNAVAILABLE: Final = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    sqlalchemy.exc.InterfaceError,
)
RETRY_SECONDS: Final = 2
NOT_ALLOWED: Final = (
    HTTPStatus.METHOD_NOT_ALLOWED,
    "method_not_allowed",
    "This path does not have this method.",
    "Use one of the header `Allow`.",
)
INTERNAL: Final = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal_error",
    "The server made a mistake.",
    "Report it with the `request_id`.",
)
UNAVAILABLE: Final = (
    HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable",
    "The database is away or too slow.",
    "Try again after `retry_after` seconds.",
)
"""Status, code, title and advice of what no class of ours stands for."""
DESCRIPTIONS: Final = {
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    409: "Conflict",
    412: "Changed since it was read",
    413: "Too large",
    414: "URL too long",
    415: "Unsupported type of content",
    422: "Not valid",
    429: "Too many requests",
    503: "Temporarily unavailable",
}
"""By status. Python's own phrases change with its version."""


class FieldError(BaseModel):
    """One error in the input."""

    loc: list[str | int] = Field(examples=[["body", "email"]])
    msg: str = Field(examples=["value is not a valid email address"])
    type: str = Field(examples=["value_error"])


class Problem(BaseModel):
    """RFC 9457 problem details. `code` is stable; texts may change."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:crema:problem:not_found"])
    title: str = Field(examples=[errors.NotFoundError.title])
    status: int = Field(examples=[404])
    detail: str = Field(examples=[errors.NotFoundError.advice])
    code: str = Field(examples=["not_found"])
    request_id: str = Field(examples=["01a2074f26f772168892f26d298d63ed"])
    errors: list[FieldError] | None = Field(default=None, description="Only for a refused input.")


def problem(
    request: Request,
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> Response:
    """Return the answer with a problem document."""
    return JSONResponse(
        {
            "type": f"urn:crema:problem:{code}",
            "title": title,
            "status": int(status),
            "detail": detail,
            "code": code,
            "request_id": request.state.request_id,
            **extra,
        },
        status_code=int(status),
        headers=dict(headers or {}),
        media_type="application/problem+json",
    )


def error_classes(kind: type[errors.CremaError] = errors.CremaError) -> Iterator[type[errors.CremaError]]:
    """Yield all error classes of Crema that have a code of their own."""
    for below in kind.__subclasses__():
        if below.__module__.startswith("crema.") and "code" in below.__dict__:
            yield below
        yield from error_classes(below)


def status_of_class(kind: type[errors.CremaError]) -> int:
    """Return the status of an error's family."""
    return int(next(STATUS_OF[each] for each in kind.__mro__ if each in STATUS_OF))


def from_error(request: Request, error: errors.CremaError) -> Response:
    """Return the answer for an error, with the status of its family."""
    headers = {}
    if isinstance(error, errors.UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.TooManyError) or "retry_after" in error.extra:
        headers["Retry-After"] = str(error.extra["retry_after"])
    return problem(
        request,
        status=status_of_class(type(error)),
        code=error.code,
        title=error.title,
        detail=error.detail,
        headers=headers,
        **error.extra,
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.CremaError)
    return from_error(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    is_json = "json" in request.headers.get("content-type", "")
    # Never the input itself: it may be a password, or text that JSON can't carry.
    found = [
        {
            "loc": [part if isinstance(part, int) else _printable(part) for part in e["loc"]],
            "msg": _printable(sentence_of(e, is_json=is_json)),
            "type": e["type"],
        }
        for e in error.errors()[:50]
    ]
    return problem(
        request,
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        code="validation_error",
        title="The request is not valid.",
        detail="; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:5]),
        errors=found,
    )


def _printable(text: Any) -> str:
    return str(text).encode("utf-8", "replace").decode().replace("\x00", "?")[:300]


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # a body that FastAPI can't parse is an invalid input
        return await _invalid(
            request, RequestValidationError([{"loc": ("body",), "msg": str(error.detail), "type": "unparsable"}])
        )
    known = {404: errors.NotFoundError, 413: errors.TooLargeError, 401: errors.UnauthenticatedError}.get(status)
    if known:
        code, title, detail = known.code, known.title, known.advice
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        _, code, title, detail = NOT_ALLOWED
    else:
        code, title, detail = status.name.lower(), f"{status.phrase}.", str(error.detail)
    return problem(request, status=status, code=code, title=title, detail=detail, headers=error.headers)


async def unavailable(request: Request, error: Exception) -> Response:
    """Return 503 for a database that is unreachable, restarting or too slow."""
    log.warning("database_unavailable", error=type(error).__name__)
    status, code, title, advice = UNAVAILABLE
    return problem(
        request,
        status=status,
        code=code,
        title=title,
        detail=advice,
        headers={"Retry-After": str(RETRY_SECONDS)},
        retry_after=RETRY_SECONDS,
    )


async def _database(request: Request, error: Exception) -> Response:
    assert isinstance(error, sqlalchemy.exc.DBAPIError)
    cause = error.orig.__cause__ if error.orig else None
    if error.connection_invalidated or isinstance(cause, DATABASE_UNAVAILABLE):
        return await unavailable(request, error)
    raise error


def too_large(request: Request) -> Response:
    """Return 413 for a body past its route's limit."""
    kind = errors.TooLargeError
    return problem(request, status=STATUS_OF[kind], code=kind.code, title=kind.title, detail=kind.advice)


def internal(request: Request) -> Response:
    """Return 500 for a defect. The request id is the only thing that it tells."""
    status, code, title, advice = INTERNAL
    return problem(request, status=status, code=code, title=title, detail=advice)


def add_handlers(app: FastAPI) -> None:
    """Answer all errors with problem documents, except defects, which `web.context` answers."""
    app.add_exception_handler(errors.CremaError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(sqlalchemy.exc.DBAPIError, _database)
    for kind in DATABASE_UNAVAILABLE:
        app.add_exception_handler(kind, unavailable)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for these error statuses. `web.error_examples` adds their content."""
    return {status: {"description": DESCRIPTIONS[status]} for status in statuses}
