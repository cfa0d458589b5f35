"""The whole menu over HTTP."""

from fastapi import Response

from crema.menu import queries
from crema.menu.deps import MenuOfShop
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
async def see_menu(reader: Reads, chain: TheChain, shop_id: MenuOfShop) -> Response:
    """Headings in their order, each with its products, as one document to keep: ask again with `If-None-Match`."""
    menu = await queries.load_menu(reader)
    written = MenuOut.write(headings=menu.headings, products=menu.products, shop_id=shop_id, currency=chain.currency)
    return document(written)
