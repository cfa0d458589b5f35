"""Creating, changing and deleting roles. Changes have effect at the next request of everyone who has the role."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import ADMIN, Actor
from crema.accounts.models import Role, RolePermission
from crema.accounts.schemas import ChangeRole, ReplaceRole, RoleIn, RoleOut
from crema.core.errors import ConflictError, ForbiddenError
from crema.db.edits import apply_changes, raise_on_constraint
from crema.schemas import value_or

_NAMES: Final = ("uq_roles_name", "uq_roles_name_skeleton")


class RoleExistsError(ConflictError):
    """Another role has this name, or one that looks like it."""

    code = "role_exists"
    title = "There is a role with this name, or with one that looks like it."
    advice = "Choose another name."


class BuiltinRoleError(ConflictError):
    """The change is not possible for a built-in role."""

    code = "builtin_role"
    title = "A built-in role can't be renamed or deleted, and the administrator's permissions are fixed."
    advice = "Make a role of your own instead."


class RoleInUseError(ConflictError):
    """People have the role that is to be deleted."""

    code = "role_in_use"
    title = "People have this role."
    advice = "Give them another role first."


async def create(session: AsyncSession, *, actor: Actor, wanted: RoleIn, now: datetime) -> Role:
    """Create a role. The actor must have each of its permissions."""
    _check_reach(actor, wanted.permissions)
    role = Role(name=wanted.name, description=wanted.description, created_at=now, updated_at=now)
    session.add(role)
    with raise_on_constraint(RoleExistsError(), *_NAMES):
        await session.flush()
    await _grant(session, role_id=role.id, permissions=wanted.permissions)
    return await queries.get_role(session, role.id)


async def replace(session: AsyncSession, *, actor: Actor, role_id: UUID, wanted: ReplaceRole, now: datetime) -> Role:
    """Replace all fields of a role (PUT)."""
    role = await queries.get_role_for_update(session, role_id)
    wanted.check_read_only(RoleOut.model_validate(role))
    return await _update(session, actor=actor, role=role, wanted=wanted, now=now)


async def change(session: AsyncSession, *, actor: Actor, role_id: UUID, wanted: ChangeRole, now: datetime) -> Role:
    """Change the fields of a role that were sent (PATCH)."""
    role = await queries.get_role_for_update(session, role_id)
    return await _update(session, actor=actor, role=role, wanted=wanted, now=now)


async def _update(
    session: AsyncSession, *, actor: Actor, role: Role, wanted: ChangeRole | ReplaceRole, now: datetime
) -> Role:
    permissions = set(value_or(wanted.permissions, role.permission_codes))
    renamed = value_or(wanted.name, role.name) != role.name
    widens_builtin = permissions != set(role.permission_codes) and (role.name == ADMIN or not actor.is_admin)
    if role.is_builtin and (renamed or widens_builtin):
        raise BuiltinRoleError
    _check_reach(actor, permissions | set(role.permission_codes))

    with raise_on_constraint(RoleExistsError(), *_NAMES):
        await apply_changes(session, role, wanted, now=now)
    await session.execute(delete(RolePermission).where(RolePermission.role_id == role.id))
    await _grant(session, role_id=role.id, permissions=permissions)
    return await queries.get_role(session, role.id)


async def remove(session: AsyncSession, *, actor: Actor, role_id: UUID) -> None:
    """Delete a role; raise RoleInUseError if people have it."""
    role = await queries.get_role_for_update(session, role_id)
    if role.is_builtin:
        raise BuiltinRoleError
    _check_reach(actor, role.permission_codes)
    with raise_on_constraint(RoleInUseError(), "fk_users_role_id"):
        await session.execute(delete(Role).where(Role.id == role.id))


def _check_reach(actor: Actor, permissions: Collection[str]) -> None:
    """Raise ForbiddenError for permissions that the actor doesn't have."""
    if lacking := sorted(set(permissions) - actor.permissions):
        raise ForbiddenError(f"You can give and take only permissions that you have; you lack {', '.join(lacking)}.")


async def _grant(session: AsyncSession, *, role_id: UUID, permissions: Collection[str]) -> None:
    session.add_all(RolePermission(role_id=role_id, permission_code=code) for code in sorted(permissions))
    await session.flush()
