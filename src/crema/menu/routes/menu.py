"""Routes of the whole menu: reading, exporting and importing it."""

import asyncio
from typing import Annotated, Literal

from fastapi import Query, Request, Response

from crema import __version__
from crema.accounts.deps import Idempotent, MenuEditor
from crema.menu.deps import IMPORT_LIMIT, RequestedShop, TheMenu, Workbooks, WorkbookUpload
from crema.menu.schemas import MenuDocument, MenuImportOut, MenuOut, MenuWorkbookForm
from crema.menu.service import exporting, importing, workbook
from crema.shops.deps import TheChain
from crema.web.caching import Public, not_modified_or
from crema.web.clock import Now
from crema.web.forms import form_schema
from crema.web.listing import stream_json
from crema.web.problem import error_responses
from crema.web.routing import make_form_router, make_router
from crema.web.spreadsheet import XLSX_CONTENT, xlsx_response
from crema.web.tags import tag_of
from crema.web.transaction import Reads, Transaction

router = make_router("Menu")
forms = make_form_router()

DryRun = Annotated[bool, Query(description="Only show what would change.")]


@router.get(
    "/menu",
    summary="See the whole menu",
    response_model=MenuOut,
    dependencies=[Public],
    responses=error_responses(404, 422),
)
async def see_menu(
    request: Request, reader: Reads, menu: TheMenu, chain: TheChain, shop: RequestedShop, now: Now
) -> Response:
    """Categories in their order, each with its products, as one document to cache. Ask again with `If-None-Match`.

    With `shop_id` it has that shop's prices, and says what is available there now.
    """
    found = await menu.find(reader, shop=shop, now=now)
    start = MenuOut.start(shop_id=found.shop_id, currency=chain.currency)

    async def whole() -> Response:
        version, content = await menu.read(reader, found)
        return stream_json(start, content, ETag=_etag(start, version))

    return await not_modified_or(request, _etag(start, found.version), whole)


@router.get(
    "/menu/export",
    summary="Export the whole menu",
    response_model=MenuDocument,
    responses=error_responses(401, 403, 422) | {200: {"content": XLSX_CONTENT}},
)
async def export_menu(
    tx: Transaction,
    _: MenuEditor,
    format: Annotated[Literal["json", "xlsx"], Query(description="`xlsx`: a workbook for spreadsheets.")] = "json",  # noqa: A002 - a query parameter
) -> Response | MenuDocument:
    """Everything that can be edited, also what is hidden, but no pictures. `POST /menu/import` takes it.

    The workbook has a sheet for each list. Its first row has the names of the columns. A list in a cell has one item on
    each line.
    """
    document = await exporting.export_menu(tx)
    return (
        xlsx_response("menu.xlsx", await asyncio.to_thread(workbook.write_menu, document))
        if format == "xlsx"
        else document
    )


@forms.post("/menu/import", max_body_size=IMPORT_LIMIT)
async def import_menu_workbook(
    upload: WorkbookUpload,
    tx: Transaction,
    workbooks: Workbooks,
    editor: MenuEditor,
    now: Now,
    *,
    dry_run: DryRun = False,
) -> MenuImportOut:
    """Import a workbook. The route `import_menu` takes JSON, and describes both."""
    imported = await importing.import_workbook(
        tx, workbooks, file=upload.file, person_id=editor.user_id, dry_run=dry_run, now=now
    )
    return MenuImportOut.model_validate(imported)


@router.post(
    "/menu/import",
    summary="Import a menu",
    max_body_size=IMPORT_LIMIT,
    openapi_extra=form_schema(
        MenuWorkbookForm, description="A workbook in XLSX as `GET /menu/export?format=xlsx` gives it."
    ),
    responses=error_responses(401, 403, 409, 413, 415, 422, 429),
)
async def import_menu(
    body: MenuDocument, tx: Transaction, _: MenuEditor, now: Now, _idempotent: Idempotent, *, dry_run: DryRun = False
) -> MenuImportOut:
    """Imports everything or nothing; `errors` names the rows that are wrong.

    JSON, or a form with a workbook; up to 2 MiB.

    A row is matched by slug, name or `id`, and replaced as a PUT does: a field that it leaves out gets its default.
    What the document doesn't name stays, also options of its groups and sizes of its products. Other changes of the
    menu wait until the import is done.

    In a workbook, an empty cell is a field that is left out; `none` in `allergens_always` is an empty list. An empty
    `caffeine_mg` is unknown, 0 means none. Locations are sheet, row and column, with rows counted from 1, as in
    `["products", 7, "price"]`. Numbers and prices may be numbers or text. Formulas, dates, merged cells, and sheets or
    columns that the export doesn't have are refused. These sheets go together, if need be without rows: `products` with
    `sizes`, `product_categories` and `product_modifier_groups`; `modifier_groups` with `options`; `options` with
    `size_prices` and `size_nutrition`. A person may upload 20 workbooks a minute and 200 MiB a day.
    """
    imported = await importing.import_menu(tx, document=body, dry_run=dry_run, now=now)
    return MenuImportOut.model_validate(imported)


def _etag(start: bytes, version: str) -> str:
    """Return the ETag of a menu. It depends on Crema's version, too, which may write the same menu differently."""
    return tag_of(f"{__version__} {version} ".encode() + start)
