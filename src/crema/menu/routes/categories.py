"""Routes of categories."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from crema.accounts.deps import Idempotent, MenuEditor
from crema.menu import queries
from crema.menu.deps import CATEGORY, CategoriesQuery, SeesHidden
from crema.menu.schemas import (
    CategoryIn,
    CategoryOut,
    CategoryPatch,
    CategoryProductsIn,
    CategoryProductsOut,
    ReplaceCategory,
    category_document,
    hashable_row,
)
from crema.menu.service import categories
from crema.web import fields
from crema.web.caching import Public
from crema.web.clock import Now
from crema.web.listing import PageOut, json_response, listing_parameters, page_response
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction

router = make_router("Menu")

Force = Annotated[bool, Query(description="Products lose the category, categories under it move up.")]


@router.get(
    "/categories",
    summary="List categories",
    response_model=PageOut[CategoryOut],
    openapi_extra=listing_parameters(queries.CATEGORIES, fields=fields.PARAMETER),
    dependencies=[Public, fields.of_list(CategoryOut)],
    responses=error_responses(401, 422),
)
async def list_categories(
    request: Request, reader: Reads, query: CategoriesQuery, *, sees_hidden: SeesHidden
) -> Response:
    page = await queries.list_categories(reader, query=query, sees_hidden=sees_hidden)
    return page_response(request, page.map(lambda row: category_document(hashable_row(row))))


@router.post(
    "/category",
    status_code=201,
    summary="Add a category",
    dependencies=[CATEGORY.made],
    responses=LOCATED | error_responses(401, 403, 409, 422),
)
async def create_category(
    body: CategoryIn, response: Response, tx: Transaction, _: MenuEditor, now: Now, _idempotent: Idempotent
) -> CategoryOut:
    category = await categories.create_category(tx, category_in=body, now=now)
    response.headers["Location"] = f"/category/{category.id}"
    return CategoryOut.model_validate(category)


@router.get(
    "/category/{category_id}",
    summary="See a category",
    response_model=CategoryOut,
    openapi_extra=fields.parameters(),
    dependencies=[Public, CATEGORY.shown, fields.of_one(CategoryOut)],
    responses=error_responses(401, 404, 422),
)
async def see_category(category_id: UUID, reader: Reads, *, sees_hidden: SeesHidden) -> Response:
    row = await queries.get_category_row(reader, category_id=category_id, sees_hidden=sees_hidden)
    return json_response(category_document(hashable_row(row)))


@router.put(
    "/category/{category_id}",
    summary="Replace a category",
    dependencies=[CATEGORY.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def replace_category(
    category_id: UUID, body: ReplaceCategory, tx: Transaction, _: MenuEditor, now: Now
) -> CategoryOut:
    category = await categories.edit_category(tx, category_id=category_id, changes=body, now=now)
    return CategoryOut.model_validate(category)


@router.put(
    "/category/{category_id}/products",
    summary="Set a category's products and their order",
    dependencies=[CATEGORY.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def set_products(
    category_id: UUID, body: CategoryProductsIn, tx: Transaction, _: MenuEditor, now: Now
) -> CategoryProductsOut:
    """Replaces the category's products and sets their order, in the menu and in `/products?category_id=`."""
    product_ids = await categories.set_products(tx, category_id=category_id, product_ids=body.product_ids, now=now)
    return CategoryProductsOut(product_ids=list(product_ids))


@router.patch(
    "/category/{category_id}",
    summary="Change a category",
    dependencies=[CATEGORY.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def change_category(
    category_id: UUID, body: CategoryPatch, tx: Transaction, _: MenuEditor, now: Now
) -> CategoryOut:
    category = await categories.edit_category(tx, category_id=category_id, changes=body, now=now)
    return CategoryOut.model_validate(category)


@router.delete(
    "/category/{category_id}",
    status_code=204,
    summary="Delete a category",
    dependencies=[CATEGORY.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def delete_category(category_id: UUID, tx: Transaction, _: MenuEditor, now: Now, *, force: Force = False) -> None:
    """Its products stay. A category that isn't empty is deleted only with `force`."""
    await categories.delete_category(tx, category_id=category_id, force=force, now=now)
