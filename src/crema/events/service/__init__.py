"""Writing to the event log. Reading it is `service.consuming`'s, run by the worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from crema.db.base import new_id
from crema.db.statement import Rows, Statement, Where
from crema.events.models import Event


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A fact to be logged: `kind` names it, as "order.placed"; `data` is JSON, without personal data."""

    kind: str
    subject_id: UUID
    data: dict[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=new_id)


NEW_EVENTS: Final = Rows(Event, "id", "kind", "subject_id", "data")
"""The INSERT that `append` runs, as a part of other statements; it wants the values of `NEW_EVENTS.values`."""
_APPEND: Final = Statement(NEW_EVENTS.insertion)


async def append(where: Where, events: Sequence[NewEvent]) -> None:
    """Log facts in the caller's transaction: consumers see them after its commit, and only then."""
    if events:
        await _APPEND.rows(where, **NEW_EVENTS.values(events))
