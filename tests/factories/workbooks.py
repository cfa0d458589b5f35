"""Workbooks as people, spreadsheets and attackers make them."""

import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl import Workbook, load_workbook

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PRODUCT_PARTS = ("sizes", "product_categories", "product_modifier_groups")


def make_workbook(sheets: Mapping[str, Sequence[Sequence[Any]]]) -> bytes:
    """Write rows as a spreadsheet does; texts that begin with "=" are formulas."""
    workbook = Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append([*row])
    return saved(workbook)


def products(*rows: Sequence[Any], header: Sequence[Any] = ("slug", "name", "price")) -> dict[str, Any]:
    """Give the sheet of products with the sheets that have to come along."""
    return {"products": [header, *rows]} | {name: [("product",)] for name in PRODUCT_PARTS}


def edited(content: bytes, edit: Callable[[Any], object]) -> bytes:
    """Open a workbook as a spreadsheet does, change it, and save it."""
    workbook = load_workbook(BytesIO(content))
    edit(workbook)
    return saved(workbook)


def saved(workbook: Workbook) -> bytes:
    content = BytesIO()
    workbook.save(content)
    return content.getvalue()


def with_member(content: bytes, name: str, member: bytes | Callable[[bytes], bytes]) -> bytes:
    """Replace or add a file of the zip."""
    with ZipFile(BytesIO(content)) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    members[name] = member if isinstance(member, bytes) else member(members[name])
    changed = BytesIO()
    with ZipFile(changed, "w", ZIP_DEFLATED) as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return changed.getvalue()


def with_sheet(content: bytes, pattern: bytes, replacement: bytes) -> bytes:
    """Change the first sheet's XML."""

    def change(xml: bytes) -> bytes:
        changed, times = re.subn(pattern, replacement, xml, count=1)
        assert times == 1, xml
        return changed

    return with_member(content, "xl/worksheets/sheet1.xml", change)
