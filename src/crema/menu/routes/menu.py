"""The whole menu over HTTP."""

import hashlib

from fastapi import Request, Response

from crema import __version__
from crema.menu.deps import MenuOfShop, TheMenu
from crema.menu.schemas import MenuOut
from crema.shops.deps import TheChain
from crema.web.direct import reads as new_reads
from crema.web.listing import pieces
from crema.web.problem import refusals
from crema.web.routing import unless_known
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
    start = MenuOut.start(shop_id=shop_id, currency=chain.currency)
    version = await menu.version(reader)

    async def whole() -> Response:
        name, content = await menu.read(reader, version)
        return pieces(start, content, ETag=_etag(start, name))

    return await unless_known(request, _etag(start, version), whole)


def _etag(start: bytes, name: str) -> str:
    """Name what is sent: another version of Crema may write the same menu otherwise."""
    return f'"{hashlib.sha256(f"{__version__} {name} ".encode() + start).hexdigest()[:32]}"'
