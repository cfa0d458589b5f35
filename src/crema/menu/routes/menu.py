"""The whole menu over HTTP."""

import hashlib
from uuid import UUID

from fastapi import Request, Response

from crema import __version__
from crema.menu.deps import MenuOfShop, TheMenu
from crema.menu.schemas import MenuOut
from crema.shops.deps import TheChain
from crema.web.direct import reads as new_reads
from crema.web.listing import document, pieces
from crema.web.problem import refusals
from crema.web.routing import is_known
from crema.web.transaction import Reads

reads = new_reads("Menu")


@reads.get(
    "/menu",
    summary="See the whole menu",
    response_model=MenuOut,
    responses=refusals(401, 404, 422),
)
async def see_menu(request: Request, reader: Reads, menu: TheMenu, chain: TheChain, shop_id: MenuOfShop) -> Response:
    """Headings in their order, each with its products, as one document to keep: ask again with `If-None-Match`."""
    start = MenuOut.start(shop_id=shop_id, currency=chain.currency).encode()
    version = await menu.version(reader)
    if is_known(request, _etag(start, version)):
        return Response(status_code=304, headers={"ETag": _etag(start, version)})
    version, content = await menu.read(reader, version)
    if version is None:
        return document(start + content)
    response = pieces(start, content)
    response.headers["ETag"] = _etag(start, version)
    return response


def _etag(start: bytes, version: UUID | None) -> str:
    """Name what is sent: another version of Crema may write the same menu otherwise."""
    named = f"{__version__} {version} ".encode() + start
    return f'"{hashlib.sha256(named).hexdigest()[:32]}"'
