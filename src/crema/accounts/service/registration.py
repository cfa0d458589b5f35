"""Registering, and proving that an address is one's own."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import CUSTOMER
from crema.accounts.models import OneTimeCode, User
from crema.accounts.schemas import Register, Verify
from crema.accounts.service import throttle
from crema.accounts.service.codes import LIFETIME, Attempt, Codes, InvalidCodeError
from crema.accounts.service.passwords import Passwords
from crema.core.errors import ConflictError
from crema.db.base import new_id
from crema.db.session import keep
from crema.notifications import service as notifications
from crema.notifications.service import Letter

REGISTRATION: Final = "registration"
EMAIL_CHANGE: Final = "email_change"
MINUTES: Final = int(LIFETIME.total_seconds() // 60)
HOUR: Final = timedelta(hours=1)
MAILS_AN_HOUR: Final = 3
"""To one address, of one kind."""
REGISTRATIONS_AN_HOUR: Final = 1000
"""From one network: an office, or a stand with a poster, shares an address."""
REQUESTS_AN_HOUR: Final = 300


class EmailTakenError(ConflictError):
    """Somebody verified this address."""

    code = "email_taken"
    title = "This e-mail address has an account already."


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, as the server itself sees it, and the language its sender reads."""

    network: str
    user_agent: str
    language: str


async def register(
    session: AsyncSession, *, wanted: Register, origin: Origin, passwords: Passwords, codes: Codes, now: datetime
) -> User:
    """Make or renew an unverified person and promise the code.

    Until an address is verified anyone may claim it: each claim gets a code of its own, which confirms its
    own name and password and no other's.
    """
    await throttle.count(
        session, key=f"register:{origin.network}", limit=REGISTRATIONS_AN_HOUR, window=HOUR, now=now
    )
    await keep(session)
    password_hash = await passwords.hash(wanted.password)

    claim = insert(User).values(
        id=new_id(),
        email=wanted.email,
        name=wanted.name,
        phone=wanted.phone,
        password_hash=password_hash,
        role_id=await queries.get_role_id(session, CUSTOMER),
        language=origin.language,
        created_at=now,
        updated_at=now,
    )
    user_id = await session.scalar(
        claim.on_conflict_do_update(
            index_elements=[queries.EMAIL_KEY],
            set_={
                "name": wanted.name,
                "phone": wanted.phone,
                "password_hash": password_hash,
                "language": origin.language,
                "updated_at": now,
            },
            where=User.verified_at.is_(None),
        ).returning(User.id)
    )
    if user_id is None:
        raise EmailTakenError
    await throttle.count(session, key=mail_key(REGISTRATION, wanted.email), limit=MAILS_AN_HOUR, window=HOUR, now=now)
    user = await queries.get_user(session, user_id)
    attempt = Attempt(name=wanted.name, phone=wanted.phone, password_hash=password_hash)
    await _send_code(session, user=user, attempt=attempt, codes=codes, now=now)
    return user


async def resend(session: AsyncSession, *, email: str, origin: Origin, codes: Codes, now: datetime) -> None:
    """Promise a new code for the latest attempt. Does nothing, silently, where there is none to verify."""
    if not await may_mail(session, purpose=REGISTRATION, email=email, origin=origin, now=now):
        return
    user = await queries.find_user_by_email(session, email)
    if user is None or user.is_verified:
        return
    attempt = Attempt(name=user.name, phone=user.phone, password_hash=user.password_hash)
    await _send_code(session, user=user, attempt=attempt, codes=codes, now=now)


async def verify(session: AsyncSession, *, wanted: Verify, codes: Codes, now: datetime) -> User:
    """Confirm the attempt, or the change of address, that the code was sent for."""
    user = await queries.find_user_by_email(session, wanted.email)
    if user is not None and not user.is_verified:
        attempt = await codes.redeem(
            session, user_id=user.id, purpose=REGISTRATION, code=wanted.code, now=now
        )
        return await _confirm_registration(session, user=user, attempt=attempt, now=now)

    changing = await queries.find_user_changing_to(session, wanted.email, now=now)
    if changing is None:
        raise InvalidCodeError
    attempt = await codes.redeem(
        session, user_id=changing.id, purpose=EMAIL_CHANGE, code=wanted.code, now=now
    )
    return await _confirm_address(session, user=changing, new_email=attempt.new_email, now=now)


async def _confirm_registration(session: AsyncSession, *, user: User, attempt: Attempt, now: datetime) -> User:
    confirmed = await session.scalar(
        update(User)
        .where(User.id == user.id, User.verified_at.is_(None), User.deleted_at.is_(None))
        .values(
            verified_at=now,
            updated_at=now,
            name=attempt.name,
            phone=attempt.phone,
            password_hash=attempt.password_hash,
        )
        .returning(User.id)
    )
    if confirmed is None:
        raise InvalidCodeError
    await session.execute(
        update(OneTimeCode).where(OneTimeCode.user_id == user.id, OneTimeCode.used_at.is_(None)).values(used_at=now)
    )
    return await queries.get_user(session, user.id)


async def _confirm_address(session: AsyncSession, *, user: User, new_email: str | None, now: datetime) -> User:
    old_email, name, language = user.email, user.name, user.language
    # Somebody's unverified claim doesn't stand in the way of who just proved the address theirs.
    await session.execute(delete(User).where(func.lower(User.email) == func.lower(new_email), User.verified_at.is_(None)))
    try:
        async with session.begin_nested():
            await session.execute(
                update(User)
                .where(User.id == user.id, User.deleted_at.is_(None))
                .values(email=new_email, updated_at=now)
            )
    except IntegrityError as error:
        raise EmailTakenError from error
    if old_email:
        context = {"name": name, "new_email": new_email}
        await notifications.send(session, [Letter(old_email, "email_changed", language, context)])
    return await queries.get_user(session, user.id)


async def propose_address(
    session: AsyncSession, *, user: User, new_email: str, codes: Codes, now: datetime
) -> None:
    """Send a code to the address someone wants to have; it counts once the code comes back."""
    await throttle.count(session, key=mail_key(EMAIL_CHANGE, new_email), limit=MAILS_AN_HOUR, window=HOUR, now=now)
    code = await codes.issue(
        session, user_id=user.id, purpose=EMAIL_CHANGE, attempt=Attempt(new_email=new_email), now=now
    )
    if code is not None:
        context = {"code": code, "minutes": MINUTES, "name": user.name}
        await notifications.send(session, [Letter(new_email, "email_change_code", user.language, context)])


async def may_mail(
    session: AsyncSession, *, purpose: str, email: str, origin: Origin, now: datetime
) -> bool:
    """Tell whether one more mail may go there, asked for from here. The answer must not show to the asker."""
    by_network = await throttle.allows(
        session, key=f"mail-from:{origin.network}", limit=REQUESTS_AN_HOUR, window=HOUR, now=now
    )
    by_address = await throttle.allows(session, key=mail_key(purpose, email), limit=MAILS_AN_HOUR, window=HOUR, now=now)
    return by_network and by_address


def mail_key(purpose: str, email: str) -> str:
    """Name the count of mails of one kind to an address."""
    return f"mail:{purpose}:{email.lower()}"


async def _send_code(
    session: AsyncSession, *, user: User, attempt: Attempt, codes: Codes, now: datetime
) -> None:
    code = await codes.issue(session, user_id=user.id, purpose=REGISTRATION, attempt=attempt, now=now)
    if code is not None and user.email is not None:
        context = {"code": code, "minutes": MINUTES, "name": attempt.name}
        await notifications.send(session, [Letter(user.email, "verification_code", user.language, context)])
