"""Routes of roles and permissions."""

from uuid import UUID

from fastapi import Request, Response

from crema.accounts import queries
from crema.accounts.deps import ROLE, Idempotent, RoleEditor
from crema.accounts.queries import PERMISSIONS, ROLES
from crema.accounts.schemas import ChangeRole, PermissionOut, ReplaceRole, RoleIn, RoleOut
from crema.accounts.service import roles
from crema.web.clock import Now
from crema.web.listing import PageOut, listing_parameters, page_out, parse_list_query
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction

router = make_router("Users management")


@router.get(
    "/roles", summary="List roles", openapi_extra=listing_parameters(ROLES), responses=error_responses(401, 403, 422)
)
async def list_roles(request: Request, response: Response, reader: Reads, actor: RoleEditor) -> PageOut[RoleOut]:
    query = parse_list_query(request, ROLES, actor.permissions)
    return page_out(request, response, await queries.list_roles(reader, query=query), RoleOut.model_validate)


@router.post(
    "/role",
    status_code=201,
    summary="Create a role",
    dependencies=[ROLE.made],
    responses=LOCATED | error_responses(401, 403, 409, 422),
)
async def create_role(
    body: RoleIn, response: Response, tx: Transaction, actor: RoleEditor, now: Now, _idempotent: Idempotent
) -> RoleOut:
    role = await roles.create(tx, actor=actor, wanted=body, now=now)
    response.headers["Location"] = f"/role/{role.id}"
    return RoleOut.model_validate(role)


@router.get(
    "/role/{role_id}", summary="See a role", dependencies=[ROLE.shown], responses=error_responses(401, 403, 404, 422)
)
async def see_role(role_id: UUID, reader: Reads, _: RoleEditor) -> RoleOut:
    return RoleOut.model_validate(await queries.get_role_view(reader, role_id))


@router.put(
    "/role/{role_id}",
    summary="Replace a role",
    dependencies=[ROLE.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def replace_role(role_id: UUID, body: ReplaceRole, tx: Transaction, actor: RoleEditor, now: Now) -> RoleOut:
    return RoleOut.model_validate(await roles.replace(tx, actor=actor, role_id=role_id, wanted=body, now=now))


@router.patch(
    "/role/{role_id}",
    summary="Change a role",
    dependencies=[ROLE.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def change_role(role_id: UUID, body: ChangeRole, tx: Transaction, actor: RoleEditor, now: Now) -> RoleOut:
    return RoleOut.model_validate(await roles.change(tx, actor=actor, role_id=role_id, wanted=body, now=now))


@router.delete(
    "/role/{role_id}",
    status_code=204,
    summary="Delete a role",
    dependencies=[ROLE.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def delete_role(role_id: UUID, tx: Transaction, actor: RoleEditor) -> None:
    await roles.remove(tx, actor=actor, role_id=role_id)


@router.get(
    "/permissions",
    summary="List permissions",
    openapi_extra=listing_parameters(PERMISSIONS),
    responses=error_responses(401, 403, 422),
)
async def list_permissions(
    request: Request, response: Response, reader: Reads, actor: RoleEditor
) -> PageOut[PermissionOut]:
    query = parse_list_query(request, PERMISSIONS, actor.permissions)
    return page_out(
        request, response, await queries.list_permissions(reader, query=query), PermissionOut.model_validate
    )
