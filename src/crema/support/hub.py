"""What is going on in a conversation, read once for all sockets of this process that follow it; and in the queue."""

import asyncio
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.db import changes
from crema.db.events import Event
from crema.live import queries as live
from crema.live.domain import NOT_ALLOWED, RESUMABLE, SERVER_BUSY, InvalidPositionError, Position
from crema.live.hub import GONE, Feed, Hub, Seat, every
from crema.live.schemas import ErrorFrame
from crema.support import domain, queries
from crema.support.domain import SUPPORT, Side
from crema.support.models import Conversation
from crema.support.schemas import (
    MessageOut,
    NewMessageFrame,
    QueuedConversationFrame,
    QueuedConversationOut,
    QueueMessageFrame,
    QueuePresenceFrame,
    QueueSnapshotFrame,
    QueueTypingFrame,
    RemovedFrame,
)

log = structlog.get_logger(__name__)

TAIL: Final = 200
"""Newest messages kept for those who are up to date; others read further back from the database."""
PAGE: Final = 100
MAX_CHANGES: Final = 500
"""More at once than this isn't told one by one."""


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
                        seat.close(SERVER_BUSY)

    async def _read(self) -> None:
        async with self._hub.snapshot() as session:
            self._conversation = await queries.get_for_room(session, conversation_id=self._conversation.id)
            await self._hub.check(session, self.seats)  # against the conversation as it is now
            present = await live.list_present(session, topic=domain.topic_of(self._conversation.id))
            while self.last_seq < self._conversation.last_seq:
                frames = await self._page(session, after=self.last_seq)
                self._tail.extend(frames)
                self.last_seq = frames[-1][0]
        state = State.of(self._conversation, present=frozenset(present))
        if state != self.state:
            self.state = state
        for seat in self.seats:
            if not self.admits(seat.actor):
                seat.close(NOT_ALLOWED)
            seat.rouse()

    def admits(self, actor: Actor) -> bool:
        """Whether an actor may follow the conversation as it stands."""
        return domain.may_see(actor, self._conversation)

    async def after(self, position: int) -> list[tuple[int, str]]:
        """Give the next messages after `position`, by number."""
        if self._tail and self._tail[0][0] <= position + 1:
            return [frame for frame in self._tail if frame[0] > position]
        async with self._hub.snapshot() as session:
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
        seat.allows = room.admits
        try:
            yield room
        finally:
            room.seats.discard(seat)
            if not room.seats:
                del self._rooms[conversation.id]
                following.cancel()


Frame: TypeAlias = (
    QueueSnapshotFrame
    | QueuedConversationFrame
    | RemovedFrame
    | QueueMessageFrame
    | QueuePresenceFrame
    | QueueTypingFrame
    | ErrorFrame
)


@dataclass(eq=False)
class QueueSeat(Seat):
    """A seat of the queue's feed. `customers` are of the conversations its reader was told of, by conversation."""

    customers: dict[UUID, UUID] = field(default_factory=dict)

    def notice(self, event: Event | None) -> None:
        """Take a frame with the conversation it is of, if the reader sees that one."""
        if event is None or event.frame is None:
            self.rouse()
            return
        for topic in event.topics:
            conversation_id = domain.conversation_of(topic)
            if conversation_id in self.customers and event.frame.get("user_id") != str(self.actor.user_id):
                self.pass_on(event.frame | {"conversation_id": conversation_id})


class QueueFeed(Feed[Frame]):
    """One reader's feed of all conversations they may see.

    A conversation comes whole, and messages by the `seq` of each conversation, so what is read twice is told once.
    """

    def __init__(self, actor: Actor, *, hub: Hub, position: Position | None) -> None:
        self._queue_seat = QueueSeat(actor, domain.LIVE, allows=lambda now: now.may(SUPPORT))
        super().__init__(self._queue_seat, hub=hub)
        self._resumed = position
        self._position: Position | None = None
        self._told: dict[UUID, int] = {}
        self._seqs: dict[UUID, int] = {}
        self._present: dict[UUID, frozenset[UUID]] = {}

    def _topics(self, actor: Actor) -> Collection[str]:
        del actor  # each reading minds what they may see
        return [every(domain.TOPIC)]

    async def _start(self, now: datetime) -> Sequence[Frame]:
        frames: list[Frame] = [await self._snapshot()]
        if self._resumed is None:
            return frames
        assert self._position is not None
        if self._resumed.at < now - RESUMABLE or self._resumed.transaction > self._position.transaction:
            return [*frames, _too_far("This position is too old, or not of this server.")]
        return [*frames, *await self._missed(self._resumed)]

    async def _missed(self, position: Position) -> Sequence[Frame]:
        async with self._hub.snapshot() as session:
            messages = await queries.list_written_messages(
                session, actor=self.seat.actor, since=position.transaction, limit=MAX_CHANGES + 1
            )
            found = [MessageOut.model_validate(message) for message in messages]
        if len(found) > MAX_CHANGES:
            return [_too_far(f"More than {MAX_CHANGES} messages came since.")]
        for message in found:
            self._seqs[message.conversation_id] = message.seq
        # Who resumes from the middle of these gets all of them again.
        return [QueueMessageFrame(**message.model_dump(), position=str(position)) for message in found]

    async def _snapshot(self) -> QueueSnapshotFrame:
        async with self._hub.snapshot() as session:
            self._position = Position(*await changes.get_position(session))
            conversations = await queries.list_queue(session, actor=self.seat.actor)
            present = await self._present_in(session, [each.id for each in conversations])
            self._queue_seat.customers = {each.id: each.customer_id for each in conversations}
            self._told = {each.id: each.changed_in for each in conversations}
            self._seqs = {each.id: each.last_seq for each in conversations}
            self._present = present
            found = [self._outline(each) for each in conversations]
        return QueueSnapshotFrame(position=str(self._position), conversations=found)

    def _outline(self, conversation: Conversation) -> QueuedConversationOut:
        outline = QueuedConversationOut.model_validate(conversation)
        outline.online = sorted(self._present.get(conversation.id, ()))
        return outline

    async def _present_in(self, session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, frozenset[UUID]]:
        topics = {domain.topic_of(each): each for each in ids}
        present = await live.list_all_present(session, topics=topics)
        return {topics[topic]: frozenset(people - {self.seat.actor.user_id}) for topic, people in present.items()}

    async def _changes(self) -> Sequence[Frame]:
        assert self._position is not None
        customers = self._queue_seat.customers
        async with self._hub.snapshot() as session:
            await self._hub.check(session, [self.seat])
            actor = self.seat.actor
            if self.seat.closing is not None or actor != self._actor:
                return []  # a snapshot comes
            position = Position(*await changes.get_position(session))
            since = self._position.transaction
            changed = await queries.list_changed_conversations(session, since=since, limit=MAX_CHANGES + 1)
            messages = await queries.list_written_messages(session, actor=actor, since=since, limit=MAX_CHANGES + 1)
            news = [each for each in changed if self._told.get(each.id) != each.changed_in]
            seen = [each for each in news if domain.may_see(actor, each)]
            hidden = {each.id for each in news} - {each.id for each in seen}
            present = await self._present_in(session, {*customers, *(each.id for each in seen)} - hidden)
            told, self._present = self._present, present
            outlines = [self._outline(each) for each in seen]
            said = [MessageOut.model_validate(each) for each in messages]
        if len(changed) > MAX_CHANGES or len(messages) > MAX_CHANGES:
            return [await self._snapshot(), _too_far("More came at once than is told one by one.")]

        before, self._position = str(self._position), position
        frames: list[Frame] = [
            RemovedFrame(conversation_id=each, position=before) for each in hidden if customers.pop(each, None)
        ]
        frames += [QueuedConversationFrame(**outline.model_dump(), position=before) for outline in outlines]
        frames += [
            QueueMessageFrame(**message.model_dump(), position=before)
            for message in said
            if message.seq > self._seqs.get(message.conversation_id, 0)
        ]
        if frames:  # who resumes from before the last one gets all of them again
            frames[-1] = frames[-1].model_copy(update={"position": str(position)})
        customers.update({outline.id: outline.customer.id for outline in outlines})
        frames += self._came_and_went(told, but={outline.id for outline in outlines} | hidden)
        self._told = {each.id: each.changed_in for each in changed}
        self._seqs = {message.conversation_id: message.seq for message in said}
        return [*frames, *self._passing()]

    def _came_and_went(self, told: Mapping[UUID, frozenset[UUID]], *, but: Collection[UUID]) -> Iterator[Frame]:
        """Tell who is in a conversation now and was not, or was and is not; new conversations say so themselves."""
        nobody: frozenset[UUID] = frozenset()
        for conversation_id in (told.keys() | self._present.keys()) - set(but):
            now = self._present.get(conversation_id, nobody)
            for user_id in sorted(now ^ told.get(conversation_id, nobody)):
                is_customer = self._queue_seat.customers.get(conversation_id) == user_id
                yield QueuePresenceFrame(
                    conversation_id=conversation_id,
                    user_id=user_id,
                    side=Side.CUSTOMER if is_customer else Side.STAFF,
                    online=user_id in now,
                )

    def _passing(self) -> Sequence[Frame]:
        """Give who is writing, in conversations that are still to be seen."""
        frames = []
        while self.seat.frames:
            frame = self.seat.frames.popleft()
            if frame["conversation_id"] in self._queue_seat.customers:
                frames.append(QueueTypingFrame(**frame))
        return frames


def _too_far(detail: str) -> ErrorFrame:
    return ErrorFrame(
        code=InvalidPositionError.code, detail=f"{detail} Read what is missing from GET /chat/…/messages."
    )
