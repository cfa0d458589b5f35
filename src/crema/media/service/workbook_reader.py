"""Reads the cells of an untrusted XLSX workbook: a program for `confined.py`.

It writes JSON: `{"sheets": [{"name": "products", "is_merged": false, "rows": [[1, ["slug", "price"]], …]}, …]}`, rows
by their numbers, without those that are empty; or only `{"refused": "…"}`. A cell is null, a text, true or false, or
`{"kind": "number", "text": "250.1"}`, where `kind` may also be formula, error or date.
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
"""Of a sheet, by the format."""

_ZIP = b"PK\x03\x04"
_CHUNK = 64 * 1024
_ENCRYPTED = 0x1  # a flag of a zip's member
_MACROS = re.compile(r"vbaproject|macrosheets|activex", re.IGNORECASE)
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s")
_OVERLAP = 64  # bytes kept of a chunk, so that what is looked for may stand across two
_ESCAPED = re.compile(r"_x(?![Dd][89A-Fa-f])([0-9A-Fa-f]{4})_")  # but for surrogates, which are no characters


@dataclass(frozen=True)
class Limits:
    """What a workbook may have. `text` counts characters; rows, cells and text are counted over all sheets."""

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
    """Why a workbook is not taken: unsupported, too_large, broken or too_costly."""


def prepare(_: Mapping[str, Any]) -> None:
    """Make sure that XML is read without entities; openpyxl is loaded already."""
    assert DEFUSEDXML


def process(content: bytes, limits: Mapping[str, Any]) -> Iterator[bytes]:
    """Give the one document."""
    try:
        yield json.dumps({"sheets": read(content, Limits(**limits))}, ensure_ascii=False).encode()
    except RefusedError as error:
        yield json.dumps({"refused": str(error)}).encode()


def read(content: bytes, limits: Limits) -> Sequence[Json]:
    """Read all sheets; RefusedError for what is no workbook or too much of one."""
    if not content.startswith(_ZIP):  # an encrypted one is none, nor is XLS
        raise RefusedError("unsupported")
    try:
        merged = _check_members(content, limits)
        return _read_sheets(content, merged, limits)
    except RefusedError:
        raise
    except MemoryError:
        raise RefusedError("too_costly") from None
    except Exception as error:  # the reader fails in any way on hostile bytes
        raise RefusedError("broken") from error


def _check_members(content: bytes, limits: Limits) -> frozenset[str]:
    """Refuse what unpacks to too much, by what the zip's directory says and by what comes out.

    Return the names of the members in which cells are merged.
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
    """Count what comes out of a member, and look whether cells are merged there; BadZipFile if its directory lied."""
    is_xml = member.filename.endswith((".xml", ".rels"))
    size, is_merged, before = 0, False, b""
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > at_most:
                raise RefusedError("too_large")
            if is_xml and b"\x00" in chunk:  # UTF-16, in which nothing of this would be found
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
    counter = _Counter(limits)
    return [
        {"name": name, "is_merged": name in with_merged, "rows": [*_rows(reader.wb[name], counter)]}
        for name in reader.wb.sheetnames
    ]


class _Reader(ExcelReader):
    """openpyxl's, which takes "x005F_" out of strings that sheets share, and leaves it in others."""

    def read_strings(self) -> None:
        """Read the strings that sheets share as they are."""
        paths = [part.PartName for part in self.package.Override if part.ContentType == SHARED_STRINGS]
        for path in paths[:1]:
            with self.archive.open(path.removeprefix("/")) as source:
                for _, element in iterparse(source):
                    if element.tag == f"{{{SHEET_MAIN_NS}}}si":
                        text = Text.from_tree(element)
                        self.shared_strings.append(text.content if text else "")
                        element.clear()


class _Counter:
    """Counts rows, cells and text of all sheets."""

    def __init__(self, limits: Limits) -> None:
        self.columns = limits.columns
        self._left = [limits.rows, limits.cells, limits.text]

    def count(self, cells: Sequence[Json]) -> None:
        """Count one row; RefusedError if it is one too many."""
        texts = [cell if isinstance(cell, str) else cell["text"] for cell in cells if isinstance(cell, str | dict)]
        counts = (1, sum(cell is not None for cell in cells), sum(map(len, texts)))
        self._left = [left - count for left, count in zip(self._left, counts, strict=True)]
        if min(self._left) < 0:
            raise RefusedError("too_large")


def _rows(sheet: Any, counter: _Counter) -> Iterator[Json]:
    """Give the rows that have something, each with its number."""
    if not hasattr(sheet, "reset_dimensions"):  # a sheet that is a chart
        return
    sheet.reset_dimensions()  # what the sheet says of itself may be wrong, and would hide cells
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
        return _unescaped(str(value))
    # Fifteen digits are what spreadsheets show and what they take: 0.1 + 0.2 is 0.3 there.
    return {"kind": _KINDS[cell.data_type], "text": f"{value:.15g}" if cell.data_type == "n" else ""}


def _unescaped(text: str) -> str:
    """Give the characters that XML can't hold, written as `_x000D_`; what looks so begins with `_x005F_`."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
