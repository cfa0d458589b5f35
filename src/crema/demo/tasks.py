"""The worker's task for the demo chain."""

from typing import Final

from procrastinate import Blueprint, JobContext

from crema.db.tasks import HOUSEKEEPING, context_of
from crema.demo.chain import load
from crema.demo.seed import PAINT, paint
from crema.menu.tasks import MediaTaskContext

blueprint: Final = Blueprint()


@blueprint.task(name=PAINT, queue=HOUSEKEEPING, pass_context=True)
async def paint_demo(job: JobContext) -> None:
    """Draw the pictures of the demo chain's products."""
    context = context_of(job, MediaTaskContext)
    await paint(context.sessions, chain=load(), media=context.media, now=context.clock())
