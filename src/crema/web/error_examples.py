"""Error answers in OpenAPI: one for each status, with an example for each code that an operation may give.

An operation shows the codes of its own feature and those of any request. Examples are components, written once. Answers
are not: openapi-python-client leaves out answers that are referenced.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from crema.core import errors
from crema.web import response_headers
from crema.web.components import is_list
from crema.web.problem import (
    DESCRIPTIONS,
    INTERNAL,
    NOT_ALLOWED,
    STATUS_OF,
    UNAVAILABLE,
    Problem,
    error_classes,
    status_of_class,
)

MEDIA_TYPE: Final = "application/problem+json"
_ANY: Final = frozenset({"core", "web", "schemas"})
"""Packages whose errors any operation may give."""
_LISTS: Final = "db"
"""The package of the lists' errors."""
_FILES: Final = "media"
_USED: Final = MappingProxyType({"orders": "cart"})
"""Features that use another one's checks: items of an order are checked as those of the cart."""
_GIVEN_BY: Final = MappingProxyType({"crema.core.slug": frozenset({"menu", "shops"})})
"""Modules below the features whose errors only these features give."""
_HEALTH: Final = "crema.web.health"
"""A module of `web` whose errors only its own operations give."""
_EXTRA: Final[dict[str, dict[str, Any]]] = {
    "validation_error": {
        "detail": "body.quantity: send a number of 1 or more",
        "errors": [
            {"loc": ["body", "quantity"], "msg": "send a number of 1 or more", "type": "greater_than_equal"},
        ],
    },
    "unknown_reference": {
        "detail": "Unknown: product_id.",
        "errors": [{"loc": ["body", "product_id"], "msg": "does not exist", "type": "unknown_reference"}],
    },
}
_RETRY_AFTER: Final = 2


@dataclass(frozen=True, slots=True)
class _Code:
    code: str
    status: int
    title: str
    advice: str
    packages: frozenset[str] | None
    """Whose operations give it; None for all."""
    is_family: bool = True

    @property
    def example(self) -> dict[str, Any]:
        """A problem document with this code."""
        waits = {"retry_after": _RETRY_AFTER} if self.status in {429, 503} else {}
        return {
            "type": f"urn:crema:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.advice,
            "code": self.code,
            "request_id": "01a2074f26f772168892f26d298d63ed",
            **waits,
            **_EXTRA.get(self.code, {}),
        }


@dataclass(slots=True)
class ErrorExamples:
    """Collects the examples that operations refer to. `shared` are further errors that any operation may give."""

    shared: Collection[type[errors.CremaError]]
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    _codes: list[_Code] = field(init=False)

    def __post_init__(self) -> None:
        # The first one is what Swagger shows: the family's own.
        self._codes = sorted(self._defined(), key=lambda each: (each.status, not each.is_family, each.code))

    def _defined(self) -> Iterator[_Code]:
        for kind in error_classes():
            package = kind.__module__ if kind.__module__ == _HEALTH else kind.__module__.split(".")[1]
            own = _GIVEN_BY.get(kind.__module__, frozenset({package}))
            is_general = kind in self.shared or bool(own & _ANY)
            packages = None if is_general else own
            yield _Code(kind.code, status_of_class(kind), kind.title, kind.advice, packages, kind in STATUS_OF)
        for status, code, title, advice in (NOT_ALLOWED, INTERNAL, UNAVAILABLE):
            yield _Code(code, int(status), title, advice, None)

    @property
    def problem(self) -> dict[str, Any]:
        """The schema of problem documents, with every code."""
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["properties"]["code"]["enum"] = sorted({each.code for each in self._codes})
        return schema

    def refer(self, operation: dict[str, Any], module: str) -> None:
        """Fill in the error answers of an operation that is defined in this module."""
        content = operation.get("requestBody", {}).get("content", {})
        packages = {module if module == _HEALTH else module.split(".")[1]}
        packages |= {_USED[each] for each in packages if each in _USED}
        packages |= {_FILES} if "multipart/form-data" in content else set()
        packages |= {_LISTS} if is_list(operation) else set()
        for status in operation["responses"]:
            if int(status) >= HTTPStatus.BAD_REQUEST:
                operation["responses"][status] = self._answer(int(status), packages)

    def _answer(self, status: int, packages: set[str]) -> dict[str, Any]:
        given = [each for each in self._codes if each.status == status]
        codes = [each for each in given if each.packages is None or each.packages & packages]
        self.examples |= {each.code: {"summary": each.title, "value": each.example} for each in codes}
        shown = {each.code: {"$ref": f"#/components/examples/{each.code}"} for each in codes}
        return {
            "description": DESCRIPTIONS[status],
            "headers": response_headers.of_error(status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": shown}},
        }
