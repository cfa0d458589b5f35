"""Mails to the administrators about problems that need a person."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail


async def notify_administrators(
    session: AsyncSession, *, template: str, context: Mapping[str, Any], dedup_key: str
) -> None:
    """Queue one mail for each administrator, in their language; nothing if `dedup_key` was used before."""
    admins = await queries.list_admin_recipients(session)
    mails = [
        OutgoingMail(email, template, language, dict(context), f"{dedup_key}:{sha256(email.encode()).hexdigest()[:32]}")
        for email, language in admins
    ]
    await notifications.send(session, mails)
