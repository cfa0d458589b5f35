"""Tasks of the support chat: mailing unread answers, and deleting uploads that were never sent."""

from dataclasses import dataclass
from typing import Final

from procrastinate import Blueprint, JobContext

from crema.db.tasks import HOUSEKEEPING, TaskContext, context_of
from crema.media.service import MediaService
from crema.support.service import attachments, mails

blueprint: Final = Blueprint()


@dataclass(frozen=True, kw_only=True)
class SupportTaskContext(TaskContext):
    """The settings of these tasks. `chat_url` is the address of a conversation, see `mails.mail_unread`."""

    media: MediaService
    chat_url: str


@blueprint.periodic(cron="* * * * * */20")
@blueprint.task(name="support.mail_unread", queue=HOUSEKEEPING, queueing_lock="support.mail_unread", pass_context=True)
async def mail_unread(job: JobContext, timestamp: int) -> None:
    """Mail answers that the customer has not read."""
    del timestamp
    context = context_of(job, SupportTaskContext)
    async with context.sessions.begin() as session:
        await mails.mail_unread(session, chat_url=context.chat_url, now=context.clock())


@blueprint.periodic(cron="45 * * * *")
@blueprint.task(name="support.sweep", queue=HOUSEKEEPING, queueing_lock="support.sweep", pass_context=True)
async def sweep(job: JobContext, timestamp: int) -> None:
    """Delete uploads that were never sent, and files without a row."""
    del timestamp
    context = context_of(job, SupportTaskContext)
    await attachments.sweep(context.sessions, context.media.store, now=context.clock())
