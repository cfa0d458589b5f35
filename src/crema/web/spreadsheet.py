"""Tables for spreadsheets, as CSV or XLSX. No cell is a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastapi import Response

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What begins a cell that a spreadsheet computes."""

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XLSX_CONTENT: Final[dict[str, Any]] = {XLSX: {"schema": {"type": "string", "format": "binary"}}}
"""A workbook as OpenAPI's `content` describes it."""


def plain_cell(value: object) -> str:
    """Return a cell's text; an apostrophe keeps a spreadsheet from computing what somebody wrote."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """Send a table as a file in UTF-8 (RFC 4180). It begins with a byte order mark: without one Excel guesses."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([plain_cell(value) for value in row] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.getvalue().encode("utf-8-sig"), headers=headers, media_type="text/csv")


def xlsx_response(name: str, content: bytes) -> Response:
    """Send a workbook as a file."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=XLSX)
