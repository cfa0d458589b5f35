"""Who is connected to this process, and what wakes them.

A seat holds no messages: whoever sits there reads what is new from the database when it is woken, and at the latest
every LOOK_SECONDS. So a slow reader costs nothing, order and completeness come from the tables, and an event that
got lost delays, but loses nothing.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.db.base import new_id
from crema.db.events import Bus, Event
from crema.db.session import Sessions
from crema.live import queries, service
from crema.live.domain import LOGIN_OVER, NOT_ALLOWED, TOO_MANY, TOO_SLOW, Closing

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 15
SEND_SECONDS: Final = 20
"""A reader that takes nothing for so long is cut off."""
MAX_FRAMES: Final = 64
"""Passing frames (typing) waiting for a slow reader; older ones are dropped."""
CHECK_SECONDS: Final = 0.5
"""How often logins, roles and seats are looked at: two statements for all sockets of a process."""
BEAT_SECONDS: Final = 5
TURNS: Final = 5
"""Transactions all sockets of a process have at a time: a herd that comes back waits, and HTTP doesn't wait for it."""
GONE: Final = (OSError, TimeoutError, SQLAlchemyError)
"""What a database that is away raises."""


class Woken(IntEnum):
    """Why a seat was woken; the largest counts."""

    FRAMES = 1
    """Passing frames came; nothing needs to be read."""
    LOOK = 2
    """It is time to read, though nobody said that anything is new."""
    NEWS = 3
    """Something is new."""


class Listener(Protocol):
    """Who hears events. `looked_at`, of the monotonic clock, is when it last looked for itself."""

    looked_at: float

    def notice(self, event: Event | None) -> None:
        """Take an event, or None after a loss: anything may have happened."""

    def look(self) -> None:
        """See for oneself what is new."""


def _always(actor: Actor) -> bool:
    del actor
    return True


@dataclass(eq=False)
class Seat:
    """One connected socket or event stream.

    `topic` is where its person is seen to be. `allows` says whether someone with these rights may stay here; `actor`
    follows the person's rights as long as it does. `closing` is set when they may not, when another socket took the
    place, or when the reader reads no more. `busy_since` is when something began to be sent that is not sent yet.
    """

    actor: Actor
    topic: str
    allows: Callable[[Actor], bool] = _always
    id: UUID = field(default_factory=new_id)
    closing: Closing | None = None
    frames: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_FRAMES))
    looked_at: float = field(default_factory=time.monotonic)
    busy_since: float | None = None
    _why: Woken = Woken.FRAMES
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    def notice(self, event: Event | None) -> None:
        """Take an event's frame, unless it is one's own; an event without a frame says that something is new."""
        if event is None or event.frame is None:
            self.rouse()
        elif event.frame.get("user_id") != str(self.actor.user_id):
            self.pass_on(event.frame)

    def pass_on(self, frame: dict[str, Any]) -> None:
        """Take a passing frame."""
        self.frames.append(frame)
        self._wake_for(Woken.FRAMES)

    def rouse(self) -> None:
        """Say that something is new."""
        self._wake_for(Woken.NEWS)

    def look(self) -> None:
        """Say that it is time to look."""
        self._wake_for(Woken.LOOK)

    def _wake_for(self, why: Woken) -> None:
        self._why = max(self._why, why)
        self._wake.set()

    def follow(self, actor: Actor | None) -> None:
        """Take the person's present rights, or None when the login is over: stay with them, or close."""
        if actor is None:
            self.close(LOGIN_OVER)
        elif actor != self.actor:
            if not (actor.is_verified and self.allows(actor)):
                self.close(NOT_ALLOWED)
                return
            self.actor = actor
            self.rouse()

    def close(self, closing: Closing) -> None:
        """Tell whoever sits here to leave."""
        self.closing = self.closing or closing
        self._closed.set()
        self.rouse()

    async def closed(self) -> Closing:
        """Wait until whoever sits here has to leave."""
        await self._closed.wait()
        assert self.closing is not None
        return self.closing

    async def woken(self) -> Woken:
        """Wait for something new, or for the time to look."""
        await self._wake.wait()
        self._wake.clear()
        why, self._why = self._why, Woken.FRAMES
        if why > Woken.FRAMES:
            self.looked_at = time.monotonic()
        return why


def every(kind: str) -> str:
    """Name all topics of one kind: whoever hears `chat:*` hears `chat:1`, too."""
    return f"{kind}:*"


class Hub:
    """The seats of one process."""

    def __init__(self, *, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._clock = clock
        self._process_id = new_id()
        self._turns = asyncio.Semaphore(TURNS)
        self._seats: set[Seat] = set()
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self._beat_at = 0.0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction for a socket, in its turn; never one inside another."""
        async with self._turns, self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction whose statements all see the database as it was at the first of them.

        A feed compares what several statements read: a message must not be seen without the move that shows it.
        """
        async with self.transaction() as session:
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @contextmanager
    def hearing(self, listener: Listener, topics: Iterable[str]) -> Iterator[None]:
        """Pass events of these topics on while the body of this context runs."""
        names = tuple(topics)
        for topic in names:
            self._listeners[topic].add(listener)
        try:
            yield
        finally:
            for topic in names:
                self._listeners[topic].discard(listener)
                if not self._listeners[topic]:
                    del self._listeners[topic]

    @asynccontextmanager
    async def seated(self, seat: Seat, *, replaces: bool = True) -> AsyncIterator[None]:
        """Hold a seat while the body of this context runs.

        A person's sixth takes the place of their oldest or, unless it `replaces`, raises TooManySocketsError.
        """
        async with self.transaction() as session:
            await self._beat(session)
            await service.take_seat(
                session,
                seat_id=seat.id,
                process_id=self._process_id,
                user_id=seat.actor.user_id,
                topic=seat.topic,
                replaces=replaces,
            )
        self._seats.add(seat)
        try:
            yield
        finally:
            self._seats.discard(seat)
            await asyncio.shield(self._leave(seat))

    async def _leave(self, seat: Seat) -> None:
        with suppress(*GONE):  # then the row goes with the process
            async with self.transaction() as session:
                await service.leave_seat(session, seat_id=seat.id, topic=seat.topic)

    def notice(self, event: Event | None) -> None:
        """Pass an event on to those it concerns; None, after a lost connection, concerns everybody."""
        topics: Iterable[str] = self._listeners
        if event is not None:
            topics = [name for topic in event.topics for name in (topic, every(topic.partition(":")[0]))]
        for listener in {each for topic in topics for each in self._listeners.get(topic, ())}:
            listener.notice(event)

    async def check(self, session: AsyncSession, seats: Collection[Seat]) -> None:
        """Let seats follow the rights of their people; those that may not stay are told to close."""
        seats = tuple(seats)  # others may sit down meanwhile
        ids = {seat.actor.session_id for seat in seats}
        actors = await accounts.find_actors(session, session_ids=ids, now=self._clock())
        for seat in seats:
            seat.follow(actors.get(seat.actor.session_id))

    async def _close_replaced(self, session: AsyncSession, seats: Collection[Seat]) -> None:
        """Close the seats whose place a newer socket of the same person took."""
        seats = tuple(seats)
        held = await queries.find_held(session, process_id=self._process_id)
        if held is None:
            return  # the whole process had been given up for dead: the next sign of life writes its seats again
        for seat in seats:
            if seat.id not in held:
                seat.close(TOO_MANY)

    @asynccontextmanager
    async def running(self, bus: Bus) -> AsyncIterator[None]:
        """Listen to all processes, and watch over logins, while the body of this context runs."""
        watch = asyncio.create_task(self._watch(), name="live.watch")
        try:
            async with bus.listening(self.notice):
                yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            with suppress(*GONE):
                async with self.transaction() as session:
                    await service.bury(session, process_id=self._process_id)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            self._remind()
            if not self._seats:
                continue
            try:
                async with self.transaction() as session:
                    await self.check(session, self._seats)
                    await self._close_replaced(session, self._seats)
                    if time.monotonic() - self._beat_at > BEAT_SECONDS:
                        await service.bury(session)
                        await self._beat(session)
            except GONE as error:
                log.warning("logins_unwatched", error=type(error).__name__)

    def _remind(self) -> None:
        """Let those look who have not for a while, and cut off those that read no more."""
        now = time.monotonic()
        for listener in {each for listeners in self._listeners.values() for each in listeners}:
            if now - listener.looked_at > LOOK_SECONDS:
                listener.look()
        for seat in self._seats:
            if seat.busy_since is not None and now - seat.busy_since > SEND_SECONDS:
                seat.close(TOO_SLOW)

    async def _beat(self, session: AsyncSession) -> None:
        """Say that this process lives; if it had been given up, write its seats down again."""
        self._beat_at = time.monotonic()
        if not await service.beat(session, process_id=self._process_id):
            seats = [(seat.id, seat.actor.user_id, seat.topic) for seat in self._seats if seat.closing is None]
            await service.sit_again(session, process_id=self._process_id, seats=seats)


FrameT = TypeVar("FrameT")


class Feed(ABC, Generic[FrameT]):
    """One reader's feed: what changed, as they may see it, read from the tables whenever the seat is woken."""

    def __init__(self, seat: Seat, *, hub: Hub) -> None:
        self.seat = seat
        self._hub = hub
        self._actor = seat.actor
        self._hearing = ExitStack()

    @asynccontextmanager
    async def seated(self, *, replaces: bool = True) -> AsyncIterator[None]:
        """Hear, and hold a seat, while the body of this context runs. Raises TooManySocketsError as `Hub.seated`."""
        self._hear()
        with self._hearing:
            async with self._hub.seated(self.seat, replaces=replaces):
                self.seat.rouse()  # something may have come before
                yield

    def _hear(self) -> None:
        """Hear what the actor may, and no longer what they could before."""
        self._hearing.close()
        self._hearing.enter_context(self._hub.hearing(self.seat, self._topics(self.seat.actor)))

    async def frames(self, *, now: datetime) -> AsyncIterator[FrameT | None]:
        """Give frames as they come, and None every LOOK_SECONDS without one. Ends when the seat is closing."""
        for frame in await self._start(now):
            yield frame
        while self.seat.closing is None:
            why = await self.seat.woken()
            for frame in await self._new(why):
                yield frame
            if why is Woken.LOOK:
                yield None

    async def _new(self, why: Woken) -> Sequence[FrameT]:
        if self._actor != self.seat.actor:  # other rights or shops: what they see begins anew
            self._actor = self.seat.actor
            self._hear()
            return [await self._snapshot()]
        return await self._changes() if why > Woken.FRAMES else self._passing()

    @abstractmethod
    def _topics(self, actor: Actor) -> Collection[str]:
        """Name what an actor hears of."""

    @abstractmethod
    async def _start(self, now: datetime) -> Sequence[FrameT]:
        """Give the first frames."""

    @abstractmethod
    async def _snapshot(self) -> FrameT:
        """Give what there is now, instead of all that was given before."""

    @abstractmethod
    async def _changes(self) -> Sequence[FrameT]:
        """Give what changed since the last reading."""

    def _passing(self) -> Sequence[FrameT]:
        """Give the passing frames that came."""
        return ()
