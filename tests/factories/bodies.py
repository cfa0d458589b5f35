"""Bodies of requests made from the OpenAPI document: every field, at any depth, with a value of the test's choice."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

WRITING: Final = frozenset({"post", "put", "patch"})
Loc = tuple[str | int, ...]


@dataclass(frozen=True)
class Body:
    """What one operation takes: `kind` is how httpx2 is given it, json, data or files."""

    method: str
    path: str
    kind: str
    schema: Mapping[str, Any]
    schemas: Mapping[str, Any]

    def fields(self) -> dict[Loc, Mapping[str, Any]]:
        """Give every field that isn't itself an object or a list of objects, by its place in the body."""
        return dict(self._fields(self.schema, (), ()))

    def _fields(self, schema: Mapping[str, Any], loc: Loc, above: tuple[str, ...]) -> Iterator[tuple[Loc, Any]]:
        name, resolved = self._resolved(schema)
        if name in above:
            return
        above = (*above, name) if name else above
        if "properties" in resolved:
            for field, inside in resolved["properties"].items():
                if not inside.get("readOnly"):
                    yield from self._fields(inside, (*loc, field), above)
        elif resolved.get("type") == "array":
            yield from self._fields(resolved["items"], (*loc, 0), above)
        else:
            yield loc, resolved

    def _resolved(self, schema: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        name = ""
        while "$ref" in schema or "anyOf" in schema:
            if "$ref" in schema:
                name = schema["$ref"].rpartition("/")[2]
                schema = self.schemas[name]
            else:
                schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
        return name, schema

    def filled(self, value: Callable[[Loc, Mapping[str, Any]], Any]) -> Any:
        """Make a body with a value in each of its fields."""
        body: dict[str, Any] = {}
        for loc, schema in self.fields().items():
            place: Any = body
            for step, following in zip(loc, [*loc[1:], None], strict=True):
                held = value(loc, schema) if following is None else [] if following == 0 else {}
                if step == 0 and not place:
                    place.append(held)
                elif isinstance(step, str) and (step not in place or following is None):
                    place[step] = held
                place = place[step]
        return body

    @property
    def top(self) -> list[str]:
        """Name the fields at the top."""
        return [name for name, each in self._resolved(self.schema)[1]["properties"].items() if not each.get("readOnly")]

    def request(self, body: Any) -> dict[str, Any]:
        """Give what httpx2 sends the body by. A form has nothing but texts."""
        if self.kind == "json":
            return {"json": body}
        texts = {name: "x" if isinstance(value, dict | list) else str(value) for name, value in body.items()}
        if self.kind == "data":
            return {"data": texts}
        texts.pop("file", None)
        return {"data": texts, "files": {"file": ("latte.png", b"x", "image/png")}}


NOBODY: Final = "01a2074f-26f7-7216-8892-26d298d63ed0"


def bodies_of(document: Mapping[str, Any], **ids: object) -> list[Body]:
    """Give the bodies of all operations that take one; `ids` are what the paths name, NOBODY what isn't there."""
    schemas, found = document["components"]["schemas"], []
    for path, item in document["paths"].items():
        for method in WRITING & item.keys():
            content = item[method].get("requestBody", {}).get("content", {})
            for media_type, each in content.items():
                kind = "files" if "multipart" in media_type else "data" if "form" in media_type else "json"
                named = re.sub(r"{(\w+)}", lambda match: str(ids.get(match[1], NOBODY)), path)
                found.append(Body(method.upper(), named, kind, each["schema"], schemas))
    return found
