"""Proving with a mailed code that an address is one's own: of a registration, or of a change of address."""

from asyncio import sleep as pause
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.models import OneTimeCode, Session, User
from crema.accounts.schemas import Verify
from crema.accounts.service.codes import (
    EMAIL_CHANGE,
    REGISTRATION,
    InvalidCodeError,
    count_guess,
    spend,
    void,
)
from crema.accounts.service.logins import Logins, Tokens, end_sessions
from crema.accounts.service.registration import Credentials, EmailTakenError, Origin
from crema.core.errors import ConflictError
from crema.db.audit import add_security_event
from crema.db.edits import when_violated
from crema.db.session import keep
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail

GRACE: Final = timedelta(seconds=10)
"""How long a spent code by itself still gives tokens: the second tap of a double one."""


class SeveralRegistrationsError(ConflictError):
    """Somebody else has registered this address too, or asked to have it: a code alone doesn't tell whose it is."""

    code = "several_registrations"
    title = "This address was registered more than once."
    advice = "Send the `registration_id` that `POST /registration` gave you, or the password you chose there."


@dataclass(frozen=True, slots=True)
class Verified:
    """Whose address was proved, and a login for them where one was wanted."""

    user: User
    tokens: Tokens | None = None


async def verify(
    session: AsyncSession,
    *,
    wanted: Verify,
    wants_login: bool,
    origin: Origin,
    credentials: Credentials,
    logins: Logins,
    now: datetime,
) -> Verified:
    """Confirm the attempt, or the change of address, that the code was sent for.

    The same code sent again while it would live is answered alike, and changes nothing.
    """
    async with credentials.passwords.turn() if wanted.password is not None else nullcontext() as turn:
        guess = await count_guess(
            session,
            kind="verification",
            email=wanted.email,
            entered=wanted.code,
            network=origin.network,
            now=now,
        )
        claims = await _list_claims(session, email=wanted.email, now=now)
        if not wanted.is_proved and len([claim for claim in claims if claim.code.spent_at is None]) > 1:
            raise SeveralRegistrationsError  # nothing was compared, so that nothing is counted
        await keep(session)
        await (turn.pause if turn else pause)(guess.delay)
        found = await _match(claims, wanted=wanted, credentials=credentials, now=now)

    await guess.forgive(session)
    is_first = await spend(session, row=found, now=now)
    if is_first:
        confirm = _confirm_registration if found.purpose == REGISTRATION else _confirm_address
        await confirm(session, found=found, now=now)
        await void(session, user_id=found.user_id, but=found.id)
    user = await queries.find_user(session, found.user_id)
    if user is None or user.email is None or not user.is_verified or user.email.lower() != wanted.email.lower():
        raise InvalidCodeError
    # The code for a new address may have gone to a mistyped one: there it takes the password to get in.
    if not wants_login or (found.purpose == EMAIL_CHANGE and wanted.password is None):
        return Verified(user)
    may_log_in = is_first or wanted.is_proved or await _is_second_tap(session, code_id=found.id, origin=origin, now=now)
    if not user.is_active or not may_log_in:
        raise InvalidCodeError
    return Verified(user, await logins.start(session, user=user, origin=origin, now=now))


def login_of(verified: Verified) -> Tokens:
    """Return the login that a code gave; raise InvalidCodeError for a new address without the password."""
    if verified.tokens is None:
        raise InvalidCodeError("The code of a new e-mail address logs in only together with `password`.")
    return verified.tokens


async def _is_second_tap(session: AsyncSession, *, code_id: UUID, origin: Origin, now: datetime) -> bool:
    """Whether a code was spent seconds ago from the same network, for a login that goes on."""
    first = (
        select(Session.id)
        .join(OneTimeCode, OneTimeCode.user_id == Session.user_id)
        .where(
            OneTimeCode.id == code_id,
            OneTimeCode.spent_at >= now - GRACE,
            Session.created_at >= OneTimeCode.spent_at,
            Session.network == origin.network,
            Session.ended_at.is_(None),
        )
    )
    return await session.scalar(first.limit(1)) is not None


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a code may confirm, and the password of whose account it is already."""

    code: OneTimeCode
    password_hash: str | None


async def _match(claims: Sequence[_Claim], *, wanted: Verify, credentials: Credentials, now: datetime) -> OneTimeCode:
    """Find the claim whose code this is and that is meant; raise InvalidCodeError. A wrong code costs a hash too."""
    codes = credentials.codes
    found = [claim for claim in claims if claim.code.expires_at > now and codes.is_code(claim.code, wanted.code)]
    if wanted.registration_id is not None:
        meant = codes.read_registration_id(wanted.registration_id)
        found = [claim for claim in found if claim.code.id == meant]
    if wanted.password is not None:
        hashes = [claim.code.password_hash or claim.password_hash for claim in found] or [None]
        matches = [await credentials.passwords.verify(password_hash, wanted.password) for password_hash in hashes]
        found = [claim for claim, is_right in zip(found, matches, strict=False) if is_right]
    if not found:
        raise InvalidCodeError
    return found[0].code


async def _list_claims(session: AsyncSession, *, email: str, now: datetime) -> Sequence[_Claim]:
    """List all that a code for this address may confirm, and what was confirmed a while ago.

    An attempt to register is there as long as it is kept: anybody may have its code sent again. A change of address
    is there while its code lives: only the person who asked for it has it sent again.
    """
    person = select(User.id).where(func.lower(email) == queries.EMAIL_KEY).scalar_subquery()
    is_live = OneTimeCode.expires_at > now
    is_attempt = and_(
        OneTimeCode.purpose == REGISTRATION,
        OneTimeCode.user_id == person,
        or_(OneTimeCode.spent_at.is_(None), is_live),
    )
    is_change = and_(
        OneTimeCode.purpose == EMAIL_CHANGE, func.lower(OneTimeCode.new_email) == func.lower(email), is_live
    )
    claims = (
        select(OneTimeCode, User.password_hash)
        .join(User, User.id == OneTimeCode.user_id)
        .where(or_(is_attempt, is_change))
        .order_by(OneTimeCode.id)
    )
    return [_Claim(code, password_hash) for code, password_hash in await session.execute(claims)]


async def _confirm_registration(session: AsyncSession, *, found: OneTimeCode, now: datetime) -> None:
    confirmed = await session.scalar(
        update(User)
        .where(User.id == found.user_id, User.verified_at.is_(None), User.deleted_at.is_(None), User.is_active)
        .values(
            verified_at=now,
            updated_at=now,
            name=found.name,
            phone=found.phone,
            password_hash=found.password_hash,
            language=found.language or User.language,
        )
        .returning(User.id)
    )
    if confirmed is None:
        raise InvalidCodeError


async def _confirm_address(session: AsyncSession, *, found: OneTimeCode, now: datetime) -> None:
    """Write the new address, end the logins but the one that asked for it, and tell the old address."""
    user = await queries.get_user(session, found.user_id)
    old_email = user.email
    # Somebody's unverified claim doesn't stand in the way of who just proved the address theirs.
    claim = func.lower(found.new_email) == queries.EMAIL_KEY
    await session.execute(delete(User).where(claim, User.verified_at.is_(None), User.id != user.id))
    with when_violated(EmailTakenError(), "uq_users_email_lower"):
        await session.execute(update(User).where(User.id == user.id).values(email=found.new_email, updated_at=now))
    add_security_event(session, "email_changed", user_id=user.id, now=now)
    await end_sessions(session, user_id=user.id, but=found.session_id, reason="email", now=now)
    if old_email:
        context = {"name": user.name, "new_email": found.new_email}
        await notifications.send(session, [OutgoingMail(old_email, "email_changed", user.language, context)])
