"""What the documents name is there: files, headings, and the code they tell of."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from procrastinate import Blueprint

import crema

ROOT = Path(__file__).parents[1]
DOCUMENTS = (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "internals").glob("*.md"))
"""Not the decisions: they tell of the code as it was."""
PACKAGES = frozenset(module.name for module in pkgutil.iter_modules(crema.__path__))
CODE = re.compile(r"`((?:\w+\.)+\w+)`")
LINK = re.compile(r"\]\(((?!https?:|mailto:)[^)\s]*)\)")
FILE = re.compile(r"`((?:src|tests|tools|docs|deploy|benchmarks)/[\w./-]*\w)`")
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
TASKS = frozenset(
    task
    for path in (ROOT / "src" / "crema").glob("*/tasks.py")
    for task in getattr(import_module(f"crema.{path.parent.name}.tasks"), "blueprint", Blueprint()).tasks
)


def missing_code(text: str) -> Iterator[str]:
    """Give what is named as `package.module.thing` of ours, and is neither there nor the name of a task."""
    for name in CODE.findall(text):
        if name.split(".")[0] not in PACKAGES or name.endswith((".py", ".com")) or name in TASKS:
            continue
        try:
            pkgutil.resolve_name(f"crema.{name}")
        except (ImportError, AttributeError):
            yield name


def missing_files(text: str, *, folder: Path) -> Iterator[str]:
    """Give the links and paths that lead nowhere."""
    for link in LINK.findall(text):
        path, _, heading = link.partition("#")
        target = (folder / path).resolve() if path else None
        if target is not None and not target.exists():
            yield link
        elif heading and (target is None or target.suffix == ".md"):
            page = text if target is None else target.read_text()
            if heading not in headings(page):
                yield link
    yield from (path for path in FILE.findall(text) if not (ROOT / path).exists())


def headings(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(path: Path) -> None:
    text = BLOCK.sub("", path.read_text()) if path.name != "CONTRIBUTING.md" else path.read_text()

    assert [*missing_code(text), *missing_files(text, folder=path.parent)] == []


def test_what_is_not_there_is_found() -> None:
    text = "# A b\n`orders.service.placing.plaice` `media.sweep` `tests/none.py` [x](docs/none.md) [y](#a-b) [z](#c)"

    assert [*missing_code(text)] == ["orders.service.placing.plaice"]
    assert [*missing_files(text, folder=ROOT)] == ["docs/none.md", "#c", "tests/none.py"]
