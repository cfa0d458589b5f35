"""A lock: one supervisor for a data folder, and no new server while processes of an old one live."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from crema.db.embedded.binaries import EmbeddedPostgresError

if sys.platform == "linux":
    import fcntl

_POLL_SECONDS = 0.02


class FolderLock:
    """An flock that the server's processes inherit.

    The kernel frees it when the last of them has ended, however they and their supervisor died; it also holds
    between containers on one volume, which can't see each other in /proc.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The file descriptor, for every process of the server to inherit."""
        if self._descriptor is None:
            raise EmbeddedPostgresError(f"{self._path} is not locked.")
        return self._descriptor

    def acquire(self, *, patience_seconds: float) -> None:
        """Take the lock: refuse at once if another supervisor lives; wait until the server of a dead one has ended."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with ExitStack() as unless_held:
            unless_held.callback(os.close, descriptor)
            if not wait_until(lambda: self._try(descriptor), patience_seconds):
                raise EmbeddedPostgresError(
                    f"The server of an earlier run has not ended in {self._path.parent} after "
                    f"{patience_seconds:.0f} s. Wait, or end its `postgres` processes, then start again."
                )
            unless_held.pop_all()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock of this process. Idempotent."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)  # whoever still holds it, it is no longer this process
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).strip()
            if holder.isdigit() and is_running(int(holder)):
                raise EmbeddedPostgresError(
                    f"{self._path.parent} is already used by process {int(holder)}. Stop that one, or set "
                    "CREMA_DATA_DIR to another folder."
                ) from None
            return False
        return True


def is_running(pid: int) -> bool:
    """Return whether a process lives; a zombie doesn't."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def servers_in(cluster: Path) -> list[int]:
    """Return the pids of PostgreSQL processes in this cluster, as far as /proc shows them."""
    processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [int(process.name) for process in processes if _serves(process, cluster)]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition; return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _serves(process: Path, cluster: Path) -> bool:
    try:
        program = (process / "exe").readlink().name
        return program.startswith("postgres") and (process / "cwd").samefile(cluster)
    except OSError:  # ended meanwhile, or somebody else's
        return False
