"""Writes what documents copy from the code; with --check, fails when a copy is out of date.

The OpenAPI and AsyncAPI snapshots, the diagrams of the database, the tables of settings and errors, what lists
understand, and the tests of each threat.
"""

import inspect
import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import constants
import database
from babel.messages.pofile import read_po
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from crema.app import create_app
from crema.db import listing
from crema.db.listing import Listing
from crema.db.listing.query import BUDGET_SECONDS
from crema.settings import Settings
from crema.web.docs import Documents
from crema.web.limits import MAX_URL
from crema.web.problem import error_classes, status_of_class
from crema.web.state import state_of

ROOT = Path(__file__).parents[1]
RUSSIAN = ROOT / "tools" / "settings.ru.po"
TEST = re.compile(r"def test_((?:[acfmprstuw]\d+_)+)(\w+)\(")


KINDS: Final = {
    "text, e-mail address, telephone number, slug": listing.TextField,
    "number, amount of money": listing.NumberField,
    "whole number": listing.IntegerField,
    "time, date": listing.InstantField,
    "time of day (`08:00`)": listing.TimeOfDayField,
    "id": listing.UuidField,
    "word of a closed set, list of such words": listing.ChoiceField,
    "true or false": listing.BooleanField,
}


def written(document: Any) -> str:
    """A description as its snapshot is stored."""
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def operators_table() -> str:
    """The operators of each kind of field."""
    rows = ["| kind of field | operators |", "|---|---|"]
    for kind, field in KINDS.items():
        rows.append(
            f"| {kind} | {', '.join('equals' if each == 'eq' else f'`{each}`' for each in field.kind_operators)} |"
        )
    return "\n".join([*rows, "| whatever may be null, and every list | `isnull` beside its own |"])


def limits_table() -> str:
    """How much one question may ask."""
    shortest, longest = listing.SEARCH_LENGTH
    rows = {
        "filters in one request": listing.MAX_FILTERS,
        "values in one list": listing.MAX_IN,
        "fields to sort by": listing.MAX_SORT,
        "characters of a search": f"{shortest} to {longest}",
        "words of a search": listing.MAX_WORDS,
        "items of a page": f"1 to {listing.MAX_SIZE}, {listing.DEFAULT_SIZE} if left out",
        "items before a page by number": f"{listing.MAX_OFFSET:,}",
        "matches that are counted": f"{listing.MAX_TOTAL:,}",
        "seconds for a question; the list as it comes, without any, is always answered": BUDGET_SECONDS,
        "bytes of path and query": f"{MAX_URL:,}",
    }
    return "\n".join(["| of | at most |", "|---|---|", *(f"| {of} | {most} |" for of, most in rows.items())])


def left_out_table(openapi: dict[str, Any]) -> str:
    """What answers of lists show and nobody can ask for, with its reason."""
    reasons: dict[str, dict[str, str]] = {}
    for module in [module for name, module in sys.modules.items() if name.startswith("crema.")]:
        for each in vars(module).values():
            if isinstance(each, Listing):
                reasons.setdefault(f"{each.name}Filter", {}).update(each.left_out)
    rows = ["| list | field | why |", "|---|---|---|"]
    for path, operations in openapi["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", ()):
            if parameter.get("style") == "deepObject":
                filters = parameter["schema"]["$ref"].rpartition("/")[2]
                rows += [f"| `{path}` | `{name}` | {why} |" for name, why in reasons[filters].items()]
    return "\n".join(rows)


def settings_table() -> str:
    """Every environment variable with its default and meaning."""
    meanings = {name: str(field.description) for name, field in Settings.model_fields.items()}
    return _settings_table("| variable | default | meaning |", meanings)


def settings_table_in_russian() -> str:
    """The same in Russian. A description without a translation, or changed since it was translated, is refused."""
    with RUSSIAN.open("rb") as file:
        catalog = read_po(file, locale="ru")
    found = {str(message.id): str(message.string) for message in catalog if message.id and message.string}
    needed = {name: str(field.description) for name, field in Settings.model_fields.items()}
    if missing := sorted(set(needed.values()) - set(found)):
        sys.exit(f"{RUSSIAN.name} has no Russian for: {'; '.join(missing)}")
    if unused := sorted(set(found) - set(needed.values())):
        sys.exit(f"{RUSSIAN.name} translates what no setting says: {'; '.join(unused)}")
    meanings = {name: found[description] for name, description in needed.items()}
    return _settings_table("| переменная | по умолчанию | значение |", meanings)


def _settings_table(heading: str, meanings: dict[str, str]) -> str:
    rows = [heading, "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `CREMA_{name.upper()}` | {_default(field.default)} | {meanings[name]} |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, timedelta):
        value = f"{value.total_seconds() / 3600:g}h" if value >= timedelta(hours=1) else f"{value.seconds // 60}m"
    return "" if value in (None, "", [], {}, PydanticUndefined) else f"`{value}`"


def errors_table() -> str:
    """Every refusal's code, status, what is wrong, and what to do."""
    found = {error.code: error for error in sorted(error_classes(), key=lambda error: error.__name__)}
    rows = ["| code | status | title, and when | what to do |", "|---|---|---|---|"]
    for code, error in sorted(found.items(), key=lambda item: (status_of_class(item[1]), item[0])):
        when = (inspect.getdoc(error) or "").split("\n\n")[0].replace("\n", " ")
        rows.append(f"| `{code}` | {status_of_class(error)} | {error.title}<br>{when} | {error.advice} |")
    return "\n".join(rows)


def with_tests(path: Path) -> str:
    """The tables of threats, each row with the tests that carry its id: `test_t4_t5_…` are T4's and T5's."""
    found: dict[str, list[str]] = {}
    for test in sorted([*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "deploy").glob("test_*.py")]):
        for ids, name in TEST.findall(test.read_text()):
            for threat in ids.rstrip("_").upper().split("_"):
                link = f"[{name.replace('_', ' ')}](../{test.relative_to(ROOT)})"
                found.setdefault(threat, []).append(link)
    row = re.compile(r"^(\| ([ACFMRSTUW]\d+) \|.*\|).*\|$", re.MULTILINE)
    return row.sub(lambda match: f"{match[1]} {'; '.join(found.get(match[2], ['—']))} |", path.read_text())


def inserted(path: Path, **blocks: str) -> str:
    """The file's text with each `<!-- name -->…<!-- /name -->` block renewed."""
    text = path.read_text()
    for name, content in blocks.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not block.search(text):
            sys.exit(f"{path.name} has no block {name}")
        text = block.sub(lambda match, content=content: f"{match[1]}{content}\n{match[2]}", text)
    return text


def main() -> int:
    """Write, or compare."""
    app = create_app(Settings(secret_key=SecretStr("x" * 32), _env_file=None))
    openapi = app.openapi()
    documents = {
        ROOT / "docs" / "openapi.json": written(openapi),
        ROOT / "docs" / "asyncapi.json": written(state_of(app, Documents).asyncapi().content),
        ROOT / "docs" / "lists.md": inserted(
            ROOT / "docs" / "lists.md",
            operators=operators_table(),
            limits=limits_table(),
            left_out=left_out_table(openapi),
        ),
        ROOT / "docs" / "database.md": inserted(ROOT / "docs" / "database.md", sections=database.sections()),
        ROOT / "docs" / "security.md": with_tests(ROOT / "docs" / "security.md"),
        ROOT / "docs" / "limits.md": inserted(
            ROOT / "docs" / "limits.md",
            times=constants.table(of_times=True),
            numbers=constants.table(of_times=False),
            caches=constants.caches_table(),
        ),
        ROOT / "docs" / "errors.md": inserted(ROOT / "docs" / "errors.md", errors=errors_table()),
    }
    for name, settings in {"README.md": settings_table(), "README.ru.md": settings_table_in_russian()}.items():
        documents[ROOT / name] = inserted(ROOT / name, settings=settings, diagram=database.overview())
    stale = [path for path, text in documents.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run `make documents`", file=sys.stderr)
        return len(stale)
    for path in stale:
        path.write_text(documents[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
