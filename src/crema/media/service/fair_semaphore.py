"""A semaphore that is fair to people."""

from asyncio import CancelledError, Future, get_running_loop
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class FairSemaphore:
    """Lets up to `slots` callers run at once, at most one per person. Waiting people get slots in rotation.

    However many calls one person makes, another waits only for those that run. For one event loop.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._running: set[Hashable] = set()
        self._waiting: dict[Hashable, deque[Future[None]]] = {}

    @asynccontextmanager
    async def slot(self, person: Hashable) -> AsyncIterator[None]:
        """Wait for a free slot, and hold it while the body of this context runs."""
        ready = get_running_loop().create_future()
        self._waiting.setdefault(person, deque()).append(ready)
        self._start_next()
        try:
            await ready
        except CancelledError:
            if not ready.cancelled():  # it had got its slot already
                self._release(person)
            raise
        try:
            yield
        finally:
            self._release(person)

    def _release(self, person: Hashable) -> None:
        self._running.remove(person)
        self._free += 1
        self._start_next()

    def _start_next(self) -> None:
        while self._free:
            person = next((each for each in self._waiting if each not in self._running), None)
            if person is None:
                return
            queue = self._waiting.pop(person)
            ready = queue.popleft()
            if queue:
                self._waiting[person] = queue  # to the end of the rotation
            if not ready.cancelled():
                self._free -= 1
                self._running.add(person)
                ready.set_result(None)
