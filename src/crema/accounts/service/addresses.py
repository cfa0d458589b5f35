"""Changing an e-mail address: requested with the password, in effect once the code sent to it is entered."""

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
from crema.accounts.service.codes import DAY, EMAIL_CHANGE, Codes, IssuedCode, record_code_request
from crema.accounts.service.recovery import check_password
from crema.accounts.service.registration import Credentials, EmailTakenError, Origin
from crema.core.errors import ForbiddenError, InvalidError, NotFoundError
from crema.db.audit import add_security_event
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail

CHANGES_A_DAY: Final = 5
"""Changes of address that a person may request per day: each sends a mail to an address that may be anybody's."""


class CurrentPasswordRequiredError(InvalidError):
    """A new e-mail address was sent without the password of whoever sends it."""

    code = "current_password_required"
    title = "A new e-mail address needs the current password."
    advice = "Send `current_password`, too."


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """What changes of a person depend on: the actor, the origin of the request, and what checks passwords and codes."""

    actor: Actor
    origin: Origin
    credentials: Credentials


async def check_change(
    session: AsyncSession,
    *,
    context: ChangeContext,
    user: User,
    new_email: str,
    current_password: str | None,
    now: datetime,
) -> None:
    """Check that this change of address may be requested, and count it. Call it before anything is locked.

    It takes the password of the actor, the person themselves or an administrator: an access token alone must not be
    enough to take over an account. The person gets a notice at the old address.
    """
    if user.id != context.actor.user_id and not context.actor.is_admin:
        raise ForbiddenError("An e-mail address can be changed only by the person themselves and by administrators.")
    if current_password is None:
        error = {"loc": ["body", "current_password"], "msg": "is required with a new email", "type": "missing"}
        raise CurrentPasswordRequiredError(errors=[error])
    passwords = context.credentials.passwords
    async with passwords.admission():
        await check_password(
            session,
            actor=context.actor,
            password=current_password,
            network=context.origin.network,
            passwords=passwords,
            now=now,
        )
    key = f"email-change:{user.id}"
    await throttle.count(session, key=key, limit=CHANGES_A_DAY, window=DAY, now=now)
    await _count_mail(session, email=new_email, origin=context.origin, now=now)


async def _count_mail(session: AsyncSession, *, email: str, origin: Origin, now: datetime) -> None:
    await mail_limits.count(session, purpose=EMAIL_CHANGE, email=email, network=origin.network, now=now)
    await record_code_request(session, kind="verification", email=email, network=origin.network, now=now)


async def request_change(
    session: AsyncSession, *, context: ChangeContext, user: User, new_email: str, now: datetime
) -> None:
    """Mail a code to the new address of a locked person, and a notice to the present address."""
    holder = await queries.find_user_by_email(session, new_email)
    if holder is not None and holder.is_verified:
        raise EmailTakenError
    issued = await context.credentials.codes.issue(
        session,
        user=User.id == user.id,
        purpose=EMAIL_CHANGE,
        now=now,
        new_email=new_email,
        session_id=context.actor.session_id if context.actor.user_id == user.id else None,
    )
    add_security_event(
        session, "email_change_asked", user_id=user.id, now=now, is_by_them=context.actor.user_id == user.id
    )
    if issued is not None and user.email is not None:
        notice_context = {"name": user.name, "new_email": new_email} | context.origin.mail_context(now)
        notice = OutgoingMail(user.email, "email_change_asked", user.language, notice_context)
        await notifications.send(
            session, [_verification_mail(issued, new_email, user.language, context.origin, now), notice]
        )


async def resend_code(session: AsyncSession, *, user: User, origin: Origin, codes: Codes, now: datetime) -> None:
    """Mail the code of the pending change again; raise NotFoundError if there is none."""
    if user.pending_email is None:
        raise NotFoundError
    await _count_mail(session, email=user.pending_email, origin=origin, now=now)
    locked = await queries.get_user_for_update(session, user.id)
    issued = await codes.renew(session, which=_change_of(user.id), now=now)
    if issued is None or locked.pending_email is None:  # cancelled or confirmed meanwhile
        raise NotFoundError
    await notifications.send(session, [_verification_mail(issued, locked.pending_email, locked.language, origin, now)])


async def cancel_change(session: AsyncSession, *, user: User) -> None:
    """Cancel the pending change, if there is one: its code becomes invalid."""
    await session.execute(select(User.id).where(User.id == user.id).with_for_update())
    await session.execute(delete(OneTimeCode).where(_change_of(user.id), OneTimeCode.spent_at.is_(None)))


def _change_of(user_id: UUID) -> ColumnElement[bool]:
    return (OneTimeCode.user_id == user_id) & (OneTimeCode.purpose == EMAIL_CHANGE)


def _verification_mail(
    issued: IssuedCode, new_email: str, language: str, origin: Origin, now: datetime
) -> OutgoingMail:
    """Return the mail with the code. The address isn't verified, so the mail has no text that people wrote."""
    return OutgoingMail(new_email, "email_change_code", language, issued.mail_context | origin.mail_context(now))
