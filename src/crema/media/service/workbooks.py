"""Workbooks in XLSX. What people upload is read by `workbook_reader.py`, in a process of its own.

No cell that is read is computed, none that is written is a formula.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias
from uuid import UUID

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font

from crema.core.errors import CremaError, InvalidError, UnsupportedTypeError
from crema.media.service import processes
from crema.media.service.turns import Turns

READERS: Final = 1
"""Workbooks read at once by a server process."""
MAX_ROWS: Final = 50_000
MAX_CELLS: Final = 200_000
LIMITS: Final[Mapping[str, Any]] = {
    "members": 200,
    "unpacked_bytes": 32 * 1024**2,
    "sheets": 50,
    "columns": 100,
    "rows": MAX_ROWS,
    "cells": MAX_CELLS,
    "text": 4 * 1024**2,
    "memory_bytes": 256 * 1024**2,  # beyond what it needs to start; the largest that is taken needs half of it
    "cpu_seconds": 10,
}
"""What one workbook may have and cost: `workbook_reader.Limits`."""
WALL_SECONDS: Final = 30
"""For a machine so busy that ten seconds of CPU time take longer."""

_READER: Final = Path(__file__).with_name("workbook_reader.py")
_TO_ESCAPE: Final = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f\ufffe\uffff]")


class UnsupportedWorkbookError(UnsupportedTypeError):
    """Not an XLSX workbook, or one that is encrypted or has macros."""

    code = "unsupported_workbook"
    title = "This file is not a supported workbook."
    advice = "Send an XLSX workbook without a password and without macros."


class WorkbookTooLargeError(InvalidError):
    """It has more rows, columns or cells than we read, or unpacks to more than 32 MiB."""

    code = "workbook_too_large"
    title = "This workbook is too large."
    advice = (
        f"Send at most {MAX_ROWS} rows and {MAX_CELLS} cells in all sheets together, {LIMITS['columns']} columns in "
        f"each, and {LIMITS['unpacked_bytes'] // 1024**2} MiB when unpacked."
    )


class WorkbookBrokenError(InvalidError):
    """It can't be read to the end."""

    code = "workbook_broken"
    title = "This workbook is damaged."
    advice = "Save it again, and send that file."


class WorkbookTooCostlyError(InvalidError):
    """Reading it takes more than ten seconds or a quarter of a gigabyte."""

    code = "workbook_too_costly"
    title = "Reading this workbook takes too much time or memory."
    advice = "Send fewer rows."


_REFUSALS: Final[Mapping[str, type[CremaError]]] = {
    "unsupported": UnsupportedWorkbookError,
    "too_large": WorkbookTooLargeError,
    "broken": WorkbookBrokenError,
    "too_costly": WorkbookTooCostlyError,
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number, as the spreadsheet shows it: up to fifteen digits."""

    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What is neither text nor number: `kind` is formula, error or date."""

    kind: str


Cell: TypeAlias = str | bool | Number | Unreadable | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet's rows that have something, by their numbers in the spreadsheet."""

    name: str
    is_merged: bool
    rows: Sequence[tuple[int, Sequence[Cell]]]


class WorkbookReader:
    """Reads workbooks of many people in fair turns."""

    def __init__(self, limits: Mapping[str, Any] = LIMITS) -> None:
        self._limits = limits
        self._turns = Turns(READERS)

    def turn(self, person_id: UUID) -> AbstractAsyncContextManager[None]:
        """Wait for this person's turn to `read`, and hold it."""
        return self._turns.turn(person_id)

    async def read(self, file: BinaryIO) -> Sequence[Sheet]:
        """Read an open file of the operating system's; raise one of the errors above."""
        await asyncio.to_thread(file.flush)
        output = await processes.run(
            _READER,
            file,
            library="openpyxl",
            limits=self._limits,
            wall_seconds=WALL_SECONDS,
            costly=WorkbookTooCostlyError,
            broken=WorkbookBrokenError,
        )
        return await asyncio.to_thread(_parsed, output)


def _parsed(output: bytes) -> Sequence[Sheet]:
    document = json.loads(output)
    if "refused" in document:
        raise _REFUSALS[document["refused"]]
    return [
        Sheet(sheet["name"], sheet["is_merged"], [(number, [*map(_cell, cells)]) for number, cells in sheet["rows"]])
        for sheet in document["sheets"]
    ]


def _cell(cell: Any) -> Cell:
    if not isinstance(cell, dict):
        plain: str | bool | None = cell
        return plain
    return Number(cell["text"]) if cell["kind"] == "number" else Unreadable(cell["kind"])


Written: TypeAlias = str | bool | int | float | Decimal | None
"""What a cell that we write may be; Decimal is money."""


def write(sheets: Mapping[str, tuple[Sequence[str], Iterable[Sequence[Written]]]]) -> bytes:
    """Write a workbook: by the name of each sheet its header, which stays in sight, and its rows.

    It takes a while: a second for 30,000 cells.
    """
    workbook = Workbook(write_only=True)
    for name, (header, rows) in sheets.items():
        sheet = workbook.create_sheet(name)
        sheet.freeze_panes = "A2"
        sheet.append([_written(sheet, column, is_header=True) for column in header])
        for row in rows:
            sheet.append([_written(sheet, value) for value in row])
    content = BytesIO()
    workbook.save(content)
    return content.getvalue()


def _written(sheet: Any, value: Written, *, is_header: bool = False) -> Any:
    if not isinstance(value, str | Decimal):
        return value
    if isinstance(value, Decimal):
        cell = WriteOnlyCell(sheet, value=float(value))
        cell.number_format = "0.00"
        return cell
    cell = WriteOnlyCell(sheet, value=_escaped(value))
    cell.data_type = "s"  # whatever it begins with: openpyxl takes "=1+1" for a formula
    if is_header:
        cell.font = _BOLD
    elif value.startswith(FORMULA):
        cell.number_format = "@"  # stays text when somebody edits it
    elif "\n" in value:
        cell.alignment = _WRAPPED
    return cell


_BOLD: Final = Font(bold=True)
_WRAPPED: Final = Alignment(wrap_text=True, vertical="top")
FORMULA: Final = ("=", "+", "-", "@", "#", "'")
"""What begins a text that a spreadsheet takes for something else when it is typed."""


def _escaped(text: str) -> str:
    """Write what XML can't hold as `_x000D_`, as spreadsheets do."""
    return _TO_ESCAPE.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
