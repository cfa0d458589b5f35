"""Registering: several attempts may claim the same address, until a code confirms one of them."""

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import CUSTOMER, device_of
from crema.accounts.models import OneTimeCode, User
from crema.accounts.schemas import Register, Resend
from crema.accounts.service import mail_limits, throttle
from crema.accounts.service.codes import LIFETIME, MISSING_ID, REGISTRATION, Codes, IssuedCode, record_code_request
from crema.accounts.service.passwords import Passwords, check_strength
from crema.core.errors import ConflictError
from crema.db.base import new_id
from crema.db.session import commit_now
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail

MAX_COMPARED: Final = 10
"""The password is compared with those of the first attempts for an address only: each comparison costs a hash."""


class EmailTakenError(ConflictError):
    """A verified account has this address."""

    code = "email_taken"
    title = "This e-mail address already has an account."
    advice = "Log in, or set a new password by `POST /password/forgot`."


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, as the server sees it, and the language of its sender."""

    network: str
    user_agent: str
    language: str

    def mail_context(self, now: datetime) -> dict[str, str]:
        """Return the part of a mail's context that is about the request. Nothing of it is text of the sender."""
        return {"asked_at": now.isoformat(), "network": self.network, "device": device_of(self.user_agent)}


@dataclass(frozen=True, slots=True)
class Credentials:
    """The services that check passwords and create codes."""

    passwords: Passwords
    codes: Codes


@dataclass(frozen=True, slots=True)
class PendingAttempt:
    """One of the unconfirmed registrations of an address."""

    id: UUID
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class RegistrationAttempt:
    """A registration attempt, and the secret that names it."""

    user: User
    name: str | None
    phone: str | None
    registration_id: str


async def register(
    session: AsyncSession,
    *,
    wanted: Register,
    origin: Origin,
    credentials: Credentials,
    limit: int,
    now: datetime,
) -> RegistrationAttempt:
    """Add a registration attempt with a code of its own, and mail the code.

    Until an address is verified anyone may register it. Registering again with the same password renews the attempt.
    `limit` is the number of registrations per hour from one network.
    """
    passwords, codes = credentials.passwords, credentials.codes
    check_strength(wanted.password, field="password", email=wanted.email, name=wanted.name)
    key = f"register:{origin.network}"
    await throttle.count(session, key=key, limit=limit, window=mail_limits.HOUR, now=now)
    attempts = await list_attempts(session, wanted.email)
    await commit_now(session)
    known = [each for each in attempts if await passwords.verify(each.password_hash, wanted.password)]
    password_hash = known[0].password_hash if known else await passwords.hash(wanted.password)

    await mail_limits.count(session, purpose=REGISTRATION, email=wanted.email, network=origin.network, now=now)
    await record_code_request(session, kind="verification", email=wanted.email, network=origin.network, now=now)
    user_id = await _claim(session, wanted=wanted, language=origin.language, now=now)
    attempt = {"name": wanted.name, "phone": wanted.phone, "language": origin.language}
    issued = None
    if known:
        which = OneTimeCode.id == known[0].id
        issued = await codes.renew(session, which=which, now=now, created_at=now, **attempt)
    if issued is None:
        row = codes.new_row(user_id=user_id, purpose=REGISTRATION, now=now, password_hash=password_hash, **attempt)
        session.add(row)
        await session.flush()
        issued = codes.issued_codes(row.id, user_id, row.nonce)
    user = await queries.get_user(session, user_id)
    await _send_code(session, issued, email=user.email, origin=origin, now=now)
    return RegistrationAttempt(user, wanted.name, wanted.phone, codes.registration_id(issued.id))


async def _claim(session: AsyncSession, *, wanted: Register, language: str, now: datetime) -> UUID:
    """Lock the unverified person of an address, creating one if there is none; return their id.

    The clean-up keeps them while the code is valid.
    """
    claim = insert(User).values(
        id=new_id(),
        email=wanted.email,
        name=wanted.name,
        phone=wanted.phone,
        language=language,
        role_id=await queries.get_role_id(session, CUSTOMER),
        kept_until=now + LIFETIME,
        created_at=now,
        updated_at=now,
    )
    user_id: UUID | None = await session.scalar(
        claim.on_conflict_do_update(
            index_elements=[queries.EMAIL_KEY], set_={"kept_until": now + LIFETIME}, where=User.verified_at.is_(None)
        ).returning(User.id)
    )
    if user_id is None:
        raise EmailTakenError
    return user_id


async def list_attempts(session: AsyncSession, email: str) -> list[PendingAttempt]:
    """Return the first registration attempts for an address that isn't verified."""
    person = select(User.id).where(func.lower(email) == queries.EMAIL_KEY, User.verified_at.is_(None))
    attempts = (
        select(OneTimeCode.id, OneTimeCode.password_hash)
        .where(
            OneTimeCode.user_id == person.scalar_subquery(),
            OneTimeCode.purpose == REGISTRATION,
            OneTimeCode.spent_at.is_(None),
        )
        .order_by(OneTimeCode.id)
        .limit(MAX_COMPARED)
    )
    return [PendingAttempt(*row) for row in await session.execute(attempts)]


async def resend(
    session: AsyncSession, *, wanted: Resend, origin: Origin, credentials: Credentials, now: datetime
) -> None:
    """Mail the code of one attempt again; do nothing, without an error, if there is none to confirm.

    The attempt is the one that the registration id or the password names; without both, the first. The same
    statements run with and without an account, so that the response time doesn't reveal it.
    """
    passwords, codes = credentials.passwords, credentials.codes
    async with passwords.admission() if wanted.password is not None else nullcontext():
        decision = await mail_limits.count_and_decide(
            session, purpose=REGISTRATION, email=wanted.email, network=origin.network, now=now
        )
        if decision == "refused":
            return
        attempts = await list_attempts(session, wanted.email)
        await commit_now(session)
        if wanted.registration_id is not None:
            meant = codes.read_registration_id(wanted.registration_id)
            attempts = [attempt for attempt in attempts if attempt.id == meant]
        if wanted.password is not None:
            hashes = [attempt.password_hash for attempt in attempts] or [None]
            matches = [await passwords.verify(password_hash, wanted.password) for password_hash in hashes]
            attempts = [attempt for attempt, is_right in zip(attempts, matches, strict=False) if is_right]

    which = OneTimeCode.id == (attempts[0].id if attempts else MISSING_ID)
    if decision == "sent":
        await record_code_request(session, kind="verification", email=wanted.email, network=origin.network, now=now)
    claim = update(User).where(func.lower(wanted.email) == queries.EMAIL_KEY, User.verified_at.is_(None))
    email = await session.scalar(claim.values(kept_until=now + LIFETIME).returning(User.email))
    if decision == "flooded":
        await codes.extend(session, which=which, now=now)
        return
    issued = await codes.renew(session, which=which, now=now)
    await _send_code(session, issued, email=email, origin=origin, now=now)


async def _send_code(
    session: AsyncSession, issued: IssuedCode | None, *, email: str | None, origin: Origin, now: datetime
) -> None:
    """Mail the code of a registration. The address isn't verified, so the mail has no text of the sender."""
    mails = []
    if issued is not None and email is not None:
        context = issued.mail_context | origin.mail_context(now)
        mails = [OutgoingMail(email, "verification_code", origin.language, context)]
    await notifications.send(session, mails, even_none=True)
