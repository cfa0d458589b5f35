"""What is going on in a conversation, read once for all sockets of this process that follow it."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from crema.live import queries as live
from crema.live.domain import Close
from crema.live.hub import Hub, Seat
from crema.support import domain, queries
from crema.support.domain import Side
from crema.support.models import Conversation
from crema.support.schemas import MessageOut, NewMessageFrame

TAIL: Final = 200
"""Newest messages kept for those who are up to date; others read further back from the database."""
PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class State:
    """How a conversation stands, beside its messages."""

    id: UUID
    customer_id: UUID
    status: str
    assigned_to: UUID | None
    read_seq: Mapping[Side, int]
    note_count: int
    present: frozenset[UUID]

    @classmethod
    def of(cls, conversation: Conversation, *, present: frozenset[UUID] = frozenset()) -> "State":
        """Take what its sockets are told."""
        return cls(
            id=conversation.id,
            customer_id=conversation.customer_id,
            status=conversation.status,
            assigned_to=conversation.assigned_to_id,
            read_seq={Side.CUSTOMER: conversation.customer_read_seq, Side.STAFF: conversation.staff_read_seq},
            note_count=conversation.note_count,
            present=present,
        )

    def side_of(self, user_id: UUID) -> Side:
        """Tell on which side someone talks."""
        return Side.CUSTOMER if user_id == self.customer_id else Side.STAFF


class Room:
    """A conversation, as followed here. Messages are kept as the frames they become."""

    def __init__(self, *, sessions: Sessions, hub: Hub, conversation: Conversation) -> None:
        self._sessions = sessions
        self._hub = hub
        self._lock = asyncio.Lock()
        self._read_at = 0.0
        self._tail: deque[tuple[int, str]] = deque(maxlen=TAIL)
        self.last_seq = conversation.last_seq
        self._conversation = conversation
        self.topic = domain.topic_of(conversation.id)
        self.state = State.of(conversation)

    async def catch_up(self, seat: Seat, *, position: int) -> list[tuple[int, str]]:
        """Give the next messages after `position`, by number, at least as fresh as the seat's wake; mind who may read.

        All seats one event woke share one reading of the database, of their logins, and of the conversation.
        """
        async with self._lock:
            if self._read_at < seat.woken_at:
                await self._read()
        if seat.closing is None and not domain.may_see(seat.actor, self._conversation):
            seat.closing = Close.FORBIDDEN
        if seat.closing is not None or position >= self.last_seq:
            return []
        if self._tail and self._tail[0][0] <= position + 1:
            return [frame for frame in self._tail if frame[0] > position]
        async with self._sessions() as session:
            return await self._page(session, after=position)

    async def _read(self) -> None:
        started = time.monotonic()
        async with self._sessions() as session:
            await self._hub.check(session, self._hub.at(self.topic))
            self._conversation = await queries.get_for_room(session, conversation_id=self._conversation.id)
            present = await live.list_present(session, topic=self.topic)
            while self.last_seq < self._conversation.last_seq:
                frames = await self._page(session, after=self.last_seq)
                self._tail.extend(frames)
                self.last_seq = frames[-1][0]
        self.state = State.of(self._conversation, present=frozenset(present))
        self._read_at = started

    async def _page(self, session: AsyncSession, *, after: int) -> list[tuple[int, str]]:
        messages = await queries.list_after(session, conversation_id=self._conversation.id, seq=after, limit=PAGE)
        return [
            (message.seq, NewMessageFrame(**MessageOut.model_validate(message).model_dump()).model_dump_json())
            for message in messages
        ]


class Rooms:
    """The conversations followed in this process, each for as long as someone does."""

    def __init__(self, *, sessions: Sessions, hub: Hub) -> None:
        self._sessions = sessions
        self._hub = hub
        self._rooms: WeakValueDictionary[UUID, Room] = WeakValueDictionary()

    def enter(self, conversation: Conversation) -> Room:
        """Give the room of a conversation, made if nobody is in it."""
        room = self._rooms.get(conversation.id)
        if room is None:
            room = Room(sessions=self._sessions, hub=self._hub, conversation=conversation)
            self._rooms[conversation.id] = room
        return room
