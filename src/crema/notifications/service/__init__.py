"""Promising mail. Delivering it is `service.delivery`'s, run by the worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CTE, Select, Text, cast, func, select

from crema.db import jobs
from crema.db.base import new_id
from crema.db.statement import Rows, Statement, Where
from crema.notifications.models import Mail

DELIVER: Final = "notifications.deliver"
QUEUE: Final = "mail"
MAILS_OF_JOB: Final = 20
"""Mails that one job delivers at most, one after another."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to be: `template` names a file for each language, `context` is JSON.

    Two letters with one `dedup_key` are one mail, whoever asks and how often.
    """

    recipient: str
    template: str
    language: str
    context: dict[str, Any] = field(default_factory=dict)
    dedup_key: str | None = None
    id: UUID = field(default_factory=new_id)


def defer_delivery(mails: CTE) -> Select[Any]:
    """Return the statement that enqueues jobs for these mails, MAILS_OF_JOB a job. `mails` has their id and queued_at.

    It gives one row; `mails` in it is how many there were. A job knows when its mails were queued: one that is resent
    later is the job's of its resending alone.
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


_MAILS: Final = Rows(Mail, "id", "recipient", "template", "language", "context", "dedup_key")
_PROMISED: Final = (
    _MAILS.insertion.on_conflict_do_nothing(index_elements=["dedup_key"])
    .returning(Mail.id, Mail.queued_at)
    .cte("promised")
)
PROMISE: Final = defer_delivery(_PROMISED)
"""The statement that `send` runs; it wants the values `promised`. Others can be a part of it as CTEs."""

promised: Final = _MAILS.values
_SEND: Final = Statement(PROMISE)


async def send(where: Where, letters: Sequence[Letter], *, even_none: bool = False) -> None:
    """Promise these mails in the caller's transaction: they leave after its commit, and only then.

    With `even_none` the statement runs for no mails too: the time it takes doesn't tell whether there were any.
    """
    if letters or even_none:
        await _SEND.rows(where, **promised(letters))
