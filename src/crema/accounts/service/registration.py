"""Registering, and proving that an address is one's own."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import CUSTOMER
from crema.accounts.models import OneTimeCode, User
from crema.accounts.schemas import Register, Verify
from crema.accounts.service import throttle
from crema.accounts.service.codes import LIFETIME, Attempt, Codes, InvalidCodeError, spend, void
from crema.accounts.service.passwords import Passwords
from crema.accounts.service.throttle import TooManyAttemptsError
from crema.core.errors import ConflictError
from crema.db.base import new_id
from crema.db.session import keep
from crema.notifications import service as notifications
from crema.notifications.service import Letter

REGISTRATION: Final = "registration"
EMAIL_CHANGE: Final = "email_change"
MINUTES: Final = int(LIFETIME.total_seconds() // 60)
HOUR: Final = timedelta(hours=1)
MAILS: Final = {"hour": (3, HOUR), "day": (5, timedelta(days=1))}
"""To one address, of one kind: nobody's mailbox is flooded, and few codes are there to be guessed."""
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
    await throttle.count(session, key=f"register:{origin.network}", limit=REGISTRATIONS_AN_HOUR, window=HOUR, now=now)
    await keep(session)
    password_hash = await passwords.hash(wanted.password)

    await _count_mail(session, purpose=REGISTRATION, email=wanted.email, now=now)
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
                "created_at": now,  # they registered just now: the clean-up waits for them anew
                "updated_at": now,
            },
            where=User.verified_at.is_(None),
        ).returning(User.id)
    )
    if user_id is None:
        raise EmailTakenError
    user = await queries.get_user(session, user_id)
    attempt = Attempt(name=wanted.name, phone=wanted.phone, password_hash=password_hash)
    await _send_code(session, user=user, attempt=attempt, codes=codes, now=now)
    return user


async def resend(session: AsyncSession, *, email: str, origin: Origin, codes: Codes, now: datetime) -> None:
    """Promise a new code for the latest attempt. Does nothing, silently, where there is none to verify."""
    if not await may_mail(session, purpose=REGISTRATION, email=email, origin=origin, now=now):
        return
    claimant = await queries.find_user_by_email(session, email)
    if claimant is None:
        return
    user = await queries.find_user_for_update(session, claimant.id)
    if user is None or user.is_verified:  # the clean-up, or a verification, was quicker
        return
    attempt = Attempt(name=user.name, phone=user.phone, password_hash=user.password_hash)
    await _send_code(session, user=user, attempt=attempt, codes=codes, now=now)


async def verify(session: AsyncSession, *, wanted: Verify, origin: Origin, codes: Codes, now: datetime) -> User:
    """Confirm the attempt, or the change of address, that the code was sent for."""
    found = await codes.match(session, among=_sent_to(wanted.email), code=wanted.code, network=origin.network, now=now)

    await spend(session, found=found, network=origin.network)
    confirm = _confirm_registration if found.purpose == REGISTRATION else _confirm_address
    await confirm(session, found=found, now=now)
    await void(session, user_id=found.user_id)
    return await queries.get_user(session, found.user_id)


def _sent_to(email: str) -> ColumnElement[bool]:
    """Limit to codes that prove this address. Several may claim it: only the code entered tells whose it is."""
    claimants = select(User.id).where(func.lower(email) == queries.EMAIL_KEY, User.verified_at.is_(None))
    return or_(
        and_(OneTimeCode.purpose == REGISTRATION, OneTimeCode.user_id == claimants.scalar_subquery()),
        and_(OneTimeCode.purpose == EMAIL_CHANGE, func.lower(OneTimeCode.new_email) == func.lower(email)),
    )


async def _confirm_registration(session: AsyncSession, *, found: OneTimeCode, now: datetime) -> None:
    confirmed = await session.scalar(
        update(User)
        .where(User.id == found.user_id, User.verified_at.is_(None), User.deleted_at.is_(None))
        .values(
            verified_at=now,
            updated_at=now,
            name=found.name,
            phone=found.phone,
            password_hash=found.password_hash,
        )
        .returning(User.id)
    )
    if confirmed is None:
        raise InvalidCodeError


async def _confirm_address(session: AsyncSession, *, found: OneTimeCode, now: datetime) -> None:
    user = await queries.get_user(session, found.user_id)
    old_email = user.email
    # Somebody's unverified claim doesn't stand in the way of who just proved the address theirs.
    claim = func.lower(found.new_email) == queries.EMAIL_KEY
    await session.execute(delete(User).where(claim, User.verified_at.is_(None), User.id != user.id))
    try:
        async with session.begin_nested():
            await session.execute(update(User).where(User.id == user.id).values(email=found.new_email, updated_at=now))
    except IntegrityError as error:
        raise EmailTakenError from error
    if old_email:
        context = {"name": user.name, "new_email": found.new_email}
        await notifications.send(session, [Letter(old_email, "email_changed", user.language, context)])


async def propose_address(session: AsyncSession, *, user: User, new_email: str, codes: Codes, now: datetime) -> None:
    """Send a code to the address someone wants to have; it counts once the code comes back."""
    await _count_mail(session, purpose=EMAIL_CHANGE, email=new_email, now=now)
    code = await codes.issue(
        session, user_id=user.id, purpose=EMAIL_CHANGE, attempt=Attempt(new_email=new_email), now=now
    )
    if code is not None:
        context = {"code": code, "minutes": MINUTES, "name": user.name}
        await notifications.send(session, [Letter(new_email, "email_change_code", user.language, context)])


async def may_mail(session: AsyncSession, *, purpose: str, email: str, origin: Origin, now: datetime) -> bool:
    """Tell whether one more mail may go there, asked for from here. The answer must not show to the asker."""
    try:
        await throttle.count(session, key=f"mail-from:{origin.network}", limit=REQUESTS_AN_HOUR, window=HOUR, now=now)
        await _count_mail(session, purpose=purpose, email=email, now=now)
    except TooManyAttemptsError:
        return False
    return True


async def _count_mail(session: AsyncSession, *, purpose: str, email: str, now: datetime) -> None:
    for name, (limit, window) in MAILS.items():
        key = f"mail-a-{name}:{purpose}:{email.lower()}"
        await throttle.count(session, key=key, limit=limit, window=window, now=now)


async def _send_code(session: AsyncSession, *, user: User, attempt: Attempt, codes: Codes, now: datetime) -> None:
    code = await codes.issue(session, user_id=user.id, purpose=REGISTRATION, attempt=attempt, now=now)
    if code is not None and user.email is not None:
        context = {"code": code, "minutes": MINUTES, "name": attempt.name}
        await notifications.send(session, [Letter(user.email, "verification_code", user.language, context)])
