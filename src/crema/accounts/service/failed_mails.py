"""The daily word to administrators about mails that could not be delivered."""

from datetime import datetime, time, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.service.alerts import tell_administrators
from crema.notifications import queries as mails
from crema.notifications.domain import FAILED_TEMPLATE

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
    if not count:
        return 0
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
    await tell_administrators(session, template=FAILED_TEMPLATE, context=context, dedup_key=f"{FAILED_TEMPLATE}:{day}")
    return count
