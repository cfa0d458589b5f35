"""Tasks of the support chat: answers nobody read, and uploads nobody sent."""

from dataclasses import dataclass
from typing import Final

from procrastinate import Blueprint, JobContext

from crema.db.tasks import HOUSEKEEPING, TaskContext, context_of
from crema.media.service import MediaService
from crema.support.service import attachments, letters

blueprint: Final = Blueprint()


@dataclass(frozen=True, kw_only=True)
class SupportTaskContext(TaskContext):
    """What tasks of the support chat need. `chat_url` is the address of a conversation, see `letters.mail_unread`."""

    media: MediaService
    chat_url: str


@blueprint.periodic(cron="* * * * * */20")
@blueprint.task(name="support.mail_unread", queue=HOUSEKEEPING, queueing_lock="support.mail_unread", pass_context=True)
async def mail_unread(job: JobContext, timestamp: int) -> None:
    """Mail answers that their customer has not read."""
    del timestamp
    context = context_of(job, SupportTaskContext)
    async with context.sessions.begin() as session:
        await letters.mail_unread(session, chat_url=context.chat_url, now=context.clock())


@blueprint.periodic(cron="45 * * * *")
@blueprint.task(name="support.sweep", queue=HOUSEKEEPING, queueing_lock="support.sweep", pass_context=True)
async def sweep(job: JobContext, timestamp: int) -> None:
    """Remove uploads nobody sent, and files that no row names."""
    del timestamp
    context = context_of(job, SupportTaskContext)
    await attachments.sweep(context.sessions, context.media.store, now=context.clock())
