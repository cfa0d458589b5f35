"""New passwords: forgotten ones by a code, known ones by the old. Other logins end with the old password."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import Actor
from crema.accounts.models import OneTimeCode, User
from crema.accounts.schemas import ChangePassword, ResetPassword
from crema.accounts.service import mail_limits, throttle
from crema.accounts.service.codes import (
    NOBODY,
    RESET,
    Codes,
    InvalidCodeError,
    count_guess,
    note_asking,
    spend,
    void,
)
from crema.accounts.service.logins import TRIES, TRY_WINDOW, InvalidCredentialsError, end_sessions
from crema.accounts.service.passwords import Passwords, Turn, check_strength
from crema.accounts.service.registration import Origin
from crema.db.audit import add_security_event
from crema.db.session import keep
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail


def _owner(email: str) -> ColumnElement[bool]:
    """Limit to whoever may have a new password at this address."""
    return and_(func.lower(email) == queries.EMAIL_KEY, User.is_verified, User.is_active)


async def forgot(session: AsyncSession, *, email: str, origin: Origin, codes: Codes, now: datetime) -> None:
    """Promise a code to whoever has a verified account here; silently nothing to anyone else.

    The statements are the same whether or not anybody has the address: the time they take tells nothing.
    """
    permit = await mail_limits.may_mail(session, purpose=RESET, email=email, network=origin.network, now=now)
    if permit == "refused":
        return
    if permit == "flooded":
        owner = select(User.id).where(_owner(email)).scalar_subquery()
        which = and_(OneTimeCode.purpose == RESET, OneTimeCode.user_id == owner)
        await codes.extend(session, which=which, now=now)
        return
    await note_asking(session, kind="reset", email=email, network=origin.network, now=now)
    issued = await codes.issue(session, user=_owner(email), purpose=RESET, now=now)
    person = select(User.email, User.name, User.language).where(User.id == (issued.user_id if issued else NOBODY))
    row = (await session.execute(person)).one_or_none()
    mails = []
    if issued is not None and row is not None:
        context = issued.told | {"name": row.name} | origin.told(now)
        mails = [OutgoingMail(row.email, "password_reset", row.language, context)]
    await notifications.send(session, mails, even_none=True)


async def reset(
    session: AsyncSession,
    *,
    wanted: ResetPassword,
    origin: Origin,
    turn: Turn,
    codes: Codes,
    now: datetime,
) -> None:
    """Set a new password by the code that was mailed, and end every login.

    The same code with the same password again, while it would live, changes nothing.
    """
    passwords = turn.passwords
    check_strength(wanted.new_password, field="new_password", email=wanted.email)
    guess = await count_guess(
        session, kind="reset", email=wanted.email, entered=wanted.code, network=origin.network, now=now
    )
    sent = (
        select(OneTimeCode, User.name, User.password_hash)
        .join(User, User.id == OneTimeCode.user_id)
        .where(_owner(wanted.email), OneTimeCode.purpose == RESET, OneTimeCode.expires_at > now)
    )
    rows = (await session.execute(sent)).all()
    await keep(session)
    await turn.pause(guess.delay)
    found = [row for row in rows if codes.is_code(row.OneTimeCode, wanted.code)]
    if not found:
        raise InvalidCodeError
    code, name, old_hash = found[0]
    if code.spent_at is not None and not await passwords.verify(old_hash, wanted.new_password):
        raise InvalidCodeError
    password_hash = await passwords.hash(wanted.new_password)

    await guess.forgive(session)
    await keep(session)  # it was right, whether or not the password is taken
    check_strength(wanted.new_password, field="new_password", email=wanted.email, name=name)
    if not await spend(session, row=code, now=now):
        await _check_same(session, code=code, wanted=wanted, passwords=passwords)
        return
    user = await queries.get_user(session, code.user_id)
    await _set_password(session, user=user, password_hash=password_hash, but=code, now=now)
    await end_sessions(session, user_id=user.id, reason="password", now=now)


async def _check_same(session: AsyncSession, *, code: OneTimeCode, wanted: ResetPassword, passwords: Passwords) -> None:
    """Raise InvalidCodeError unless the spent code has set this very password."""
    current_hash = await session.scalar(select(User.password_hash).where(User.id == code.user_id))
    await keep(session)
    if not await passwords.verify(current_hash, wanted.new_password):
        raise InvalidCodeError


async def check_password(
    session: AsyncSession, *, actor: Actor, password: str, network: str, passwords: Passwords, now: datetime
) -> str | None:
    """Return the hash of one's own password; raise InvalidCredentialsError if this isn't it.

    The try is counted by network, so that who holds a stolen token doesn't keep the owner from a new password.
    """
    key = f"password:{actor.user_id}:{network}"
    await throttle.count(session, key=key, limit=TRIES, window=TRY_WINDOW, now=now)
    current_hash = (await queries.get_user(session, actor.user_id)).password_hash
    await keep(session)
    if not await passwords.verify(current_hash, password):
        raise InvalidCredentialsError
    await throttle.forget(session, key=key)
    return current_hash


async def change(
    session: AsyncSession, *, actor: Actor, wanted: ChangePassword, network: str, passwords: Passwords, now: datetime
) -> None:
    """Set a new password by the old one, and end every other login."""
    user = await queries.get_user(session, actor.user_id)
    check_strength(wanted.new_password, field="new_password", email=user.email, name=user.name)
    old_hash = await check_password(
        session, actor=actor, password=wanted.old_password, network=network, passwords=passwords, now=now
    )
    await keep(session)
    password_hash = await passwords.hash(wanted.new_password)

    locked = await queries.find_user_for_update(session, actor.user_id)
    if locked is None or locked.password_hash != old_hash:  # replaced while we were hashing
        raise InvalidCredentialsError
    await _set_password(session, user=locked, password_hash=password_hash, now=now)
    await end_sessions(session, user_id=locked.id, but=actor.session_id, reason="password", now=now)


async def _set_password(
    session: AsyncSession, *, user: User, password_hash: str, now: datetime, but: OneTimeCode | None = None
) -> None:
    """Replace the password of a locked person. Codes asked for under the old one die with it."""
    user.password_hash = password_hash
    user.updated_at = now
    await session.flush()
    await void(session, user_id=user.id, but=but.id if but else None)
    add_security_event(session, "password_changed", user_id=user.id, now=now)
    if user.email:
        mail = OutgoingMail(user.email, "password_changed", user.language, {"name": user.name})
        await notifications.send(session, [mail])
