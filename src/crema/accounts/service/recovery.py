"""New passwords: forgotten ones by a code, known ones by the old. Other logins end with the old password."""

from datetime import datetime
from typing import Final

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import Actor
from crema.accounts.models import OneTimeCode, User
from crema.accounts.schemas import ChangePassword, ResetPassword
from crema.accounts.service import throttle
from crema.accounts.service.codes import Attempt, Codes, spend, void
from crema.accounts.service.logins import TRIES, TRY_WINDOW, InvalidCredentialsError, end_sessions
from crema.accounts.service.passwords import Passwords
from crema.accounts.service.registration import MINUTES, Origin, may_mail
from crema.db.session import keep
from crema.notifications import service as notifications
from crema.notifications.service import Letter

RESET: Final = "password_reset"


async def forgot(session: AsyncSession, *, email: str, origin: Origin, codes: Codes, now: datetime) -> None:
    """Promise a code to whoever has a verified account here; silently nothing to anyone else."""
    if not await may_mail(session, purpose=RESET, email=email, origin=origin, now=now):
        return
    user = await queries.find_user_by_email(session, email)
    if user is None or user.email is None or not user.is_verified or not user.is_active:
        return
    code = await codes.issue(session, user_id=user.id, purpose=RESET, attempt=Attempt(), now=now)
    if code is not None:
        context = {"code": code, "minutes": MINUTES, "name": user.name}
        await notifications.send(session, [Letter(user.email, "password_reset", user.language, context)])


async def reset(
    session: AsyncSession,
    *,
    wanted: ResetPassword,
    origin: Origin,
    passwords: Passwords,
    codes: Codes,
    now: datetime,
) -> None:
    """Set a new password by the code that was mailed, and end every login."""
    owner = select(User.id).where(func.lower(wanted.email) == queries.EMAIL_KEY, User.is_verified, User.is_active)
    sent = and_(OneTimeCode.purpose == RESET, OneTimeCode.user_id == owner.scalar_subquery())
    found = await codes.match(session, among=sent, code=wanted.code, network=origin.network, now=now)
    password_hash = await passwords.hash(wanted.new_password)

    await spend(session, found=found, network=origin.network)
    user = await queries.get_user(session, found.user_id)
    await _set_password(session, user=user, password_hash=password_hash, now=now)
    await end_sessions(session, user_id=user.id, reason="password", now=now)


async def change(
    session: AsyncSession, *, actor: Actor, wanted: ChangePassword, passwords: Passwords, now: datetime
) -> None:
    """Set a new password by the old one, and end every other login."""
    key = f"password:{actor.user_id}"
    await throttle.count(session, key=key, limit=TRIES, window=TRY_WINDOW, now=now)
    old_hash = (await queries.get_user(session, actor.user_id)).password_hash
    await keep(session)
    if not await passwords.verify(old_hash, wanted.old_password):
        raise InvalidCredentialsError
    password_hash = await passwords.hash(wanted.new_password)

    await throttle.forget(session, key=key)
    user = await queries.find_user_for_update(session, actor.user_id)
    if user is None or user.password_hash != old_hash:  # replaced while we were hashing
        raise InvalidCredentialsError
    await _set_password(session, user=user, password_hash=password_hash, now=now)
    await end_sessions(session, user_id=user.id, but=actor.session_id, reason="password", now=now)


async def _set_password(session: AsyncSession, *, user: User, password_hash: str, now: datetime) -> None:
    """Replace the password of a locked person. Codes asked for under the old one die with it."""
    user.password_hash = password_hash
    user.updated_at = now
    await session.flush()
    await void(session, user_id=user.id)
    if user.email:
        letter = Letter(user.email, "password_changed", user.language, {"name": user.name})
        await notifications.send(session, [letter])
