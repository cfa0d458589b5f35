"""Routes of products."""

from uuid import UUID

from fastapi import Request, Response

from crema.accounts.deps import Idempotent, MenuEditor
from crema.menu import queries
from crema.menu.deps import PRODUCT, AvailabilityQuery, Products, ProductsQuery, RequestedShop, SeesHidden
from crema.menu.schemas import (
    AvailabilityOut,
    ChangePrices,
    CopyProduct,
    PriceChangeOut,
    PricesOut,
    ProductIn,
    ProductOut,
    ProductPatch,
    ReplaceProduct,
)
from crema.menu.service import offers, prices, products
from crema.web import fields
from crema.web.caching import Public
from crema.web.clock import Now
from crema.web.listing import PageOut, json_response, listing_parameters, page_response
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction

router = make_router("Menu")


@router.get(
    "/products",
    summary="List products",
    openapi_extra=listing_parameters(queries.PRODUCTS_OF_CATEGORY, fields=fields.PARAMETER),
    response_model=PageOut[ProductOut],
    dependencies=[Public, fields.of_list(ProductOut)],
    responses=error_responses(401, 404, 422),
)
async def list_products(request: Request, reader: Reads, offered: Products, requested: ProductsQuery) -> Response:
    """With `category_id`, in that category's own order. With `shop_id`, prices are that shop's, in filters too."""
    page, version = await offered.page(reader, requested)
    return page_response(request, page, version=version)


@router.post(
    "/product",
    status_code=201,
    summary="Add a product",
    dependencies=[PRODUCT.made],
    responses=LOCATED | error_responses(401, 403, 409, 422),
)
async def create_product(
    body: ProductIn, response: Response, tx: Transaction, _: MenuEditor, now: Now, _idempotent: Idempotent
) -> ProductOut:
    product = await products.create_product(tx, product_in=body, now=now)
    response.headers["Location"] = f"/product/{product.id}"
    return ProductOut.model_validate(product)


@router.post("/products/prices", summary="Change many prices", responses=error_responses(401, 403, 422))
async def change_prices(
    body: ChangePrices, tx: Transaction, _: MenuEditor, now: Now, _idempotent: Idempotent
) -> PricesOut:
    """By a percentage or from a list; all prices or none. `dry_run: true` gives the same answer and changes nothing.

    A percentage that is sent twice counts twice. To repeat safely, send what the dry run answered as `prices`. Price
    deltas of sizes and options stay.
    """
    changes = await prices.change_prices(tx, request=body, now=now)
    return PricesOut(
        dry_run=body.dry_run,
        changed=sum(each.price_after != each.price_before for each in changes),
        products=[PriceChangeOut.model_validate(each) for each in changes],
    )


@router.get(
    "/product/{product_id}",
    summary="See a product",
    response_model=ProductOut,
    openapi_extra=fields.parameters(),
    dependencies=[Public, fields.of_one(ProductOut, also=("shop_id",))],
    responses=error_responses(401, 404, 422),
)
async def see_product(
    product_id: UUID, reader: Reads, offered: Products, shop: RequestedShop, now: Now, *, sees_hidden: SeesHidden
) -> Response:
    """With `shop_id` it has that shop's price, and says what is available there now."""
    content, version = await offered.one(reader, product_id=product_id, sees_hidden=sees_hidden, shop=shop, now=now)
    return json_response(content, version=version)


@router.get(
    "/product/{product_id}/availability",
    summary="See whether a product is available",
    dependencies=[Public],
    responses=error_responses(401, 404, 422),
)
async def see_availability(
    product_id: UUID, reader: Reads, requested: AvailabilityQuery, *, sees_hidden: SeesHidden
) -> AvailabilityOut:
    """At a shop, for a pick-up time: whether the product is available, and if not, every reason and when it ends."""
    return AvailabilityOut.model_validate(
        await offers.availability_at(reader, product_id=product_id, requested=requested, sees_hidden=sees_hidden)
    )


@router.put(
    "/product/{product_id}",
    summary="Replace a product",
    dependencies=[PRODUCT.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def replace_product(
    product_id: UUID, body: ReplaceProduct, tx: Transaction, _: MenuEditor, now: Now
) -> ProductOut:
    """Sizes whose id is sent are changed, those without an id are added, and the others are deleted. Pictures stay."""
    product = await products.edit_product(tx, product_id=product_id, changes=body, now=now)
    return ProductOut.model_validate(product)


@router.patch(
    "/product/{product_id}",
    summary="Change a product",
    dependencies=[PRODUCT.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def change_product(product_id: UUID, body: ProductPatch, tx: Transaction, _: MenuEditor, now: Now) -> ProductOut:
    product = await products.edit_product(tx, product_id=product_id, changes=body, now=now)
    return ProductOut.model_validate(product)


@router.post(
    "/product/{product_id}/copy",
    status_code=201,
    summary="Copy a product",
    dependencies=[PRODUCT.made],
    responses=LOCATED | error_responses(401, 403, 404, 409, 422),
)
async def copy_product(
    product_id: UUID,
    response: Response,
    tx: Transaction,
    _: MenuEditor,
    now: Now,
    _idempotent: Idempotent,
    body: CopyProduct | None = None,
) -> ProductOut:
    """Copies everything except pictures. The copy is inactive, so that nobody orders it before it is ready."""
    product = await products.copy_product(tx, product_id=product_id, name=body.name if body else None, now=now)
    response.headers["Location"] = f"/product/{product.id}"
    return ProductOut.model_validate(product)


@router.post(
    "/product/{product_id}/restore",
    summary="Restore a deleted product",
    dependencies=[PRODUCT.made],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def restore_product(
    product_id: UUID, tx: Transaction, _: MenuEditor, now: Now, _idempotent: Idempotent
) -> ProductOut:
    """It comes back with all it had, except what was deleted from the menu meanwhile, and a slug that was taken."""
    return ProductOut.model_validate(await products.restore_product(tx, product_id=product_id, now=now))


@router.delete(
    "/product/{product_id}",
    status_code=204,
    summary="Delete a product",
    dependencies=[PRODUCT.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def delete_product(product_id: UUID, tx: Transaction, _: MenuEditor, now: Now) -> None:
    """Past orders keep the product; carts mark it as not available."""
    await products.archive_product(tx, product_id=product_id, now=now)
