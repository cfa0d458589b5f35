"""Workbooks that people upload: what is read of them, what is refused, and what reading may cost."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile

import pytest
from openpyxl import load_workbook
from openpyxl.chart import BarChart

from crema.core.errors import CremaError
from crema.media.service import processes, sandbox, workbook_reader, workbooks
from crema.media.service.workbooks import (
    FORMULA_PREFIXES,
    LIMITS,
    Number,
    Sheet,
    Unreadable,
    UnsupportedWorkbookError,
    WorkbookBrokenError,
    WorkbookReader,
    WorkbookTooCostlyError,
    WorkbookTooLargeError,
    write,
)
from factories.workbooks import edited, make_workbook, with_member, with_sheet

pytestmark = pytest.mark.anyio
IN_PROCESS = pytest.mark.usefixtures("media_in_process")
"""For many contents, of which is asked what is read and not what that may cost."""

PLAIN = make_workbook({"menu": [("slug", "price"), ("latte", 250)]})
PROGRAM = (
    "def prepare(limits):\n    pass\n\ndef process(content, limits):\n    import os, time\n    {body}\n    return []\n"
)


async def read(content: bytes, **limits: int) -> Sequence[Sheet]:
    with TemporaryFile() as file:
        file.write(content)
        return await WorkbookReader({**LIMITS, **limits}).read(file)


async def refusal(content: bytes, **limits: int) -> type[CremaError]:
    with pytest.raises(CremaError) as refused:
        await read(content, **limits)
    return refused.type


async def test_cells_are_read_as_what_they_are() -> None:
    rows = [("Кофе", 1, 2.5, True, None, 0.1 + 0.2, 4.0999999999999996), ("=1+1", "#REF!", None, "", " x ")]
    content = make_workbook({"a": [*rows, (), ("last",)], "b": []})

    sheets = await read(edited(content, lambda book: setattr(book["a"]["B2"], "data_type", "e")))

    assert sheets == [
        Sheet(
            "a",
            is_merged=False,
            rows=[
                (1, ["Кофе", Number("1"), Number("2.5"), True, None, Number("0.3"), Number("4.1")]),
                (2, [Unreadable("formula"), Unreadable("error"), None, None, " x "]),
                (4, ["last"]),
            ],
        ),
        Sheet("b", is_merged=False, rows=[]),
    ]


TEXTS = [
    *(f"{first}1+1" for first in FORMULA_PREFIXES),
    *('=HYPERLINK("http://x")', "#REF!", "Ёлка «Ю»", "a\nb\tc", " x ", "_x0041_", "x005F_", "_x005F_x0041_", "a\x01b"),
    *("250.10", "TRUE", "1e5", "☕", "</t>&amp;", "2026-11-26"),
]


async def test_texts_come_back_unchanged_and_none_is_a_formula() -> None:
    content = write({"a": (("text",), [(text,) for text in TEXTS])})

    (sheet,) = await read(content)

    assert [cells for _, cells in sheet.rows] == [["text"], *([text] for text in TEXTS)]
    cells = [row[0] for row in load_workbook(BytesIO(content))["a"].iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells} == {"s"}
    assert {cell.number_format for cell in cells[: len(FORMULA_PREFIXES)]} == {"@"}


@IN_PROCESS
@pytest.mark.parametrize("text", TEXTS)
async def test_texts_come_back_unchanged_from_a_spreadsheet_that_shares_its_strings(text: str) -> None:
    escaped = workbooks._escape(text).replace("&", "&amp;").replace("<", "&lt;")
    strings = (
        '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f'<si><t xml:space="preserve">{escaped}</t></si></sst>'
    )
    content = with_member(PLAIN, "xl/sharedStrings.xml", strings.encode())
    shared = b'<sheetData><row r="1"><c r="A1" t="s"><v>0</v></c></row></sheetData>'
    content = with_sheet(content, rb"(?s)<sheetData>.*</sheetData>", shared)
    if b"sharedStrings" not in ZipFile(BytesIO(content)).read("[Content_Types].xml"):
        override = (
            b'<Override PartName="/xl/sharedStrings.xml" ContentType='
            b'"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>'
        )
        content = with_member(content, "[Content_Types].xml", lambda xml: xml.replace(b"</Types>", override))

    (sheet,) = await read(content)

    assert sheet.rows == [(1, [text])]


async def test_the_header_stays_in_sight_and_money_is_a_number_with_two_decimals() -> None:
    sheet = load_workbook(BytesIO(write({"a": (("price",), [(Decimal("250.10"),)])})))["a"]

    assert sheet.freeze_panes == "A2"
    assert (sheet["A2"].value, sheet["A2"].number_format) == (250.1, "0.00")


@IN_PROCESS
@pytest.mark.parametrize("content", [b"", b"hello", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, b"%PDF-1.7"])
async def test_u7_what_is_not_a_zip_is_refused(content: bytes) -> None:
    """XLS and encrypted workbooks are OLE files, the third of these."""
    assert await refusal(content) is UnsupportedWorkbookError


def zipped(members: dict[str, bytes], method: int = ZIP_DEFLATED) -> bytes:
    content = BytesIO()
    with ZipFile(content, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


@IN_PROCESS
@pytest.mark.parametrize(
    "content",
    [
        zipped({"a.txt": b"x"}),
        PLAIN[:-30],
        PLAIN[:200],
        b"PK\x03\x04" + b"\0" * 100,
        with_member(PLAIN, "xl/workbook.xml", b"<workbook"),
        with_member(PLAIN, "xl/workbook.xml", b""),
        with_sheet(PLAIN, rb'r="A1"', b'r="ZZZZZ1"'),
        with_sheet(PLAIN, b"<v>250</v>", b"<v>25o</v>"),
        zipped({"xl/workbook.xml": b"x"}, ZIP_BZIP2),
        with_member(PLAIN, "xl/worksheets/sheet1.xml", lambda xml: xml.decode().encode("utf-16")),
    ],
)
async def test_u7_what_is_no_whole_workbook_is_refused(content: bytes) -> None:
    assert await refusal(content) is WorkbookBrokenError


async def test_u7_an_encrypted_member_is_refused() -> None:
    head = PLAIN.index(b"PK\x01\x02") + 8  # flags in the directory
    content = PLAIN[:head] + bytes([PLAIN[head] | 1]) + PLAIN[head + 1 :]

    assert await refusal(content) is UnsupportedWorkbookError


@IN_PROCESS
@pytest.mark.parametrize(
    "content",
    [
        with_member(PLAIN, "xl/vbaProject.bin", b"x"),
        with_member(PLAIN, "xl/macrosheets/sheet1.xml", b"<x/>"),
        with_member(
            PLAIN,
            "[Content_Types].xml",
            lambda xml: xml.replace(
                b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
                b"application/vnd.ms-excel.sheet.macroEnabled.main+xml",
            ),
        ),
    ],
)
async def test_u7_macros_are_refused(content: bytes) -> None:
    assert await refusal(content) is UnsupportedWorkbookError


BOMB = with_member(PLAIN, "xl/bomb.xml", b" " * (33 * 1024**2))


async def test_u7_a_zip_bomb_is_refused_by_the_size_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(BOMB) < 60_000
    monkeypatch.setattr(workbook_reader, "_inflate", None)  # nothing is inflated
    limits = workbook_reader.Limits(**LIMITS)

    with pytest.raises(workbook_reader.RefusedError, match="too_large"):
        workbook_reader.read(BOMB, limits)


def lying(content: bytes, size: int) -> bytes:
    """Declare another size for the bomb, in its own header and in the directory."""
    true = (33 * 1024**2).to_bytes(4, "little")
    assert content.count(true) == 2
    return content.replace(true, size.to_bytes(4, "little"))


async def test_u7_a_zip_bomb_that_declares_another_size_is_refused_when_it_inflates() -> None:
    assert await refusal(lying(BOMB, 100)) is WorkbookBrokenError


async def test_u7_what_is_inflated_is_counted_whatever_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    with ZipFile(BytesIO(BOMB)) as archive:
        member = archive.getinfo("xl/bomb.xml")
        with pytest.raises(workbook_reader.RefusedError, match="too_large"):
            workbook_reader._inflate(archive, member, 1024**2)


async def test_u7_ten_thousand_members_are_refused() -> None:
    assert await refusal(zipped({f"{n}.xml": b"" for n in range(10_000)})) is WorkbookTooLargeError


ENTITIES = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10 if n else b"ha" * 10) for n in range(9))


@IN_PROCESS
@pytest.mark.parametrize(
    "doctype",
    [
        b"<!DOCTYPE x [" + ENTITIES + b"]>",
        b'<!DOCTYPE x [<!ENTITY e8 SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE x [<!ENTITY e8 "one">]>',
    ],
)
@pytest.mark.parametrize("member", ["xl/worksheets/sheet1.xml", "xl/workbook.xml", "[Content_Types].xml"])
async def test_u7_entities_are_not_expanded(doctype: bytes, member: str) -> None:
    def add(xml: bytes) -> bytes:
        xml = xml.removeprefix(b"<?xml version='1.0' encoding='UTF-8'?>")
        return doctype + xml.replace(b"latte", b"&e8;")

    assert await refusal(with_member(PLAIN, member, add)) is WorkbookBrokenError


async def test_a_sheet_may_end_at_the_last_row_of_the_format_and_not_beyond() -> None:
    last = with_sheet(PLAIN, b'(?s)<row r="2".*</row>', b'<row r="1048576"><c r="A1048576"><v>1</v></c></row>')
    beyond = with_sheet(PLAIN, b'(?s)<row r="2".*</row>', b'<row r="1048577"><c r="A1048577"><v>1</v></c></row>')
    never = with_sheet(PLAIN, b'(?s)<row r="2".*</row>', b'<row r="999999999999"><c><v>1</v></c></row>')

    assert (await read(last))[0].rows[1] == (1_048_576, [Number("1")])
    assert [await refusal(beyond), await refusal(never)] == [WorkbookTooLargeError] * 2


async def test_u7_a_million_rows_are_refused() -> None:
    rows = b"".join(b'<row r="%d"><c><v>1</v></c></row>' % n for n in range(2, 1_048_577))
    content = with_sheet(PLAIN, b'(?s)<row r="2".*</row>', b"<row/>")
    content = with_member(content, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"<row/>", rows))
    assert len(content) < 8 * 1024**2

    assert await refusal(content, unpacked_bytes=1024**3) is WorkbookTooLargeError


async def test_u7_sixteen_thousand_columns_are_refused_and_empty_ones_ignored() -> None:
    full = with_sheet(PLAIN, b"</row>", b'<c r="XFD1"><v>1</v></c></row>')
    empty = with_sheet(PLAIN, b"</row>", b'<c r="XFD1" s="0"/></row>')

    assert await refusal(full) is WorkbookTooLargeError
    assert await read(empty) == await read(PLAIN)


async def test_u7_rows_of_sixteen_thousand_empty_columns_cost_no_more_than_ten_seconds() -> None:
    rows = b"".join(b'<row r="%d"><c r="XFD%d"/></row>' % (n, n) for n in range(2, 30_000))
    content = with_sheet(PLAIN, b'(?s)<row r="2".*</row>', b"<row/>")
    content = with_member(content, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"<row/>", rows))

    assert await refusal(content, cpu_seconds=2) is WorkbookTooCostlyError


@IN_PROCESS
@pytest.mark.parametrize(("limit", "value"), [("rows", 1), ("cells", 3), ("text", 16), ("sheets", 0)])
async def test_u7_rows_cells_text_and_sheets_are_counted(limit: str, value: int) -> None:
    assert await read(PLAIN, **{limit: value + 1})
    assert await refusal(PLAIN, **{limit: value}) is WorkbookTooLargeError


async def test_a_sheet_that_says_it_is_smaller_is_read_to_its_end() -> None:
    assert await read(with_sheet(PLAIN, b'<dimension ref="[^"]*"', b'<dimension ref="A1:A1"')) == await read(PLAIN)


async def test_merged_cells_are_seen() -> None:
    content = make_workbook({"a": [("x",)], "b": [("x",)]})

    sheets = await read(edited(content, lambda book: book["b"].merge_cells("A1:B2")))

    assert [sheet.is_merged for sheet in sheets] == [False, True]


async def test_dates_are_not_text() -> None:
    content = edited(PLAIN, lambda book: setattr(book["menu"]["B2"], "number_format", "yyyy-mm-dd"))

    assert (await read(content))[0].rows[1] == (2, ["latte", Unreadable("date")])


async def test_a_sheet_that_is_a_chart_has_no_rows() -> None:
    content = edited(PLAIN, lambda book: book.create_chartsheet("chart").add_chart(BarChart()))

    assert [(sheet.name, len(sheet.rows)) for sheet in await read(content)] == [("menu", 2), ("chart", 0)]


async def test_u7_what_takes_more_memory_is_refused_and_the_next_one_read() -> None:
    large = make_workbook({"a": [("x" * 30_000 + str(n),) for n in range(100)]})

    assert await refusal(large, memory_bytes=2 * 1024**2) is WorkbookTooCostlyError
    assert len((await read(large))[0].rows) == 100


async def test_the_largest_that_is_read_fits_into_the_memory_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its CPU time: that of the wall is longer where others work."""
    monkeypatch.setattr(workbooks, "WALL_SECONDS", 600)
    width = 50
    height = LIMITS["cells"] // width
    content = write({"a": ((), ([f"{row} {column:011}" for column in range(width)] for row in range(height)))})

    (sheet,) = await read(content)

    assert len(sheet.rows) == height


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("while True: pass", WorkbookTooCostlyError),
        ("time.sleep(600)", WorkbookTooCostlyError),
        ("os.abort()", WorkbookBrokenError),
        ("os._exit(3)", WorkbookBrokenError),
    ],
)
async def test_u7_a_reader_that_hangs_or_crashes_costs_one_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, error: type[CremaError]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(body=body))
    with monkeypatch.context() as patched:
        patched.setattr(workbooks, "_READER", program)
        patched.setattr(workbooks, "WALL_SECONDS", 3)
        assert await refusal(PLAIN, cpu_seconds=1) is error

    assert await read(PLAIN)


async def read_what_waits(folder: Path, monkeypatch: pytest.MonkeyPatch, *, turns: int) -> Sequence[Sheet]:
    """Read with a program that ends once the event loop answers it, or gives up after so many looks."""
    program, started, answered = (folder / name for name in ("program.py", "started", "answered"))
    lines = (
        f"os.mkdir({str(started)!r})",
        f"for _ in range({turns}):",
        f"    if os.path.exists({str(answered)!r}): return [b'{{\"sheets\": []}}']",
        "    time.sleep(0.01)",
        'return [b\'{"refused": "too_costly"}\']',
    )
    program.write_text(PROGRAM.format(body="\n    ".join(lines)))
    monkeypatch.setattr(workbooks, "_READER", program)
    reading = asyncio.ensure_future(read(PLAIN))

    while not started.exists() and not reading.done():  # noqa: ASYNC110 - another process or thread makes it
        await asyncio.sleep(0.01)
    answered.touch()

    return await reading


async def test_u7_the_event_loop_goes_on_while_a_workbook_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await read_what_waits(tmp_path, monkeypatch, turns=10_000) == []


async def test_u7_twin_in_the_server_itself_reading_stops_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_here(program: Path, _: BinaryIO, **options: object) -> bytes:
        return b"".join(sandbox.load(str(program)).process(b"", options))

    monkeypatch.setattr(processes, "run", run_here)

    with pytest.raises(WorkbookTooCostlyError):
        await read_what_waits(tmp_path, monkeypatch, turns=10)
