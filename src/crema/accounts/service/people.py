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
from crema.accounts.service.addresses import ChangeContext
from crema.accounts.service.codes import Codes
from crema.accounts.service.logins import end_sessions
from crema.accounts.service.registration import Origin
from crema.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnknownReferenceError
from crema.db.edits import apply_changes
from crema.db.idempotency import IdempotencyRecord
from crema.schemas import value_or

# Tables of features above: accounts can't import them.
_CARTS: Final = table("carts", column("user_id"))
_SHOPS: Final = table("shops", column("id", Uuid))


class BeforeDeletion(Protocol):
    """What a feature above does before a person is deleted, in the same transaction.

    The person is locked and not changed yet. The function may raise to refuse the deletion; with `force` it has to
    settle what it would refuse for, for instance cancel orders.
    """

    async def __call__(
        self, session: AsyncSession, *, person: User, actor: Actor, force: bool, now: datetime
    ) -> None: ...


class LastAdminError(ConflictError):
    """The change would leave no administrator who can log in."""

    code = "last_admin"
    title = "The last administrator can't be deleted, demoted or blocked."
    advice = "Give another person the administrator's role first."


class AdminFieldError(InvalidError):
    """A field was sent that only administrators may change."""

    code = "forbidden_field"
    title = "Only an administrator may write this field."
    advice = "Leave the fields of `errors` out."


class NotChainWideError(InvalidError):
    """`serves_all_shops` was sent for a person whose role lacks `shops:all`, or together with `shop_ids`."""

    code = "not_of_the_chain"
    title = "This person can't serve every shop."
    advice = "Give them a role with `shops:all`, and send no `shop_ids`."


async def get_visible(session: AsyncSession, *, actor: Actor, user_id: UUID) -> User:
    """Return the actor themselves, or anyone for an actor with `users:write`; raise NotFoundError otherwise."""
    if user_id != actor.user_id and not actor.may("users:write"):
        raise NotFoundError
    return await queries.get_user(session, user_id)


async def replace(
    session: AsyncSession, *, context: ChangeContext, user_id: UUID, wanted: ReplaceUser, now: datetime
) -> User:
    """Replace a person (PUT): name and phone always, other fields only if they are sent.

    A client may send back the document that GET returned. Then fields that only administrators may change are ignored
    where their values are unchanged.
    """
    seen = await get_visible(session, actor=context.actor, user_id=user_id)
    present = UserOut.model_validate(seen)
    wanted.check_read_only(present)
    return await _update(session, context=context, seen=seen, wanted=_replacing(wanted, present), now=now)


async def change(
    session: AsyncSession, *, context: ChangeContext, user_id: UUID, wanted: ChangeUser, now: datetime
) -> User:
    """Change the fields of a person that were sent (PATCH)."""
    seen = await get_visible(session, actor=context.actor, user_id=user_id)
    return await _update(session, context=context, seen=seen, wanted=wanted, now=now)


def _replacing(wanted: ReplaceUser, present: UserOut) -> UserFields:
    """Return the changes that a PUT makes: a missing name or phone becomes null, see `replace`."""
    fields = wanted.model_copy()
    fields.name, fields.phone = value_or(wanted.name, None), value_or(wanted.phone, None)
    if wanted.has_read_only_fields:
        fields.role = MISSING if wanted.role == present.role else wanted.role
        fields.is_active = MISSING if wanted.is_active == present.is_active else wanted.is_active
        is_same = wanted.shop_ids is not MISSING and set(wanted.shop_ids) == set(present.shop_ids)
        fields.shop_ids = MISSING if is_same else wanted.shop_ids
    return fields


async def _update(
    session: AsyncSession, *, context: ChangeContext, seen: User, wanted: UserFields, now: datetime
) -> User:
    actor = context.actor
    _check_fields(actor, wanted)
    _check_reach(actor, seen)
    new_email = await _check_email(session, context=context, user=seen, wanted=wanted, now=now)
    may_demote = wanted.role is not MISSING or wanted.is_active is not MISSING
    admins = await queries.lock_and_list_admins(session) if may_demote else []
    user = await queries.get_user_for_update(session, seen.id)
    _check_reach(actor, user)

    role = user.role if wanted.role is MISSING else await _get_assignable_role(session, actor=actor, name=wanted.role)
    stays_active = value_or(wanted.is_active, user.is_active)
    _check_not_last_admin(admins, user, stays=stays_active and role.id == user.role_id)
    user.role_id = role.id
    await apply_changes(session, user, wanted, now=now, but=("email",))  # takes effect once it is verified
    if wanted.shop_ids is not MISSING or wanted.serves_all_shops is not MISSING:
        await _assign_shops(session, actor=actor, user=user, role=role, wanted=wanted)
    if not user.is_active:
        await end_sessions(session, user_id=user.id, reason="blocked", now=now)
    if new_email is not None:
        await addresses.request_change(session, context=context, user=user, new_email=new_email, now=now)
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
        message = "only administrators may change this"
        raise AdminFieldError(
            errors=[{"loc": ["body", name], "msg": message, "type": "forbidden_field"} for name in wrong]
        )


def _check_not_last_admin(admins: list[UUID], user: User, *, stays: bool) -> None:
    """Raise LastAdminError for a change of the last administrator who can log in. `admins` are all of them, locked."""
    if admins == [user.id] and not stays:
        raise LastAdminError


def _check_reach(actor: Actor, user: User) -> None:
    """Raise ForbiddenError for a person with permissions or shops that the actor doesn't have."""
    is_beyond = not set(user.permissions) <= actor.permissions or user.role_name == ADMIN
    is_beyond = is_beyond or not actor.serves_each(user.shop_ids)
    if user.id != actor.user_id and is_beyond and not actor.is_admin:
        raise ForbiddenError("This person has permissions or shops that you don't have.")


async def _get_assignable_role(session: AsyncSession, *, actor: Actor, name: str) -> Role:
    role = await queries.find_role_for_share(session, name)
    if role is None:
        raise UnknownReferenceError([("role",)])
    if not set(role.permission_codes) <= actor.permissions or (role.name == ADMIN and not actor.is_admin):
        raise ForbiddenError("This role has permissions that you don't have.")
    return role


async def _assign_shops(session: AsyncSession, *, actor: Actor, user: User, role: Role, wanted: UserFields) -> None:
    """Tie a person to shops, or remove the ties. The actor must serve every shop that is added or removed.

    Unchanged `shop_ids` change nothing. Any other list ties the person, so that an empty list leaves them no shop.
    """
    before, sent = set(user.shop_ids), value_or(wanted.shop_ids, user.shop_ids)
    serves_all = wanted.serves_all_shops is True
    after = set() if serves_all else set(sent)
    if serves_all and (value_or(wanted.shop_ids, []) or ALL_SHOPS not in role.permission_codes):
        raise NotChainWideError
    if not actor.serves_each(before ^ after) or (serves_all and not actor.serves_all_shops):
        raise ForbiddenError("You can add and remove only shops that you serve yourself.")
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
    session: AsyncSession, *, context: ChangeContext, user: User, wanted: UserFields, now: datetime
) -> str | None:
    """Return the address that was sent if it differs from the present one, after checking that it may be requested."""
    new_email = value_or(wanted.email, None)
    if new_email is None or user.email is None or new_email.lower() == user.email.lower():
        return None
    if not user.is_verified:
        raise ForbiddenError("An address that isn't verified can't be changed. Register with another address.")
    password = value_or(wanted.current_password, None)
    await addresses.check_change(
        session, context=context, user=user, new_email=new_email, current_password=password, now=now
    )
    return new_email


async def resend_email_code(
    session: AsyncSession, *, actor: Actor, user_id: UUID, origin: Origin, codes: Codes, now: datetime
) -> None:
    """Mail the code for a new address again; raise NotFoundError if no change is pending."""
    user = await get_visible(session, actor=actor, user_id=user_id)
    _check_reach(actor, user)
    await addresses.resend_code(session, user=user, origin=origin, codes=codes, now=now)


async def withdraw_email_change(session: AsyncSession, *, actor: Actor, user_id: UUID) -> None:
    """Cancel the pending change of address, if there is one."""
    user = await get_visible(session, actor=actor, user_id=user_id)
    _check_reach(actor, user)
    await addresses.cancel_change(session, user=user)


async def delete_user(
    session: AsyncSession,
    *,
    actor: Actor,
    user_id: UUID,
    force: bool,
    before: Sequence[BeforeDeletion],
    now: datetime,
) -> None:
    """Erase a person's name, addresses, password and cart, and end their logins, after calling each of `before`.

    The row stays without personal data, because orders point to it. The worker later erases what the person wrote.
    An unverified person can't have ordered anything, so their row is deleted.
    """
    await get_visible(session, actor=actor, user_id=user_id)
    admins = await queries.lock_and_list_admins(session)
    user = await queries.get_user_for_update(session, user_id)
    _check_reach(actor, user)
    _check_not_last_admin(admins, user, stays=False)

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


async def make_person(  # noqa: PLR0913 - the fields of a person
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
    """Create and return a verified person; return the person who has this address verified already, unchanged."""
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
