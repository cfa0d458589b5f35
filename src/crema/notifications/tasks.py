"""Tasks about mails: delivering, expiring and deleting them."""

import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from procrastinate import BaseRetryStrategy, Blueprint, JobContext, RetryDecision
from procrastinate.jobs import Job

from crema.db.driver import Reader
from crema.db.tasks import HOUSEKEEPING, TaskContext, context_of
from crema.notifications.domain import back_off
from crema.notifications.service import DELIVER, QUEUE, delivery
from crema.notifications.service.delivery import Pause
from crema.notifications.service.rendering import MailRenderer
from crema.notifications.service.senders import Sender

blueprint: Final = Blueprint()


@dataclass(frozen=True, kw_only=True)
class MailTaskContext(TaskContext):
    """What tasks about mails need. `statements` runs single statements, each a transaction of its own."""

    statements: Reader
    sender: Sender
    mail_renderer: MailRenderer
    pause: Pause = field(default_factory=Pause)


class DeliveryRetry(BaseRetryStrategy):
    """Runs a job again at the time that RetryLaterError gives, or after a back-off if it failed otherwise."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        """Return when the job runs again."""
        if isinstance(exception, delivery.RetryLaterError):
            return RetryDecision(retry_at=exception.at)
        wait = back_off(job.attempts + 1, jitter=random.uniform(0.75, 1.25))  # noqa: S311 - not a secret
        return RetryDecision(retry_in={"seconds": int(wait.total_seconds())})


@blueprint.task(name=DELIVER, queue=QUEUE, retry=DeliveryRetry(), pass_context=True)
async def deliver(
    job: JobContext, mail_ids: list[str] | None = None, queued_by: str | None = None, mail_id: str | None = None
) -> None:
    """Deliver the mails that one statement queued. `mail_id` is for jobs of an older version, which had one mail."""
    context = context_of(job, MailTaskContext)
    ids = mail_ids if mail_ids is not None else [mail_id] if mail_id else []
    await delivery.deliver(
        context.statements,
        context.sender,
        context.mail_renderer,
        mail_ids=[UUID(each) for each in ids],
        queued_by=datetime.fromisoformat(queued_by) if queued_by else None,
        now=context.clock(),
        pause=context.pause,
    )


@blueprint.periodic(cron="* * * * *")
@blueprint.task(name="mails.expire", queue=HOUSEKEEPING, queueing_lock="mails.expire", pass_context=True)
async def expire(job: JobContext, timestamp: int) -> None:
    """Expire mails whose time is over."""
    del timestamp
    context = context_of(job, TaskContext)
    async with context.sessions.begin() as session:
        await delivery.expire(session, now=context.clock())


@blueprint.periodic(cron="30 * * * *")
@blueprint.task(name="mails.prune", queue=HOUSEKEEPING, queueing_lock="mails.prune", pass_context=True)
async def prune(job: JobContext, timestamp: int) -> None:
    """Delete mails that are a month old."""
    del timestamp
    context = context_of(job, TaskContext)
    await delivery.prune(context.sessions, now=context.clock())
