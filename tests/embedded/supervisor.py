"""A process of its own that supervises a server, to be killed; and, run as a script, what it does."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import crema
from crema.db.embedded import EmbeddedPostgres, EmbeddedPostgresError, find_binaries

UNSAFE_BUT_FAST: Final = {"fsync": "off"}
# For another Python than ours: the package, and the metadata it reads its version from.
SOURCES: Final = os.pathsep.join([str(Path(crema.__path__[0]).parent), str(distribution("crema").locate_file("."))])


class Supervisor:
    """Ends itself and its server at the end of the `with`, whatever the test did to them."""

    def __init__(
        self,
        data_dir: Path,
        *,
        binaries: Path | None = None,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
        uid: int | None = None,
    ) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - ourselves
            [python, __file__, data_dir, binaries or find_binaries()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], **(environment or {}), "PYTHONPATH": SOURCES},
            start_new_session=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def says(self) -> str:
        """Wait for a line: the URL, or "" if there was an error."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def error(self) -> str:
        """Wait for the end, return the complaint."""
        assert self.process.stderr
        return self.process.stderr.read()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.communicate()


def supervise(data_dir: Path, binaries: Path) -> None:
    """Serve until stdin is closed. Ctrl-C is only reported: a server would finish its requests first."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    server = EmbeddedPostgres(data_dir, binaries=binaries, settings=UNSAFE_BUT_FAST)
    try:
        print(server.start(), flush=True)  # noqa: T201 - the tests read it
    except EmbeddedPostgresError as error:
        sys.exit(str(error))
    while True:
        try:
            sys.stdin.read()
            break
        except KeyboardInterrupt:
            print("interrupted", flush=True)  # noqa: T201 - the same
    server.stop()


if __name__ == "__main__":
    supervise(*map(Path, sys.argv[1:]))
