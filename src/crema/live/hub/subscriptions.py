"""One connection: its actor, what it may see, and the frames that wait to be sent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from crema.accounts.domain import Actor
from crema.db.base import new_id
from crema.live.domain import NOT_ALLOWED, NOT_AUTHENTICATED, Closing
from crema.live.hub.frames import Batch, Frame

MAX_PENDING: Final = 500
"""Frames that may wait for a client. A slower client gets no more until they are sent, then what it missed."""
MAX_PENDING_FOR_TRANSIENT: Final = 64
"""A transient frame (typing) is dropped if so many frames wait already."""


def _allow(actor: Actor) -> bool:
    del actor
    return True


def _do_nothing() -> None:
    """Do nothing: the subscription has no feed yet."""


@dataclass(eq=False, kw_only=True)
class Subscription:
    """One open socket or event stream.

    `topic` is where its person counts as present. `allows` returns whether an actor may stay connected; `actor` has the
    present rights of the person. `closing` is set when they may not stay, when another socket has replaced this one, or
    when the client reads nothing. `busy_since` is when the sending began that has not ended yet.

    `is_due` says that the feed has to read for this subscription separately: at its start, when its rights have
    changed, and when it is behind. A feed pushes changes to those that are not due. `wake_feed` wakes the feed.
    """

    actor: Actor
    topic: str
    allows: Callable[[Actor], bool] = _allow
    id: UUID = field(default_factory=new_id)
    closing: Closing | None = None
    busy_since: float | None = None
    is_due: bool = True
    wake_feed: Callable[[], None] = _do_nothing
    _is_waiting: bool = False
    _pending: list[Batch] = field(default_factory=list)
    _pending_count: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Drop the mark of the access token, so that actors can be compared."""
        self.actor = replace(self.actor, is_first_use=False)

    @property
    def needs_reading(self) -> bool:
        """Return whether it is due, and all its frames are sent."""
        return self.is_due and self._is_waiting and self.closing is None

    @property
    def is_full(self) -> bool:
        """Return whether too many frames wait for the client."""
        return self._pending_count >= MAX_PENDING

    def push(self, batch: Batch) -> None:
        """Add frames to be sent, after those that wait already."""
        if batch.frames:
            self._pending.append(batch)
            self._pending_count += len(batch.frames)
            self._is_waiting = False
            self._wake.set()

    def push_transient(self, frame: Frame) -> None:
        """Add a frame that may get lost, unless the client is slow."""
        if not self.is_due and self._pending_count < MAX_PENDING_FOR_TRANSIENT:
            self.push(Batch([frame]))

    def update_actor(self, actor: Actor | None) -> None:
        """Take the person's present rights, or close if they don't suffice. None means that the login is over."""
        if actor is None:
            self.close(NOT_AUTHENTICATED)
        elif actor != self.actor:
            if not (actor.is_verified and self.allows(actor)):
                self.close(NOT_ALLOWED)
                return
            self.actor = actor
            self.start_over()

    def start_over(self) -> None:
        """Start again with other rights: drop the frames that wait, which were for the old ones."""
        self._drain()
        self.is_due = True
        self.wake_feed()

    def close(self, closing: Closing) -> None:
        """Make the tasks of the connection end."""
        self.closing = self.closing or closing
        self._closed.set()
        self._wake.set()

    async def closed(self) -> Closing:
        """Wait until the connection has to close; return why."""
        await self._closed.wait()
        assert self.closing is not None
        return self.closing

    async def updates(self, *, idle_seconds: float | None = None) -> AsyncIterator[Sequence[Batch]]:
        """Yield frames as they come, and an empty list after each `idle_seconds` without any, until it closes."""
        while self.closing is None:
            self._wake.clear()
            if not self._pending:
                await self._wait_for_updates(idle_seconds)
            batches = self._drain()
            if self.closing is None and (batches or idle_seconds is not None):
                yield batches

    def _drain(self) -> Sequence[Batch]:
        batches, self._pending, self._pending_count = self._pending, [], 0
        return batches

    async def _wait_for_updates(self, idle_seconds: float | None) -> None:
        self._is_waiting = True
        if self.is_due:
            self.wake_feed()
        with suppress(TimeoutError):
            if idle_seconds is None:
                await self._wake.wait()
            else:
                await asyncio.wait_for(self._wake.wait(), idle_seconds)
        self._is_waiting = False
