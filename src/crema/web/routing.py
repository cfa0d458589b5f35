"""The route class of the API, and the search for the route of a request.

FastAPI describes a route; `web.solver` runs it, by FastAPI's hook `get_route_handler`. Decision 20 gives the reasons
and the costs.
"""

import email.message
import inspect
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match
from starlette.status import HTTP_400_BAD_REQUEST, HTTP_405_METHOD_NOT_ALLOWED
from starlette.types import Receive, Scope, Send

from crema.core.errors import InvalidError
from crema.web.caching import Public, conditional
from crema.web.response_hooks import AnsweredError, keep_json, run_hooks
from crema.web.solver import ABSENT, Plan

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

BODY_LIMIT: Final = 64 * 1024
"""Bytes of a body, counted as they arrive. Routes for files, and for a whole menu, allow more."""
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Methods in the order of the header `Allow`."""


class UnknownParameterError(InvalidError):
    """A query parameter that this route doesn't have, or that is given twice."""

    code = "unknown_parameter"
    title = "This route has no such query parameter."
    advice = "Leave it out, or use one of `allowed`."


class Route(APIRoute):
    """A route that `web.solver` runs. Unknown query parameters are refused; cacheable GETs answer 304."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if options.get("max_body_size") is None and {*(options.get("methods") or ["GET"])} != {"GET"}:
            options["max_body_size"] = BODY_LIMIT
        super().__init__(path, endpoint, **options)

    @property
    def is_public(self) -> bool:
        """Whether the answer may be cached."""
        return Public.dependency in self.plan.calls

    def get_route_handler(self) -> Handler:
        """Return the function that answers a request."""
        self.plan = self._plan({})
        checks_itself = "parameters" in (self.openapi_extra or {})  # a list checks its own parameters
        self._adapter = self._adapter_of_answer()

        async def handle(request: Request) -> Response:
            overrides = request.app.dependency_overrides
            plan = self.plan if not overrides else self._plan(overrides)
            if not checks_itself and request.scope["query_string"]:
                check_parameters(request, plan.query_names)
            body = await _json_of(request) if plan.takes_body else ABSENT
            if not plan.enters:
                return conditional(request, await self._answer(request, plan, body, None))
            async with AsyncExitStack() as stack:
                response = await self._answer(request, plan, body, stack)
            return conditional(request, response)

        return handle

    def _adapter_of_answer(self) -> TypeAdapter[Any] | None:
        """Return the serializer of the endpoint's answer; None if it returns a Response, or nothing."""
        declared = self.response_model  # None, too, where its type is only described another way
        if declared is None:
            declared = inspect.signature(self.endpoint, eval_str=True).return_annotation
        if declared is None or (isinstance(declared, type) and issubclass(declared, Response)):
            return None
        return TypeAdapter(declared)

    def _plan(self, overrides: Mapping[Callable[..., Any], Callable[..., Any]]) -> Plan:
        return Plan.of(
            self.endpoint, path=frozenset(self.param_convertors), first=self.dependencies, overrides=overrides
        )

    async def _answer(self, request: Request, plan: Plan, body: Any, stack: AsyncExitStack | None) -> Response:
        given = Response(status_code=self.status_code or 200) if plan.takes_response else None
        try:
            answer = await plan.run(request, given, body, stack)
        except AnsweredError as answered:
            return answered.response
        response = answer if isinstance(answer, Response) else self._rendered(answer, given)
        await run_hooks(request, response)
        return response

    def _rendered(self, answer: Any, given: Response | None) -> Response:
        """Return the answer: the endpoint's result as JSON of its declared type, with the headers of `given`."""
        status = self.status_code or 200 if given is None else given.status_code
        if self._adapter is None:
            response = Response(status_code=status)
        else:
            content = self._adapter.dump_json(self._adapter.validate_python(answer, from_attributes=True))
            response = Response(content, status, media_type="application/json")
        if given is not None:
            response.raw_headers += [header for header in given.raw_headers if header[0] != b"content-length"]
        return response


class FormRoute(Route):
    """A route for multipart forms only. Other bodies go to the next route of the same path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the type of the body, too."""
        is_form = Headers(scope=scope).get("content-type", "").lower().startswith("multipart/form-data")
        return super().matches(scope) if is_form else (Match.NONE, {})


def make_router(tag: str, *dependencies: Callable[..., Any]) -> APIRouter:
    """Return a router whose routes have this tag, and call these dependencies first."""
    return APIRouter(
        tags=[tag],
        route_class=Route,
        dependencies=[Depends(each) for each in dependencies],
        generate_unique_id_function=operation_id,
    )


def make_form_router() -> APIRouter:
    """Return a router for forms whose path has a route for JSON, too, which describes both."""
    return APIRouter(route_class=FormRoute, include_in_schema=False)


def make_pages_router() -> APIRouter:
    """Return a router for pages and files that are no part of the API."""
    return APIRouter(route_class=Route, include_in_schema=False)


def operation_id(route: APIRoute) -> str:
    """Return the operation id for generated clients: the function's name in camelCase, unique in the API."""
    first, *others = route.name.split("_")
    return first + "".join(map(str.title, others))


def check_parameters(request: Request, known: frozenset[str]) -> None:
    """Refuse query parameters that the route doesn't have, or that are given twice."""
    counted = Counter(name for name, _ in request.query_params.multi_items())
    wrong = sorted(name for name, times in counted.items() if name not in known or times > 1)
    if wrong:
        raise UnknownParameterError(
            f"Unknown or repeated: {', '.join(wrong)[:200]!a}.",
            allowed=sorted(known),
        )


async def _json_of(request: Request) -> Any:
    """Return the body as FastAPI reads it: parsed if it is declared as JSON, otherwise bytes."""
    body: Any
    try:
        content = await request.body()
        if not content:
            body = ABSENT
        elif _is_json(request.headers.get("content-type", "")):
            body = json.loads(content)
        else:
            body = content
    except json.JSONDecodeError as error:
        wrong = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([wrong | {"ctx": {"error": error.msg}}]) from error
    except (ValueError, RecursionError, ClientDisconnect) as error:
        raise HTTPException(HTTP_400_BAD_REQUEST, "There was an error parsing the body") from error
    keep_json(request, None if body is ABSENT else body)
    return body


def _is_json(content_type: str) -> bool:
    if content_type == "application/json":
        return True
    message = email.message.Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def add_routes(app: FastAPI, routers: Iterable[APIRouter]) -> Sequence[Route]:
    """Add all routes of these routers to an application, and return those of HTTP."""
    routes = [route for router in routers for route in router.routes]
    over_http = [route for route in routes if isinstance(route, Route)]
    app.router.routes.append(RouteTable(over_http))
    app.router.routes += [route for route in routes if not isinstance(route, Route)]
    return over_http


class RouteTable(BaseRoute):
    """All HTTP routes, found by their path: Starlette would try every route in turn.

    Paths without parameters take precedence: `GET /chat/ticket`, which only has POST, doesn't mean a conversation
    called "ticket". A 405 names all methods of the path.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._fixed: dict[str, list[Route]] = defaultdict(list)
        self._others: dict[tuple[str, int], list[Route]] = defaultdict(list)
        self._deep: list[Route] = []
        for route in self.routes:
            if not route.param_convertors:
                self._fixed[route.path].append(route)
            elif ":path}" in route.path or _shape(route.path)[0].startswith("{"):
                self._deep.append(route)
            else:
                self._others[_shape(route.path)].append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return the route of a request; a partial match if its path has other methods only."""
        if scope["type"] != "http":
            return Match.NONE, {}
        allowed: set[str] = set()
        for route in self._candidates(scope["path"].removeprefix(scope.get("root_path", ""))):
            match, found = route.matches(scope)
            if match is Match.FULL:
                return match, found
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        return (Match.PARTIAL, {"route": self, "allowed_methods": allowed}) if allowed else (Match.NONE, {})

    def _candidates(self, path: str) -> Sequence[Route]:
        return self._fixed.get(path) or [*self._others.get(_shape(path), ()), *self._deep]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the route that `matches` found; raise 405 if there are other methods only."""
        route = scope["route"]
        if route is self:
            raise _not_allowed(scope["allowed_methods"])
        await route.handle(scope, receive, send)


def _shape(path: str) -> tuple[str, int]:
    """Return the first part of a path and the number of its parts: routes that may match it have the same."""
    parts = path.split("/", 8)
    return parts[1] if len(parts) > 1 else "", len(parts)


def _not_allowed(methods: set[str]) -> HTTPException:
    allowed = methods | {"HEAD"} if "GET" in methods else methods
    headers = {"Allow": ", ".join(sorted(allowed, key=_METHODS.index))}
    return HTTPException(HTTP_405_METHOD_NOT_ALLOWED, headers=headers)


def operations(routes: Iterable[Route]) -> Iterator[tuple[tuple[str, str], Route]]:
    """Yield the routes of the described operations by method and path."""
    for route in routes:
        if route.include_in_schema:
            yield from (((method.lower(), route.path_format), route) for method in route.methods or ())
