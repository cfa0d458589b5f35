"""Lists over HTTP: their query parameters, in OpenAPI, too, the envelope of a page, the Link header; JSON answers."""

import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
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
from crema.db.listing import MAX_TOTAL, Listing, ListQuery
from crema.web.tags import tag, tag_of

T = TypeVar("T")
OutT = TypeVar("OutT")


class PageOut(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    page: int | None = Field(description="Its number, from 1; null when walking by cursor.", examples=[1])
    size: int = Field(description="How many items a page holds.", examples=[20])
    total: int | None = Field(
        description=f"How many items there are; null when walking by cursor, and past {MAX_TOTAL}.", examples=[57]
    )
    pages: int | None = Field(description="How many pages there are; null where `total` is.", examples=[3])
    total_at_least: int | None = Field(
        description=f"More than {MAX_TOTAL} are not counted: how many there are at least; otherwise null.",
        examples=[None],
    )
    next_cursor: str | None = Field(
        description="Pass it as `cursor`, with the same `sort`, to go on after the last item; null at the end.",
        examples=["WyItY3JlYXRlZF9hdCIsIjIwMjYtMTEtMjNUMDk6MzA6MDArMDA6MDAiXQ"],
    )


def page_out(request: Request, response: Response, page: Page[T], render: Callable[[T], OutT]) -> PageOut[OutT]:
    """Return the envelope of a page, and set the Link header to its neighbours."""
    response.headers.update(page_headers(request, page))
    return PageOut(
        items=[render(item) for item in page.items],
        page=page.page,
        size=page.size,
        total=page.total,
        pages=page.pages,
        total_at_least=page.total_at_least,
        next_cursor=page.next_cursor,
    )


def json_response(content: str | bytes, *, version: str | None = None) -> Response:
    """Return an answer of this JSON, with an ETag if it is a version of something that can be edited."""
    response = Response(content, media_type="application/json")
    if version is not None:
        response.raw_headers.append((b"etag", tag(version, response.body).encode()))
    return response


def created_response(content: str | bytes, location: str, *, version: str | None = None) -> Response:
    """Return the answer 201 with the JSON and the path of something new."""
    response = json_response(content, version=version)
    response.status_code = HTTP_201_CREATED
    response.headers["Location"] = location
    return response


def stream_json(*content: bytes, **headers: str) -> Response:
    """Return an answer of JSON in parts, which are sent without joining them: other answers share them."""

    async def each() -> AsyncIterator[bytes]:
        for piece in content:
            yield piece

    headers |= {"Content-Length": str(sum(map(len, content)))}
    return StreamingResponse(each(), headers=headers, media_type="application/json")


def page_response(request: Request, page: Page[bytes], *, version: object = None) -> Response:
    """Return the answer with a page whose items are JSON already.

    `version` changes whenever an item may have changed: the ETag is then made of it, not of the content.
    """
    rest = {name: getattr(page, name) for name in ("page", "size", "total", "pages", "total_at_least", "next_cursor")}
    response = json_response(b'{"items":[%b],%b' % (b",".join(page.items), _json(rest)[1:].encode()))
    response.headers.update(page_headers(request, page))
    if version is not None:
        named = f"{__version__} {version} {request.scope['query_string']}"
        response.headers["ETag"] = tag_of(named.encode())
    return response


_json: Final = json.JSONEncoder(separators=(",", ":")).encode
KEPT_LENGTH: Final = 1_000
"""Bytes of a query string up to which its parsed form is cached."""


def parse_list_query(
    request: Request, listing: Listing, permissions: frozenset[str], *, extra_parameters: tuple[str, ...] = ()
) -> ListQuery:
    """Return the parsed query string of a list; the route itself reads the `extra_parameters`."""
    query_string: bytes = request.scope["query_string"]
    read = _parsed if len(query_string) <= KEPT_LENGTH else _parsed.__wrapped__
    return read(listing, query_string, permissions, extra_parameters)


@lru_cache(1_000)
def _parsed(
    listing: Listing, query_string: bytes, permissions: frozenset[str], extra_parameters: tuple[str, ...]
) -> ListQuery:
    return listing.parse(
        QueryParams(query_string).multi_items(), permissions=permissions, extra_parameters=extra_parameters
    )


def page_headers(request: Request, page: Page[Any]) -> dict[str, str]:
    """Return the Link header with the pages around this one (RFC 8288). Links have no host: proxies may change it."""
    kept = [(name, text) for name, text in request.query_params.multi_items() if name not in ("page", "cursor")]
    targets: dict[str, tuple[str, str | int]] = {}
    deepest = lists.MAX_OFFSET // page.size + 1
    if page.page is not None:
        last = page.pages if page.total_at_least is None else -(-page.total_at_least // page.size)
        assert last is not None
        targets["first"] = ("page", 1)
        if page.page > 1:
            targets["prev"] = ("page", min(page.page - 1, max(last, 1)))
        if page.next_cursor is not None and page.page < deepest:
            targets["next"] = ("page", page.page + 1)
        if page.total_at_least is None and last <= deepest:
            targets["last"] = ("page", max(last, 1))
    if page.next_cursor and "next" not in targets:
        targets["next"] = ("cursor", page.next_cursor)
    path = quote(request.scope["path"])
    links = [f'<{path}?{urlencode([*kept, target])}>; rel="{rel}"' for rel, target in targets.items()]
    return {"Link": ", ".join(links)} if links else {}


MAX_ENUM_LISTS: Final = 3
"""How many filters by a list of words are parameters of their own, with a type; see decision 16."""


def listing_parameters(listing: Listing, **extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of a list's route; `extra` are parameters that the route reads itself.

    The filters are one object. Examples are in the schemas: Swagger UI would send the `example` of a parameter.
    """
    alone = _enum_lists(listing)
    namesakes = _namesakes(listing.documented)
    return {
        "parameters": [
            _filters(listing, without={*alone, *namesakes}),
            *(
                _parameter(name, _several(listing.filters[name].field.schema, minItems=1, maxItems=lists.MAX_IN), about)
                for name, about in alone.items()
            ),
            *(
                _parameter(name, filter_.field.schema, "Its other operators stand in an address as this does.")
                for name, filter_ in listing.documented.items()
                if name in namesakes and filter_.operator == "eq"
            ),
            *(_searching(listing) if listing.search else ()),
            *(_zone() if listing.has_instants else ()),
            *_paging(listing),
            *({"name": name, "in": "query", "required": False, **parameter} for name, parameter in extra.items()),
        ]
    }


def _parameter(name: str, schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    repeated = {"style": "form", "explode": True} if schema["type"] == "array" else {}
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": dict(schema),
        **repeated,
    }


def _enum_lists(listing: Listing) -> dict[str, str]:
    """Return the first filters by several words of a closed set, with their descriptions."""
    named = [
        name
        for name, (leaf, operator) in listing.documented.items()
        if operator == "in" and not leaf.within and "." not in name and isinstance(leaf.field, lists.ChoiceField)
    ]
    return {name: f"`{name.removesuffix('__in')}` is one of these." for name in named[:MAX_ENUM_LISTS]}


def _filters(listing: Listing, *, without: Collection[str]) -> dict[str, Any]:
    properties = {name: _filter_schema(each) for name, each in listing.documented.items() if name not in without}
    operators: dict[str, list[str]] = {}
    for name, (_, operator) in listing.documented.items():
        operators.setdefault(name.partition("__")[0], []).append("(equals)" if operator == "eq" else operator)
    fields = "\n".join(f"- `{name}`: {', '.join(each)}" for name, each in operators.items())
    example = next(name for name in listing.documented if "isnull" not in name)
    return {
        "name": "filter",
        "in": "query",
        "required": False,
        "style": "deepObject",
        "explode": True,
        "description": f"Any field by any value, up to {lists.MAX_FILTERS} at once; all must hold. JSON such as "
        f'`{{"{example}": "…"}}` here is `?filter[{example}]=…` in an address, or `?{example}=…`. Below one list, '
        "several speak of the same element; `ne` and `not_in` say that no element is so. Lists of values are separated "
        "by commas.\n\n"
        f"<details><summary>Fields and operators</summary>\n\n{fields}{_reserved(listing.fields)}\n\n</details>",
        "schema": {
            "title": f"{listing.name}Filter",
            "type": "object",
            "additionalProperties": False,
            "examples": [{}],
            "properties": properties,
        },
    }


def _namesakes(names: Collection[str]) -> Collection[str]:
    """Return the names that differ from an earlier one in dots and underscores only.

    Some generated clients would make one name of them, so they can't be in one object or enum.
    """
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(re.sub(r"[._]", "", name), name)
    return set(names).difference(first.values())


def _filter_schema(filter_: lists.Filter) -> dict[str, Any]:
    match filter_.operator:
        case "isnull":
            return {"type": "boolean"}
        case "in" | "not_in":
            return {"type": "string", "description": "Comma-separated."}
        case "between":
            return {"type": "string", "description": "Two, comma-separated."}
    return filter_.field.schema


def _zone() -> list[dict[str, Any]]:
    schema = {"type": "string", "examples": ["Europe/Moscow"]}
    return [_parameter("tz", schema, "The time zone of dates; UTC if left out. A date stands for its whole day.")]


def _several(value: Mapping[str, Any], **limits: Any) -> dict[str, Any]:
    example = value["examples"] * limits["minItems"]
    return {"type": "array", "items": dict(value), **limits, "examples": [example]}


def _reserved(fields: Mapping[str, lists.Field]) -> str:
    gates = [(name, field.permission) for name, field in fields.items() if field.permission]
    return "".join(f" `{name}` only with permission `{permission}`." for name, permission in gates)


def _also_taken(names: Collection[str]) -> str:
    """Return a sentence with the names that are accepted, but not in the enum."""
    return f" {', '.join(f'`{name}`' for name in sorted(names))}, too." if names else ""


def _searching(listing: Listing) -> list[dict[str, Any]]:
    shortest, longest = lists.SEARCH_LENGTH
    namesakes = _namesakes(listing.search)
    names = [name for name in listing.search if name not in namesakes]
    words = {"type": "string", "minLength": shortest, "maxLength": longest, "examples": ["латте"]}
    searched = {name: leaf.field for name, leaf in listing.search.items()}
    fields = _several({"type": "string", "enum": names, "examples": names[:1]}, minItems=1)
    return [
        _parameter("search", words, f"Each word (up to {lists.MAX_WORDS}) is somewhere in the texts of the answer."),
        _parameter("search_fields", fields, f"Search in these only.{_also_taken(namesakes)}{_reserved(searched)}"),
    ]


def _paging(listing: Listing) -> list[dict[str, Any]]:
    namesakes = _namesakes(listing.sort)
    keys = [sign + name for name in listing.sort if name not in namesakes for sign in ("", "-")]
    order = {"type": "string", "enum": keys, "examples": [listing.default_sort.split(",")[0]]}
    sort = _several(order, minItems=1, maxItems=lists.MAX_SORT, uniqueItems=True)
    about = f"Up to {lists.MAX_SORT}, `-` for descending; `{listing.default_sort}` if left out."
    about += _also_taken(namesakes) + _reserved(listing.sort)
    page = {"type": "integer", "minimum": 1, "maximum": lists.MAX_OFFSET + 1, "examples": [1]}
    default = lists.DEFAULT_SIZE
    size = {"type": "integer", "minimum": 1, "maximum": lists.MAX_SIZE, "default": default, "examples": [default]}
    walk = "Instead of `page`: empty to start, then each `next_cursor`. There is no total."
    return [
        _parameter("sort", sort, about),
        _parameter("page", page, f"From 1; at most {lists.MAX_OFFSET} items are skipped, deeper with `cursor`."),
        _parameter("size", size, "Items per page."),
        _parameter("cursor", {"type": "string", "examples": [""]}, walk),
    ]
