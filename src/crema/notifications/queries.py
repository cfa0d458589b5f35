"""Every SELECT about mails."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.notifications.models import Mail


async def list_latest(session: AsyncSession, *, limit: int = 50) -> list[Mail]:
    """List the latest mails, newest first."""
    return list(await session.scalars(select(Mail).order_by(Mail.created_at.desc(), Mail.id.desc()).limit(limit)))
