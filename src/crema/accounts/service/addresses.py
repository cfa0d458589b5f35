"""Changing an e-mail address: asked for with the password, counted once a code comes back from the new address."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import Actor
from crema.accounts.models import OneTimeCode, User
from crema.accounts.service import mail_limits, throttle
from crema.accounts.service.codes import DAY, EMAIL_CHANGE, Codes, Issued, note_asking
from crema.accounts.service.recovery import check_password
from crema.accounts.service.registration import Credentials, EmailTakenError, Origin
from crema.core.errors import ForbiddenError, InvalidError, NotFoundError
from crema.db.audit import add_security_event
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail

CHANGES_A_DAY: Final = 5
"""Changes of address a person may ask for in a day: each is a mail to an address that may be anybody's."""


class CurrentPasswordRequiredError(InvalidError):
    """A new address for oneself, and no password with it."""

    code = "current_password_required"
    title = "A new e-mail address needs the current password."
    advice = "Send `current_password`, too."


@dataclass(frozen=True, slots=True)
class Changing:
    """Who changes a person, from where, and what a change of address takes."""

    actor: Actor
    origin: Origin
    credentials: Credentials


async def check_change(
    session: AsyncSession, *, by: Changing, user: User, new_email: str, current_password: str | None, now: datetime
) -> None:
    """Check that this change of address may be asked for, and count it. Before anything is locked.

    An address changes with the password of whoever asks, the person's own or an administrator's: an access token alone
    must not be enough to take an account over. The person is told at the old address.
    """
    if user.id != by.actor.user_id and not by.actor.is_admin:
        raise ForbiddenError("Only the person themselves and administrators change an e-mail address.")
    if current_password is None:
        error = {"loc": ["body", "current_password"], "msg": "send it with a new email", "type": "missing"}
        raise CurrentPasswordRequiredError(errors=[error])
    passwords = by.credentials.passwords
    async with passwords.turn():
        await check_password(
            session,
            actor=by.actor,
            password=current_password,
            network=by.origin.network,
            passwords=passwords,
            now=now,
        )
    key = f"email-change:{user.id}"
    await throttle.count(session, key=key, limit=CHANGES_A_DAY, window=DAY, now=now)
    await _count_mail(session, email=new_email, origin=by.origin, now=now)


async def _count_mail(session: AsyncSession, *, email: str, origin: Origin, now: datetime) -> None:
    await mail_limits.count(session, purpose=EMAIL_CHANGE, email=email, network=origin.network, now=now)
    await note_asking(session, kind="verification", email=email, network=origin.network, now=now)


async def ask(session: AsyncSession, *, by: Changing, user: User, new_email: str, now: datetime) -> None:
    """Send a code to the address that a locked person wants to have, and word of it to the one they have."""
    holder = await queries.find_user_by_email(session, new_email)
    if holder is not None and holder.is_verified:
        raise EmailTakenError
    issued = await by.credentials.codes.issue(
        session,
        user=User.id == user.id,
        purpose=EMAIL_CHANGE,
        now=now,
        new_email=new_email,
        session_id=by.actor.session_id if by.actor.user_id == user.id else None,
    )
    add_security_event(session, "email_change_asked", user_id=user.id, now=now, is_by_them=by.actor.user_id == user.id)
    if issued is not None and user.email is not None:
        told = {"name": user.name, "new_email": new_email} | by.origin.told(now)
        notice = OutgoingMail(user.email, "email_change_asked", user.language, told)
        await notifications.send(
            session, [_verification_mail(issued, new_email, user.language, by.origin, now), notice]
        )


async def resend(session: AsyncSession, *, user: User, origin: Origin, codes: Codes, now: datetime) -> None:
    """Send the code of a change that is under way again; raise NotFoundError where there is none."""
    if user.pending_email is None:
        raise NotFoundError
    await _count_mail(session, email=user.pending_email, origin=origin, now=now)
    locked = await queries.get_user_for_update(session, user.id)
    issued = await codes.renew(session, which=_change_of(user.id), now=now)
    if issued is None or locked.pending_email is None:  # withdrawn, or confirmed, meanwhile
        raise NotFoundError
    await notifications.send(session, [_verification_mail(issued, locked.pending_email, locked.language, origin, now)])


async def withdraw(session: AsyncSession, *, user: User) -> None:
    """Give a change that is under way up: its code confirms nothing any more. Nothing happens where there is none."""
    await session.execute(select(User.id).where(User.id == user.id).with_for_update())
    await session.execute(delete(OneTimeCode).where(_change_of(user.id), OneTimeCode.spent_at.is_(None)))


def _change_of(user_id: UUID) -> ColumnElement[bool]:
    return (OneTimeCode.user_id == user_id) & (OneTimeCode.purpose == EMAIL_CHANGE)


def _verification_mail(issued: Issued, new_email: str, language: str, origin: Origin, now: datetime) -> OutgoingMail:
    """Make the mail with the code. Nobody has proved the address theirs: nothing of what people wrote goes there."""
    return OutgoingMail(new_email, "email_change_code", language, issued.told | origin.told(now))
