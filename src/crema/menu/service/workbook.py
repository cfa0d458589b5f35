"""Conversion of the menu's document to a workbook with a sheet for each list, and back.

An empty cell is a field that is left out. A list in a cell has one item on each line; a window of a schedule is an item
such as `0,1,2,3,4 07:00-11:00 2026-12-01..2026-12-31`, with or without dates. Nutrition has a column for each figure;
if all are empty, it is left out. Lists of objects have sheets of their own, whose rows say what they belong to: those
of `sizes` by the product's slug, those of `size_prices` and `size_nutrition` by the group's key and the option's name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from crema.core.errors import Loc
from crema.media.service.workbooks import Cell, CellValue, Number, Sheet, Unreadable, write
from crema.menu.schemas import MenuDocument
from crema.menu.service.import_checks import InvalidMenuError
from crema.menu.service.workbook_cells import NONE, CellError, Kind, read_cell, write_window

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sheet. `path` leads to its field inside the row's object, if that isn't just its name."""

    name: str
    kind: Kind = "text"
    path: Key = ()

    @property
    def field(self) -> Key:
        """The path of the field inside the row's object."""
        return self.path or (self.name,)


@dataclass(frozen=True, slots=True)
class SheetType:
    """A sheet, and the name of the list that its rows make: a list of the document, or of a row of the sheet `above`.

    The columns `owner` are the key of that row. `known_by` are the fields of this sheet's key: the first that is
    filled.
    """

    name: str
    fills: str
    columns: Sequence[Column]
    known_by: Sequence[str] = ()
    above: str | None = None
    owner: Sequence[str] = ()

    def key(self, owner: Key, row: Mapping[str, Any]) -> Key:
        """Return the key by which rows of sheets below refer to this row."""
        known = next((str(row[name]).strip() for name in self.known_by if row.get(name)), "")
        return (*owner, known)


_LIMITS: Final = (
    Column("min_choices", "integer"),
    Column("max_choices", "integer"),
    Column("free_quantity", "integer"),
)
_NUTRITION: Final = tuple(
    Column(name, "number", ("nutrition", name))
    for name in ("energy_kcal", "proteins_g", "fats_g", "carbohydrates_g", "caffeine_mg")
)
SHEETS: Final = (
    SheetType(
        "categories",
        "categories",
        (
            *(Column("slug"), Column("name"), Column("description"), Column("parent")),
            *(Column("position", "integer"), Column("is_active", "flag"), Column("schedule", "schedule")),
        ),
    ),
    SheetType("ingredients", "ingredients", (Column("name"),)),
    SheetType(
        "modifier_groups",
        "modifier_groups",
        (Column("id"), Column("key"), Column("name"), *_LIMITS),
        known_by=("key", "name"),
    ),
    SheetType(
        "options",
        "options",
        (
            *(Column("id"), Column("name"), Column("price_delta", "money"), Column("max_quantity", "integer")),
            *(Column("is_default", "flag"), Column("is_active", "flag")),
            *(Column("allergens", "list"), *_NUTRITION, Column("ingredients", "list")),
        ),
        known_by=("name",),
        above="modifier_groups",
        owner=("group",),
    ),
    SheetType(
        "size_prices",
        "size_prices",
        (Column("size_name"), Column("price_delta", "money")),
        above="options",
        owner=("group", "option"),
    ),
    SheetType(
        "size_nutrition",
        "size_nutrition",
        (Column("size_name"), *_NUTRITION),
        above="options",
        owner=("group", "option"),
    ),
    SheetType(
        "products",
        "products",
        (
            *(Column("slug"), Column("name"), Column("description"), Column("price", "money")),
            *(Column("is_active", "flag"), Column("position", "integer")),
            *(Column("allergens", "list"), Column("allergens_always", "optional_list")),
            *(*_NUTRITION, Column("ingredients", "list"), Column("preparation_seconds", "integer")),
            Column("schedule", "schedule"),
        ),
        known_by=("slug",),
    ),
    SheetType(
        "sizes",
        "sizes",
        (
            *(Column("id"), Column("name"), Column("volume_ml", "integer")),
            *(Column("price_delta", "money"), Column("is_default", "flag"), *_NUTRITION),
        ),
        above="products",
        owner=("product",),
    ),
    SheetType(
        "product_categories",
        "categories",
        (Column("category", path=("slug",)), Column("position", "integer")),
        above="products",
        owner=("product",),
    ),
    SheetType(
        "product_modifier_groups",
        "modifier_groups",
        (Column("group"), *_LIMITS),
        above="products",
        owner=("product",),
    ),
)
"""Each sheet comes after the one that its rows belong to."""
_BY_NAME: Final[Mapping[str, SheetType]] = {sheet.name: sheet for sheet in SHEETS}


def write_menu(document: MenuDocument) -> bytes:
    """Return the document as a workbook that `read_menu` takes."""
    content = document.model_dump(mode="json")
    return write({sheet.name: (_header(sheet), _rows(sheet, content)) for sheet in SHEETS})


def _header(sheet: SheetType) -> list[str]:
    return [*sheet.owner, *(column.name for column in sheet.columns)]


def _rows(sheet: SheetType, content: Row) -> Iterator[list[CellValue]]:
    for owner, row in _objects(sheet, content):
        yield [*owner, *(_written(_value(row, column.field), column.kind) for column in sheet.columns)]


def _objects(sheet: SheetType, content: Row) -> Iterator[tuple[Key, Row]]:
    """Yield the objects that are a sheet's rows, each with the key of its owner."""
    if sheet.above is None:
        yield from (((), row) for row in content[sheet.fills])
        return
    above = _BY_NAME[sheet.above]
    for owner, row in _objects(above, content):
        yield from ((above.key(owner, row), part) for part in row[sheet.fills])


def _value(row: Row, path: Key) -> Any:
    value: Any = row
    for name in path:
        value = value and value.get(name)
    return value


def _written(value: Any, kind: Kind) -> CellValue:
    if value is None or value == "":
        return None
    if kind in ("list", "optional_list"):
        return "\n".join(value) or (NONE if kind == "optional_list" else None)
    if kind == "schedule":
        return "\n".join(map(write_window, value)) or None
    if kind == "money":
        return Decimal(value)
    if kind == "number" and float(f"{value:.15g}") != value:
        return repr(value)  # more digits than a spreadsheet's number has
    written: str | bool | float = value
    return written


@dataclass(slots=True)
class MenuWorkbook:
    """A workbook read as a document, with the sheet and row of each part of the document."""

    content: Row = field(default_factory=lambda: {sheet.fills: [] for sheet in SHEETS if sheet.above is None})
    places: dict[Loc, tuple[str, int]] = field(default_factory=dict)
    problems: dict[Loc, str] = field(default_factory=dict)
    objects: dict[str, dict[Key, tuple[Row, Loc]]] = field(default_factory=dict)

    def refuse(self, loc: Loc, message: str) -> None:
        """Add a problem at a location of the workbook, unless it has one already."""
        self.problems.setdefault(loc, message)

    def place(self, loc: Loc) -> Loc:
        """Return the sheet, row and column of a location of the document. Rows are counted from 1."""
        for length in range(len(loc), 0, -1):
            if loc[:length] in self.places:
                sheet, row = self.places[loc[:length]]
                return (sheet, row, *_column_of(_BY_NAME[sheet], loc[length:]))
        return loc

    def document(self) -> MenuDocument:
        """Return the document. Raises InvalidMenuError, which names all problems by their locations in the workbook."""
        try:
            document = MenuDocument.model_validate(self.content)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                self.refuse(self.place(each["loc"]), each["msg"])
        if self.problems:
            raise InvalidMenuError([*self.problems.items()])
        return document


def _column_of(sheet: SheetType, path: Loc) -> Loc:
    """Return the column of a field; for an object with several columns the first of them."""
    for column in sheet.columns if path else ():
        if column.field[: len(path)] == path[: len(column.field)]:
            return (column.name,)
    return path[:1]


def read_menu(sheets: Sequence[Sheet]) -> MenuWorkbook:
    """Return a workbook read as a document. What can't be read is in its `problems`."""
    workbook = MenuWorkbook()
    by_name = {sheet.name: sheet for sheet in sheets}
    for loc, message in _wrong_sheets(by_name):
        workbook.refuse(loc, message)
    for sheet_type in SHEETS:
        workbook.objects[sheet_type.name] = {}
        if sheet_type.name in by_name:
            _read_sheet(workbook, sheet_type, by_name[sheet_type.name])
    return workbook


def _wrong_sheets(sheets: Mapping[str, Sheet]) -> Iterator[tuple[Loc, str]]:
    if not sheets.keys() & _BY_NAME.keys():
        yield (), f"the workbook has none of the sheets {', '.join(_BY_NAME)}"
    for name, sheet in sheets.items():
        if name not in _BY_NAME:
            yield (name,), f"there is no such sheet; there are {', '.join(_BY_NAME)}"
        elif sheet.is_merged:
            yield (name,), "has merged cells: unmerge them"
    for sheet_type in SHEETS:
        above = sheet_type.above
        if above in sheets and sheet_type.name not in sheets:
            yield (sheet_type.name,), f"is missing: {above} would lose its rows; send it empty if there are none"
        if above is not None and sheet_type.name in sheets and above not in sheets:
            yield (above,), f"is missing, but {sheet_type.name} belongs to it: send both"


def _read_sheet(workbook: MenuWorkbook, sheet_type: SheetType, sheet: Sheet) -> None:
    first, cells = sheet.rows[0] if sheet.rows else (1, ())
    if first != 1 or not cells:
        workbook.refuse((sheet.name, 1), "is empty: the first row must have the names of the columns")
        return
    header = [cell.strip().lower() if isinstance(cell, str) else cell for cell in cells]
    wrong = [*_wrong_columns(sheet_type, sheet, header)]
    for loc, message in wrong:
        workbook.refuse(loc, message)
    for number, row in sheet.rows[1:] if not wrong else ():
        _read_row(workbook, sheet_type, number, {str(name): cell for name, cell in zip(header, row, strict=False)})


def _wrong_columns(sheet_type: SheetType, sheet: Sheet, header: Sequence[Cell]) -> Iterator[tuple[Loc, str]]:
    known = _header(sheet_type)
    for place, name in enumerate(header):
        if name is None:
            if any(len(row) > place and row[place] is not None for _, row in sheet.rows[1:]):
                yield (sheet.name, 1), f"column {place + 1} has no name"
        elif not isinstance(name, str) or name not in known:
            yield (sheet.name, 1, _shown(name)), f"there is no such column; there are {', '.join(known)}"
        elif name in header[:place]:
            yield (sheet.name, 1, name), "this column is here twice"
    if any(len(row) > len(header) for _, row in sheet.rows[1:]):
        yield (sheet.name, 1), "there are cells in columns without a name"


def _shown(name: Cell) -> str:
    return name.text if isinstance(name, Number) else str(name) if isinstance(name, str | bool) else "?"


def _read_row(workbook: MenuWorkbook, sheet_type: SheetType, number: int, cells: Mapping[str, Cell]) -> None:
    """Read one row as an object, and add it to the list that it belongs to."""
    found: Row = {}
    for column in (*map(Column, sheet_type.owner), *sheet_type.columns):
        try:
            value = read_cell(cells.get(column.name), column.kind)
        except CellError as error:
            workbook.refuse((sheet_type.name, number, column.name), str(error))
        else:
            found |= {} if value is None else {column.name: value}
    if not found and not any(isinstance(cell, Unreadable) for cell in cells.values()):
        return  # only spaces
    row: Row = {}
    for column in sheet_type.columns:
        if column.name in found:
            *above, name = column.field
            inside = row.setdefault(above[0], {}) if above else row
            inside[name] = found[column.name]

    owner = tuple(str(found.get(name, "")).strip() for name in sheet_type.owner)
    loc = _put(workbook, sheet_type, number, owner=owner, row=row)
    workbook.objects[sheet_type.name].setdefault(sheet_type.key(owner, row), (row, loc))


def _put(workbook: MenuWorkbook, sheet_type: SheetType, number: int, *, owner: Key, row: Row) -> Loc:
    """Add a row to the list that it belongs to, and return its location in the document; () if its owner is missing."""
    loc: Loc
    if sheet_type.above is None:
        rows, loc = workbook.content[sheet_type.fills], (sheet_type.fills,)
    elif owner in workbook.objects[sheet_type.above]:
        above, place = workbook.objects[sheet_type.above][owner]
        rows, loc = above.setdefault(sheet_type.fills, []), (*place, sheet_type.fills)
    else:
        for name, value in zip(sheet_type.owner, owner, strict=True):
            if not value:
                workbook.refuse((sheet_type.name, number, name), "is empty: say what the row belongs to")
        if all(owner):
            message = f"the sheet {sheet_type.above} has no such row"
            workbook.refuse((sheet_type.name, number, sheet_type.owner[-1]), message)
        return ()
    workbook.places[(*loc, len(rows))] = sheet_type.name, number
    rows.append(row)
    return (*loc, len(rows) - 1)
