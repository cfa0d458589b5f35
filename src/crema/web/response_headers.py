"""Describes the headers of answers in OpenAPI, and the answer 304."""

import inspect
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import Response

from crema.web.components import is_list
from crema.web.preconditions import Versioned
from crema.web.routing import Route

LOCATED: Final[dict[int | str, dict[str, Any]]] = {
    201: {"headers": {"Location": {"$ref": "#/components/headers/Location"}}}
}
"""For `responses` of a route that creates something."""
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Location": {
        "description": "The path of the new resource.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "ETag": {
        "description": "The value for `If-None-Match`, and for `If-Match` where the resource can be edited.",
        "schema": {"type": "string", "examples": ['"84213-26d298d6.5f1d2c3e4b5a6978"']},
    },
    "Link": {
        "description": "The pages around this one (RFC 8288): `first`, `prev`, `next`, `last`.",
        "schema": {"type": "string", "examples": ['</products?page=2>; rel="next"']},
    },
    "Idempotency-Replayed": {
        "description": "`true` when the answer is a repeated one.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "RateLimit": {
        "description": "How many requests are left, and in how many seconds there are more.",
        "schema": {"type": "string", "examples": ['"requests";r=5999;t=60']},
    },
    "RateLimit-Policy": {
        "description": "How many requests a client has in how many seconds.",
        "schema": {"type": "string", "examples": ['"requests";q=6000;w=60']},
    },
    "Retry-After": {"description": "After how many seconds to try again.", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"schema": {"type": "string", "enum": ["Bearer"]}, "description": "How to log in."},
    "X-Request-ID": {
        "description": "The id of the request, to name when you report a problem.",
        "schema": {"type": "string", "examples": ["01a2074f26f772168892f26d298d63ed"]},
    },
}
_ANY: Final = ("X-Request-ID", "RateLimit", "RateLimit-Policy")
_OF_STATUS: Final = {
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def references(*names: str) -> dict[str, dict[str, str]]:
    """Return references to these headers."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def of_error(status: int) -> dict[str, dict[str, str]]:
    """Return the headers of an error answer."""
    return references(*_ANY, *_OF_STATUS.get(status, ()))


def add_headers(operation: dict[str, Any], route: Route, *, is_edited: bool) -> None:
    """Add the headers of successful answers to an operation, and 304 if an answer may be cached.

    `is_edited`: the resource of the path can be changed. Routes that return a Response set its ETag themselves.
    """
    kept = route.is_public
    tagged = kept or (is_edited and _makes_response(route)) or any(map(_tells_tag, route.plan.calls))
    if kept:
        description = "Nothing has changed since it was read with the `ETag` of `If-None-Match`."
        operation["responses"]["304"] = {"description": description}
    for status, answer in operation["responses"].items():
        if int(status) < HTTPStatus.BAD_REQUEST:
            names = {*_ANY} | {*_of(operation, int(status), is_tagged=tagged)}
            answer["headers"] = references(*sorted(names)) | answer.get("headers", {})


def _of(operation: dict[str, Any], status: int, *, is_tagged: bool) -> Iterator[str]:
    if is_tagged and status != HTTPStatus.NO_CONTENT:
        yield "ETag"
    if status == HTTPStatus.NOT_MODIFIED:
        return
    if is_list(operation):
        yield "Link"
    if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ())):
        yield "Idempotency-Replayed"


def _tells_tag(call: Any) -> bool:
    return isinstance(getattr(call, "__self__", None), Versioned)


def _makes_response(route: Route) -> bool:
    returned = inspect.signature(route.endpoint, eval_str=True).return_annotation
    return isinstance(returned, type) and issubclass(returned, Response)
