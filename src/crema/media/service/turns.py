"""Fair turns at something scarce."""

from asyncio import CancelledError, Future, get_running_loop
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """Lets `places` callers run at once, one per person; waiting persons are served in rotation.

    However much one person asks for, another waits for what is running, not for their queue. For one event loop.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._running: set[Hashable] = set()
        self._waiting: dict[Hashable, deque[Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, person: Hashable) -> AsyncIterator[None]:
        """Run the body when it is this person's turn."""
        ready = get_running_loop().create_future()
        self._waiting.setdefault(person, deque()).append(ready)
        self._serve()
        try:
            await ready
        except CancelledError:
            if not ready.cancelled():  # it had its turn already
                self._end(person)
            raise
        try:
            yield
        finally:
            self._end(person)

    def _end(self, person: Hashable) -> None:
        self._running.remove(person)
        self._free += 1
        self._serve()

    def _serve(self) -> None:
        while self._free:
            person = next((each for each in self._waiting if each not in self._running), None)
            if person is None:
                return
            queue = self._waiting.pop(person)
            ready = queue.popleft()
            if queue:
                self._waiting[person] = queue  # behind the others
            if not ready.cancelled():
                self._free -= 1
                self._running.add(person)
                ready.set_result(None)
