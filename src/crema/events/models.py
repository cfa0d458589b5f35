"""Tables of the event log."""

from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Index, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from crema.db.base import Base, Created, Id
from crema.db.changes import WrittenIn


class Event(Base):
    """One fact: what happened (`kind`, as "order.placed") to what (`subject_id`), and whatever else a consumer needs.

    Rows are only added, in the transaction of the change, and deleted when they are old. `transaction` is the id of
    that transaction: consumers remember their position by it. `data` holds ids and plain values, no personal data: what
    a person wrote, or how to reach them, stays in the tables from where it can be erased.
    """

    __tablename__ = "events"

    id: Mapped[Id]
    transaction: Mapped[WrittenIn]
    kind: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[Created]


Index("ix_events_transaction", Event.transaction, Event.id)
Index("ix_events_created_at", Event.created_at)


class EventConsumer(Base):
    """How far a consumer of the log has come. A migration makes its row, so that it misses nothing from then on.

    It has handled all events of transactions before `transaction`, and of later ones those in `handled_ids`.
    """

    __tablename__ = "event_consumers"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    transaction: Mapped[int] = mapped_column(BigInteger, server_default="0")
    handled_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    updated_at: Mapped[Created]
