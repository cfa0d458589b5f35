"""Reading and writing XLSX workbooks. Uploaded ones are read by `workbook_reader.py` in a process of its own.

Formulas are neither computed nor written.
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
from crema.media.service.fair_semaphore import FairSemaphore

READERS: Final = 1
"""Workbooks that a server process reads at once."""
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
    "memory_bytes": 256 * 1024**2,  # on top of what it needs to start; the largest accepted workbook needs half of it
    "cpu_seconds": 10,
}
"""Limits of one workbook: `workbook_reader.Limits`."""
WALL_SECONDS: Final = 30
"""Seconds that reading may take, also on a busy machine: ten seconds of CPU time may take longer."""

_READER: Final = Path(__file__).with_name("workbook_reader.py")
_TO_ESCAPE: Final = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f\ufffe\uffff]")


class UnsupportedWorkbookError(UnsupportedTypeError):
    """The file is not an XLSX workbook, is encrypted, or has macros."""

    code = "unsupported_workbook"
    title = "This file is not a supported workbook."
    advice = "Send an XLSX workbook without a password and without macros."


class WorkbookTooLargeError(InvalidError):
    """The workbook has too many rows, columns or cells, or unpacks to more than 32 MiB."""

    code = "workbook_too_large"
    title = "This workbook is too large."
    advice = (
        f"Send at most {MAX_ROWS} rows and {MAX_CELLS} cells in all sheets together, {LIMITS['columns']} columns in "
        f"each, and {LIMITS['unpacked_bytes'] // 1024**2} MiB when unpacked."
    )


class WorkbookBrokenError(InvalidError):
    """The workbook can't be read to the end."""

    code = "workbook_broken"
    title = "This workbook is damaged."
    advice = "Save it again, and send that file."


class WorkbookTooCostlyError(InvalidError):
    """Reading the workbook takes more than ten seconds or a quarter of a gigabyte."""

    code = "workbook_too_costly"
    title = "Reading this workbook takes too much time or memory."
    advice = "Send fewer rows."


_ERRORS: Final[Mapping[str, type[CremaError]]] = {
    "unsupported": UnsupportedWorkbookError,
    "too_large": WorkbookTooLargeError,
    "broken": WorkbookBrokenError,
    "too_costly": WorkbookTooCostlyError,
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number as the spreadsheet shows it, with up to fifteen digits."""

    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A cell that is neither text nor number: `kind` is formula, error or date."""

    kind: str


Cell: TypeAlias = str | bool | Number | Unreadable | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet, and its rows that aren't empty, with their numbers in the spreadsheet."""

    name: str
    is_merged: bool
    rows: Sequence[tuple[int, Sequence[Cell]]]


class WorkbookReader:
    """Reads workbooks, a few at once, with fair waiting for all people."""

    def __init__(self, limits: Mapping[str, Any] = LIMITS) -> None:
        self._limits = limits
        self._semaphore = FairSemaphore(READERS)

    def slot(self, person_id: UUID) -> AbstractAsyncContextManager[None]:
        """Return a context that waits for a free slot and holds it. Call `read` inside it."""
        return self._semaphore.slot(person_id)

    async def read(self, file: BinaryIO) -> Sequence[Sheet]:
        """Return the sheets of an open file with a file descriptor; raise one of the errors above."""
        await asyncio.to_thread(file.flush)
        output = await processes.run(
            _READER,
            file,
            library="openpyxl",
            limits=self._limits,
            wall_seconds=WALL_SECONDS,
            costly_error=WorkbookTooCostlyError,
            broken_error=WorkbookBrokenError,
        )
        return await asyncio.to_thread(_parse_output, output)


def _parse_output(output: bytes) -> Sequence[Sheet]:
    document = json.loads(output)
    if "refused" in document:
        raise _ERRORS[document["refused"]]
    return [
        Sheet(sheet["name"], sheet["is_merged"], [(number, [*map(_cell, cells)]) for number, cells in sheet["rows"]])
        for sheet in document["sheets"]
    ]


def _cell(cell: Any) -> Cell:
    if not isinstance(cell, dict):
        plain: str | bool | None = cell
        return plain
    return Number(cell["text"]) if cell["kind"] == "number" else Unreadable(cell["kind"])


CellValue: TypeAlias = str | bool | int | float | Decimal | None
"""The value of a cell that is written. Decimal is money."""


def write(sheets: Mapping[str, tuple[Sequence[str], Iterable[Sequence[CellValue]]]]) -> bytes:
    """Return a workbook. `sheets` has the header and the rows of each sheet by its name; headers are frozen.

    It takes about a second for 30,000 cells.
    """
    workbook = Workbook(write_only=True)
    for name, (header, rows) in sheets.items():
        sheet = workbook.create_sheet(name)
        sheet.freeze_panes = "A2"
        sheet.append([_make_cell(sheet, column, is_header=True) for column in header])
        for row in rows:
            sheet.append([_make_cell(sheet, value) for value in row])
    content = BytesIO()
    workbook.save(content)
    return content.getvalue()


def _make_cell(sheet: Any, value: CellValue, *, is_header: bool = False) -> Any:
    if not isinstance(value, str | Decimal):
        return value
    if isinstance(value, Decimal):
        cell = WriteOnlyCell(sheet, value=float(value))
        cell.number_format = "0.00"
        return cell
    cell = WriteOnlyCell(sheet, value=_escape(value))
    cell.data_type = "s"  # a text also if it begins with "=", which is a formula for openpyxl
    if is_header:
        cell.font = _BOLD
    elif value.startswith(FORMULA_PREFIXES):
        cell.number_format = "@"  # a text also after somebody edits it
    elif "\n" in value:
        cell.alignment = _WRAPPED
    return cell


_BOLD: Final = Font(bold=True)
_WRAPPED: Final = Alignment(wrap_text=True, vertical="top")
FORMULA_PREFIXES: Final = ("=", "+", "-", "@", "#", "'")
"""Texts that begin with these are not taken for texts when somebody types them into a spreadsheet."""


def _escape(text: str) -> str:
    """Return the text with characters that XML can't contain escaped as `_x000D_`, like spreadsheets do."""
    return _TO_ESCAPE.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
