"""A Crema started as people start it: its own process, its own data folder, real HTTP."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from fixtures.smtp import free_port

START_SECONDS = 60
STOP_SECONDS = 10


@dataclass
class Server:
    """A running `crema serve`."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx2.get(f"{self.url}/health/ready", timeout=2).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end and return its exit code; it has STOP_SECONDS."""
        self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running(data_dir: Path, **environment: str) -> Iterator[Server]:
    """Start `crema serve` on a folder; end it, whatever happens."""
    port = free_port()
    log = data_dir.with_suffix(".log")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CREMA_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "crema", "serve"],
            env=kept | {"CREMA_DATA_DIR": str(data_dir), "CREMA_PORT": str(port)} | environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        server.await_ready()
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(STOP_SECONDS)


def processes_using(data_dir: Path) -> list[str]:
    """List the commands of processes whose command line names this folder."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(data_dir) in text:
            found.append(text)
    return found
