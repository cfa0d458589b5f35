"""Every SELECT about people, roles and logins."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Select,
    SQLColumnExpression,
    String,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, joinedload, selectinload

from crema.accounts.domain import ADMIN, ALL_SHOPS, Actor, effective_permissions
from crema.accounts.models import Permission, Role, RolePermission, Session, StaffShop, User
from crema.accounts.schemas import PermissionCode
from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db import versions
from crema.db.driver import Reader
from crema.db.listing import (
    BooleanField,
    EmailField,
    InstantField,
    Listing,
    ListQuery,
    ListStatement,
    Many,
    One,
    PhoneField,
    TextField,
    UuidField,
)
from crema.db.statement import Executor, Statement, into
from crema.schemas import Name, Text

EMAIL_KEY: Final = func.lower(User.email)
"""The key of the unique index on addresses, which ignores case."""

_UserRole: Final = aliased(Role)
USERS: Final = Listing(
    name="User",
    fields={
        "id": UuidField(User.id, indexed=True),
        "email": EmailField(User.email, indexed=True),
        "name": TextField(User.name, of=Name, nullable=True, indexed=True, example="Анна"),
        "phone": PhoneField(User.phone, nullable=True, indexed=True),
        "role": One(
            _UserRole, _UserRole.id == User.role_id, TextField(_UserRole.name, of=Name, indexed=True, example="barista")
        ),
        "permissions": Many(
            RolePermission,
            and_(
                RolePermission.role_id == User.role_id,
                or_(RolePermission.permission_code != ALL_SHOPS, User.is_tied.is_(False), Role.name == ADMIN),
            ),
            TextField(RolePermission.permission_code, of=PermissionCode, searched=False, example="menu:write"),
        ),
        "shop_ids": Many(StaffShop, StaffShop.user_id == User.id, UuidField(StaffShop.shop_id)),
        "is_verified": BooleanField(User.is_verified, indexed=True),
        "is_active": BooleanField(User.is_active, indexed=True),
        "pending_email": EmailField(User.pending_email, nullable=True, searched=False),
        "created_at": InstantField(User.created_at, indexed=True),
        "updated_at": InstantField(User.updated_at, indexed=True),
    },
    sort={"name": TextField(func.coalesce(User.name, ""))},
    default_sort="-created_at",
    id_column=User.id,
)

ROLES: Final = Listing(
    name="Role",
    fields={
        "id": UuidField(Role.id, indexed=True),
        "name": TextField(Role.name, of=Name, indexed=True, example="barista"),
        "description": TextField(Role.description, of=Text, indexed=True),
        "permissions": Many(
            RolePermission,
            RolePermission.role_id == Role.id,
            TextField(RolePermission.permission_code, of=PermissionCode, searched=False, example="menu:write"),
        ),
        "is_builtin": BooleanField(Role.is_builtin, indexed=True),
        "created_at": InstantField(Role.created_at, indexed=True),
        "updated_at": InstantField(Role.updated_at, indexed=True),
    },
    default_sort="name",
    id_column=Role.id,
)

SESSIONS: Final = Listing(
    name="Session",
    fields={
        "id": UuidField(Session.id),
        "user_agent": TextField(Session.user_agent, example="Firefox"),
        "network": TextField(Session.network, searched=False, example="198.51.100.0/24"),
        "created_at": InstantField(Session.created_at),
        "last_used_at": InstantField(Session.last_used_at),
        "expires_at": InstantField(Session.expires_at),
    },
    left_out={"is_current": "it depends on the login that sends the request, not on the row"},
    default_sort="-last_used_at",
    id_column=Session.id,
)

PERMISSIONS: Final = Listing(
    name="Permission",
    fields={
        "code": TextField(Permission.code, of=PermissionCode, example="menu:write"),
        "description": TextField(Permission.description, example="Edit the menu"),
    },
    default_sort="code",
    id_column=TextField(Permission.code),
)


def is_active_session(now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return the condition that a login has neither ended nor expired."""
    return and_(Session.ended_at.is_(None), Session.expires_at > now)


_NOW: Final = bindparam("now", type_=DateTime(timezone=True))
_LOGINS: Final = (
    select(
        Session.id,
        Session.user_id,
        User.is_verified.label("is_verified"),
        User.is_tied,
        Role.name,
        select(func.array_agg(RolePermission.permission_code))
        .where(RolePermission.role_id == Role.id)
        .scalar_subquery()
        .label("permissions"),
        select(func.array_agg(StaffShop.shop_id)).where(StaffShop.user_id == User.id).scalar_subquery().label("shops"),
    )
    .join(User, User.id == Session.user_id)
    .join(Role, Role.id == User.role_id)
    .where(
        is_active_session(_NOW),
        User.is_active,
        User.deleted_at.is_(None),
    )
)


# Not one statement for both: PostgreSQL would plan the one with a list at each call, which takes three times as long
# as running it.
_ACTOR: Final = Statement(
    _LOGINS.add_columns((Session.unused_pair == bindparam("pair")).label("is_first_use")).where(
        Session.id == bindparam("session_id")
    )
)
_ACTORS: Final = Statement(_LOGINS.where(Session.id == any_(bindparam("session_ids", type_=ARRAY(Uuid)))))


async def find_actor(db: Executor, *, user_id: UUID, session_id: UUID, now: datetime, pair: str = "") -> Actor | None:
    """Return the actor of a login, or None if the login is over. One indexed statement, run at every request.

    `pair` is the pair id of the access token, where there is one.
    """
    row = await _ACTOR.row(db, session_id=session_id, pair=pair, now=now)
    if row is None or row["user_id"] != user_id:
        return None
    return _actor(row, is_first_use=bool(row["is_first_use"]))


async def find_actors(db: Executor, *, session_ids: AbstractSet[UUID], now: datetime) -> dict[UUID, Actor]:
    """Return the actors of these logins by session id, without those whose login is over."""
    rows = await _ACTORS.rows(db, session_ids=list(session_ids), now=now)
    return {row["id"]: _actor(row) for row in rows}


def _actor(row: asyncpg.Record, *, is_first_use: bool = False) -> Actor:
    shop_ids = frozenset(row["shops"] or ())
    is_tied = row["is_tied"] or bool(shop_ids)
    return Actor(
        user_id=row["user_id"],
        session_id=row["id"],
        role=row["name"],
        permissions=effective_permissions(row["name"], row["permissions"] or (), is_tied=is_tied),
        shop_ids=shop_ids,
        is_verified=row["is_verified"],
        is_first_use=is_first_use,
    )


CAN_LOG_IN: Final = (User.is_active, User.verified_at.is_not(None), User.deleted_at.is_(None))
"""The conditions of a person who may log in. A CHECK makes sure that people who weren't deleted have an address."""


def may(permission: str) -> ColumnElement[bool]:
    """Return the condition that a person can log in and has a role with this permission."""
    return and_(*CAN_LOG_IN, _role_allows(permission))


def serves(shop_id: SQLColumnExpression[UUID | None]) -> ColumnElement[bool]:
    """Return the condition that a person serves a shop, as one of its staff or with the whole chain.

    `Actor.serves` is the same rule in Python.
    """
    is_admin = exists().where(Role.id == User.role_id, Role.name == ADMIN).correlate_except(Role)
    is_tied = or_(User.is_tied, exists().where(StaffShop.user_id == User.id).correlate_except(StaffShop))
    works_there = exists().where(StaffShop.user_id == User.id, StaffShop.shop_id == shop_id).correlate_except(StaffShop)
    return or_(works_there, and_(_role_allows(ALL_SHOPS), or_(is_admin, not_(is_tied))))


def _role_allows(permission: str) -> ColumnElement[bool]:
    allows = exists().where(RolePermission.role_id == User.role_id, RolePermission.permission_code == permission)
    return allows.correlate_except(RolePermission)


_MIN_UUID, _MAX_UUID = (cast(literal(UUID(int=number)), Uuid) for number in (0, 2**128 - 1))
_MAX_ADMINS: Final[ColumnElement[int]] = literal_column("100")


def admin_recipients() -> ColumnElement[list[list[str]]]:
    """Return a subquery of [address, language] of the first hundred administrators who can log in, by id, as JSON.

    The role is compared as a range of the index on role and id. With an equality PostgreSQL, which doesn't know that
    this role is rare, may read the whole table.
    """
    role_id = select(Role.id).where(Role.name == ADMIN).scalar_subquery()
    place = tuple_(User.role_id, User.id)
    found = (
        select(User.email, User.language)
        .where(place >= tuple_(role_id, _MIN_UUID), place <= tuple_(role_id, _MAX_UUID), *CAN_LOG_IN)
        .order_by(User.role_id, User.id)
        .limit(_MAX_ADMINS)
    )
    admins = found.subquery()
    return select(func.jsonb_agg(func.jsonb_build_array(admins.c.email, admins.c.language))).scalar_subquery()


async def list_admin_recipients(session: AsyncSession) -> list[tuple[str, str]]:
    """Return (address, language) of the administrators who can log in."""
    found = await session.scalar(select(admin_recipients()))
    return [(email, language) for email, language in found or ()]


def _with_role_and_shops(statement: Select[User]) -> Select[User]:
    return statement.options(
        joinedload(User.role).selectinload(Role.permissions), selectinload(User.staff_shops)
    ).execution_options(populate_existing=True)


@dataclass(frozen=True, slots=True)
class UserView:
    """A person as the API shows them. `permissions` are the effective ones."""

    id: UUID
    email: str | None
    name: str | None
    phone: str | None
    role_name: str
    permissions: list[str]
    shop_ids: list[UUID]
    is_verified: bool
    is_active: bool
    pending_email: str | None
    created_at: datetime
    updated_at: datetime


_ROLE_PERMISSION_CODES: Final = (
    select(func.array_agg(aggregate_order_by(RolePermission.permission_code, RolePermission.permission_code)))
    .where(RolePermission.role_id == Role.id)
    .correlate(Role)
    .scalar_subquery()
    .label("codes")
)
_USER_VIEWS: Final = (
    select(
        User.id,
        User.email,
        User.name,
        User.phone,
        Role.name.label("role_name"),
        _ROLE_PERMISSION_CODES,
        select(func.array_agg(aggregate_order_by(StaffShop.shop_id, StaffShop.shop_id)))
        .where(StaffShop.user_id == User.id)
        .correlate(User)
        .scalar_subquery()
        .label("shop_ids"),
        User.is_tied,
        User.is_verified.label("is_verified"),
        User.is_active,
        User.pending_email.label("pending_email"),
        User.created_at,
        User.updated_at,
    )
    .join(User.role)
    .where(User.deleted_at.is_(None))
)
_USER: Final = Statement(_USER_VIEWS.where(User.id == bindparam("user_id")))
_USERS: Final = ListStatement(_USER_VIEWS)


def _user_view(row: asyncpg.Record) -> UserView:
    shop_ids = row["shop_ids"] or []
    codes = effective_permissions(row["role_name"], row["codes"] or (), is_tied=row["is_tied"] or bool(shop_ids))
    return UserView(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        phone=row["phone"],
        role_name=row["role_name"],
        permissions=sorted(codes),
        shop_ids=shop_ids,
        is_verified=row["is_verified"],
        is_active=row["is_active"],
        pending_email=row["pending_email"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def list_users(reader: Reader, *, query: ListQuery) -> Page[UserView]:
    """Return a page of the people who weren't deleted."""
    return (await _USERS.page(reader, query)).map(_user_view)


async def get_user_view(reader: Reader, *, actor: Actor, user_id: UUID) -> UserView:
    """Return the actor themselves, or anyone for an actor with `users:write`; raise NotFoundError otherwise."""
    if user_id != actor.user_id and not actor.may("users:write"):
        raise NotFoundError
    return _user_view(await _USER.one(reader, user_id=user_id))


async def find_user(session: AsyncSession, user_id: UUID) -> User | None:
    """Return a person with role, permissions and shops; None if there is none or they were deleted."""
    return await session.scalar(_with_role_and_shops(select(User).where(User.id == user_id, User.deleted_at.is_(None))))


async def get_user(session: AsyncSession, user_id: UUID) -> User:
    """Return a person with role, permissions and shops; raise NotFoundError if they were deleted."""
    user = await find_user(session, user_id)
    if user is None:
        raise NotFoundError
    return user


async def languages_of(session: AsyncSession, user_ids: AbstractSet[UUID]) -> dict[UUID, str]:
    """Return the languages in which to write to people, by user id."""
    rows = await session.execute(select(User.id, User.language).where(User.id.in_(user_ids)))
    return {row.id: row.language for row in rows}


async def lock_user(session: AsyncSession, user_id: UUID) -> None:
    """Lock a person until the transaction ends. Others may still insert rows that point to the person."""
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


async def find_user_for_update(session: AsyncSession, user_id: UUID) -> User | None:
    """Lock a person until the transaction ends, and return them as they are now; None as `find_user`.

    The lock allows others to insert rows that point to the person. Sending a message locks the conversation and then
    reads the author's row; deleting the author waits for the conversation, so a stronger lock would be a deadlock.
    """
    await lock_user(session, user_id)
    return await find_user(session, user_id)


async def get_user_for_update(session: AsyncSession, user_id: UUID) -> User:
    """Lock a person until the transaction ends, and return them as they are now; raise NotFoundError as `get_user`."""
    user = await find_user_for_update(session, user_id)
    if user is None:
        raise NotFoundError
    await versions.check(session, key=User.id, value=user_id)
    return user


async def lock_against_deletion(session: AsyncSession, user_id: UUID) -> bool:
    """Lock a person against deletion until the transaction ends; return False if there is no such person."""
    there = select(User.id).where(User.id == user_id, User.deleted_at.is_(None)).with_for_update(read=True)
    return await session.scalar(there) is not None


async def find_user_by_email(session: AsyncSession, email: str) -> User | None:
    """Return the person who has this address, verified or not, or None."""
    return await session.scalar(_with_role_and_shops(select(User).where(func.lower(email) == EMAIL_KEY)))


async def lock_and_list_admins(session: AsyncSession) -> list[UUID]:
    """Lock every administrator who can log in, in primary-key order, and return their ids."""
    admins = (
        select(User.id)
        .join(Role, Role.id == User.role_id)
        .where(Role.name == ADMIN, *CAN_LOG_IN)
        .order_by(User.id)
        .with_for_update(of=User, key_share=True)
    )
    return list(await session.scalars(admins))


_ROLE_ID: Final = Statement(select(Role.id).where(Role.name == bindparam("name")))


async def get_role_id(session: AsyncSession, name: str) -> UUID:
    """Return the id of the role with this name; raise NotFoundError."""
    row = await _ROLE_ID.row(session, name=name)
    if row is None:
        raise NotFoundError
    role_id: UUID = row[0]
    return role_id


async def find_role_for_share(session: AsyncSession, name: str) -> Role | None:
    """Return a role with its permissions, locked against deletion until the transaction ends, or None."""
    return await session.scalar(
        select(Role)
        .where(Role.name == name)
        .options(selectinload(Role.permissions))
        .with_for_update(read=True, key_share=True)
    )


async def get_role(session: AsyncSession, role_id: UUID) -> Role:
    """Return a role with its permissions; raise NotFoundError."""
    role = await session.scalar(
        select(Role).where(Role.id == role_id).options(selectinload(Role.permissions)),
        execution_options={"populate_existing": True},
    )
    if role is None:
        raise NotFoundError
    return role


async def get_role_for_update(session: AsyncSession, role_id: UUID) -> Role:
    """Lock a role until the transaction ends, and return it with its permissions; raise NotFoundError."""
    await session.execute(select(Role.id).where(Role.id == role_id).with_for_update())
    role = await get_role(session, role_id)
    await versions.check(session, key=Role.id, value=role_id)
    return role


@dataclass(frozen=True, slots=True)
class RoleView:
    """A role as the API shows it."""

    id: UUID
    name: str
    description: str
    is_builtin: bool
    permission_codes: list[str]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PermissionView:
    """A permission that roles may have."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class SessionView:
    """A login on one device."""

    id: UUID
    user_agent: str
    network: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


_ROLE_VIEWS: Final = select(
    Role.id,
    Role.name,
    Role.description,
    Role.is_builtin,
    func.coalesce(_ROLE_PERMISSION_CODES, cast(array([]), ARRAY(String))).label("permission_codes"),
    Role.created_at,
    Role.updated_at,
)
_ROLE: Final = Statement(_ROLE_VIEWS.where(Role.id == bindparam("role_id")))
_ROLES: Final = ListStatement(_ROLE_VIEWS)
_PERMISSIONS: Final = ListStatement(select(Permission.code, Permission.description))
_SESSIONS: Final = ListStatement(
    select(*(getattr(Session, field.name) for field in fields(SessionView))).where(
        Session.user_id == bindparam("user_id"), is_active_session(_NOW)
    )
)


async def list_roles(reader: Reader, *, query: ListQuery) -> Page[RoleView]:
    """Return a page of roles."""
    return (await _ROLES.page(reader, query)).map(into(RoleView))


async def get_role_view(reader: Reader, role_id: UUID) -> RoleView:
    """Return a role as the API shows it; raise NotFoundError."""
    return into(RoleView)(await _ROLE.one(reader, role_id=role_id))


async def list_permissions(reader: Reader, *, query: ListQuery) -> Page[PermissionView]:
    """Return a page of permissions."""
    return (await _PERMISSIONS.page(reader, query)).map(into(PermissionView))


async def list_sessions(reader: Reader, *, user_id: UUID, now: datetime, query: ListQuery) -> Page[SessionView]:
    """Return a page of a person's logins that have neither ended nor expired."""
    return (await _SESSIONS.page(reader, query, user_id=user_id, now=now)).map(into(SessionView))
