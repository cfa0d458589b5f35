"""The daily word to administrators about mails that could not be delivered."""

from datetime import datetime, time, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.queries import admin_recipients
from crema.notifications import queries as mails
from crema.notifications import service as notifications
from crema.notifications.domain import FAILED_TEMPLATE
from crema.notifications.service import Letter

HOUR: Final = 6
"""The day ends at six in the morning, UTC: nine in Moscow."""
SHOWN: Final = 20


async def tell_admins(session: AsyncSession, *, now: datetime) -> int:
    """Promise each administrator one mail about what failed on the day that ended last, if anything did.

    Asked again on the same day it promises nothing new. Mails about failed mails are not counted, or they would bring
    about each other. Return how many failed.
    """
    until = datetime.combine((now - timedelta(hours=HOUR)).date(), time(HOUR), now.tzinfo)
    since = until - timedelta(days=1)
    count = await mails.count_failed(session, since=since, until=until)
    admins: list[list[str]] | None = await session.scalar(select(admin_recipients())) if count else None
    if not admins:
        return count
    shown = await mails.list_failed(session, since=since, until=until, limit=SHOWN)
    context = {
        "count": count,
        "mails": [
            {
                "template": mail.template,
                "recipient": mail.recipient,
                "status": mail.status,
                "error": mail.last_error or "",
            }
            for mail in shown
        ],
    }
    day = until.date().isoformat()
    letters = [
        Letter(email, FAILED_TEMPLATE, language, context, f"{FAILED_TEMPLATE}:{day}:{email}")
        for email, language in admins
    ]
    await notifications.send(session, letters)
    return count
