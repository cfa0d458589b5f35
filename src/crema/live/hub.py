"""Who is connected to this process, and what wakes them.

A seat holds no messages: whoever sits there reads what is new from the database whenever it is woken, and at the
latest every LOOK_SECONDS. So a slow reader costs nothing, order and completeness come from the tables, and an event
that got lost delays, but loses nothing.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
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

LOOK_SECONDS: Final = 20
MAX_FRAMES: Final = 64
"""Passing frames (typing, read) waiting for a slow reader; older ones are dropped."""
CHECK_SECONDS: Final = 0.5
"""How often logins and roles are looked at: one statement for all sockets of a process."""
BEAT_SECONDS: Final = 5
GONE: Final = (OSError, TimeoutError, SQLAlchemyError)
"""What a database that is away raises."""


@dataclass(eq=False)
class Seat:
    """One connected socket or event stream.

    `topic` is where its person is seen to be; `topics` are all it hears. `closing` is set when the login or its
    rights are not what they were; `woken_at` (of the monotonic clock) says how fresh a reading has to be.
    """

    actor: Actor
    topic: str
    topics: frozenset[str]
    id: UUID = field(default_factory=new_id)
    closing: Close | None = None
    woken_at: float = 0.0
    frames: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_FRAMES))
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def rouse(self) -> None:
        """Say that something is new."""
        self.woken_at = time.monotonic()
        self._wake.set()

    async def woken(self, *, within: float = LOOK_SECONDS) -> bool:
        """Wait for something new, at most `within` seconds; False when it is only time to look."""
        try:
            async with asyncio.timeout(within):
                await self._wake.wait()
        except TimeoutError:
            self.woken_at = time.monotonic()
            return False
        self._wake.clear()
        return True


class Hub:
    """The seats of one process."""

    def __init__(self, *, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._clock = clock
        self._process_id = new_id()
        self._seats: dict[str, set[Seat]] = defaultdict(set)
        self._beat_at = 0.0

    @asynccontextmanager
    async def seated(self, seat: Seat) -> AsyncIterator[Seat]:
        """Hold a seat while the body of this context runs. Raises TooManySocketsError."""
        async with self._sessions.begin() as session:
            await self._beat(session)
            await service.take_seat(
                session,
                seat_id=seat.id,
                process_id=self._process_id,
                user_id=seat.actor.user_id,
                topic=seat.topic,
            )
        for topic in seat.topics:
            self._seats[topic].add(seat)
        seat.rouse()  # something may have come before the seat was taken
        try:
            yield seat
        finally:
            for topic in seat.topics:
                self._seats[topic].discard(seat)
                if not self._seats[topic]:
                    del self._seats[topic]
            await asyncio.shield(self._leave(seat))

    async def _leave(self, seat: Seat) -> None:
        with suppress(*GONE):  # then the row goes with the process
            async with self._sessions.begin() as session:
                await service.leave_seat(session, seat_id=seat.id, topic=seat.topic)

    def at(self, topic: str) -> Collection[Seat]:
        """Who hears a topic here, at this moment."""
        return tuple(self._seats.get(topic, ()))

    def notice(self, event: Event | None) -> None:
        """Wake those it concerns; None, after a lost connection, concerns everybody."""
        if event is None:
            for seat in self._all():
                seat.rouse()
            return
        for seat in {seat for topic in event.topics for seat in self.at(topic)}:
            if event.frame is not None and event.frame.get("user_id") != str(seat.actor.user_id):
                seat.frames.append(event.frame)
            seat.rouse()

    async def check(self, session: AsyncSession, seats: Collection[Seat]) -> None:
        """Compare each login and its rights with what they were; those that changed are told to close."""
        ids = {seat.actor.session_id for seat in seats}
        actors = await accounts.find_actors(session, session_ids=ids, now=self._clock())
        for seat in seats:
            actor = actors.get(seat.actor.session_id)
            if actor != seat.actor:
                seat.closing = Close.FORBIDDEN if actor else Close.UNAUTHENTICATED
                seat.rouse()

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
                async with self._sessions.begin() as session:
                    await service.bury(session, process_id=self._process_id)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            seats = self._all()
            if not seats:
                continue
            try:
                async with self._sessions.begin() as session:
                    await self.check(session, seats)
                    if time.monotonic() - self._beat_at > BEAT_SECONDS:
                        await service.bury(session)
                        await self._beat(session)
            except GONE as error:
                log.warning("logins_unwatched", error=type(error).__name__)

    async def _beat(self, session: AsyncSession) -> None:
        """Say that this process lives; if it had been given up, write its seats down again."""
        self._beat_at = time.monotonic()
        if not await service.beat(session, process_id=self._process_id):
            seats = [(seat.id, seat.actor.user_id, seat.topic) for seat in self._all()]
            await service.sit_again(session, process_id=self._process_id, seats=seats)

    def _all(self) -> set[Seat]:
        return {seat for seats in self._seats.values() for seat in seats}
