"""The whole menu over HTTP."""

from fastapi import Response

from crema.menu import queries
from crema.menu.deps import MenuOfShop
from crema.menu.schemas import MenuOut
from crema.shops.deps import TheChain
from crema.web.listing import document
from crema.web.problem import refusals
from crema.web.routing import Public
from crema.web.routing import router as new_router
from crema.web.transaction import Transaction

router = new_router("Menu")


@router.get(
    "/menu",
    summary="See the whole menu",
    dependencies=[Public],
    response_model=MenuOut,
    responses=refusals(401, 404, 422),
)
async def see_menu(response: Response, tx: Transaction, chain: TheChain, shop_id: MenuOfShop) -> Response:
    """Headings in their order, each with its products, as one document to keep: ask again with `If-None-Match`."""
    menu = await queries.load_menu(tx)
    written = MenuOut.write(headings=menu.headings, products=menu.products, shop_id=shop_id, currency=chain.currency)
    return document(response, written)
