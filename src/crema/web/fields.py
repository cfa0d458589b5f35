"""`fields=id,name,sizes.name`: limits answers of the menu to these fields."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, get_args

from fastapi import Depends, Request, Response
from pydantic import BaseModel
from starlette.status import HTTP_200_OK

from crema.core.errors import InvalidError
from crema.web.response_hooks import on_response
from crema.web.routing import check_parameters
from crema.web.tags import tag, versions_in

NAME: Final = "fields"
MAX_NAMES: Final = 50
PARAMETER: Final[Mapping[str, Any]] = {
    "description": "Only these fields, such as `id,sizes.name`: the answer has no others, not even required ones.",
    "schema": {
        "type": "array",
        "items": {"type": "string", "pattern": r"^[a-z_]+(\.[a-z_]+)*$"},
        "minItems": 1,
        "maxItems": MAX_NAMES,
        "examples": [["id", "name"]],
    },
    "style": "form",
    "explode": False,
}
"""The parameter, for `listing_parameters`."""

Tree = dict[str, "Tree"]
"""Fields by name, with the fields wanted of their parts; a field without any is wanted as a whole."""


class UnknownFieldError(InvalidError):
    """`fields` names a field that the answer doesn't have."""

    code = "unknown_field"
    title = "The answer has no such field."
    advice = "Leave what `fields` names out."


def parameters() -> dict[str, Any]:
    """Return the `openapi_extra` of a route that isn't a list."""
    return {"parameters": [{"name": NAME, "in": "query", "required": False, **PARAMETER}]}


def of_list(schema: type[BaseModel]) -> Any:
    """Return the dependency of a list of these. The list has to accept the parameter as an extra one."""
    names = frozenset(_paths(schema))

    async def choose(request: Request) -> None:
        if wanted := _wanted(request, names):
            on_response(request, _cutter(lambda page: page | {"items": [_cut(item, wanted) for item in page["items"]]}))

    return Depends(choose)


def of_one(schema: type[BaseModel], *, also: Collection[str] = ()) -> Any:
    """Return the dependency of a route that answers with one of these; parameters in `also` are the route's own."""
    names = frozenset(_paths(schema))
    known = frozenset({NAME, *also})

    async def choose(request: Request) -> None:
        if request.scope["query_string"]:
            check_parameters(request, known)
        if wanted := _wanted(request, names):
            on_response(request, _cutter(lambda item: _cut(item, wanted)))

    return Depends(choose)


def _wanted(request: Request, names: frozenset[str]) -> Tree | None:
    if NAME.encode() not in request.scope["query_string"] or NAME not in request.query_params:
        return None
    wanted = [name.strip() for name in request.query_params[NAME].split(",")]
    unknown = [name for name in wanted if name not in names]
    if unknown or len(wanted) > MAX_NAMES:
        raise UnknownFieldError(
            f"Unknown: {', '.join(unknown)[:200]!a}." if unknown else f"Name at most {MAX_NAMES} fields.",
            allowed=sorted(names),
        )
    tree: Tree = {}
    for name in sorted(
        wanted, key=len, reverse=True
    ):  # a field wanted as a whole comes after its parts, and replaces them
        *above, last = name.split(".")
        below = tree
        for part in above:
            below = below.setdefault(part, {})
        below[last] = {}
    return tree


def _cut(value: Any, wanted: Tree) -> Any:
    if not wanted or value is None:
        return value
    if isinstance(value, list):
        return [_cut(each, wanted) for each in value]
    return {name: _cut(each, wanted[name]) for name, each in value.items() if name in wanted}


def _cutter(cut: Callable[[Any], Any]) -> Callable[[Request, Response], Any]:
    async def cut_answer(_: Request, response: Response) -> None:
        if response.status_code != HTTP_200_OK:
            return
        content = json.dumps(cut(json.loads(bytes(response.body))), ensure_ascii=False, separators=(",", ":")).encode()
        response.body = content
        response.headers["Content-Length"] = str(len(content))
        if etag := response.headers.get("etag"):
            (version,) = versions_in(etag)
            response.headers["ETag"] = tag(version, content)

    return cut_answer


def _paths(schema: type[BaseModel]) -> Iterator[str]:
    """Yield the paths of all fields, at any depth."""
    for name, field in schema.model_fields.items():
        yield name
        for part in _models_in(field.annotation):
            yield from (f"{name}.{below}" for below in _paths(part))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
