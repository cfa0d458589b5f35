"""The OpenAPI document: FastAPI's, with what every operation has in common said once."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from crema.web import components
from crema.web.problem import Problem, refusals

DESCRIPTION: Final = """\
The backend of a chain of take-away coffee shops: browse the menu, fill a cart, order ahead.

*Authorize* takes an e-mail address and a password. Amounts are decimal strings, times are RFC 3339 in UTC, ids are
UUIDs, errors are RFC 9457 problem details with a stable `code`. Unknown fields and parameters are refused. Every list
understands the same filters, search, order and pages.

Chat and live orders also come over WebSocket: [how to connect](/docs/live), [their frames](/asyncapi.json).
"""
_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})


def describe(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Make the app's `openapi()`: built at first use, then kept."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            schemas = document["components"]["schemas"]
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(problem.pop("$defs"))
            schemas["Problem"] = problem
            for item in document["paths"].values():
                for method in _METHODS & item.keys():
                    item[method]["responses"].update(_stringed(refusals(*_of_any_server(item[method]))))
                    components.lift(schemas, item[method])
                    _without_titles(item[method])
                    _without_null(item[method].get("requestBody", {}))
                _describe_tags(item)
            document["components"]["schemas"] = components.rewrite(schemas)
            app.openapi_schema = components.rename_references(document)
        return app.openapi_schema

    return openapi


def _of_any_server(operation: dict[str, Any]) -> tuple[int, ...]:
    """Tell with what any request may be refused: a body or a list's question may be too long, the database away."""
    too_long = (413,) if "requestBody" in operation else ()
    is_list = any(parameter.get("style") == "deepObject" for parameter in operation.get("parameters", ()))
    return (*too_long, *((414,) if is_list else ()), 503)


def _without_titles(operation: dict[str, Any]) -> None:
    """Leave out what Pydantic calls each parameter and answer: generators would name types by it."""
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = components.map_schema(parameter["schema"], _untitled)
    for answer in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in answer.get("content", {}).values():
            if "schema" in content:
                content["schema"] = components.map_schema(content["schema"], _untitled)


def _without_null(body: dict[str, Any]) -> None:
    """Say of a body that may be left out only what it is when it is sent.

    `null` is taken, too. Described, it made a client send its own sign for "left out".
    """
    for content in body.get("content", {}).values():
        kinds = content["schema"].get("anyOf", [])
        if not body.get("required") and {"type": "null"} in kinds and len(kinds) == 2:  # noqa: PLR2004 - it and null
            content["schema"] = next(kind for kind in kinds if kind != {"type": "null"})


def _untitled(schema: components.Schema) -> components.Schema:
    return {name: value for name, value in schema.items() if name != "title"}


def _describe_tags(item: dict[str, Any]) -> None:
    """Add 412 to what takes `If-Match`, and `ETag` to what answers with something that can be edited."""
    edits = [item[method] for method in sorted(_METHODS & item.keys()) if _takes(item[method], "If-Match")]
    for operation in edits:
        operation["responses"].update(_stringed(refusals(412)))
    reads = [item["get"]] if edits and "get" in item else []
    for operation in [*reads, *edits]:
        for status, response in operation["responses"].items():
            if status in {"200", "201"}:
                response["headers"] = {"ETag": _ETAG} | response.get("headers", {})


def _takes(operation: dict[str, Any], header: str) -> bool:
    return any(each["in"] == "header" and each["name"] == header for each in operation.get("parameters", ()))


_ETAG: Final[dict[str, Any]] = {
    "description": "What `If-Match` of a change takes.",
    "schema": {"type": "string", "examples": ['"84213-26d298d6.5f1d2c3e4b5a6978"']},
}


def _stringed(responses: dict[int | str, dict[str, Any]]) -> dict[str, Any]:
    return {str(status): response for status, response in responses.items()}
