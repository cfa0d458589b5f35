"""Reads the cells of an untrusted XLSX workbook: a program for `sandbox.py`.

It writes JSON: `{"sheets": [{"name": "products", "is_merged": false, "rows": [[1, ["slug", "price"]], …]}, …]}`, where
rows have their numbers and empty rows are missing; or only `{"refused": "…"}`. A cell is null, a text, true or false,
or `{"kind": "number", "text": "250.1"}`, where `kind` may also be formula, error or date.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from openpyxl import DEFUSEDXML
from openpyxl.cell.text import Text
from openpyxl.reader.excel import ExcelReader
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS
from openpyxl.xml.functions import iterparse

Json: TypeAlias = Any

LAST_ROW = 1_048_576
"""The last row that the format allows."""

_ZIP = b"PK\x03\x04"
_CHUNK = 64 * 1024
_ENCRYPTED = 0x1  # a flag of a zip member
_MACROS = re.compile(r"vbaproject|macrosheets|activex", re.IGNORECASE)
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s")
_OVERLAP = 64  # bytes kept of a chunk, so that a pattern may span two
_ESCAPE = re.compile(r"_x(?![Dd][89A-Fa-f])([0-9A-Fa-f]{4})_")  # except surrogates, which are not characters


@dataclass(frozen=True)
class Limits:
    """Limits of a workbook. `text` is in characters; rows, cells and text are counted over all sheets."""

    members: int
    unpacked_bytes: int
    sheets: int
    columns: int
    rows: int
    cells: int
    text: int
    memory_bytes: int
    cpu_seconds: int


class RefusedError(Exception):
    """The reason why a workbook is refused: unsupported, too_large, broken or too_costly."""


def prepare(_: Mapping[str, Any]) -> None:
    """Check that openpyxl reads XML without entities."""
    assert DEFUSEDXML


def process(content: bytes, limits: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the JSON."""
    try:
        yield json.dumps({"sheets": read(content, Limits(**limits))}, ensure_ascii=False).encode()
    except RefusedError as error:
        yield json.dumps({"refused": str(error)}).encode()


def read(content: bytes, limits: Limits) -> Sequence[Json]:
    """Return the JSON of all sheets; raise RefusedError for other files and for workbooks that are too large."""
    if not content.startswith(_ZIP):  # neither encrypted workbooks nor XLS are zip files
        raise RefusedError("unsupported")
    try:
        merged = _check_members(content, limits)
        return _read_sheets(content, merged, limits)
    except RefusedError:
        raise
    except MemoryError:
        raise RefusedError("too_costly") from None
    except Exception as error:  # the reader may raise anything on hostile files
        raise RefusedError("broken") from error


def _check_members(content: bytes, limits: Limits) -> frozenset[str]:
    """Return the names of the members with merged cells; refuse a zip that is too large when unpacked.

    Both the sizes in the zip's directory and the true sizes are checked.
    """
    with ZipFile(BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) > limits.members or sum(member.file_size for member in members) > limits.unpacked_bytes:
            raise RefusedError("too_large")
        for member in members:
            _check_member(member)
        unpacked, merged = 0, set()
        for member in members:
            size, is_merged = _inflate(archive, member, limits.unpacked_bytes - unpacked)
            unpacked += size
            if is_merged:
                merged.add(member.filename)
    return frozenset(merged)


def _check_member(member: ZipInfo) -> None:
    if member.flag_bits & _ENCRYPTED or _MACROS.search(member.filename):
        raise RefusedError("unsupported")
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise RefusedError("broken")


def _inflate(archive: ZipFile, member: ZipInfo, at_most: int) -> tuple[int, bool]:
    """Return the unpacked size of a member, and whether it has merged cells; raise BadZipFile for a false size."""
    is_xml = member.filename.endswith((".xml", ".rels"))
    size, is_merged, before = 0, False, b""
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > at_most:
                raise RefusedError("too_large")
            if is_xml and b"\x00" in chunk:  # UTF-16, in which the patterns wouldn't be found
                raise RefusedError("broken")
            if member.filename == "[Content_Types].xml" and b"macroEnabled" in before + chunk:
                raise RefusedError("unsupported")
            is_merged = is_merged or _MERGED.search(before + chunk) is not None
            before = chunk[-_OVERLAP:]
    if size != member.file_size:
        raise BadZipFile
    return size, is_merged


def _read_sheets(content: bytes, merged: frozenset[str], limits: Limits) -> Sequence[Json]:
    reader = _Reader(BytesIO(content), read_only=True, keep_links=False)
    reader.read()
    if len(reader.wb.sheetnames) > limits.sheets:
        raise RefusedError("too_large")
    with_merged = {sheet.name for sheet, relation in reader.parser.find_sheets() if relation.target in merged}
    counter = _LimitCounter(limits)
    return [
        {"name": name, "is_merged": name in with_merged, "rows": [*_read_rows(reader.wb[name], counter)]}
        for name in reader.wb.sheetnames
    ]


class _Reader(ExcelReader):
    """A reader that leaves escapes in shared strings, as in all others. openpyxl's own removes "x005F_" from them."""

    def read_strings(self) -> None:
        """Read the shared strings without changing them."""
        paths = [part.PartName for part in self.package.Override if part.ContentType == SHARED_STRINGS]
        for path in paths[:1]:
            with self.archive.open(path.removeprefix("/")) as source:
                for _, element in iterparse(source):
                    if element.tag == f"{{{SHEET_MAIN_NS}}}si":
                        text = Text.from_tree(element)
                        self.shared_strings.append(text.content if text else "")
                        element.clear()


class _LimitCounter:
    """Counts rows, cells and text of all sheets against the limits."""

    def __init__(self, limits: Limits) -> None:
        self.columns = limits.columns
        self._left = [limits.rows, limits.cells, limits.text]

    def count(self, cells: Sequence[Json]) -> None:
        """Count one row; raise RefusedError past a limit."""
        texts = [cell if isinstance(cell, str) else cell["text"] for cell in cells if isinstance(cell, str | dict)]
        counts = (1, sum(cell is not None for cell in cells), sum(map(len, texts)))
        self._left = [left - count for left, count in zip(self._left, counts, strict=True)]
        if min(self._left) < 0:
            raise RefusedError("too_large")


def _read_rows(sheet: Any, counter: _LimitCounter) -> Iterator[Json]:
    """Yield the rows that aren't empty, each with its number."""
    if not hasattr(sheet, "reset_dimensions"):  # a chart sheet
        return
    sheet.reset_dimensions()  # the dimensions in the file may be wrong, and would hide cells
    rows: Iterator[Sequence[Any]] = Worksheet.iter_rows(sheet)
    for number, row in enumerate(rows, start=1):
        if number > LAST_ROW or any(cell.value is not None for cell in row[counter.columns :]):
            raise RefusedError("too_large")
        cells = [_cell(cell) for cell in row[: counter.columns]]
        while cells and cells[-1] is None:
            cells.pop()
        if cells:
            counter.count(cells)
            yield number, cells


_KINDS = {"n": "number", "f": "formula", "e": "error", "d": "date"}  # by openpyxl's types


def _cell(cell: Any) -> Json:
    value = cell.value
    if value is None or value == "" or cell.data_type == "b":
        return None if value == "" else value
    if cell.data_type not in _KINDS:
        return _unescape(str(value))
    # Spreadsheets show and store fifteen digits: 0.1 + 0.2 is 0.3 there.
    return {"kind": _KINDS[cell.data_type], "text": f"{value:.15g}" if cell.data_type == "n" else ""}


def _unescape(text: str) -> str:
    """Return the text with escapes such as `_x000D_` replaced by their characters, which XML can't contain."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
