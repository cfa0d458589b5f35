"""Finds what the code limits, keeps and remembers: the tables of docs/limits.md.

Every public constant of a module that is a number or a time is in them, and every function whose answers are kept, so
that none can be forgotten.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parents[1] / "src" / "crema"
LEFT_OUT: Final = ("migrations", "demo")
CACHES: Final = {"cache", "lru_cache"}
_NAMES: Final = {"timedelta": timedelta}


@dataclass(frozen=True, slots=True)
class Constant:
    """A number or a time that a module names."""

    place: str
    value: float | timedelta
    note: str

    @property
    def row(self) -> str:
        """The line of a table."""
        return f"| `{self.place}` | {_written(self.value)} | {self.note} |"


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[0] not in LEFT_OUT:
            yield ".".join(part for part in parts if part != "__init__"), ast.parse(path.read_text())


def constants() -> Iterator[Constant]:
    """Give the constants in the order of modules."""
    for module, tree in _modules():
        for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or node.value is None:
                continue
            value = _value(node.value)
            if value is not None and node.target.id[0] != "_":
                yield Constant(f"{module}.{node.target.id}", value, _first_sentence(following))


def _value(node: ast.expr) -> float | timedelta | None:
    """Evaluate arithmetic on numbers and times; None for everything else."""
    for each in ast.walk(node):
        is_time = isinstance(each, ast.Name) and each.id in _NAMES
        is_number = isinstance(each, ast.Constant) and isinstance(each.value, int | float)
        if not (is_time or is_number or isinstance(each, _ARITHMETIC)) or isinstance(each, bool):
            return None
    found = eval(ast.unparse(node), {"__builtins__": {}}, _NAMES)  # noqa: S307 - our own source, arithmetic only
    return found if isinstance(found, int | float | timedelta) and not isinstance(found, bool) else None


_ARITHMETIC: Final = (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Call, ast.keyword, ast.expr_context)


def _first_sentence(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        text = " ".join(node.value.value.split())
        return text.partition(". ")[0].rstrip(".").replace("|", r"\|")
    return ""


def _written(value: float | timedelta) -> str:
    if not isinstance(value, timedelta):
        return f"{value:,}"
    seconds = int(value.total_seconds())
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"


def table(*, of_times: bool) -> str:
    """Write the table of times, or that of numbers."""
    rows = [each.row for each in constants() if isinstance(each.value, timedelta) is of_times]
    return "\n".join(["| constant | value | what it says |", "|---|---|---|", *rows])


def caches_table() -> str:
    """Write the table of functions whose answers a process keeps."""
    rows = []
    for module, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                sizes = [size for each in node.decorator_list if (size := _size(each)) is not None]
                note = (ast.get_docstring(node) or "").partition("\n")[0].partition(". ")[0].rstrip(".")
                rows += [f"| `{module}.{node.name}` | {size} | {note} |" for size in sizes]
    return "\n".join(["| function | answers kept | what it gives |", "|---|---|---|", *rows])


def _size(decorator: ast.expr) -> str | None:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = ast.unparse(call).split(".")[-1]
    if name not in CACHES:
        return None
    if isinstance(decorator, ast.Call) and decorator.args:
        return f"`{ast.unparse(decorator.args[0])}`"
    return "128" if name == "lru_cache" else "all"
