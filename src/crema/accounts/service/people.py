"""Changing and deleting people."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import Uuid, column, delete, select, table
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import ADMIN, ALL_SHOPS, CUSTOMER, Actor
from crema.accounts.models import OneTimeCode, Role, StaffShop, User
from crema.accounts.schemas import ChangeUser, ReplaceUser, UserFields, UserOut
from crema.accounts.service import addresses
from crema.accounts.service.addresses import Changing
from crema.accounts.service.codes import Codes
from crema.accounts.service.logins import end_sessions
from crema.accounts.service.registration import Origin
from crema.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnknownReferenceError
from crema.db.edits import apply_changes
from crema.db.idempotency import IdempotencyRecord
from crema.schemas import value_or

# Features above us are known by name only, as foreign keys are.
_CARTS: Final = table("carts", column("user_id"))
_SHOPS: Final = table("shops", column("id", Uuid))


class BeforeDeletion(Protocol):
    """What a feature above us does about a person who is about to be deleted, in the same transaction.

    The person is locked and whole still. It may refuse; with `force` it has to settle what it would refuse for.
    """

    async def __call__(
        self, session: AsyncSession, *, person: User, actor: Actor, force: bool, now: datetime
    ) -> None: ...


class LastAdminError(ConflictError):
    """It would leave no administrator who can log in."""

    code = "last_admin"
    title = "The last administrator can't be deleted, demoted or blocked."
    advice = "Give another person the administrator's role first."


class FieldNotYoursError(InvalidError):
    """A field that only an administrator may write."""

    code = "forbidden_field"
    title = "Only an administrator may write this field."
    advice = "Leave the fields of `errors` out."


class NotOfTheChainError(InvalidError):
    """`serves_all_shops` for somebody who can't serve them all: their role lacks it, or `shop_ids` says otherwise."""

    code = "not_of_the_chain"
    title = "This person can't serve every shop."
    advice = "Give them a role with `shops:all`, and send no `shop_ids`."


async def get_visible(session: AsyncSession, *, actor: Actor, user_id: UUID) -> User:
    """Load oneself, or anyone for those who may; everybody else is not there."""
    if user_id != actor.user_id and not actor.may("users:write"):
        raise NotFoundError
    return await queries.get_user(session, user_id)


async def replace(session: AsyncSession, *, by: Changing, user_id: UUID, wanted: ReplaceUser, now: datetime) -> User:
    """PUT: name and phone are always replaced; the rest only where it is sent.

    Of the whole document, as GET gives it, what only an administrator may write is left alone where it is as it was.
    """
    seen = await get_visible(session, actor=by.actor, user_id=user_id)
    present = UserOut.model_validate(seen)
    wanted.check_read_only(present)
    return await _update(session, by=by, seen=seen, wanted=_replacing(wanted, present), now=now)


async def change(session: AsyncSession, *, by: Changing, user_id: UUID, wanted: ChangeUser, now: datetime) -> User:
    """PATCH: only what was sent."""
    seen = await get_visible(session, actor=by.actor, user_id=user_id)
    return await _update(session, by=by, seen=seen, wanted=wanted, now=now)


def _replacing(wanted: ReplaceUser, present: UserOut) -> UserFields:
    """Return what a PUT changes: name and phone are emptied where they are left out, see `replace`."""
    fields = wanted.model_copy()
    fields.name, fields.phone = value_or(wanted.name, None), value_or(wanted.phone, None)
    if wanted.is_document:
        fields.role = MISSING if wanted.role == present.role else wanted.role
        fields.is_active = MISSING if wanted.is_active == present.is_active else wanted.is_active
        is_same = wanted.shop_ids is not MISSING and set(wanted.shop_ids) == set(present.shop_ids)
        fields.shop_ids = MISSING if is_same else wanted.shop_ids
    return fields


async def _update(session: AsyncSession, *, by: Changing, seen: User, wanted: UserFields, now: datetime) -> User:
    actor = by.actor
    _check_fields(actor, wanted)
    _check_reach(actor, seen)
    new_email = await _check_email(session, by=by, user=seen, wanted=wanted, now=now)
    may_demote = wanted.role is not MISSING or wanted.is_active is not MISSING
    admins = await queries.lock_admins(session) if may_demote else []
    user = await queries.get_user_for_update(session, seen.id)
    _check_reach(actor, user)

    role = user.role if wanted.role is MISSING else await _role_to_give(session, actor=actor, name=wanted.role)
    stays_active = value_or(wanted.is_active, user.is_active)
    _check_admin_stays(admins, user, stays=stays_active and role.id == user.role_id)
    user.role_id = role.id
    await apply_changes(session, user, wanted, now=now, but=("email",))  # which counts once it is verified
    if wanted.shop_ids is not MISSING or wanted.serves_all_shops is not MISSING:
        await _tie_to_shops(session, actor=actor, user=user, role=role, wanted=wanted)
    if not user.is_active:
        await end_sessions(session, user_id=user.id, reason="blocked", now=now)
    if new_email is not None:
        await addresses.ask(session, by=by, user=user, new_email=new_email, now=now)
    return await queries.get_user(session, user.id)


def _check_fields(actor: Actor, wanted: UserFields) -> None:
    administrative = {
        "role": wanted.role,
        "is_active": wanted.is_active,
        "shop_ids": wanted.shop_ids,
        "serves_all_shops": wanted.serves_all_shops,
    }
    wrong = [name for name, value in administrative.items() if value is not MISSING]
    if wrong and not actor.may("users:write"):
        message = "only an administrator may write this"
        raise FieldNotYoursError(
            errors=[{"loc": ["body", name], "msg": message, "type": "forbidden_field"} for name in wrong]
        )


def _check_admin_stays(admins: list[UUID], user: User, *, stays: bool) -> None:
    """Refuse to take away the last administrator who can log in. `admins` are all of them, locked."""
    if admins == [user.id] and not stays:
        raise LastAdminError


def _check_reach(actor: Actor, user: User) -> None:
    """Nobody changes someone who may do what they themselves may not, or serves a shop that they don't."""
    is_beyond = not set(user.permissions) <= actor.permissions or user.role_name == ADMIN
    is_beyond = is_beyond or not actor.serves_each(user.shop_ids)
    if user.id != actor.user_id and is_beyond and not actor.is_admin:
        raise ForbiddenError("This person may do more than you.")


async def _role_to_give(session: AsyncSession, *, actor: Actor, name: str) -> Role:
    role = await queries.find_role_to_give(session, name)
    if role is None:
        raise UnknownReferenceError([("role",)])
    if not set(role.permission_codes) <= actor.permissions or (role.name == ADMIN and not actor.is_admin):
        raise ForbiddenError("This role may do more than you.")
    return role


async def _tie_to_shops(session: AsyncSession, *, actor: Actor, user: User, role: Role, wanted: UserFields) -> None:
    """Tie a person to shops, or untie them: nobody gives or takes a shop that they don't serve themselves.

    A list that is shown and sent back changes nothing; any other ties, so that emptying it leaves no shop.
    """
    before, sent = set(user.shop_ids), value_or(wanted.shop_ids, user.shop_ids)
    serves_all = wanted.serves_all_shops is True
    after = set() if serves_all else set(sent)
    if serves_all and (value_or(wanted.shop_ids, []) or ALL_SHOPS not in role.permission_codes):
        raise NotOfTheChainError
    if not actor.serves_each(before ^ after) or (serves_all and not actor.serves_all_shops):
        raise ForbiddenError("You don't serve these shops yourself.")
    if wanted.serves_all_shops is not MISSING or before != after:
        user.is_tied = not serves_all
        await session.flush()
    await session.execute(delete(StaffShop).where(StaffShop.user_id == user.id))
    try:
        async with session.begin_nested():
            session.add_all(StaffShop(user_id=user.id, shop_id=shop_id) for shop_id in sorted(after))
    except IntegrityError as error:
        known = set(await session.scalars(select(_SHOPS.c.id).where(_SHOPS.c.id.in_(after))))
        unknown = [("shop_ids", place) for place, shop_id in enumerate(sent) if shop_id not in known]
        raise UnknownReferenceError(unknown) from error


async def _check_email(
    session: AsyncSession, *, by: Changing, user: User, wanted: UserFields, now: datetime
) -> str | None:
    """Return the address that was sent if it is another than they have, and may be asked for."""
    new_email = value_or(wanted.email, None)
    if new_email is None or user.email is None or new_email.lower() == user.email.lower():
        return None
    if not user.is_verified:
        raise ForbiddenError("An address that isn't verified can't be changed: they register with another one.")
    password = value_or(wanted.current_password, None)
    await addresses.check_change(session, by=by, user=user, new_email=new_email, current_password=password, now=now)
    return new_email


async def resend_email_code(
    session: AsyncSession, *, actor: Actor, user_id: UUID, origin: Origin, codes: Codes, now: datetime
) -> None:
    """Send the code for a new address again."""
    user = await get_visible(session, actor=actor, user_id=user_id)
    _check_reach(actor, user)
    await addresses.resend(session, user=user, origin=origin, codes=codes, now=now)


async def withdraw_email_change(session: AsyncSession, *, actor: Actor, user_id: UUID) -> None:
    """Give up a change of address that is under way."""
    user = await get_visible(session, actor=actor, user_id=user_id)
    _check_reach(actor, user)
    await addresses.withdraw(session, user=user)


async def delete_user(
    session: AsyncSession,
    *,
    actor: Actor,
    user_id: UUID,
    force: bool,
    before: Sequence[BeforeDeletion],
    now: datetime,
) -> None:
    """Erase a person's name, addresses, password and cart, and end their logins, once every `before` has agreed.

    The row stays, empty, because orders point to it. What the person wrote is erased later, by the worker.
    An unverified person never ordered anything and goes without a trace.
    """
    await get_visible(session, actor=actor, user_id=user_id)
    admins = await queries.lock_admins(session)
    user = await queries.get_user_for_update(session, user_id)
    _check_reach(actor, user)
    _check_admin_stays(admins, user, stays=False)

    if not user.is_verified:
        await session.delete(user)
        await session.flush()
        return
    for settle in before:
        await settle(session, person=user, actor=actor, force=force, now=now)
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
        is_tied=bool(shop_ids),
        verified_at=now,
        created_at=now,
        updated_at=now,
    )
    session.add(user)
    await session.flush()
    session.add_all(StaffShop(user_id=user.id, shop_id=shop_id) for shop_id in shop_ids)
    await session.flush()
    return await queries.get_user(session, user.id)
