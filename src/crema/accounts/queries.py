"""Every SELECT about people."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import ADMIN, Actor
from crema.accounts.models import Role, RolePermission, Session, StaffShop, User


async def find_actor(session: AsyncSession, *, user_id: UUID, session_id: UUID, now: datetime) -> Actor | None:
    """Load who is asking, if their login still counts: one indexed statement, at every request."""
    permissions = select(func.array_agg(RolePermission.permission_code)).where(RolePermission.role_id == Role.id)
    shops = select(func.array_agg(StaffShop.shop_id)).where(StaffShop.user_id == User.id)
    row = (
        await session.execute(
            select(
                User.is_verified.label("is_verified"),
                Role.name,
                permissions.scalar_subquery().label("permissions"),
                shops.scalar_subquery().label("shops"),
            )
            .select_from(Session)
            .join(User, User.id == Session.user_id)
            .join(Role, Role.id == User.role_id)
            .where(
                Session.id == session_id,
                Session.user_id == user_id,
                Session.ended_at.is_(None),
                Session.expires_at > now,
                User.is_active,
                User.deleted_at.is_(None),
            )
        )
    ).one_or_none()
    if row is None:
        return None
    return Actor(
        user_id=user_id,
        session_id=session_id,
        role=row.name,
        permissions=frozenset(row.permissions or ()),
        shop_ids=frozenset(row.shops or ()),
        is_verified=row.is_verified,
    )


async def list_admin_recipients(session: AsyncSession) -> list[tuple[str, str, str | None]]:
    """List (address, language, name) of every administrator who can log in."""
    rows = await session.execute(
        select(User.email, User.language, User.name)
        .join(Role, Role.id == User.role_id)
        .where(Role.name == ADMIN, User.is_active, User.verified_at.is_not(None), User.deleted_at.is_(None))
        .order_by(User.id)
    )
    return [(email, language, name) for email, language, name in rows if email]
