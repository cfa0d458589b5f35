"""Promising mail. Delivering it is `service.delivery`'s, run by the worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Text, cast, func, select

from crema.db import jobs
from crema.db.base import new_id
from crema.db.statement import Rows, Statement, Where
from crema.notifications.models import Mail

DELIVER: Final = "notifications.deliver"
QUEUE: Final = "mail"


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


def defer_delivery(mails: CTE) -> ColumnElement[Any]:
    """Defer the job that delivers each of these mails; `mails` has their `id`."""
    return jobs.defer(DELIVER, queue=QUEUE, arguments=func.jsonb_build_object("mail_id", cast(mails.c.id, Text)))


_MAILS: Final = Rows(Mail, "id", "recipient", "template", "language", "context", "dedup_key")
_PROMISED: Final = (
    _MAILS.insertion.on_conflict_do_nothing(index_elements=["dedup_key"]).returning(Mail.id).cte("promised")
)
PROMISE: Final = select(defer_delivery(_PROMISED)).select_from(_PROMISED)
"""The statement that `send` runs; it wants the values `promised`. Others can be a part of it as CTEs."""

promised: Final = _MAILS.values
_SEND: Final = Statement(PROMISE)


async def send(where: Where, letters: Sequence[Letter], *, even_none: bool = False) -> None:
    """Promise these mails in the caller's transaction: they leave after its commit, and only then.

    With `even_none` the statement runs for no mails too: the time it takes doesn't tell whether there were any.
    """
    if letters or even_none:
        await _SEND.rows(where, **promised(letters))
