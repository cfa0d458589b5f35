"""Promising mail. Delivering it is `service.delivery`'s, run by the worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db import jobs
from crema.db.base import new_id
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


async def send(session: AsyncSession, letters: Sequence[Letter]) -> None:
    """Promise these mails in the caller's transaction: they leave after its commit, and only then."""
    if not letters:
        return
    rows = [
        {
            "id": new_id(),
            "dedup_key": letter.dedup_key,
            "recipient": letter.recipient,
            "template": letter.template,
            "language": letter.language,
            "context": letter.context,
        }
        for letter in letters
    ]
    inserted = await session.scalars(
        insert(Mail).values(rows).on_conflict_do_nothing(index_elements=["dedup_key"]).returning(Mail.id)
    )
    await jobs.enqueue(session, DELIVER, [{"mail_id": str(mail_id)} for mail_id in inserted], queue=QUEUE)
