"""New passwords: forgotten ones by a code, known ones by the old. Other logins end with the old password."""

from datetime import datetime
from typing import Final

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import Actor
from crema.accounts.models import OneTimeCode, User
from crema.accounts.schemas import ChangePassword, ResetPassword
from crema.accounts.service import throttle
from crema.accounts.service.codes import Attempt, Codes, InvalidCodeError
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
    session: AsyncSession, *, wanted: ResetPassword, passwords: Passwords, codes: Codes, now: datetime
) -> None:
    """Set a new password by the code that was mailed, and end every login."""
    password_hash = await passwords.hash(wanted.new_password)  # before the first query, which takes a connection
    user = await queries.find_user_by_email(session, wanted.email)
    if user is None or not user.is_verified or not user.is_active:
        raise InvalidCodeError
    await codes.redeem(session, user_id=user.id, purpose=RESET, code=wanted.code, now=now)
    await _set_password(session, user=user, password_hash=password_hash, now=now)
    await end_sessions(session, user_id=user.id, reason="password", now=now)
    await session.execute(
        update(OneTimeCode)
        .where(OneTimeCode.user_id == user.id, OneTimeCode.purpose == RESET, OneTimeCode.used_at.is_(None))
        .values(used_at=now)
    )


async def change(
    session: AsyncSession, *, actor: Actor, wanted: ChangePassword, passwords: Passwords, now: datetime
) -> None:
    """Set a new password by the old one, and end every other login."""
    key = f"password:{actor.user_id}"
    await throttle.count(session, key=key, limit=TRIES, window=TRY_WINDOW, now=now)
    user = await queries.get_user(session, actor.user_id)
    await keep(session)
    if not await passwords.verify(user.password_hash, wanted.old_password):
        raise InvalidCredentialsError
    password_hash = await passwords.hash(wanted.new_password)

    await throttle.forget(session, key=key)
    await _set_password(session, user=user, password_hash=password_hash, now=now)
    await end_sessions(session, user_id=user.id, but=actor.session_id, reason="password", now=now)


async def _set_password(session: AsyncSession, *, user: User, password_hash: str, now: datetime) -> None:
    """Replace the password that was checked, unless somebody replaced it meanwhile."""
    replaced = await session.scalar(
        update(User)
        .where(User.id == user.id, User.password_hash == user.password_hash, User.deleted_at.is_(None))
        .values(password_hash=password_hash, updated_at=now)
        .returning(User.id)
    )
    if replaced is None:
        raise InvalidCredentialsError
    if user.email:
        letter = Letter(user.email, "password_changed", user.language, {"name": user.name})
        await notifications.send(session, [letter])
