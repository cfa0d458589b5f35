"""The OpenAPI document: FastAPI's, completed with what all operations have in common."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from crema.core.errors import CremaError
from crema.web import components, credentials
from crema.web.credentials import Access, access_of
from crema.web.error_examples import ErrorExamples
from crema.web.problem import error_responses
from crema.web.response_headers import HEADERS, add_headers
from crema.web.routing import Route, operations
from crema.web.state import WebState, state_of

DESCRIPTION: Final = """\
The backend of a chain of take-away coffee shops: browse the menu, fill a cart, order ahead.

*Authorize* takes an e-mail address and a password. Amounts are decimal strings, times are RFC 3339 in UTC, ids are
UUIDs, errors are RFC 9457 problem details with a stable `code`. Unknown fields and parameters are refused. Every list
understands the same filters, search, order and pages.

Chat and live orders also come over WebSocket: [how to connect](/docs/live), [their frames](/asyncapi.json).
"""
_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Extras:
    """What features add to the document."""

    access: Mapping[Callable[..., Any], Access]
    """The authentication that dependencies ask for."""
    errors: Collection[type[CremaError]]
    """ErrorExamples that every operation with a login may give."""
    bodies: Mapping[str, Any]
    """Example bodies by operation."""
    parameters: Mapping[str, str]
    """Example ids by path parameter."""


def describe(app: FastAPI, *, routes: Sequence[Route], extras: Extras) -> Callable[[], dict[str, Any]]:
    """Return the app's `openapi()`, which makes the document at its first call, then keeps it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, routes, extras)
        return app.openapi_schema

    return openapi


def _document(app: FastAPI, all_routes: Sequence[Route], extras: Extras) -> dict[str, Any]:
    routes = dict(operations(all_routes))
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=all_routes,
        tags=app.openapi_tags,
        servers=[{"url": "/", "description": "The server that this document comes from."}],
        license_info=app.license_info,
        contact=app.contact,
    )
    schemas = document["components"]["schemas"]
    collected = ErrorExamples(extras.errors)
    for path, item in document["paths"].items():
        methods = sorted(_METHODS & item.keys())
        for method in methods:
            operation = item[method]
            access = access_of(routes[method, path].plan.calls, extras.access)
            operation["security"] = credentials.requirements(access, method=method)
            operation["responses"].update(_stringed(error_responses(*_of_any_server(path, operation))))
            components.lift(schemas, operation)
            _without_titles(operation)
            _without_null(operation.get("requestBody", {}))
            _show_examples(operation, extras)
        edits = [method for method in methods if _refuse_outdated(item[method])]
        for method in methods:
            add_headers(item[method], routes[method, path], is_edited=bool(edits))
            collected.refer(item[method], routes[method, path].endpoint.__module__)
    problem = collected.problem
    schemas.update(problem.pop("$defs"), Problem=problem)
    document["components"] = {
        "schemas": components.rewrite(schemas),
        "examples": collected.examples,
        "headers": HEADERS,
        "securitySchemes": credentials.schemes(state_of(app, WebState).cookies),
    }
    described: dict[str, Any] = components.rename_references(document)
    return described


def _of_any_server(path: str, operation: dict[str, Any]) -> tuple[int, ...]:
    """Return the error statuses that any request may get: too large, invalid, too many, database unavailable."""
    too_long = (413,) if "requestBody" in operation else ()
    too_many = () if path.startswith("/health/") else (429,)
    return (*too_long, *((414,) if components.is_list(operation) else ()), 422, *too_many, 503)


def _without_titles(operation: dict[str, Any]) -> None:
    """Remove Pydantic's titles of parameters and answers: generators would name types by them."""
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = components.map_schema(parameter["schema"], _untitled)
    for answer in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in answer.get("content", {}).values():
            if "schema" in content:
                content["schema"] = components.map_schema(content["schema"], _untitled)


def _without_null(body: dict[str, Any]) -> None:
    """Describe an optional body without `null`.

    `null` is accepted, but when it was described, a generated client sent its own marker for "left out".
    """
    for content in body.get("content", {}).values():
        kinds = content["schema"].get("anyOf", [])
        if not body.get("required") and {"type": "null"} in kinds and len(kinds) == 2:  # noqa: PLR2004 - it and null
            content["schema"] = next(kind for kind in kinds if kind != {"type": "null"})


def _show_examples(operation: dict[str, Any], extras: Extras) -> None:
    """Show what can be sent as it stands; Swagger fills it in."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and parameter["name"] in extras.parameters:
            parameter["example"] = extras.parameters[parameter["name"]]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        if operation["operationId"] in extras.bodies and media_type != "multipart/form-data":
            value = extras.bodies[operation["operationId"]]
            content["examples"] = {"demo": {"summary": "For the demo chain", "value": value}}


def _untitled(schema: components.Schema) -> components.Schema:
    return {name: value for name, value in schema.items() if name != "title"}


def _refuse_outdated(operation: dict[str, Any]) -> bool:
    """Add 412 to what takes `If-Match`; tell whether this does."""
    takes = _takes(operation, "If-Match")
    if takes:
        operation["responses"].update(_stringed(error_responses(412)))
    return takes


def _takes(operation: dict[str, Any], header: str) -> bool:
    return any(each["in"] == "header" and each["name"] == header for each in operation.get("parameters", ()))


def _stringed(responses: dict[int | str, dict[str, Any]]) -> dict[str, Any]:
    return {str(status): response for status, response in responses.items()}
