"""The whole menu over HTTP."""

import hashlib

from fastapi import Response

from crema.menu.deps import MenuOfShop, TheMenu
from crema.menu.schemas import MenuOut
from crema.shops.deps import TheChain
from crema.web.listing import document
from crema.web.problem import refusals
from crema.web.routing import reads as new_reads
from crema.web.transaction import Reads

reads = new_reads("Menu")


@reads.get(
    "/menu",
    summary="See the whole menu",
    response_model=MenuOut,
    responses=refusals(401, 404, 422),
)
async def see_menu(reader: Reads, menu: TheMenu, chain: TheChain, shop_id: MenuOfShop) -> Response:
    """Headings in their order, each with its products, as one document to keep: ask again with `If-None-Match`."""
    written = await menu.read(reader)
    start = MenuOut.start(shop_id=shop_id, currency=chain.currency).encode()
    response = document(start + written.content)
    response.headers["ETag"] = f'"{hashlib.sha256(start + written.digest).hexdigest()[:32]}"'
    return response
