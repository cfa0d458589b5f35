"""Hashing passwords, off the event loop and bounded: a flood of logins may slow logins, nothing else."""

import asyncio
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from secrets import token_bytes
from threading import get_native_id
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
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2", initializer=_yield_to_others)
        self._turns = 0
        self._nobodys = _unmatched_hash(self._hasher)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Admit a request that will hash, before it costs anything else; refuse it when there are many already.

        Who hangs up gives their turn back; a hash that a thread has begun is then still finished.
        """
        if self._turns == THREADS + QUEUE:
            raise TooBusyError(retry_after=1)
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Tell whether they match. None, for nobody's password, is never matched and takes as long."""

        def check() -> bool:
            try:
                return self._hasher.verify(password_hash or self._nobodys, password)
            except (VerificationError, InvalidHashError):
                return False

        return await self._run(check)

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made at another cost than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._pool.submit(work))


def _yield_to_others() -> None:
    """Let the event loop go first where threads have priorities of their own, as on Linux."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)


def _unmatched_hash(hasher: PasswordHasher) -> str:
    """Make a hash at the hasher's cost that no password has, without paying that cost now."""
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (b64encode(token_bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v=19${cost}${salt}${digest}"
