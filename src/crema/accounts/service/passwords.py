"""Hashing passwords, off the event loop and bounded: a flood of logins may slow logins, nothing else."""

import asyncio
import os
import sys
import unicodedata
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from secrets import token_bytes
from threading import get_native_id
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from crema.accounts.domain import normalized, weakness_of
from crema.core.errors import InvalidError, TooManyError

T = TypeVar("T")

THREADS: Final = 2
"""Measured beforehand (performance.md of the design): 2 threads give 93 logins a second on two cores, 8 give 52."""
WORKING: Final = 2 * THREADS
"""Requests under way at once: what keeps the threads busy, and fewer than there are database connections."""
QUEUE: Final = 32
REFUSE_AFTER: Final = 1.0
"""Seconds. Refused at once, whoever tries again at once would keep the event loop busy with refusals alone."""


class TooBusyError(TooManyError):
    """So many people log in just now that waiting would help nobody."""

    code = "too_busy"
    title = "Too many people are logging in at the moment."
    advice = "Try again after `retry_after` seconds."


class WeakPasswordError(InvalidError):
    """A password that is guessed first."""

    code = "weak_password"
    title = "This password is too easy to guess."
    advice = "Choose a longer or less common one."


def check_strength(password: str, *, field: str, email: str | None, name: str | None = None) -> None:
    """Raise WeakPasswordError for a password that is guessed first. `field` is its name in the request's body."""
    if reason := weakness_of(password, common=_common_passwords(), email=email, name=name):
        error = {"loc": ["body", field], "msg": reason, "type": WeakPasswordError.code}
        raise WeakPasswordError(f"Choose another password: {reason}.", errors=[error])


@cache
def _common_passwords() -> frozenset[str]:
    """Read the 30,000 most used of leaked passwords, in lower case, as zxcvbn counts them."""
    return frozenset((files("crema.accounts") / "common_passwords.txt").read_text(encoding="utf-8").splitlines())


class Passwords:
    """argon2id with OWASP's minimum (19 MiB, 2 passes, 1 lane) in a small pool of threads.

    Callers must not hold a database connection while they wait: see `db.session.keep`.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2", initializer=_yield_to_others)
        self._working = asyncio.Semaphore(WORKING)
        self._waiting = 0
        self._nobodys = _unmatched_hash(self._hasher)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """Let a request in that will hash, when it is its turn; refuse it when many wait already.

        Around the whole request, before its first statement: those who wait hold no database connection, of which a
        flood would otherwise leave none to others. Who hangs up gives their turn back; a hash that a thread has begun
        is then still finished.
        """
        if self._waiting == QUEUE:
            await asyncio.sleep(REFUSE_AFTER)
            raise TooBusyError(retry_after=1)
        self._waiting += 1
        turn = Turn(self, self._working)
        try:
            await turn.take()
        finally:
            self._waiting -= 1
        try:
            yield turn
        finally:
            turn.give_back()

    async def hash(self, password: str) -> str:
        """Hash a password, in the form that is the same from every keyboard."""
        return await self._run(lambda: self._hasher.hash(normalized(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Tell whether they match. None, for nobody's password, is never matched and takes as long.

        Hashes made before passwords were normalized to NFKC are of NFC; the two differ for few passwords.
        """
        forms = dict.fromkeys((normalized(password), unicodedata.normalize("NFC", password)))

        def check(form: str) -> bool:
            try:
                return self._hasher.verify(password_hash or self._nobodys, form)
            except (VerificationError, InvalidHashError):
                return False

        return await self._run(lambda: any(check(form) for form in forms))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made at another cost than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._pool.submit(work))


class Turn:
    """One request's place among those that hash."""

    def __init__(self, passwords: Passwords, places: asyncio.Semaphore) -> None:
        self.passwords = passwords
        self._places = places
        self._is_held = False

    async def take(self) -> None:
        """Wait for a place."""
        await self._places.acquire()
        self._is_held = True

    def give_back(self) -> None:
        """Let somebody else have the place."""
        if self._is_held:
            self._is_held = False
            self._places.release()

    async def pause(self, seconds: float) -> None:
        """Wait without the place, then take one again: those who wait keep nobody from hashing."""
        if seconds > 0:
            self.give_back()
            await asyncio.sleep(seconds)
            await self.take()


def _yield_to_others() -> None:
    """Let the event loop go first where threads have priorities of their own, as on Linux."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)


def _unmatched_hash(hasher: PasswordHasher) -> str:
    """Make a hash at the hasher's cost that no password has, without paying that cost now."""
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (b64encode(token_bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v=19${cost}${salt}${digest}"
