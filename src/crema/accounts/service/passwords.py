"""Hashing passwords in a small pool of threads: a flood of logins slows down logins, but nothing else."""

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
"""Measured on two cores: 2 threads give 93 logins a second, 8 threads 52."""
MAX_ADMITTED: Final = 2 * THREADS
"""Requests admitted at once: enough to keep the threads busy, and fewer than there are database connections."""
MAX_WAITING: Final = 32
REFUSAL_DELAY_SECONDS: Final = 1.0
"""A refusal waits so long: clients that try again at once would keep the event loop busy with refusals."""


class TooBusyError(TooManyError):
    """So many requests wait to hash a password that another one would wait too long."""

    code = "too_busy"
    title = "Too many people are logging in at the moment."
    advice = "Try again after `retry_after` seconds."


class WeakPasswordError(InvalidError):
    """The password is one of the most used, or like the address or the name."""

    code = "weak_password"
    title = "This password is too easy to guess."
    advice = "Choose a longer or less common one."


def check_strength(password: str, *, field: str, email: str | None, name: str | None = None) -> None:
    """Raise WeakPasswordError for a password that is easy to guess. `field` is its name in the request's body."""
    if reason := weakness_of(password, common=_common_passwords(), email=email, name=name):
        error = {"loc": ["body", field], "msg": reason, "type": WeakPasswordError.code}
        raise WeakPasswordError(f"Choose another password: {reason}.", errors=[error])


@cache
def _common_passwords() -> frozenset[str]:
    """Return the 30,000 most used leaked passwords, in lower case. The list is that of zxcvbn."""
    return frozenset((files("crema.accounts") / "common_passwords.txt").read_text(encoding="utf-8").splitlines())


class Passwords:
    """Hashes passwords with argon2id at OWASP's minimum cost (19 MiB, 2 passes, 1 lane).

    Callers must not hold a database connection while they wait: see `db.session.commit_now`.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2", initializer=_lower_thread_priority)
        self._admissions = asyncio.Semaphore(MAX_ADMITTED)
        self._waiting = 0
        self._dummy_hash = _make_dummy_hash(self._hasher)

    @asynccontextmanager
    async def admission(self) -> AsyncIterator["Admission"]:
        """Wait until a request that hashes is admitted; raise TooBusyError when too many wait already.

        The caller enters it before the first statement of the request, so that waiting requests hold no database
        connections. A request that is cancelled gives its admission back; a hash that has begun is still finished.
        """
        if self._waiting == MAX_WAITING:
            await asyncio.sleep(REFUSAL_DELAY_SECONDS)
            raise TooBusyError(retry_after=1)
        self._waiting += 1
        admission = Admission(self, self._admissions)
        try:
            await admission.acquire()
        finally:
            self._waiting -= 1
        try:
            yield admission
        finally:
            admission.release()

    async def hash(self, password: str) -> str:
        """Return the hash of a password in its normalized form."""
        return await self._run(lambda: self._hasher.hash(normalized(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Return whether the password matches the hash. For None the result is False and takes as long to compute.

        Hashes made before passwords were normalized to NFKC are of NFC; the two differ for few passwords.
        """
        forms = dict.fromkeys((normalized(password), unicodedata.normalize("NFC", password)))

        def check(form: str) -> bool:
            try:
                return self._hasher.verify(password_hash or self._dummy_hash, form)
            except (VerificationError, InvalidHashError):
                return False

        return await self._run(lambda: any(check(form) for form in forms))

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._pool.submit(work))


class Admission:
    """The permit of one request to hash: one of `MAX_ADMITTED`."""

    def __init__(self, passwords: Passwords, semaphore: asyncio.Semaphore) -> None:
        self.passwords = passwords
        self._semaphore = semaphore
        self._is_held = False

    async def acquire(self) -> None:
        """Wait for a permit."""
        await self._semaphore.acquire()
        self._is_held = True

    def release(self) -> None:
        """Give the permit to the next request that waits."""
        if self._is_held:
            self._is_held = False
            self._semaphore.release()

    async def pause(self, seconds: float) -> None:
        """Wait some seconds without a permit, then acquire one again, so that others can hash meanwhile."""
        if seconds > 0:
            self.release()
            await asyncio.sleep(seconds)
            await self.acquire()


def _lower_thread_priority() -> None:
    """Give the event loop precedence where threads have priorities of their own, as on Linux."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)


def _make_dummy_hash(hasher: PasswordHasher) -> str:
    """Return a random hash that no password matches, with the hasher's parameters, without computing one."""
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (b64encode(token_bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v=19${cost}${salt}${digest}"
