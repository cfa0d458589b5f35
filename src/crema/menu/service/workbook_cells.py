"""Reading and writing cells of the menu's workbook, by the kind of their column."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from crema.media.service.workbooks import Cell, Number, Unreadable

Kind: TypeAlias = Literal["text", "list", "optional_list", "flag", "integer", "number", "money", "schedule"]

NONE: Final = "none"
"""The content of a cell of an `optional_list` that is empty. An empty cell means null."""

_INTEGER: Final = re.compile(r"-?\d{1,9}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?\d{1,15}(\.\d{1,20})?([eE][+-]?\d{1,3})?", re.ASCII)
_WINDOW: Final = re.compile(r"([0-6](?:,[0-6])*) (\S+)-(\S+?)(?: (\d{4}-\d\d-\d\d)?\.\.(\d{4}-\d\d-\d\d)?)?", re.ASCII)
_FLAGS: Final[Mapping[str, bool]] = {"true": True, "false": False}
_UNREADABLE: Final[Mapping[str, str]] = {
    "formula": "is a formula: send its value",
    "error": "is an error of the spreadsheet's",
    "date": "is a date: format the cell as text",
}


class CellError(Exception):
    """A cell doesn't have what its column requires; the message says why."""


def read_cell(cell: Cell, kind: Kind) -> Any:
    """Return the value of a cell as JSON has it; None for an empty cell. Raises CellError."""
    if isinstance(cell, Unreadable):
        raise CellError(_UNREADABLE[cell.kind])
    if kind == "flag":
        return _flag(cell)
    if isinstance(cell, bool):
        raise CellError("is TRUE or FALSE: send a text or a number")
    text = cell.text if isinstance(cell, Number) else cell
    if text is None or not text.strip():
        return None
    return _READERS[kind](text)


def _integer(text: str) -> int:
    return int(_matched(text, _INTEGER, "is not a whole number"))


def _number(text: str) -> float:
    return float(_matched(text, _DECIMAL, "is not a number such as 12.5"))


def _matched(text: str, pattern: re.Pattern[str], message: str) -> str:
    if not pattern.fullmatch(text.strip()):
        raise CellError(message)
    return text.strip()


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _optional_lines(text: str) -> list[str]:
    return [] if (lines := _lines(text)) == [NONE] else lines


def _windows(text: str) -> list[dict[str, Any]]:
    return [_window(line) for line in _lines(text)]


def _window(line: str) -> dict[str, Any]:
    found = _WINDOW.fullmatch(line)
    if found is None:
        raise CellError("is not a window such as 0,1,2,3,4 07:00-11:00, perhaps with 2026-12-01..2026-12-31")
    days, begin, end, first, last = found.groups()
    return {"weekdays": [*map(int, days.split(","))], "from": begin, "to": end, "starts_on": first, "ends_on": last}


def write_window(window: Mapping[str, Any]) -> str:
    """Return a window of a schedule as a line of a cell."""
    days, first, last = ",".join(map(str, window["weekdays"])), window["starts_on"], window["ends_on"]
    dates = f" {first or ''}..{last or ''}" if first or last else ""
    return f"{days} {window['from']}-{window['to']}{dates}"


_READERS: Final[Mapping[Kind, Callable[[str], Any]]] = {
    "text": str,
    "money": str.strip,
    "list": _lines,
    "optional_list": _optional_lines,
    "schedule": _windows,
    "integer": _integer,
    "number": _number,
}


def _flag(cell: Cell) -> bool | None:
    if isinstance(cell, str):
        if not cell.strip():
            return None
        cell = _FLAGS.get(cell.strip().lower(), cell)
    if cell is not None and not isinstance(cell, bool):
        raise CellError("is not TRUE or FALSE")
    return cell
