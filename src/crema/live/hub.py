"""Who is connected to this process, and what wakes them.

A seat holds no messages: whoever sits there reads what is new from the database when it is woken, and at the latest
every LOOK_SECONDS. So a slow reader costs nothing, order and completeness come from the tables, and an event that
got lost delays, but loses nothing.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.db.base import new_id
from crema.db.events import Bus, Event
from crema.db.session import Sessions
from crema.live import service
from crema.live.domain import Close

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 15
SEND_SECONDS: Final = 20
"""A reader that takes nothing for so long is cut off."""
MAX_FRAMES: Final = 64
"""Passing frames (typing, read) waiting for a slow reader; older ones are dropped."""
CHECK_SECONDS: Final = 0.5
"""How often logins and roles are looked at: one statement for all sockets of a process."""
BEAT_SECONDS: Final = 5
TURNS: Final = 5
"""Transactions all sockets of a process have at a time: a herd that comes back waits, and HTTP doesn't wait for it."""
GONE: Final = (OSError, TimeoutError, SQLAlchemyError)
"""What a database that is away raises."""


class Listener(Protocol):
    """Who hears events. `looked_at`, of the monotonic clock, is when it last looked for itself."""

    looked_at: float

    def notice(self, event: Event | None) -> None:
        """Take an event, or None after a loss: anything may have happened."""

    def look(self) -> None:
        """See for oneself what is new."""


@dataclass(eq=False)
class Seat:
    """One connected socket or event stream.

    `topic` is where its person is seen to be. `closing` is set when the login or its rights are not what they were,
    or the reader reads no more. `busy_since` is when something began to be sent that is not sent yet.
    """

    actor: Actor
    topic: str
    id: UUID = field(default_factory=new_id)
    closing: Close | None = None
    frames: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_FRAMES))
    looked_at: float = field(default_factory=time.monotonic)
    busy_since: float | None = None
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    _has_news: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def notice(self, event: Event | None) -> None:
        """Take an event's frame, unless it is one's own, and wake up."""
        if event is not None and event.frame is not None and event.frame.get("user_id") != str(self.actor.user_id):
            self.frames.append(event.frame)
        self.rouse()

    def rouse(self) -> None:
        """Say that something is new."""
        self._has_news = True
        self._wake.set()

    def look(self) -> None:
        """Say that it is time to look."""
        self._wake.set()

    def close(self, code: Close) -> None:
        """Tell whoever sits here to leave."""
        self.closing = self.closing or code
        self.rouse()

    async def woken(self) -> bool:
        """Wait for something new; False when it is only time to look."""
        await self._wake.wait()
        self._wake.clear()
        self.looked_at = time.monotonic()
        has_news, self._has_news = self._has_news, False
        return has_news


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
    async def seated(self, seat: Seat) -> AsyncIterator[None]:
        """Hold a seat while the body of this context runs. Raises TooManySocketsError."""
        async with self.transaction() as session:
            await self._beat(session)
            await service.take_seat(
                session,
                seat_id=seat.id,
                process_id=self._process_id,
                user_id=seat.actor.user_id,
                topic=seat.topic,
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
        topics = self._listeners if event is None else event.topics
        for listener in {each for topic in topics for each in self._listeners.get(topic, ())}:
            listener.notice(event)

    async def check(self, session: AsyncSession, seats: Collection[Seat]) -> None:
        """Compare each login and its rights with what they were; those that changed are told to close."""
        seats = tuple(seats)  # others may sit down meanwhile
        ids = {seat.actor.session_id for seat in seats}
        actors = await accounts.find_actors(session, session_ids=ids, now=self._clock())
        for seat in seats:
            actor = actors.get(seat.actor.session_id)
            if actor != seat.actor:
                seat.close(Close.FORBIDDEN if actor else Close.UNAUTHENTICATED)

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
                seat.hung.set()

    async def _beat(self, session: AsyncSession) -> None:
        """Say that this process lives; if it had been given up, write its seats down again."""
        self._beat_at = time.monotonic()
        if not await service.beat(session, process_id=self._process_id):
            seats = [(seat.id, seat.actor.user_id, seat.topic) for seat in self._seats]
            await service.sit_again(session, process_id=self._process_id, seats=seats)
