"""Routes of modifier groups, for those who edit the menu. Customers see the groups inside products."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from crema.accounts.deps import Idempotent, MenuEditor
from crema.menu import queries
from crema.menu.deps import MODIFIER_GROUP, ModifierGroupsQuery
from crema.menu.schemas import ModifierGroupIn, ModifierGroupOut, ModifierGroupPatch, ReplaceModifierGroup
from crema.menu.service import modifier_groups
from crema.web import fields
from crema.web.clock import Now
from crema.web.listing import PageOut, listing_parameters, page_out
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Transaction

router = make_router("Menu")

Force = Annotated[bool, Query(description="Products stop offering it.")]


@router.get(
    "/modifier-groups",
    summary="List modifier groups",
    openapi_extra=listing_parameters(queries.MODIFIER_GROUPS, fields=fields.PARAMETER),
    dependencies=[fields.of_list(ModifierGroupOut)],
    responses=error_responses(401, 403, 422),
)
async def list_modifier_groups(
    request: Request, response: Response, tx: Transaction, query: ModifierGroupsQuery
) -> PageOut[ModifierGroupOut]:
    page = await queries.list_modifier_groups(tx, query=query)
    return page_out(request, response, page, ModifierGroupOut.model_validate)


@router.post(
    "/modifier-group",
    status_code=201,
    summary="Add a modifier group",
    dependencies=[MODIFIER_GROUP.made],
    responses=LOCATED | error_responses(401, 403, 422),
)
async def create_modifier_group(
    body: ModifierGroupIn, response: Response, tx: Transaction, _: MenuEditor, now: Now, _idempotent: Idempotent
) -> ModifierGroupOut:
    group = await modifier_groups.create_modifier_group(tx, group_in=body, now=now)
    response.headers["Location"] = f"/modifier-group/{group.id}"
    return ModifierGroupOut.model_validate(group)


@router.get(
    "/modifier-group/{group_id}",
    summary="See a modifier group",
    openapi_extra=fields.parameters(),
    dependencies=[MODIFIER_GROUP.shown, fields.of_one(ModifierGroupOut)],
    responses=error_responses(401, 403, 404, 422),
)
async def see_modifier_group(group_id: UUID, tx: Transaction, _: MenuEditor) -> ModifierGroupOut:
    return ModifierGroupOut.model_validate(await queries.get_modifier_group(tx, group_id))


@router.put(
    "/modifier-group/{group_id}",
    summary="Replace a modifier group",
    dependencies=[MODIFIER_GROUP.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def replace_modifier_group(
    group_id: UUID, body: ReplaceModifierGroup, tx: Transaction, _: MenuEditor, now: Now
) -> ModifierGroupOut:
    """Options whose id is sent are changed, those without an id are added, and the others are deleted."""
    group = await modifier_groups.edit_modifier_group(tx, group_id=group_id, changes=body, now=now)
    return ModifierGroupOut.model_validate(group)


@router.patch(
    "/modifier-group/{group_id}",
    summary="Change a modifier group",
    dependencies=[MODIFIER_GROUP.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def change_modifier_group(
    group_id: UUID, body: ModifierGroupPatch, tx: Transaction, _: MenuEditor, now: Now
) -> ModifierGroupOut:
    group = await modifier_groups.edit_modifier_group(tx, group_id=group_id, changes=body, now=now)
    return ModifierGroupOut.model_validate(group)


@router.delete(
    "/modifier-group/{group_id}",
    status_code=204,
    summary="Delete a modifier group",
    dependencies=[MODIFIER_GROUP.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def delete_modifier_group(group_id: UUID, tx: Transaction, _: MenuEditor, *, force: Force = False) -> None:
    """A group that products offer is deleted only with `force`."""
    await modifier_groups.delete_modifier_group(tx, group_id=group_id, force=force)
