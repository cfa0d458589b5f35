"""Routes that are asked all the time. FastAPI describes them, and stays out of their way when they run.

Its solver serves every kind of dependency, with exit stacks, background tasks and threads, at ten times the price of
reading a product. What these routes depend on are coroutine functions, or async generators for what must be left again;
they take the request, its parameters and body, and each other. `make bench` shows the difference beside other routes.
"""

import email.message
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from inspect import isasyncgenfunction
from operator import attrgetter
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi._compat import ModelField, Undefined
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError
from starlette._utils import get_route_path, is_async_callable
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.status import HTTP_400_BAD_REQUEST, HTTP_405_METHOD_NOT_ALLOWED
from starlette.types import ASGIApp, Receive, Scope, Send

from crema.core.errors import TooLargeError
from crema.web.methods import MethodTable
from crema.web.routing import (
    AnsweredError,
    Route,
    check_parameters,
    complete,
    conditional,
    knows_its_parameters,
    query_names,
    share,
)

_SOURCES: Final[dict[str, Callable[[Request], Any]]] = {
    f"{name}_params": attrgetter(source) for name, source in {"query": "query_params", "cookie": "cookies"}.items()
}


@dataclass(frozen=True, slots=True)
class _Step:
    """One call: what a dependency is, or at last the endpoint. `below` are the places of the steps it takes."""

    call: Callable[..., Any]
    enter: Callable[..., AbstractAsyncContextManager[Any]] | None
    below: Sequence[tuple[str, int]]
    request: Sequence[str]
    path: Sequence[ModelField]
    parameters: Sequence[tuple[Sequence[ModelField], Callable[[Request], Any]]]
    headers: Sequence[ModelField]
    body: Sequence[ModelField]
    reads: bool

    async def read(self, request: Request, body: Any) -> dict[str, Any]:
        """Take from the request what the call wants of it; RequestValidationError for what isn't as declared."""
        given: dict[str, Any] = {}
        for field in self.path:
            sent = request.path_params[field.alias]
            given[field.name] = _taken(*field.validate(sent, loc=("path", field.alias)))
        for fields, sent_in in self.parameters:
            given |= _taken(*request_params_to_args(fields, sent_in(request)))
        for field in self.headers:
            if (sent := request.headers.get(field.alias)) is not None:
                given[field.name] = _taken(*field.validate(sent, loc=("header", field.alias)))
        if self.body:
            given |= _taken(*await request_body_to_args(list(self.body), body, embed_body_fields=False))
        return given


def _steps(dependant: Dependant, places: dict[Any, int]) -> Iterator[_Step]:
    """Put the tree in the order of calls, what is asked for several times once."""
    if dependant.response_param_name or dependant.background_tasks_param_name or dependant.security_scopes_param_name:
        raise TypeError(f"{dependant.call} needs more than direct routes give")
    call = dependant.call
    enter = asynccontextmanager(call) if isasyncgenfunction(call) else None
    if call is None or not (enter or is_async_callable(call)):
        raise TypeError(f"{call} is no coroutine function")
    if any(field.field_info.is_required() for field in dependant.header_params):
        raise TypeError(f"{call} wants a header that may be missing")
    for below in dependant.dependencies:
        if below.call not in places:
            yield from _steps(below, places)
    parameters = [(getattr(dependant, name), of) for name, of in _SOURCES.items() if getattr(dependant, name)]
    yield _Step(
        call=call,
        enter=enter,
        below=[(below.name, places[below.call]) for below in dependant.dependencies if below.name],
        request=[n for n in (dependant.request_param_name, dependant.http_connection_param_name) if n],
        path=dependant.path_params,
        parameters=parameters,
        headers=dependant.header_params,
        body=dependant.body_params,
        reads=bool(dependant.path_params or parameters or dependant.header_params or dependant.body_params),
    )
    places[call] = len(places)


class Direct(Route):
    """A route that answers with a Response of its own making."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        assert self.methods is not None
        self.verbs = frozenset(self.methods)
        self._steps = list(_steps(self.dependant, {}))
        self._enters = any(step.enter for step in self._steps)
        self._known = frozenset(query_names(self.dependant))
        self._knows_its_parameters = knows_its_parameters(self)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that has been routed here."""
        if scope["method"] not in self.verbs:
            await super().handle(scope, receive, send)  # refuses it
            return
        request = Request(scope, receive, send)
        response = await self.answer(request)
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """Call all there is to call; leave what was entered before the answer goes out."""
        if request.scope["query_string"] and not self._knows_its_parameters:
            check_parameters(request, self._known)
        body = None
        if self.body_field:
            body = await _json_of(request, self.max_body_size)
            request.scope["state"]["json"] = None if body is Undefined else body
        if not self._enters:
            return await self._run(request, body, None)
        async with AsyncExitStack() as stack:
            try:
                return await self._run(request, body, stack)
            except AnsweredError as answered:
                return answered.response

    async def _run(self, request: Request, body: Any, stack: AsyncExitStack | None) -> Response:
        made: list[Any] = []
        for step in self._steps:
            given = {name: made[place] for name, place in step.below}
            for name in step.request:
                given[name] = request
            if step.reads:
                given |= await step.read(request, body)
            if step.enter is None or stack is None:
                made.append(await step.call(**given))
            else:
                made.append(await stack.enter_async_context(step.enter(**given)))
        response: Response = made[-1]
        await complete(request, response)
        return response


class Read(Direct):
    """A public GET of something ready to be sent, which may be kept and asked for again."""

    async def answer(self, request: Request) -> Response:
        """Tell for whom it may be kept, and leave it out where it is known."""
        return conditional(request, share(request, await super().answer(request)))


def _taken(values: Any, errors: Sequence[Any] | None) -> Any:
    if errors:
        raise RequestValidationError(errors)
    return values


async def _json_of(request: Request, limit: int | None) -> Any:
    """Read a body as FastAPI does: what isn't called JSON stays bytes, and is then refused by its model."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if limit is not None and len(body) > limit:
                raise TooLargeError
        if not body:
            return Undefined
        return json.loads(body) if _is_json(request.headers.get("content-type", "")) else bytes(body)
    except json.JSONDecodeError as error:
        wrong = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([wrong | {"ctx": {"error": error.msg}}]) from error
    except (ValueError, RecursionError, ClientDisconnect) as error:
        raise HTTPException(HTTP_400_BAD_REQUEST, "There was an error parsing the body") from error


def _is_json(content_type: str) -> bool:
    if content_type == "application/json":
        return True
    message = email.message.Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


class Shortcut:
    """Pure ASGI: finds direct routes before FastAPI looks through all there are, and refuses methods no path takes."""

    def __init__(self, app: ASGIApp, routers: Sequence[APIRouter]) -> None:
        self.app = app
        self._methods = MethodTable(routers)
        routes = [route for router in routers for route in router.routes if isinstance(route, Direct)]
        self._fixed = {(method, route.path): route for route in routes for method in route.verbs}
        self._others = [(route, route.verbs, route.path_regex.match) for route in routes if route.param_convertors]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = get_route_path(scope)
            if route := self._fixed.get((scope["method"], path)) or self._find(scope, path):
                scope["route"] = route
                await route.handle(scope, receive, send)
                return
            self._methods.check(path, scope["method"])
            try:
                await self.app(scope, receive, send)
            except StarletteHTTPException as error:
                if error.status_code != HTTP_405_METHOD_NOT_ALLOWED:
                    raise
                raise self._methods.not_allowed(error, path) from error
            return
        await self.app(scope, receive, send)

    def _find(self, scope: Scope, path: str) -> Direct | None:
        for route, verbs, match in self._others:
            if scope["method"] in verbs and (found := match(path)):
                scope["path_params"] = found.groupdict()
                return route
        return None


def direct(tag: str) -> APIRouter:
    """Make a router for a feature's routes that are asked all the time."""
    return APIRouter(tags=[tag], route_class=Direct)


def reads(tag: str) -> APIRouter:
    """Make one for those that the public reads."""
    return APIRouter(tags=[tag], route_class=Read)
