"""The daily mail to administrators about mails that could not be delivered."""

from datetime import datetime, time, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.service.alerts import notify_administrators
from crema.notifications import queries as mails
from crema.notifications.domain import FAILED_TEMPLATE

HOUR: Final = 6
"""The hour, UTC, at which the day ends: nine in the morning in Moscow."""
MAX_LISTED: Final = 20


async def tell_admins(session: AsyncSession, *, now: datetime) -> int:
    """Queue one mail for each administrator about the mails that failed on the day that ended last; return how many.

    A second call on the same day queues nothing. Mails about failed mails are not counted, or each would cause the
    next.
    """
    until = datetime.combine((now - timedelta(hours=HOUR)).date(), time(HOUR), now.tzinfo)
    since = until - timedelta(days=1)
    count = await mails.count_failed(session, since=since, until=until)
    if not count:
        return 0
    shown = await mails.list_failed(session, since=since, until=until, limit=MAX_LISTED)
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
    await notify_administrators(
        session, template=FAILED_TEMPLATE, context=context, dedup_key=f"{FAILED_TEMPLATE}:{day}"
    )
    return count
