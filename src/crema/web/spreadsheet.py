"""Answers with tables, as CSV or XLSX. No cell is a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastapi import Response

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters of cells that spreadsheets compute."""

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XLSX_CONTENT: Final[dict[str, Any]] = {XLSX: {"schema": {"type": "string", "format": "binary"}}}
"""The `content` of a workbook in OpenAPI."""


def plain_cell(value: object) -> str:
    """Return the text of a cell, with an apostrophe before what a spreadsheet would take for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """Return an answer with a CSV file in UTF-8 (RFC 4180). Excel needs the byte order mark to know the encoding."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([plain_cell(value) for value in row] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.getvalue().encode("utf-8-sig"), headers=headers, media_type="text/csv")


def xlsx_response(name: str, content: bytes) -> Response:
    """Return an answer with a workbook as a file."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=XLSX)
