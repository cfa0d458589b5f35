"""Every SELECT of the event log."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text, all_, any_, bindparam, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.events.models import Event, EventConsumer


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event as a consumer gets it."""

    id: UUID
    transaction: int
    kind: str
    subject_id: UUID
    data: dict[str, Any]
    created_at: datetime


_COLUMNS: Final = (Event.id, Event.transaction, Event.kind, Event.subject_id, Event.data, Event.created_at)


_OLDEST_OPEN: Final = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
_IS_UNHANDLED: Final = (
    select(Event.id)
    .where(
        Event.transaction >= EventConsumer.transaction,
        Event.kind == any_(bindparam("kinds", type_=ARRAY(Text))),
        Event.id != all_(EventConsumer.handled_ids),
    )
    .exists()
)
_HAS_WORK: Final = (
    select(EventConsumer.name)
    .where(EventConsumer.name == bindparam("name"), or_(_IS_UNHANDLED, EventConsumer.transaction > _OLDEST_OPEN))
    .exists()
)


async def has_work(session: AsyncSession, name: str, *, kinds: Collection[str]) -> bool:
    """Return whether a consumer has something to do: events, or a position that belongs to another database."""
    return bool(await session.scalar(select(_HAS_WORK), {"name": name, "kinds": list(kinds)}))


async def find_consumer_for_update(session: AsyncSession, name: str) -> EventConsumer | None:
    """Lock a consumer until the transaction ends; None while another process has it."""
    wanted = select(EventConsumer).where(EventConsumer.name == name).with_for_update(skip_locked=True)
    return await session.scalar(wanted, execution_options={"populate_existing": True})


async def list_unhandled(
    session: AsyncSession, consumer: EventConsumer, *, kinds: Collection[str], limit: int
) -> list[LoggedEvent]:
    """Return the oldest events that the consumer has not handled."""
    statement = (
        select(*_COLUMNS)
        .where(
            Event.transaction >= consumer.transaction,
            Event.kind.in_(kinds),
            Event.id.not_in(consumer.handled_ids),
        )
        .order_by(Event.transaction, Event.id)
        .limit(limit)
    )
    return [LoggedEvent(*row) for row in await session.execute(statement)]


async def list_written_since(session: AsyncSession, ids: Collection[UUID], *, transaction: int) -> Sequence[UUID]:
    """Return those of these events that `transaction` or a later one wrote."""
    return (await session.scalars(select(Event.id).where(Event.id.in_(ids), Event.transaction >= transaction))).all()


async def find_event(session: AsyncSession, event_id: UUID) -> LoggedEvent | None:
    """Find an event by its id."""
    row = (await session.execute(select(*_COLUMNS).where(Event.id == event_id))).first()
    return LoggedEvent(*row) if row else None
