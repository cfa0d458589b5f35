"""Verifying with a mailed code the address of a registration, or of a change of address."""

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
    CountedGuess,
    InvalidCodeError,
    consume,
    count_guess,
    revoke_all,
)
from crema.accounts.service.logins import Logins, Tokens, end_sessions
from crema.accounts.service.registration import Credentials, EmailTakenError, Origin
from crema.core.errors import ConflictError
from crema.db.audit import add_security_event
from crema.db.edits import raise_on_constraint
from crema.db.session import commit_now
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail

REPEAT_GRACE: Final = timedelta(seconds=10)
"""How long a used code still logs in without anything else: people tap a button twice."""


class SeveralRegistrationsError(ConflictError):
    """The address was registered several times, or is the new address of others: a code alone doesn't say for whom."""

    code = "several_registrations"
    title = "This address was registered more than once."
    advice = "Send the `registration_id` that `POST /registration` gave you, or the password you chose there."


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """The person whose address was verified, and a login where the client asked for one."""

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
) -> VerificationResult:
    """Confirm the registration attempt, or the change of address, that the code was sent for.

    The same code sent again before it expires gets the same response, and changes nothing.
    """
    guess, found = await _check_code(session, wanted=wanted, origin=origin, credentials=credentials, now=now)
    await guess.refund(session)
    is_first = await consume(session, row=found, now=now)
    if is_first:
        confirm = _confirm_registration if found.purpose == REGISTRATION else _confirm_address
        await confirm(session, found=found, now=now)
        await revoke_all(session, user_id=found.user_id, except_id=found.id)
    user = await queries.find_user(session, found.user_id)
    if user is None or user.email is None or not user.is_verified or user.email.lower() != wanted.email.lower():
        raise InvalidCodeError
    # A new address may be mistyped, and its code with a stranger: logging in with it takes the password.
    if not wants_login or (found.purpose == EMAIL_CHANGE and wanted.password is None):
        return VerificationResult(user)
    may_log_in = (
        is_first
        or wanted.names_attempt
        or await _is_repeated_request(session, code_id=found.id, origin=origin, now=now)
    )
    if not user.is_active or not may_log_in:
        raise InvalidCodeError
    return VerificationResult(user, await logins.start(session, user=user, origin=origin, now=now))


async def _check_code(
    session: AsyncSession, *, wanted: Verify, origin: Origin, credentials: Credentials, now: datetime
) -> tuple[CountedGuess, OneTimeCode]:
    """Return the counted guess and the code that it matches. The count is committed before codes are compared."""
    async with credentials.passwords.admission() if wanted.password is not None else nullcontext() as admission:
        guess = await count_guess(
            session,
            kind="verification",
            email=wanted.email,
            entered=wanted.code,
            network=origin.network,
            now=now,
        )
        candidates = await _list_candidates(session, email=wanted.email, now=now)
        if not wanted.names_attempt and len([claim for claim in candidates if claim.code.spent_at is None]) > 1:
            raise SeveralRegistrationsError  # rolls the count back: no code was compared
        await commit_now(session)
        await (admission.pause if admission else pause)(guess.delay)
        found = await _find_match(candidates, wanted=wanted, credentials=credentials, now=now)
    return guess, found


def tokens_of(verified: VerificationResult) -> Tokens:
    """Return the tokens of a login; raise InvalidCodeError for a new address without the password."""
    if verified.tokens is None:
        raise InvalidCodeError("The code of a new e-mail address logs in only together with `password`.")
    return verified.tokens


async def _is_repeated_request(session: AsyncSession, *, code_id: UUID, origin: Origin, now: datetime) -> bool:
    """Return whether the code was used seconds ago from the same network, and that login is still active."""
    first = (
        select(Session.id)
        .join(OneTimeCode, OneTimeCode.user_id == Session.user_id)
        .where(
            OneTimeCode.id == code_id,
            OneTimeCode.spent_at >= now - REPEAT_GRACE,
            Session.created_at >= OneTimeCode.spent_at,
            Session.network == origin.network,
            Session.ended_at.is_(None),
        )
    )
    return await session.scalar(first.limit(1)) is not None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What a code may confirm, and the password of the account if there is one."""

    code: OneTimeCode
    password_hash: str | None


async def _find_match(
    candidates: Sequence[_Candidate], *, wanted: Verify, credentials: Credentials, now: datetime
) -> OneTimeCode:
    """Return the row that the request confirms; raise InvalidCodeError. A wrong code, too, takes the time of a hash."""
    codes = credentials.codes
    found = [claim for claim in candidates if claim.code.expires_at > now and codes.matches(claim.code, wanted.code)]
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


async def _list_candidates(session: AsyncSession, *, email: str, now: datetime) -> Sequence[_Candidate]:
    """Return all that a code for this address may confirm, and what was confirmed lately.

    Registration attempts are included until they are deleted, because anybody may request their codes again. A change
    of address is included while its code is valid, because only the person who requested it gets the code again.
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
    candidates = (
        select(OneTimeCode, User.password_hash)
        .join(User, User.id == OneTimeCode.user_id)
        .where(or_(is_attempt, is_change))
        .order_by(OneTimeCode.id)
    )
    return [_Candidate(code, password_hash) for code, password_hash in await session.execute(candidates)]


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
    """Set the new address, end all logins except the one that requested it, and mail a notice to the old address."""
    user = await queries.get_user(session, found.user_id)
    old_email = user.email
    # An unverified registration of the address gives way to the person who has proved that it is theirs.
    same_email = func.lower(found.new_email) == queries.EMAIL_KEY
    await session.execute(delete(User).where(same_email, User.verified_at.is_(None), User.id != user.id))
    with raise_on_constraint(EmailTakenError(), "uq_users_email_lower"):
        await session.execute(update(User).where(User.id == user.id).values(email=found.new_email, updated_at=now))
    add_security_event(session, "email_changed", user_id=user.id, now=now)
    await end_sessions(session, user_id=user.id, except_id=found.session_id, reason="email", now=now)
    if old_email:
        context = {"name": user.name, "new_email": found.new_email}
        await notifications.send(session, [OutgoingMail(old_email, "email_changed", user.language, context)])
