"""The route class of the whole API: unknown query parameters are refused, public GETs answer 304."""

import hashlib
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette._utils import is_async_callable
from starlette.status import HTTP_200_OK, HTTP_304_NOT_MODIFIED
from starlette.types import Receive, Scope, Send

from crema.core.errors import InvalidError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class UnknownParameterError(InvalidError):
    """A query parameter this route does not have, or one given twice."""

    code = "unknown_parameter"
    title = "There is no such query parameter here."


BODY_LIMIT: Final = 64 * 1024
"""Bytes of a body, counted as they come. Routes that take files allow more."""


class Route(APIRoute):
    """Checks the query string and answers conditional requests; otherwise FastAPI's own route."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if options.get("max_body_size") is None:
            options["max_body_size"] = BODY_LIMIT
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()
        known = frozenset(_query_names(self.dependant))
        checks_itself = _checks_itself(self)

        async def checked(request: Request) -> Response:
            if not checks_itself:
                _check_parameters(request, known)
            response = await handle(request)
            return _conditional(request, response)

        return checked


class Read(Route):
    """A public GET of something ready to be sent. FastAPI describes it, and stays out of its way when it runs.

    Its endpoint and what it depends on are coroutine functions of the request, of path and query parameters and of
    each other. Such a tree needs no exit stacks, no body and no background tasks, on which FastAPI would spend
    ten times what answering takes; `make bench` shows the difference beside other routes.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        for each in _tree(self.dependant):
            if each.call is None or not is_async_callable(each.call) or _needs_fastapi(each):
                raise TypeError(f"{each.call} needs more than {type(self).__name__} routes give")
        self._known = frozenset(_query_names(self.dependant))
        self._checks_itself = _checks_itself(self)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that has been routed here."""
        if scope["method"] != "GET":
            await super().handle(scope, receive, send)  # refuses it
            return
        request = Request(scope, receive, send)
        if not self._checks_itself:
            _check_parameters(request, self._known)
        response: Response = await _solved(self.dependant, request, {})
        _share(request, response)
        await _conditional(request, response)(scope, receive, send)


def _tree(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for below in dependant.dependencies:
        yield from _tree(below)


def _needs_fastapi(dependant: Dependant) -> bool:
    wants = dependant.header_params, dependant.cookie_params, dependant.body_params
    names = dependant.response_param_name, dependant.background_tasks_param_name, dependant.security_scopes_param_name
    return any(wants) or any(names)


async def _solved(dependant: Dependant, request: Request, solved: dict[Any, Any]) -> Any:
    """Call what a route or a dependency is, once a request, with all it asks for."""
    assert dependant.call is not None
    if dependant.call in solved:
        return solved[dependant.call]
    given: dict[str, Any] = {}
    for fields, sent in ((dependant.path_params, request.path_params), (dependant.query_params, request.query_params)):
        if fields:
            values, errors = request_params_to_args(fields, sent)
            if errors:
                raise RequestValidationError(errors)
            given |= values
    for below in dependant.dependencies:
        value = await _solved(below, request, solved)
        if below.name is not None:
            given[below.name] = value
    for name in (dependant.request_param_name, dependant.http_connection_param_name):
        if name is not None:
            given[name] = request
    value = solved[dependant.call] = await dependant.call(**given)
    return value


def _checks_itself(route: APIRoute) -> bool:
    """Whether it is a list, whose language knows its parameters."""
    return bool(route.openapi_extra and "parameters" in route.openapi_extra)


def _query_names(dependant: Dependant) -> Iterator[str]:
    """Give the names a route takes, and those its dependencies take."""
    yield from (field.alias for field in dependant.query_params)
    for below in dependant.dependencies:
        yield from _query_names(below)


def router(tag: str) -> APIRouter:
    """Make a feature's router, under its heading in Swagger."""
    return APIRouter(tags=[tag], route_class=Route)


def reads(tag: str) -> APIRouter:
    """Make one for what is read all the time."""
    return APIRouter(tags=[tag], route_class=Read)


def _check_parameters(request: Request, known: frozenset[str]) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    wrong = sorted({name for name in names if name not in known or names.count(name) > 1})
    if wrong:
        raise UnknownParameterError(
            f"Unknown or repeated: {', '.join(wrong)[:200]!a}.",
            allowed=sorted(known),
        )


async def _public(request: Request, response: Response) -> None:
    _share(request, response)


def _share(request: Request, response: Response) -> None:
    # Staff see more than the public does, so a shared cache may only keep what nobody in particular asked for.
    scope = "private" if "authorization" in request.headers else "public"
    response.headers["Cache-Control"] = f"{scope}, max-age=0, must-revalidate"
    response.headers["Vary"] = "Authorization, Accept-Encoding"


Public = Depends(_public)
"""A dependency for GETs that anyone may keep: adds Cache-Control, and with it the strong ETag and 304.

`Read` routes are so by themselves.
"""


def _conditional(request: Request, response: Response) -> Response:
    cacheable = "max-age" in response.headers.get("cache-control", "")
    if request.method != "GET" or response.status_code != HTTP_200_OK or not cacheable:
        return response
    etag = response.headers.get("etag") or f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:32]}"'
    response.headers["ETag"] = etag
    if not is_known(request, etag):
        return response
    kept = {name: response.headers[name] for name in ("etag", "cache-control", "vary") if name in response.headers}
    return Response(status_code=HTTP_304_NOT_MODIFIED, headers=kept)


def is_known(request: Request, etag: str) -> bool:
    """Whether whoever asks has what this tag names."""
    header = request.headers.get("if-none-match", "")
    return header == "*" or etag in _tags(header)


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


async def _language(request: Request) -> str:
    """Choose Russian or English by the weights of Accept-Language; English when neither is wanted."""
    weights = {"en": 0.0, "ru": 0.0}
    for part in request.headers.get("accept-language", "").lower().split(","):
        tag, _, parameter = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", parameter)
        language = tag[:2] if tag[:2] in weights and tag[2:3] in {"", "-"} else ""
        if language:
            weights[language] = max(weights[language], float(weight[1]) if weight else 1.0)
    return "ru" if weights["ru"] > weights["en"] else "en"


Language = Annotated[str, Depends(_language)]


def operation_id(route: APIRoute) -> str:
    """Name an operation for generated clients: the function's name, which is unique across the API."""
    return route.name
