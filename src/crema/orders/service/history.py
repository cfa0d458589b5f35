"""What happened to an order: an entry of its history, a fact in the event log, and a signal to the live feeds."""

from sqlalchemy.ext.asyncio import AsyncSession

from crema.db import hints
from crema.db.driver import Writer
from crema.events import service as event_log
from crema.events.service import NewEvent
from crema.orders import domain
from crema.orders.domain import EventKind, NewOrder
from crema.orders.models import Order, OrderEvent


async def record(session: AsyncSession, order: Order, entry: OrderEvent, *, kind: EventKind) -> None:
    """Add an entry to the history, log it, and notify the live feeds."""
    session.add(entry)
    await session.flush()
    await event_log.append(session, [NewEvent(kind, order.id, id=entry.id)])
    announce(session, order)


def announce(tx: Writer | AsyncSession, order: Order | NewOrder) -> None:
    """Notify the live feeds of those who may see this order, at the commit."""
    hints.publish(tx, topics=domain.topics_of(shop_id=order.shop_id, user_id=order.user_id))
