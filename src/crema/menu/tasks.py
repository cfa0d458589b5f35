"""The worker's task for the menu's pictures."""

from dataclasses import dataclass
from typing import Final

import structlog
from procrastinate import Blueprint, JobContext

from crema.db.tasks import HOUSEKEEPING, TaskContext, context_of
from crema.media.service import MediaService
from crema.menu.service import images

log = structlog.get_logger(__name__)
blueprint: Final = Blueprint()


@dataclass(frozen=True, kw_only=True)
class MediaTaskContext(TaskContext):
    """What tasks that handle files need."""

    media: MediaService


@blueprint.periodic(cron="45 * * * *")
@blueprint.task(name="media.sweep", queue=HOUSEKEEPING, pass_context=True)
async def sweep(job: JobContext, timestamp: int) -> None:
    """Remove files without a picture, and log pictures whose files are missing."""
    del timestamp
    context = context_of(job, MediaTaskContext)
    swept = await images.sweep(context.sessions, context.media.store, now=context.clock())
    if swept.missing:
        log.error("pictures_without_files", keys=swept.missing)
