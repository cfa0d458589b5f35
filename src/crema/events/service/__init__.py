"""Writing to the event log. Reading it is `service.consuming`'s, run by the worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from crema.db.base import new_id
from crema.db.statement import BulkInsert, Executor, Statement
from crema.events.models import Event


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A fact to be logged: `kind` names it, as "order.placed"; `data` is JSON, without personal data."""

    kind: str
    subject_id: UUID
    data: dict[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=new_id)


EVENTS: Final = BulkInsert(Event, NewEvent)
"""The INSERT that `append` runs, to be a part of other statements."""
_APPEND: Final = Statement(EVENTS.statement)


async def append(db: Executor, events: Sequence[NewEvent]) -> None:
    """Log facts in the caller's transaction: consumers see them after its commit, and only then."""
    if events:
        await _APPEND.rows(db, **EVENTS.values(events))
