"""One connected client: whose it is, what it may see, and the frames that wait to be sent to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from crema.accounts.domain import Actor
from crema.db.base import new_id
from crema.live.domain import LOGIN_OVER, NOT_ALLOWED, Closing
from crema.live.hub.frames import Batch, Frame

MAX_PENDING: Final = 500
"""Frames that wait for a reader. One that is slower gets no more until it has taken them, then reads from there on."""
MAX_PASSING: Final = 64
"""Passing frames (typing) wait for a reader only while no more than this wait already."""


def _always(actor: Actor) -> bool:
    del actor
    return True


def _nothing() -> None:
    """Do nothing: nobody is to be told yet."""


@dataclass(eq=False, kw_only=True)
class Subscription:
    """One connected socket or event stream.

    `topic` is where its person is seen to be. `allows` says whether someone with these rights may stay; `actor` follows
    the person's rights as long as it does. `closing` is set when they may not, when another socket took the place, or
    when the reader reads no more. `busy_since` is when something began to be sent that is not sent yet.

    `is_due` says that the next reading is to be its own, from where it stands: at its start, when its rights changed,
    and when it fell behind. A feed pushes to those that are not. `ask` wakes the feed.
    """

    actor: Actor
    topic: str
    allows: Callable[[Actor], bool] = _always
    id: UUID = field(default_factory=new_id)
    closing: Closing | None = None
    busy_since: float | None = None
    is_due: bool = True
    ask: Callable[[], None] = _nothing
    _is_waiting: bool = False
    _pending: list[Batch] = field(default_factory=list)
    _pending_count: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Take the person's rights, whichever token showed them."""
        self.actor = replace(self.actor, is_first_use=False)

    @property
    def wants_reading(self) -> bool:
        """Whether it is due, and has taken all it was given."""
        return self.is_due and self._is_waiting and self.closing is None

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the reader that it gets no more."""
        return self._pending_count >= MAX_PENDING

    def push(self, batch: Batch) -> None:
        """Have frames sent, after those that wait already."""
        if batch.frames:
            self._pending.append(batch)
            self._pending_count += len(batch.frames)
            self._is_waiting = False
            self._wake.set()

    def push_passing(self, frame: Frame) -> None:
        """Have a frame sent of which nobody misses one, unless the reader is slow."""
        if not self.is_due and self._pending_count < MAX_PASSING:
            self.push(Batch([frame]))

    def follow(self, actor: Actor | None) -> None:
        """Take the person's present rights, or None when the login is over: stay with them, or close."""
        if actor is None:
            self.close(LOGIN_OVER)
        elif actor != self.actor:
            if not (actor.is_verified and self.allows(actor)):
                self.close(NOT_ALLOWED)
                return
            self.actor = actor
            self.start_over()

    def start_over(self) -> None:
        """Begin anew with other rights: what waits was for the old ones."""
        self._take()
        self.is_due = True
        self.ask()

    def close(self, closing: Closing) -> None:
        """Tell the client's own tasks to end."""
        self.closing = self.closing or closing
        self._closed.set()
        self._wake.set()

    async def closed(self) -> Closing:
        """Wait until the client has to leave."""
        await self._closed.wait()
        assert self.closing is not None
        return self.closing

    async def updates(self, *, idle_seconds: float | None = None) -> AsyncIterator[Sequence[Batch]]:
        """Give frames as they come, those that came together at once; none of them every `idle_seconds` without any.

        Ends when it is closing.
        """
        while self.closing is None:
            self._wake.clear()
            if not self._pending:
                await self._wait(idle_seconds)
            batches = self._take()
            if self.closing is None and (batches or idle_seconds is not None):
                yield batches

    def _take(self) -> Sequence[Batch]:
        batches, self._pending, self._pending_count = self._pending, [], 0
        return batches

    async def _wait(self, idle_seconds: float | None) -> None:
        self._is_waiting = True
        if self.is_due:
            self.ask()
        with suppress(TimeoutError):
            if idle_seconds is None:
                await self._wake.wait()
            else:
                await asyncio.wait_for(self._wake.wait(), idle_seconds)
        self._is_waiting = False
