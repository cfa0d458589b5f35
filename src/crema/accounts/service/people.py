"""Changing and deleting people."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import column, delete, table
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import ADMIN, CUSTOMER, Actor
from crema.accounts.models import OneTimeCode, Role, StaffShop, User
from crema.accounts.schemas import ChangeUser, ReplaceUser, UserOut
from crema.accounts.service.codes import Codes
from crema.accounts.service.logins import end_sessions
from crema.accounts.service.registration import EmailTakenError, propose_address
from crema.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from crema.db.idempotency import IdempotencyRecord

_CARTS: Final = table("carts", column("user_id"))  # a feature above us: known by name only, as foreign keys are
ADMINISTRATIVE: Final = ("role", "is_active", "shop_ids")


class LastAdminError(ConflictError):
    """Somebody has to keep the keys."""

    code = "last_admin"
    title = "The last administrator can't be deleted, demoted or blocked."


class FieldNotYoursError(InvalidError):
    """A field that only an administrator may write."""

    code = "forbidden_field"
    title = "Only an administrator may write this."


class UnknownReferenceError(InvalidError):
    """A role or a shop that doesn't exist."""

    code = "unknown_reference"
    title = "Something named here does not exist."


async def get_visible(session: AsyncSession, *, actor: Actor, user_id: UUID) -> User:
    """Load oneself, or anyone for those who may; everybody else is not there."""
    if user_id != actor.user_id and not actor.may("users:write"):
        raise NotFoundError
    return await queries.get_user(session, user_id)


async def replace(
    session: AsyncSession, *, actor: Actor, user_id: UUID, wanted: ReplaceUser, codes: Codes, now: datetime
) -> User:
    """PUT: name and phone are always replaced; the rest only where it is sent.

    Of the whole document, as GET gives it, what only an administrator may write is left alone where it is as it was.
    """
    present = UserOut.model_validate(await get_visible(session, actor=actor, user_id=user_id))
    wanted.check_read_only(present)
    sent = {"name": wanted.name, "phone": wanted.phone} | wanted.changes()
    for name in ADMINISTRATIVE if wanted.is_document else ():
        if name in sent and _is_same(sent[name], getattr(present, name)):
            del sent[name]
    return await _update(session, actor=actor, user_id=user_id, sent=sent, codes=codes, now=now)


async def change(
    session: AsyncSession, *, actor: Actor, user_id: UUID, wanted: ChangeUser, codes: Codes, now: datetime
) -> User:
    """PATCH: only what was sent."""
    return await _update(session, actor=actor, user_id=user_id, sent=wanted.changes(), codes=codes, now=now)


async def _update(
    session: AsyncSession, *, actor: Actor, user_id: UUID, sent: dict[str, Any], codes: Codes, now: datetime
) -> User:
    await get_visible(session, actor=actor, user_id=user_id)
    _check_fields(actor, sent)
    admins = await queries.lock_admins(session) if sent.keys() & {"role", "is_active"} else []
    user = await queries.get_user_for_update(session, user_id)
    _check_reach(actor, user)

    if "role" in sent:
        role = await _role_to_give(session, actor=actor, name=sent["role"])
        if role.id != user.role_id and admins == [user.id]:
            raise LastAdminError
        user.role_id = role.id
    if "is_active" in sent:
        if not sent["is_active"] and admins == [user.id]:
            raise LastAdminError
        user.is_active = sent["is_active"]
    for name in ("name", "phone"):
        if name in sent:
            setattr(user, name, sent[name])
    user.updated_at = now
    await session.flush()
    if "shop_ids" in sent:
        await _tie_to_shops(session, user=user, shop_ids=sent["shop_ids"])
    if not user.is_active:
        await end_sessions(session, user_id=user.id, reason="blocked", now=now)
    if "email" in sent:
        await _change_address(session, user=user, email=sent["email"], codes=codes, now=now)
    return await queries.get_user(session, user.id)


def _is_same(sent: Any, present: Any) -> bool:
    return set(sent) == set(present) if isinstance(sent, list) else bool(sent == present)


def _check_fields(actor: Actor, sent: dict[str, Any]) -> None:
    wrong = [name for name in ADMINISTRATIVE if name in sent]
    if wrong and not actor.may("users:write"):
        message = "only an administrator may write this"
        raise FieldNotYoursError(
            errors=[{"loc": ["body", name], "msg": message, "type": "forbidden_field"} for name in wrong]
        )


def _check_reach(actor: Actor, user: User) -> None:
    """Nobody changes someone who may do what they themselves may not."""
    is_beyond = not set(user.permissions) <= actor.permissions or user.role_name == ADMIN
    if user.id != actor.user_id and is_beyond and not actor.is_admin:
        raise ForbiddenError("This person may do more than you.")


async def _role_to_give(session: AsyncSession, *, actor: Actor, name: str) -> Role:
    role = await queries.find_role_to_give(session, name)
    if role is None:
        raise UnknownReferenceError(f"There is no role {name!a}.", errors=[_wrong("role", "no such role")])
    if not set(role.permission_codes) <= actor.permissions or (role.name == ADMIN and not actor.is_admin):
        raise ForbiddenError("This role may do more than you.")
    return role


async def _tie_to_shops(session: AsyncSession, *, user: User, shop_ids: list[UUID]) -> None:
    await session.execute(delete(StaffShop).where(StaffShop.user_id == user.id))
    try:
        async with session.begin_nested():
            session.add_all(StaffShop(user_id=user.id, shop_id=shop_id) for shop_id in shop_ids)
    except IntegrityError as error:
        raise UnknownReferenceError("There is no such shop.", errors=[_wrong("shop_ids", "no such shop")]) from error


def _wrong(field: str, message: str) -> dict[str, Any]:
    return {"loc": ["body", field], "msg": message, "type": "unknown_reference"}


async def _change_address(session: AsyncSession, *, user: User, email: str, codes: Codes, now: datetime) -> None:
    if user.email is None or email.lower() == user.email.lower():
        return
    holder = await queries.find_user_by_email(session, email)
    if holder is not None and holder.is_verified:
        raise EmailTakenError
    await propose_address(session, user=user, new_email=email, codes=codes, now=now)


async def delete_user(session: AsyncSession, *, actor: Actor, user_id: UUID, now: datetime) -> None:
    """Erase a person's data and end their logins. The row stays, empty, because orders point to it.

    An unverified person never ordered anything and goes without a trace.
    """
    await get_visible(session, actor=actor, user_id=user_id)
    admins = await queries.lock_admins(session)
    user = await queries.get_user_for_update(session, user_id)
    _check_reach(actor, user)
    if admins == [user.id]:
        raise LastAdminError

    if not user.is_verified:
        await session.delete(user)
        await session.flush()
        return
    await end_sessions(session, user_id=user.id, reason="deleted", now=now)
    for theirs in (OneTimeCode, StaffShop, IdempotencyRecord):
        await session.execute(delete(theirs).where(theirs.user_id == user.id))
    await session.execute(delete(_CARTS).where(_CARTS.c.user_id == user.id))
    user.role_id = await queries.get_role_id(session, CUSTOMER)
    user.email = user.name = user.phone = user.password_hash = None
    user.deleted_at = user.updated_at = now
    await session.flush()


async def make_person(  # noqa: PLR0913 - a person has this many parts
    session: AsyncSession,
    *,
    email: str,
    password_hash: str,
    role: str,
    now: datetime,
    name: str | None = None,
    language: str = "en",
    shop_ids: tuple[UUID, ...] = (),
) -> User:
    """Make a verified person from the command line; whoever has the address already stays as they are."""
    existing = await queries.find_user_by_email(session, email)
    if existing is not None and existing.is_verified:
        return existing
    if existing is not None:
        await session.delete(existing)
        await session.flush()
    user = User(
        email=email,
        name=name,
        password_hash=password_hash,
        role_id=await queries.get_role_id(session, role),
        language=language,
        verified_at=now,
        created_at=now,
        updated_at=now,
    )
    session.add(user)
    await session.flush()
    session.add_all(StaffShop(user_id=user.id, shop_id=shop_id) for shop_id in shop_ids)
    await session.flush()
    return await queries.get_user(session, user.id)
