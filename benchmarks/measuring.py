"""A round of load on a server, and what it cost.

What counts is CPU per request, of the server and of PostgreSQL: requests per second depend on what else the machine
does.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from fixtures.live import environment
from fixtures.server import Server

TICK: Final = os.sysconf("SC_CLK_TCK")
CORES: Final = os.cpu_count() or 1
MACHINE: Final = f"{platform.machine()}, {CORES} cores, Python {platform.python_version()}"

WARM: Final = 100
WARM_ONCE: Final = 24
"""Requests that are sent before the first round is counted; the latter of what can be asked once only."""
LEAST_REQUESTS: Final = 300
"""A round goes on until so many are answered, or for `load.LONGEST_SECONDS`: CPU is counted in steps of 10 ms."""

Request = Mapping[str, Any]
"""What `load.py` sends: method, path, headers, body."""


@dataclass(frozen=True)
class Target:
    """A running server, and the PostgreSQL it asks: `pid` and `postgres` are their first processes."""

    name: str
    url: str
    pid: int
    postgres: int


@dataclass
class Measured:
    """What one target did on one path, a value a round. `worker_us` is of Crema's worker, where one runs."""

    server_us: list[float] = field(default_factory=list)
    database_us: list[float] = field(default_factory=list)
    worker_us: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def median(self, name: str) -> float:
        """The middle of the rounds."""
        return statistics.median(getattr(self, name))

    @property
    def total_us(self) -> float:
        """CPU of server and database together."""
        return statistics.median(a + b for a, b in zip(self.server_us, self.database_us, strict=True))

    @property
    def spread(self) -> float:
        """Half the range of the server's CPU, as a part of the median."""
        return (max(self.server_us) - min(self.server_us)) / 2 / self.median("server_us")


Round = Callable[[Measured], None]
"""Measures once, and adds what it found."""


def settings_of(database_url: str, **more: str) -> dict[str, str]:
    """Run as in production, but for a load from one address and one customer's orders."""
    return (
        environment(database_url)
        | {
            "CREMA_RATE_LIMIT": "1000000/second",
            "CREMA_MAX_OPEN_ORDERS": "100000000",
            "CREMA_MAX_ORDERS_AN_HOUR": "100000000",
            "CREMA_LOGIN_TRIES_PER_NETWORK": "1000000",
            "CREMA_LOG_FORMAT": "json",
        }
        | more
    )


def crema(name: str, server: Server, database_url: str) -> Target:
    """Name a running Crema."""
    return Target(name, server.url, server.process.pid, postmaster(database_url))


def postmaster(database_url: str) -> int:
    """Tell the process that has started all of PostgreSQL's others."""
    with psycopg.connect(database_url) as connection:
        backend = connection.info.backend_pid
        return int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])


def load(target: Target, requests: Sequence[Request], into: Measured, *, seconds: float, connections: int) -> int:
    """Send requests in turn over connections that stay open, for a round; return how many. Fail on a refusal.

    With 0 seconds each is sent once. The first round warms up before: some of the requests are sent and not counted.
    """
    if not into.server_us:
        if seconds:
            _send(target, requests, seconds=0.1, connections=connections, least=WARM)
        else:
            _send(target, requests[:WARM_ONCE], seconds=0, connections=connections)
            requests = requests[WARM_ONCE:]
    before = cpu_seconds(target.pid), cpu_seconds(target.postgres)
    result = _send(target, requests, seconds=seconds, connections=connections)
    after = cpu_seconds(target.pid), cpu_seconds(target.postgres)
    count: int = result["count"]
    into.server_us.append((after[0] - before[0]) / count * 1e6)
    into.database_us.append((after[1] - before[1]) / count * 1e6)
    into.rate.append(count / result["seconds"])
    into.p50.append(result["p50"])
    into.p99.append(result["p99"])
    return count


def _send(
    target: Target, requests: Sequence[Request], *, seconds: float, connections: int, least: int = LEAST_REQUESTS
) -> dict[str, Any]:
    options = [target.url, str(seconds), str(least), str(connections)]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("load.py")), *options],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (target.name, requests[0], done.stderr[-2000:])
    result: dict[str, Any] = json.loads(done.stdout)
    assert not result["failures"], (target.name, requests[0], result)
    return result


def cpu_seconds(root: int) -> float:
    """CPU that a process and its descendants have used so far, the ended ones too."""
    parents, used = {}, {}
    for pid in [int(name) for name in os.listdir("/proc") if name.isdecimal()]:  # noqa: PTH208 - they come and go
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[pid] = int(fields[1])
        used[pid] = sum(int(each) for each in fields[11:15]) / TICK
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(used.get(pid, 0) for pid in family)
