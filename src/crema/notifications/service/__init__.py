"""Queues mails. The worker delivers them with `service.delivery`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CTE, Select, Text, cast, func, select

from crema.db import jobs
from crema.db.base import new_id
from crema.db.statement import BulkInsert, Executor, Statement
from crema.notifications.models import Mail

DELIVER: Final = "notifications.deliver"
QUEUE: Final = "mail"
MAILS_OF_JOB: Final = 20
"""Mails that one job delivers at most, one after another."""


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail to be sent. `template` is the name of a template that exists in each language, `context` is its JSON.

    Of several mails with one `dedup_key` only the first is sent.
    """

    recipient: str
    template: str
    language: str
    context: dict[str, Any] = field(default_factory=dict)
    dedup_key: str | None = None
    id: UUID = field(default_factory=new_id)


def defer_delivery(mails: CTE) -> Select[Any]:
    """Return the statement that enqueues jobs for these mails, MAILS_OF_JOB a job. `mails` has their id and queued_at.

    It returns one row, whose column `mails` is the number of mails. A job knows when its mails were queued. A mail that
    is resent later is delivered only by the job of that resending.
    """
    number = func.row_number().over(order_by=mails.c.id)
    numbered = select(mails.c.id, mails.c.queued_at, ((number - 1) // MAILS_OF_JOB).label("job")).subquery()
    arguments = (
        select(
            func.jsonb_build_object(
                *("mail_ids", func.jsonb_agg(cast(numbered.c.id, Text))),
                *("queued_by", func.max(numbered.c.queued_at)),
            ).label("arguments"),
            func.count().label("mails"),
        )
        .group_by(numbered.c.job)
        .subquery()
    )
    return select(
        jobs.defer(DELIVER, queue=QUEUE, arguments=arguments.c.arguments),
        func.coalesce(func.sum(arguments.c.mails), 0).label("mails"),
    ).select_from(arguments)


_MAILS: Final = BulkInsert(Mail, OutgoingMail)
_QUEUED: Final = (
    _MAILS.statement.on_conflict_do_nothing(index_elements=["dedup_key"])
    .returning(Mail.id, Mail.queued_at)
    .cte("queued_mails")
)
QUEUE_MAILS: Final = defer_delivery(_QUEUED)
"""The statement that `send` runs, with the values `mail_values`. Other statements can be added to it as CTEs."""

mail_values: Final = _MAILS.values
_QUEUE_MAILS: Final = Statement(QUEUE_MAILS)


async def send(db: Executor, mails: Sequence[OutgoingMail], *, even_none: bool = False) -> None:
    """Queue these mails in the caller's transaction. The worker delivers them after the commit.

    With `even_none` the statement also runs without mails, so that its duration doesn't show whether there are any.
    """
    if mails or even_none:
        await _QUEUE_MAILS.rows(db, **mail_values(mails))
