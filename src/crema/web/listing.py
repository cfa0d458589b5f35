"""The list language over HTTP: its parameters in OpenAPI, the envelope of a page, the Link header."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.datastructures import QueryParams
from starlette.status import HTTP_201_CREATED

from crema import __version__
from crema.core.page import Page
from crema.db import listing as lists
from crema.db.listing import Listing, ListQuery
from crema.web.tags import tag

T = TypeVar("T")
OutT = TypeVar("OutT")

MEANINGS: Final[Mapping[str, str]] = {
    "eq": "Equal.",
    "ne": "Not equal.",
    "lt": "Less.",
    "lte": "Less or equal.",
    "gt": "Greater.",
    "gte": "Greater or equal.",
    "in": "One of these, comma-separated.",
    "not_in": "None of these, comma-separated.",
    "between": "From the first to the second, both included.",
    "contains": "Contains.",
    "icontains": "Contains, whatever the case.",
    "startswith": "Starts with.",
    "istartswith": "Starts with, whatever the case.",
    "endswith": "Ends with.",
    "iendswith": "Ends with, whatever the case.",
    "isnull": "Absent (true) or present (false).",
}


class PageOut(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    page: int | None = Field(description="Its number, from 1; null when walking by cursor.", examples=[1])
    size: int = Field(description="How many items a page holds.", examples=[20])
    total: int | None = Field(description="How many items there are; null when walking by cursor.", examples=[57])
    pages: int | None = Field(description="How many pages there are; null when walking by cursor.", examples=[3])
    next_cursor: str | None = Field(
        description="Pass it as `cursor`, with the same `sort`, to go on after the last item; null at the end.",
        examples=["WyItY3JlYXRlZF9hdCIsIjIwMjYtMTEtMjNUMDk6MzA6MDArMDA6MDAiXQ"],
    )


def answer(request: Request, response: Response, page: Page[T], render: Callable[[T], OutT]) -> PageOut[OutT]:
    """Put a page into its envelope and its neighbours into the Link header."""
    response.headers.update(page_headers(request, page))
    return PageOut(
        items=[render(item) for item in page.items],
        page=page.page,
        size=page.size,
        total=page.total,
        pages=page.pages,
        next_cursor=page.next_cursor,
    )


def document(content: str | bytes, *, version: str | None = None) -> Response:
    """Send JSON that is ready; tagged, if it is a version of something that can be edited."""
    response = Response(content, media_type="application/json")
    if version is not None:
        response.raw_headers.append((b"etag", tag(version, response.body).encode()))
    return response


def created(content: str | bytes, location: str, *, version: str | None = None) -> Response:
    """Send JSON that is ready of something new, which has its own place."""
    response = document(content, version=version)
    response.status_code = HTTP_201_CREATED
    response.headers["Location"] = location
    return response


def pieces(*content: bytes, **headers: str) -> Response:
    """Send JSON that is ready, in pieces that other answers share: they aren't copied for each."""

    async def each() -> AsyncIterator[bytes]:
        for piece in content:
            yield piece

    headers |= {"Content-Length": str(sum(map(len, content)))}
    return StreamingResponse(each(), headers=headers, media_type="application/json")


def documents(request: Request, page: Page[bytes], *, version: object = None) -> Response:
    """Do what `answer` does, with items that are JSON already.

    With a `version`, which is another whenever an item may be, the tag is of that and not of all that is sent.
    """
    rest = {name: getattr(page, name) for name in ("page", "size", "total", "pages", "next_cursor")}
    response = document(b'{"items":[%b],%b' % (b",".join(page.items), _json(rest)[1:].encode()))
    response.headers.update(page_headers(request, page))
    if version is not None:
        named = f"{__version__} {version} {request.scope['query_string']}"
        response.headers["ETag"] = f'"{hashlib.sha256(named.encode()).hexdigest()[:32]}"'
    return response


_json: Final = json.JSONEncoder(separators=(",", ":")).encode
KEPT_LENGTH: Final = 1_000
"""Bytes of a query string that is not read again each time it comes."""


def understood(
    request: Request, listing: Listing, permissions: frozenset[str], *, also: tuple[str, ...] = ()
) -> ListQuery:
    """Read the request's query string in the language of a list; parameters in `also` are the route's to read."""
    query_string: bytes = request.scope["query_string"]
    read = _understood if len(query_string) <= KEPT_LENGTH else _understood.__wrapped__
    return read(listing, query_string, permissions, also)


@lru_cache(1_000)
def _understood(listing: Listing, query_string: bytes, permissions: frozenset[str], also: tuple[str, ...]) -> ListQuery:
    return listing.parse(QueryParams(query_string).multi_items(), permissions=permissions, also=also)


def page_headers(request: Request, page: Page[Any]) -> dict[str, str]:
    """Link the pages around this one (RFC 8288), by path alone: proxies know the host better than we do."""
    kept = [(name, text) for name, text in request.query_params.multi_items() if name not in ("page", "cursor")]
    targets: dict[str, tuple[str, str | int]] = {}
    deepest = lists.MAX_OFFSET // page.size + 1
    if page.page is not None and page.pages is not None:
        targets["first"] = ("page", 1)
        if page.page > 1:
            targets["prev"] = ("page", min(page.page - 1, max(page.pages, 1)))
        if page.page < page.pages and page.page < deepest:
            targets["next"] = ("page", page.page + 1)
        if page.pages <= deepest:
            targets["last"] = ("page", max(page.pages, 1))
    if page.next_cursor and "next" not in targets:
        targets["next"] = ("cursor", page.next_cursor)
    path = quote(request.scope["path"])
    links = [f'<{path}?{urlencode([*kept, target])}>; rel="{rel}"' for rel, target in targets.items()]
    return {"Link": ", ".join(links)} if links else {}


def listing_parameters(listing: Listing, **extra: Mapping[str, Any]) -> dict[str, Any]:
    """Describe every parameter, for a route's `openapi_extra`; `extra` are those the route reads itself.

    Examples stand in the schemas, because Swagger UI would send a parameter's own `example` unasked.
    """
    named = [_filter(name, filter_) for name, filter_ in listing.filters.items()]
    return {
        "parameters": [
            *named,
            *(_searching(listing) if listing.search else ()),
            *_paging(listing),
            *({"name": name, "in": "query", "required": False, **parameter} for name, parameter in extra.items()),
        ]
    }


def _parameter(name: str, schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    commas = {"style": "form", "explode": False} if schema["type"] == "array" else {}
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": dict(schema),
        **commas,
    }


def _filter(name: str, filter_: lists.Filter) -> dict[str, Any]:
    field, operator = filter_
    value = field.schema
    match operator:
        case "isnull":
            schema = {"type": "boolean", "examples": [True]}
        case "in" | "not_in":
            schema = _several(value, minItems=1, maxItems=lists.MAX_IN)
        case "between":
            schema = _several(value, minItems=2, maxItems=2)
        case _:
            schema = value
    description = MEANINGS[operator]
    if operator == "eq":
        others = [f"`__{other}`" for other in field.operators if other != "eq"]
        description += f" Also with {', '.join(others)}."
    if field.permission:
        description += f" Only with permission `{field.permission}`."
    return _parameter(name, schema, description)


def _several(value: Mapping[str, Any], **limits: Any) -> dict[str, Any]:
    example = value["examples"] * limits["minItems"]
    return {"type": "array", "items": dict(value), **limits, "examples": [example]}


def _reserved(fields: Mapping[str, lists.Field]) -> str:
    gates = [(name, field.permission) for name, field in fields.items() if field.permission]
    return "".join(f" `{name}` only with permission `{permission}`." for name, permission in gates)


def _searching(listing: Listing) -> list[dict[str, Any]]:
    shortest, longest = lists.SEARCH_LENGTH
    names = [*listing.search]
    words = {"type": "string", "minLength": shortest, "maxLength": longest, "examples": ["латте"]}
    searched = {name: field for name, field in listing.fields.items() if name in listing.search}
    fields = _several({"type": "string", "enum": names, "examples": names[:1]}, minItems=1)
    return [
        _parameter("search", words, f"Every word (up to {lists.MAX_WORDS}) is in {', '.join(names)}; case is ignored."),
        _parameter("search_fields", fields, f"Search in these only, comma-separated.{_reserved(searched)}"),
    ]


def _paging(listing: Listing) -> list[dict[str, Any]]:
    keys = [sign + name for name in listing.sort for sign in ("", "-")]
    order = {"type": "string", "enum": keys, "examples": [listing.default_sort.split(",")[0]]}
    sort = _several(order, minItems=1, maxItems=lists.MAX_SORT, uniqueItems=True)
    about = f"Up to {lists.MAX_SORT}, comma-separated, `-` for descending; `{listing.default_sort}` if left out."
    about += _reserved(listing.sort)
    page = {"type": "integer", "minimum": 1, "maximum": lists.MAX_OFFSET + 1, "examples": [1]}
    default = lists.DEFAULT_SIZE
    size = {"type": "integer", "minimum": 1, "maximum": lists.MAX_SIZE, "default": default, "examples": [default]}
    walk = "Instead of `page`: empty to start, then each answer's `next_cursor`. No total, no limit of depth."
    return [
        _parameter("sort", sort, about),
        _parameter("page", page, f"From 1; at most {lists.MAX_OFFSET} items are skipped, deeper with `cursor`."),
        _parameter("size", size, "Items per page."),
        _parameter("cursor", {"type": "string", "examples": [""]}, walk),
    ]
