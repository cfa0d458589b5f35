"""Setting a new password, with a mailed code or with the old password. Other logins then end."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import Actor
from crema.accounts.models import OneTimeCode, User
from crema.accounts.schemas import ChangePassword, ResetPassword
from crema.accounts.service import mail_limits, throttle
from crema.accounts.service.codes import (
    MISSING_ID,
    RESET,
    Codes,
    InvalidCodeError,
    consume,
    count_guess,
    record_code_request,
    revoke_all,
)
from crema.accounts.service.logins import TRIES, TRY_WINDOW, InvalidCredentialsError, end_sessions
from crema.accounts.service.passwords import Admission, Passwords, check_strength
from crema.accounts.service.registration import Origin
from crema.db.audit import add_security_event
from crema.db.session import commit_now
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail


def _owner(email: str) -> ColumnElement[bool]:
    """Return the condition that a person may reset the password of this address."""
    return and_(func.lower(email) == queries.EMAIL_KEY, User.is_verified, User.is_active)


async def request_reset(session: AsyncSession, *, email: str, origin: Origin, codes: Codes, now: datetime) -> None:
    """Mail a code to this address if it has a verified account; otherwise do nothing, without an error.

    The same statements run with and without an account, so that the response time doesn't reveal it.
    """
    decision = await mail_limits.count_and_decide(session, purpose=RESET, email=email, network=origin.network, now=now)
    if decision == "refused":
        return
    if decision == "flooded":
        owner = select(User.id).where(_owner(email)).scalar_subquery()
        which = and_(OneTimeCode.purpose == RESET, OneTimeCode.user_id == owner)
        await codes.extend(session, which=which, now=now)
        return
    await record_code_request(session, kind="reset", email=email, network=origin.network, now=now)
    issued = await codes.issue(session, user=_owner(email), purpose=RESET, now=now)
    person = select(User.email, User.name, User.language).where(User.id == (issued.user_id if issued else MISSING_ID))
    row = (await session.execute(person)).one_or_none()
    mails = []
    if issued is not None and row is not None:
        context = issued.mail_context | {"name": row.name} | origin.mail_context(now)
        mails = [OutgoingMail(row.email, "password_reset", row.language, context)]
    await notifications.send(session, mails, even_none=True)


async def reset(
    session: AsyncSession,
    *,
    wanted: ResetPassword,
    origin: Origin,
    admission: Admission,
    codes: Codes,
    now: datetime,
) -> None:
    """Set a new password with the mailed code, and end every login.

    The same code with the same password again, before the code expires, changes nothing.
    """
    passwords = admission.passwords
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
    await commit_now(session)
    await admission.pause(guess.delay)
    found = [row for row in rows if codes.matches(row.OneTimeCode, wanted.code)]
    if not found:
        raise InvalidCodeError
    code, name, old_hash = found[0]
    if code.spent_at is not None and not await passwords.verify(old_hash, wanted.new_password):
        raise InvalidCodeError
    password_hash = await passwords.hash(wanted.new_password)

    await guess.refund(session)
    await commit_now(session)  # the code was right, also if the password is refused now
    check_strength(wanted.new_password, field="new_password", email=wanted.email, name=name)
    if not await consume(session, row=code, now=now):
        await _check_same(session, code=code, wanted=wanted, passwords=passwords)
        return
    user = await queries.get_user(session, code.user_id)
    await _set_password(session, user=user, password_hash=password_hash, except_id=code, now=now)
    await end_sessions(session, user_id=user.id, reason="password", now=now)


async def _check_same(session: AsyncSession, *, code: OneTimeCode, wanted: ResetPassword, passwords: Passwords) -> None:
    """Raise InvalidCodeError unless the used code has set this password."""
    current_hash = await session.scalar(select(User.password_hash).where(User.id == code.user_id))
    await commit_now(session)
    if not await passwords.verify(current_hash, wanted.new_password):
        raise InvalidCodeError


async def check_password(
    session: AsyncSession, *, actor: Actor, password: str, network: str, passwords: Passwords, now: datetime
) -> str | None:
    """Return the hash of the actor's password; raise InvalidCredentialsError if this is a wrong one.

    Tries are counted for each network, so that a thief with a stolen token can't use up those of the owner.
    """
    key = f"password:{actor.user_id}:{network}"
    await throttle.count(session, key=key, limit=TRIES, window=TRY_WINDOW, now=now)
    current_hash = (await queries.get_user(session, actor.user_id)).password_hash
    await commit_now(session)
    if not await passwords.verify(current_hash, password):
        raise InvalidCredentialsError
    await throttle.reset(session, key=key)
    return current_hash


async def change(
    session: AsyncSession, *, actor: Actor, wanted: ChangePassword, network: str, passwords: Passwords, now: datetime
) -> None:
    """Set a new password with the old one, and end every other login."""
    user = await queries.get_user(session, actor.user_id)
    check_strength(wanted.new_password, field="new_password", email=user.email, name=user.name)
    old_hash = await check_password(
        session, actor=actor, password=wanted.old_password, network=network, passwords=passwords, now=now
    )
    await commit_now(session)
    password_hash = await passwords.hash(wanted.new_password)

    locked = await queries.find_user_for_update(session, actor.user_id)
    if locked is None or locked.password_hash != old_hash:  # changed while the new password was hashed
        raise InvalidCredentialsError
    await _set_password(session, user=locked, password_hash=password_hash, now=now)
    await end_sessions(session, user_id=locked.id, except_id=actor.session_id, reason="password", now=now)


async def _set_password(
    session: AsyncSession, *, user: User, password_hash: str, now: datetime, except_id: OneTimeCode | None = None
) -> None:
    """Set the password of a locked person, and revoke codes that were requested before."""
    user.password_hash = password_hash
    user.updated_at = now
    await session.flush()
    await revoke_all(session, user_id=user.id, except_id=except_id.id if except_id else None)
    add_security_event(session, "password_changed", user_id=user.id, now=now)
    if user.email:
        mail = OutgoingMail(user.email, "password_changed", user.language, {"name": user.name})
        await notifications.send(session, [mail])
