"""Routes of ingredients."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from crema.accounts.deps import Idempotent, MenuEditor, OptionalActor
from crema.menu import queries
from crema.menu.deps import INGREDIENT, IngredientsQuery
from crema.menu.schemas import IngredientIn, IngredientOut, IngredientPatch, ReplaceIngredient
from crema.menu.service import ingredients
from crema.web import fields
from crema.web.caching import Public
from crema.web.listing import PageOut, listing_parameters, page_out
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction

router = make_router("Menu")

Force = Annotated[bool, Query(description="Products and options lose it.")]


@router.get(
    "/ingredients",
    summary="List ingredients",
    dependencies=[Public, fields.of_list(IngredientOut)],
    openapi_extra=listing_parameters(queries.INGREDIENTS, fields=fields.PARAMETER),
    responses=error_responses(401, 422),
)
async def list_ingredients(
    request: Request, response: Response, reader: Reads, query: IngredientsQuery
) -> PageOut[IngredientOut]:
    page = await queries.list_ingredients(reader, query=query)
    return page_out(request, response, page, IngredientOut.model_validate)


@router.post(
    "/ingredient",
    status_code=201,
    summary="Add an ingredient",
    dependencies=[INGREDIENT.made],
    responses=LOCATED | error_responses(401, 403, 409, 422),
)
@router.post(
    "/ingredients",
    status_code=201,
    summary="Add an ingredient",
    description="The same as `POST /ingredient`, which is named like the other routes.",
    operation_id="postIngredients",
    dependencies=[INGREDIENT.made],
    responses=LOCATED | error_responses(401, 403, 409, 422),
)
async def create_ingredient(
    body: IngredientIn, response: Response, tx: Transaction, _: MenuEditor, _idempotent: Idempotent
) -> IngredientOut:
    ingredient = await ingredients.create_ingredient(tx, ingredient_in=body)
    response.headers["Location"] = f"/ingredient/{ingredient.id}"
    return IngredientOut.model_validate(ingredient)


@router.get(
    "/ingredient/{ingredient_id}",
    summary="See an ingredient",
    openapi_extra=fields.parameters(),
    dependencies=[Public, INGREDIENT.shown, fields.of_one(IngredientOut)],
    responses=error_responses(401, 404, 422),
)
async def see_ingredient(ingredient_id: UUID, reader: Reads, _: OptionalActor) -> IngredientOut:
    return IngredientOut.model_validate(await queries.get_ingredient_view(reader, ingredient_id))


@router.put(
    "/ingredient/{ingredient_id}",
    summary="Replace an ingredient",
    dependencies=[INGREDIENT.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def replace_ingredient(
    ingredient_id: UUID, body: ReplaceIngredient, tx: Transaction, _: MenuEditor
) -> IngredientOut:
    ingredient = await ingredients.edit_ingredient(tx, ingredient_id=ingredient_id, changes=body)
    return IngredientOut.model_validate(ingredient)


@router.patch(
    "/ingredient/{ingredient_id}",
    summary="Change an ingredient",
    dependencies=[INGREDIENT.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def change_ingredient(
    ingredient_id: UUID, body: IngredientPatch, tx: Transaction, _: MenuEditor
) -> IngredientOut:
    ingredient = await ingredients.edit_ingredient(tx, ingredient_id=ingredient_id, changes=body)
    return IngredientOut.model_validate(ingredient)


@router.delete(
    "/ingredient/{ingredient_id}",
    status_code=204,
    summary="Delete an ingredient",
    dependencies=[INGREDIENT.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def delete_ingredient(ingredient_id: UUID, tx: Transaction, _: MenuEditor, *, force: Force = False) -> None:
    """An ingredient that something on the menu contains is deleted only with `force`."""
    await ingredients.delete_ingredient(tx, ingredient_id=ingredient_id, force=force)
