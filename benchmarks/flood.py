"""What a flood of logins does to those who read the menu: T10 of docs/security.md. Settings are the defaults."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
from results import QUICK, keep, record

from fixtures.server import Server, resident, running

SECONDS = 3 if QUICK else 10
PAUSE = 0.01
GOAL_MS = 100
ELSEWHERE = "127.0.0.2"
"""Attackers are another client than readers, as they would be."""


async def read_menu(server: Server, until: Callable[[], bool]) -> list[float]:
    """Read the menu over and over; give the milliseconds of each answer."""
    times = []
    async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
        while not until():
            asked = time.perf_counter()
            answer = await client.get("/products")
            times.append((time.perf_counter() - asked) * 1000)
            assert answer.status_code == 200, answer.text
            await asyncio.sleep(PAUSE)
    return sorted(times)


def under_attack(server: Server, attackers: int) -> list[float]:
    """Read while attackers, each with a new address at every try, log in as fast as they are answered."""
    tries = [
        {"method": "POST", "path": "/authentication", "body": {"email": f"u{n}@example.com", "password": "not this"}}
        for n in range(5_000)
    ]
    load = Path(__file__).with_name("load.py")
    attack = subprocess.Popen(
        [sys.executable, str(load), server.url, str(SECONDS), "0", str(attackers), ELSEWHERE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert attack.stdin
    attack.stdin.write(json.dumps(tries).encode())
    attack.stdin.close()
    return asyncio.run(read_menu(server, lambda: attack.poll() is not None))


def main() -> None:
    """Measure, print and keep."""
    rows = ["| `/products` | answers | p50, ms | p99, ms | goal |", "|---|---:|---:|---:|---|"]
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "data", CREMA_RUN_WORKER="false") as server:
        end = time.monotonic() + SECONDS
        measured = {"quiet": asyncio.run(read_menu(server, lambda: time.monotonic() > end))}
        before = resident(server)
        for attackers in (5, 20, 50):
            measured[f"{attackers} attackers"] = under_attack(server, attackers)
        grown = (resident(server) - before) / 2**20
    for name, times in measured.items():
        p99 = times[int(len(times) * 0.99)]
        reached = "reached" if p99 < GOAL_MS else "not reached"
        rows.append(f"| {name} | {len(times)} | {times[len(times) // 2]:.1f} | {p99:.1f} | {reached} |")
    about = (
        f"The goal is a p99 under {GOAL_MS} ms. Attackers log in as fast as they are answered, for {SECONDS} s each."
    )
    text = "\n".join([*rows, "", about, f"Memory: {grown:+.0f} MiB."])
    print(text)
    record({"menu during a flood of logins: p99": max(times[int(len(times) * 0.99)] for times in measured.values())})
    keep("A flood of logins", text)


if __name__ == "__main__":
    main()
