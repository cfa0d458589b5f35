"""What is going on in a conversation, read once for all sockets of this process that follow it."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.events import Event
from crema.live import queries as live
from crema.live.domain import Close
from crema.live.hub import GONE, Hub, Seat
from crema.support import domain, queries
from crema.support.domain import Side
from crema.support.models import Conversation
from crema.support.schemas import MessageOut, NewMessageFrame

log = structlog.get_logger(__name__)

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
            assigned_to=conversation.assigned_to,
            read_seq={Side.CUSTOMER: conversation.customer_read_seq, Side.STAFF: conversation.staff_read_seq},
            note_count=conversation.note_count,
            present=present,
        )

    def side_of(self, user_id: UUID) -> Side:
        """Tell on which side someone talks."""
        return Side.CUSTOMER if user_id == self.customer_id else Side.STAFF


class Room:
    """A conversation, as followed here: one reading of the database, of logins and of access for all its seats.

    Messages are kept as the frames they become.
    """

    def __init__(self, *, hub: Hub, conversation: Conversation) -> None:
        self._hub = hub
        self._conversation = conversation
        self._tail: deque[tuple[int, str]] = deque(maxlen=TAIL)
        self._wake = asyncio.Event()
        self.last_seq = conversation.last_seq
        self.looked_at = time.monotonic()
        self.seats: set[Seat] = set()
        self.state = State.of(conversation)

    def notice(self, event: Event | None) -> None:
        """Read what is new, or pass a frame on, which needs no reading."""
        if event is None or event.frame is None:
            self.look()
            return
        for seat in self.seats:
            seat.notice(event)

    def look(self) -> None:
        """Read what is new, soon."""
        self._wake.set()

    async def follow(self) -> None:
        """Read whenever there is something to, and rouse the seats."""
        with self._hub.hearing(self, [domain.topic_of(self._conversation.id)]):
            while True:
                await self._wake.wait()
                self._wake.clear()
                self.looked_at = time.monotonic()
                try:
                    await self._read()
                except GONE as error:
                    log.warning("chat_interrupted", error=type(error).__name__)
                    for seat in self.seats:
                        seat.close(Close.TRY_LATER)

    async def _read(self) -> None:
        async with self._hub.transaction() as session:
            await self._hub.check(session, self.seats)
            self._conversation = await queries.get_for_room(session, conversation_id=self._conversation.id)
            present = await live.list_present(session, topic=domain.topic_of(self._conversation.id))
            while self.last_seq < self._conversation.last_seq:
                frames = await self._page(session, after=self.last_seq)
                self._tail.extend(frames)
                self.last_seq = frames[-1][0]
        state = State.of(self._conversation, present=frozenset(present))
        if state != self.state:
            self.state = state
        for seat in self.seats:
            if not domain.may_see(seat.actor, self._conversation):
                seat.close(Close.FORBIDDEN)
            seat.rouse()

    async def after(self, position: int) -> list[tuple[int, str]]:
        """Give the next messages after `position`, by number."""
        if self._tail and self._tail[0][0] <= position + 1:
            return [frame for frame in self._tail if frame[0] > position]
        async with self._hub.transaction() as session:
            return await self._page(session, after=position)

    async def _page(self, session: AsyncSession, *, after: int) -> list[tuple[int, str]]:
        messages = await queries.list_after(session, conversation_id=self._conversation.id, seq=after, limit=PAGE)
        return [
            (message.seq, NewMessageFrame(**MessageOut.model_validate(message).model_dump()).model_dump_json())
            for message in messages
        ]


class Rooms:
    """The conversations followed in this process, each for as long as someone does."""

    def __init__(self, *, hub: Hub) -> None:
        self._hub = hub
        self._rooms: dict[UUID, tuple[Room, asyncio.Task[None]]] = {}

    @contextmanager
    def entered(self, conversation: Conversation, seat: Seat) -> Iterator[Room]:
        """Be in the room of a conversation while the body of this context runs."""
        if conversation.id not in self._rooms:
            room = Room(hub=self._hub, conversation=conversation)
            self._rooms[conversation.id] = room, asyncio.create_task(room.follow(), name=f"room {conversation.id}")
        room, following = self._rooms[conversation.id]
        room.seats.add(seat)
        try:
            yield room
        finally:
            room.seats.discard(seat)
            if not room.seats:
                del self._rooms[conversation.id]
                following.cancel()
