"""The route class of the whole API: unknown query parameters are refused, public GETs answer 304."""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.status import HTTP_200_OK, HTTP_304_NOT_MODIFIED
from starlette.types import Scope

from crema.core.errors import InvalidError
from crema.web import tags

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
OnAnswer = Callable[[Request, Response], Awaitable[None]]


class UnknownParameterError(InvalidError):
    """A query parameter this route does not have, or one given twice."""

    code = "unknown_parameter"
    title = "There is no such query parameter here."


BODY_LIMIT: Final = 64 * 1024
"""Bytes of a body, counted as they come. Routes that take files, or a whole menu, allow more."""


class Route(APIRoute):
    """Checks the query string and answers conditional requests; otherwise FastAPI's own route."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if options.get("max_body_size") is None:
            options["max_body_size"] = BODY_LIMIT
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()
        known = frozenset(query_names(self.dependant))
        checks_itself = knows_its_parameters(self)

        async def checked(request: Request) -> Response:
            if not checks_itself:
                check_parameters(request, known)
            try:
                response = await handle(request)
                await complete(request, response)
            except AnsweredError as answered:
                response = answered.response
            return conditional(request, response)

        return checked


class AnsweredError(Exception):
    """Raised by a dependency that has the answer already: the rest of the request isn't run."""

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


def on_answer(request: Request, call: OnAnswer) -> None:
    """Have this called with the answer, if it isn't a refusal, before the request's transaction is committed."""
    request.scope["state"].setdefault("on_answer", []).append(call)


async def sent_json(request: Request) -> Any:
    """Return the JSON that was sent, or whatever else as text; None if there was no body."""
    state = request.scope["state"]
    if "json" in state:  # a direct route has read it as it came
        return state["json"]
    body = await request.body()
    try:
        return json.loads(body) if body else None
    except ValueError:  # where no body is taken nobody has looked at it
        return body.decode("latin-1")


async def complete(request: Request, response: Response) -> None:
    """Call what `on_answer` has been given."""
    for call in request.scope["state"].get("on_answer", ()):
        await call(request, response)


class FormRoute(Route):
    """Takes only multipart forms. What comes as anything else goes to the route of the same path that follows it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the type of the body, too."""
        is_form = Headers(scope=scope).get("content-type", "").lower().startswith("multipart/form-data")
        return super().matches(scope) if is_form else (Match.NONE, {})


def knows_its_parameters(route: APIRoute) -> bool:
    """Whether it is a list, whose language knows its parameters."""
    return bool(route.openapi_extra and "parameters" in route.openapi_extra)


def query_names(dependant: Dependant) -> Iterator[str]:
    """Give the names a route takes, and those its dependencies take."""
    yield from (field.alias for field in dependant.query_params)
    for below in dependant.dependencies:
        yield from query_names(below)


def router(tag: str, *dependencies: Callable[..., Any]) -> APIRouter:
    """Make a feature's router, under its heading in Swagger. Each of its routes calls the dependencies first."""
    return APIRouter(tags=[tag], route_class=Route, dependencies=[Depends(each) for each in dependencies])


def form_router() -> APIRouter:
    """Make a router of what takes a form where another route takes JSON, whose description tells of both."""
    return APIRouter(route_class=FormRoute, include_in_schema=False)


def check_parameters(request: Request, known: frozenset[str]) -> None:
    """Refuse query parameters that the route does not have, or that are given twice."""
    counted = Counter(name for name, _ in request.query_params.multi_items())
    wrong = sorted(name for name, times in counted.items() if name not in known or times > 1)
    if wrong:
        raise UnknownParameterError(
            f"Unknown or repeated: {', '.join(wrong)[:200]!a}.",
            allowed=sorted(known),
        )


async def _public(request: Request, response: Response) -> None:
    share(request, response)


def share(request: Request, response: Response) -> Response:
    """Let a public answer be kept by whoever asks, if they look whether it is still good."""
    # Staff see more than the public does, so a shared cache may only keep what nobody in particular asked for.
    is_somebody = "authorization" in request.headers or request.app.state.cookies.get(request, "access") is not None
    scope = b"private" if is_somebody else b"public"
    response.raw_headers.append((b"cache-control", scope + b", max-age=0, must-revalidate"))
    response.raw_headers.append((b"vary", b"Authorization, Cookie, Accept-Encoding"))
    return response


Public = Depends(_public)
"""A dependency for GETs that anyone may keep: adds Cache-Control, and with it the strong ETag and 304.

`Read` routes are so by themselves.
"""


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


MAX_LANGUAGES: Final = 20
"""Entries of Accept-Language that are read; browsers send two to five."""


async def _language(request: Request) -> str:
    """Choose Russian or English by the weights of Accept-Language; English when neither is wanted."""
    weights = {"en": 0.0, "ru": 0.0}
    for part in request.headers.get("accept-language", "").lower().split(",", MAX_LANGUAGES)[:MAX_LANGUAGES]:
        tag, _, parameter = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", parameter)
        language = tag[:2] if tag[:2] in weights and tag[2:3] in {"", "-"} else ""
        if language:
            weights[language] = max(weights[language], float(weight[1]) if weight else 1.0)
    return "ru" if weights["ru"] > weights["en"] else "en"


Language = Annotated[str, Depends(_language)]


def operation_id(route: APIRoute) -> str:
    """Name an operation for generated clients: the function's name in camelCase, which is unique across the API."""
    first, *others = route.name.split("_")
    return first + "".join(map(str.title, others))
