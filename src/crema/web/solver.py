"""Calls an endpoint and its dependencies with the parameters of a request.

FastAPI describes the routes; this module runs them, from plans that are made when routes are declared. It supports a
subset of FastAPI's documented behaviour: parameters of path, query and headers with one value, one JSON
body, `Request` and `Response`, coroutine functions as dependencies, and async generators of `scope="function"`, which
end before the reply. Anything else raises TypeError at start, so that nothing can behave in another way than FastAPI.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, Union, get_args, get_origin

from fastapi import Request, Response, params
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo
from starlette.requests import HTTPConnection

Call: TypeAlias = Callable[..., Any]
Overrides: TypeAlias = Mapping[Call, Call]
"""As `FastAPI.dependency_overrides`: a dependency, and what is called in its place."""
Source: TypeAlias = Literal["path", "query", "header", "body"]

ABSENT: Final = inspect.Parameter.empty
"""Stands for a missing default or body; None is the JSON `null`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that a request sends. `name` is its name in the function, `alias` its name in the request."""

    name: str
    alias: str
    source: Source
    adapter: TypeAdapter[Any]
    default: Any = ABSENT

    @property
    def place(self) -> tuple[str, ...]:
        """Its position in the request, as in the `loc` of errors."""
        return ("body",) if self.source == "body" else (self.source, self.alias)

    def read(self, request: Request, body: Any, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Add the value to `given`, the arguments of the function, or yield its errors."""
        match self.source:
            case "path":
                sent = request.path_params[self.alias]
            case "query":
                sent = request.query_params.get(self.alias, ABSENT)
            case "header":
                sent = request.headers.get(self.alias, ABSENT)
            case "body":
                sent = body
        if sent is ABSENT and self.default is not ABSENT:
            given[self.name] = self.default
        elif sent is ABSENT:
            yield {"type": "missing", "loc": self.place, "msg": "Field required", "input": None}
        else:
            try:
                given[self.name] = self.adapter.validate_python(sent, from_attributes=True)
            except ValidationError as error:
                for each in error.errors(include_url=False):
                    yield {**each, "loc": (*self.place, *each["loc"])}


@dataclass(frozen=True, slots=True)
class Step:
    """One call: of a dependency or, as the last step, of the endpoint.

    `dependencies` are arguments with the number of the step that gives their value. `enter` is the context manager of a
    generator.
    """

    call: Call
    enter: Callable[..., AbstractAsyncContextManager[Any]] | None
    requests: Sequence[str]
    responses: Sequence[str]
    parameters: Sequence[Parameter]
    dependencies: Sequence[tuple[str, int]]
    needs: Sequence[int]
    """The numbers of all steps that it depends on, even if it doesn't use their results."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of a route in order; a dependency of several calls is called once."""

    steps: Sequence[Step]
    takes_body: bool
    takes_response: bool
    query_names: frozenset[str]
    enters: bool
    """Whether there are generators: `run` needs a stack then."""

    @classmethod
    def of(cls, endpoint: Call, *, path: frozenset[str], first: Sequence[params.Depends], overrides: Overrides) -> Self:
        """Return the plan of a route with these path parameters, which calls the dependencies `first`.

        Raises TypeError for a signature that isn't supported.
        """
        steps = _Planner(path, overrides).plan(endpoint, first)
        parameters = [each for step in steps for each in step.parameters]
        bodies = [each for each in parameters if each.source == "body"]
        if len(bodies) > 1:
            raise TypeError(f"{endpoint} takes several bodies")
        return cls(
            steps=steps,
            takes_body=bool(bodies),
            takes_response=any(step.responses for step in steps),
            query_names=frozenset(each.alias for each in parameters if each.source == "query"),
            enters=any(step.enter for step in steps),
        )

    @property
    def calls(self) -> frozenset[Call]:
        """The endpoint and its dependencies."""
        return frozenset(step.call for step in self.steps)

    async def run(self, request: Request, response: Response | None, body: Any, stack: AsyncExitStack | None) -> Any:
        """Return the result of the endpoint.

        `response` takes headers; `body` is the JSON, or ABSENT. Generators are entered into `stack`. Raises
        RequestValidationError with all errors of the request.
        """
        results: list[Any] = []
        errors: list[Any] = []
        invalid: set[int] = set()
        for number, step in enumerate(self.steps):
            given = {name: results[position] for name, position in step.dependencies}
            for name in step.requests:
                given[name] = request
            for name in step.responses:
                given[name] = response
            wrong = [error for each in step.parameters for error in each.read(request, body, given)]
            errors += wrong
            is_last = number == len(self.steps) - 1
            if errors and (wrong or is_last or not invalid.isdisjoint(step.needs)):
                invalid.add(number)
                results.append(None)
            elif step.enter is None:
                results.append(await step.call(**given))
            else:
                assert stack is not None
                results.append(await stack.enter_async_context(step.enter(**given)))
        if errors:
            raise RequestValidationError(errors)
        return results[-1]


class _Planner:
    """Makes a plan: sorts the tree of dependencies in the order of the calls."""

    def __init__(self, path: frozenset[str], overrides: Overrides) -> None:
        self._path = path
        self._overrides = overrides
        self._steps: list[Step] = []
        self._numbers: dict[Call, int] = {}

    def plan(self, endpoint: Call, first: Sequence[params.Depends]) -> Sequence[Step]:
        unnamed = [self._number_of(each, endpoint) for each in first]
        self._add(endpoint, unnamed)
        return tuple(self._steps)

    def _number_of(self, depends: params.Depends, user: Call) -> int:
        """Return the number of a dependency's step; add the step if it is missing."""
        call = depends.dependency
        if call is None or not depends.use_cache or getattr(depends, "scopes", None):
            raise TypeError(f"{user}: name the dependency, without use_cache and scopes")
        call = self._overrides.get(call, call)
        if inspect.isasyncgenfunction(call) and depends.scope != "function":
            raise TypeError(f'{call} ends before the reply: say scope="function"')
        if call not in self._numbers:
            self._add(call, ())
        return self._numbers[call]

    def _add(self, call: Call, needs: Sequence[int]) -> None:
        is_generator = inspect.isasyncgenfunction(call)
        if not (is_generator or _is_coroutine_function(call)):
            raise TypeError(f"{call} is no coroutine function")
        requests: list[str] = []
        responses: list[str] = []
        parameters: list[Parameter] = []
        dependencies: list[tuple[str, int]] = []
        for each in inspect.signature(call, eval_str=True).parameters.values():
            kind, *metadata = (
                get_args(each.annotation) if get_origin(each.annotation) is Annotated else [each.annotation]
            )
            depends = [data for data in metadata if isinstance(data, params.Depends)]
            depends += [each.default] if isinstance(each.default, params.Depends) else []
            if depends:
                dependencies.append((each.name, self._number_of(depends[-1], call)))
            elif kind in (Request, HTTPConnection):
                requests.append(each.name)
            elif kind is Response:
                responses.append(each.name)
            else:
                parameters.append(self._parameter(each, kind, metadata, call))
        self._numbers[call] = len(self._steps)
        self._steps.append(
            Step(
                call=call,
                enter=asynccontextmanager(call) if is_generator else None,
                requests=requests,
                responses=responses,
                parameters=sorted(parameters, key=lambda each: _ORDER.index(each.source)),
                dependencies=dependencies,
                needs=[*needs, *(number for _, number in dependencies)],
            )
        )

    def _parameter(self, each: inspect.Parameter, kind: Any, metadata: Sequence[Any], call: Call) -> Parameter:
        info = next((data for data in metadata if isinstance(data, FieldInfo)), None)
        source = self._source(each.name, kind, info)
        if source is None or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            raise TypeError(f"{call}: no request is asked for {each}")
        try:
            adapter = TypeAdapter(each.annotation) if metadata else _plain_adapter(kind)
        except PydanticSchemaGenerationError as error:
            raise TypeError(f"{call}: nothing is known of {each}") from error
        alias = info.alias if info is not None and info.alias else each.name
        return Parameter(
            name=each.name,
            alias=alias.replace("_", "-") if source == "header" else alias,
            source=source,
            adapter=adapter,
            default=each.default,
        )

    def _source(self, name: str, kind: Any, info: FieldInfo | None) -> Source | None:
        """Return where a parameter comes from, as FastAPI defines it; None if it isn't supported."""
        if name in self._path:
            return "path" if info is None or type(info) is params.Path else None
        if any(isinstance(each, type) and issubclass(each, BaseModel) for each in _alternatives(kind)):
            return "body" if info is None or (type(info) is params.Body and not info.embed) else None
        if any(get_origin(each) not in (None, Literal) for each in _alternatives(kind)) or kind is ABSENT:
            return None  # several values
        if info is None or type(info) is params.Query:
            return "query"
        return "header" if type(info) is params.Header else None


_ORDER: Final[Sequence[Source]] = ("path", "query", "header", "body")
"""The order in which FastAPI reads parameters and reports errors."""


def _alternatives(kind: Any) -> Sequence[Any]:
    """Return the members of a union without None, or the type itself."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    bare = (get_args(each)[0] if get_origin(each) is Annotated else each for each in members)
    return [each for each in bare if each is not NoneType]


def _is_coroutine_function(call: Call) -> bool:
    return inspect.iscoroutinefunction(call) or (
        not inspect.isclass(call) and inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004 - which kind of call it is
    )


@cache
def _plain_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
