"""The whole menu over HTTP."""

import hashlib
from typing import Annotated, Final

from fastapi import Query, Request, Response

from crema import __version__
from crema.accounts.deps import MenuEditor, Once
from crema.menu.deps import MenuOfShop, TheMenu
from crema.menu.schemas import MenuDocument, MenuImportOut, MenuOut
from crema.menu.service import exporting, importing
from crema.shops.deps import TheChain
from crema.web.clock import Now
from crema.web.direct import reads as new_reads
from crema.web.listing import pieces
from crema.web.problem import refusals
from crema.web.routing import router as new_router
from crema.web.routing import unless_known
from crema.web.transaction import Reads, Transaction

reads = new_reads("Menu")
router = new_router("Menu")

IMPORT_LIMIT: Final = 2 * 1024 * 1024
"""Bytes of a menu that is imported: a thousand products."""

DryRun = Annotated[bool, Query(description="Only tell what would change.")]


@reads.get(
    "/menu",
    summary="See the whole menu",
    response_model=MenuOut,
    responses=refusals(401, 404, 422),
)
async def see_menu(request: Request, reader: Reads, menu: TheMenu, chain: TheChain, shop_id: MenuOfShop) -> Response:
    """Headings in their order, each with its products, as one document to keep: ask again with `If-None-Match`."""
    start = MenuOut.start(shop_id=shop_id, currency=chain.currency)
    version = await menu.version(reader)

    async def whole() -> Response:
        name, content = await menu.read(reader, version)
        return pieces(start, content, ETag=_etag(start, name))

    return await unless_known(request, _etag(start, version), whole)


@router.get("/menu/export", summary="Export the whole menu", responses=refusals(401, 403, 422))
async def export_menu(tx: Transaction, _: MenuEditor) -> MenuDocument:
    """All that can be edited, hidden things included, without pictures: what `POST /menu/import` takes."""
    return await exporting.export_menu(tx)


@router.post(
    "/menu/import",
    summary="Import a menu",
    max_body_size=IMPORT_LIMIT,
    responses=refusals(401, 403, 409, 413, 422),
)
async def import_menu(
    body: MenuDocument, tx: Transaction, _: MenuEditor, now: Now, _once: Once, *, dry_run: DryRun = False
) -> MenuImportOut:
    """All of it or nothing; `errors` name the rows that are wrong. Up to 2 MiB.

    A row is matched by slug, name or `id` and replaced as a PUT does: what it leaves out becomes the default. What the
    document doesn't name stays, options of its groups and sizes of its products included. Other changes of the menu
    wait meanwhile.
    """
    imported = await importing.import_menu(tx, wanted=body, dry_run=dry_run, now=now)
    return MenuImportOut.model_validate(imported)


def _etag(start: bytes, name: str) -> str:
    """Name what is sent: another version of Crema may write the same menu otherwise."""
    return f'"{hashlib.sha256(f"{__version__} {name} ".encode() + start).hexdigest()[:32]}"'
