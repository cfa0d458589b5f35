"""Promising mail. Delivering it is `service.delivery`'s, run by the worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, inspect
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db import jobs
from crema.db.base import new_id
from crema.db.statement import Statement
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


_FIELDS: Final = ("recipient", "template", "language", "context", "dedup_key")


async def send(session: AsyncSession, letters: Sequence[Letter]) -> None:
    """Promise these mails in the caller's transaction: they leave after its commit, and only then."""
    if not letters:
        return
    await session.flush()
    values: dict[str, Any] = {}
    for n, letter in enumerate(letters):
        values |= {f"{name}_{n}": getattr(letter, name) for name in _FIELDS} | {f"id_{n}": new_id()}
    inserted = await _insertion(len(letters)).rows(session, **values)
    await jobs.enqueue(session, DELIVER, [{"mail_id": str(mail_id)} for (mail_id,) in inserted], queue=QUEUE)


@lru_cache
def _insertion(number: int) -> Statement:
    columns = [inspect(Mail).columns[name] for name in ("id", *_FIELDS)]
    rows = [{each.name: bindparam(f"{each.name}_{n}", type_=each.type) for each in columns} for n in range(number)]
    return Statement(insert(Mail).values(rows).on_conflict_do_nothing(index_elements=["dedup_key"]).returning(Mail.id))
