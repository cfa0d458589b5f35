"""Making and changing roles. What a role allows counts at the next request of everyone who has it."""

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
from crema.db.edits import apply_changes, when_violated
from crema.schemas import value_or

_NAMES: Final = ("uq_roles_name", "uq_roles_name_skeleton")


class RoleExistsError(ConflictError):
    """The name is taken, or reads like one that is."""

    code = "role_exists"
    title = "There is a role with this name, or with one that looks like it."
    advice = "Choose another name."


class BuiltinRoleError(ConflictError):
    """A role the system itself relies on."""

    code = "builtin_role"
    title = "A built-in role can't be renamed or deleted, and the administrator's permissions are fixed."
    advice = "Make a role of your own instead."


class RoleInUseError(ConflictError):
    """Somebody has it."""

    code = "role_in_use"
    title = "People have this role."
    advice = "Give them another role first."


async def create(session: AsyncSession, *, actor: Actor, wanted: RoleIn, now: datetime) -> Role:
    """Make a role of permissions one has oneself."""
    _check_reach(actor, wanted.permissions)
    role = Role(name=wanted.name, description=wanted.description, created_at=now, updated_at=now)
    session.add(role)
    with when_violated(RoleExistsError(), *_NAMES):
        await session.flush()
    await _grant(session, role_id=role.id, permissions=wanted.permissions)
    return await queries.get_role(session, role.id)


async def replace(session: AsyncSession, *, actor: Actor, role_id: UUID, wanted: ReplaceRole, now: datetime) -> Role:
    """PUT: everything."""
    role = await queries.get_role_for_update(session, role_id)
    wanted.check_read_only(RoleOut.model_validate(role))
    return await _update(session, actor=actor, role=role, wanted=wanted, now=now)


async def change(session: AsyncSession, *, actor: Actor, role_id: UUID, wanted: ChangeRole, now: datetime) -> Role:
    """PATCH: only what was sent."""
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

    with when_violated(RoleExistsError(), *_NAMES):
        await apply_changes(session, role, wanted, now=now)
    await session.execute(delete(RolePermission).where(RolePermission.role_id == role.id))
    await _grant(session, role_id=role.id, permissions=permissions)
    return await queries.get_role(session, role.id)


async def remove(session: AsyncSession, *, actor: Actor, role_id: UUID) -> None:
    """Delete a role nobody has."""
    role = await queries.get_role_for_update(session, role_id)
    if role.is_builtin:
        raise BuiltinRoleError
    _check_reach(actor, role.permission_codes)
    with when_violated(RoleInUseError(), "fk_users_role_id"):
        await session.execute(delete(Role).where(Role.id == role.id))


def _check_reach(actor: Actor, permissions: Collection[str]) -> None:
    """Nobody gives or takes what they don't have."""
    if beyond := sorted(set(permissions) - actor.permissions):
        raise ForbiddenError(f"You don't have {', '.join(beyond)} yourself.")


async def _grant(session: AsyncSession, *, role_id: UUID, permissions: Collection[str]) -> None:
    session.add_all(RolePermission(role_id=role_id, permission_code=code) for code in sorted(permissions))
    await session.flush()
