"""Hashing passwords, off the event loop and bounded: a flood of logins may slow logins, nothing else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from crema.core.errors import TooManyError

T = TypeVar("T")

THREADS: Final = 2
"""Measured beforehand (performance.md of the design): 2 threads give 93 logins a second on two cores, 8 give 52."""
QUEUE: Final = 32


class TooBusyError(TooManyError):
    """So many people log in just now that waiting would help nobody."""

    code = "too_busy"
    title = "Too many people are logging in just now."


class Passwords:
    """argon2id with OWASP's minimum (19 MiB, 2 passes, 1 lane) in a small pool of threads.

    Callers must not hold a database connection while they wait: see `db.session.keep`.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._dummy = self._hasher.hash("the work that an unknown address costs too")

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Tell whether they match. None, for nobody's password, is never matched and takes as long."""

        def check() -> bool:
            try:
                matches = self._hasher.verify(password_hash or self._dummy, password)
            except (VerificationError, InvalidHashError):
                return False
            return matches and password_hash is not None

        return await self._run(check)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= THREADS + QUEUE:
            raise TooBusyError(retry_after=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
