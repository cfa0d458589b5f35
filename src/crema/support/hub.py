"""Who is connected to this process, and what wakes them.

A seat keeps no messages: its socket reads what is new from the database, by `seq`, whenever it is woken. So a slow
reader costs a few bytes, order and completeness come from the table, and access is checked at each delivery.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.db import events
from crema.db.session import Sessions

log = structlog.get_logger(__name__)

MAX_SEATS: Final = 5
"""Sockets one person may hold, in each process."""
MAX_FRAMES: Final = 64
"""Passing frames (typing, read) waiting for a slow reader; older ones are dropped."""
CHECK_SECONDS: Final = 0.5
"""How often logins and roles are looked at: one statement for all sockets of a process."""


@dataclass(eq=False)
class Seat:
    """One connected socket. `end` is the close code it has been given."""

    actor: Actor
    conversation_id: UUID
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    frames: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_FRAMES))


class Hub:
    """The seats of one process."""

    def __init__(self, *, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._clock = clock
        self._seats: set[Seat] = set()

    def join(self, seat: Seat) -> bool:
        """Take a seat; False when the person holds as many as they may."""
        if sum(each.actor.user_id == seat.actor.user_id for each in self._seats) >= MAX_SEATS:
            return False
        self._seats.add(seat)
        return True

    def leave(self, seat: Seat) -> None:
        """Give the seat up."""
        self._seats.discard(seat)

    def notice(self, event: dict[str, Any] | None) -> None:
        """Wake those it concerns; after a lost connection everybody."""
        for seat in self._seats:
            if event is not None and event.get("conversation_id") != str(seat.conversation_id):
                continue
            frame = event and event.get("frame")
            if frame and frame.get("user_id") != str(seat.actor.user_id):
                seat.frames.append(frame)
            seat.wake.set()

    @asynccontextmanager
    async def running(self, database_url: str) -> AsyncIterator[None]:
        """Listen to all processes, and watch over logins, while the body of this context runs."""
        watch = asyncio.create_task(self._watch(), name="support.watch")
        try:
            async with events.listening(database_url, self.notice):
                yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if not self._seats:
                continue
            try:
                await self._wake_changed()
            except (OSError, TimeoutError, SQLAlchemyError) as error:
                log.warning("logins_unwatched", error=type(error).__name__)

    async def _wake_changed(self) -> None:
        seats = [*self._seats]
        async with self._sessions() as session:
            actors = await accounts.find_actors(
                session, session_ids={seat.actor.session_id for seat in seats}, now=self._clock()
            )
        for seat in seats:
            if actors.get(seat.actor.session_id) != seat.actor:
                seat.wake.set()
