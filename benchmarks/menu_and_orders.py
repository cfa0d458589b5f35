"""Reading the menu and placing orders, beside what a café's developer would build, and beside the limit.

Every peer serves the same tables from a folder and a locked environment of its own. Before anything is timed all answer
the same questions alike. Rounds are interleaved; what counts is CPU per request, of the server and of PostgreSQL:
requests per second depend on what else the machine does.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg
from data import LARGE, SMALL, fill
from results import keep

from crema.db import schema
from crema.db.embedded import EmbeddedPostgres
from crema.db.session import make_engine, make_sessions
from crema.menu.service import documents
from fixtures.live import environment, open_town
from fixtures.ports import free_port
from fixtures.server import Server, running

QUICK: Final = os.environ.get("QUICK") == "1"
PROFILE: Final = LARGE if os.environ.get("PROFILE") == "large" else SMALL
ROUNDS: Final = 3 if QUICK else 5
SECONDS: Final = 1.5 if QUICK else 4
CONNECTIONS: Final = 8
BUYERS: Final = 200
PEERS: Final = Path(__file__).parent / "peers"
TICK: Final = os.sysconf("SC_CLK_TCK")
SHOP: Final = "md5('shop')::uuid"


@dataclass
class Target:
    """A running server."""

    name: str
    url: str
    pid: int


@dataclass
class Measured:
    """What one target did on one path, a value a round."""

    server_us: list[float] = field(default_factory=list)
    database_us: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def median(self, name: str) -> float:
        return statistics.median(getattr(self, name))

    @property
    def spread(self) -> float:
        """Half the range of the server's CPU, as a part of the median."""
        return (max(self.server_us) - min(self.server_us)) / 2 / self.median("server_us")


def cpu_seconds(root: int) -> float:
    """CPU that a process and its descendants have used so far, the ended ones too."""
    parents, used = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        used[pid] = sum(int(each) for each in fields[11:15]) / TICK
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(used.get(pid, 0) for pid in family)


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def served(name: str, command: list[str], folder: Path, database_url: str) -> Iterator[Target]:
    """Start a peer and wait until it answers."""
    port = free_port()
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until the peer ends
    process = subprocess.Popen(
        [part.replace("PORT", str(port)) for part in command],
        cwd=folder,
        env=os.environ | {"DATABASE_URL": database_url, "PYTHONPATH": "."},
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        answer = httpx2.Response(503)
        for _ in range(200):
            try:
                answer = httpx2.get(f"{url}/products", params={**QUESTION, "category_id": UNKNOWN}, timeout=5)
                break
            except httpx2.TransportError:
                time.sleep(0.1)
        log.seek(0)
        assert answer.status_code == 200, f"{name}: {log.read()[-3000:]}"
        yield Target(name, url, process.pid)
    finally:
        process.terminate()
        process.wait(10)


QUESTION: Final = {"price__lte": 500, "search": "латте", "sort": "price", "size": 20}
UNKNOWN: Final = "00000000-0000-7000-8000-000000000000"
OURS: Final = "Crema"
LIMIT: Final = "bare ASGI + asyncpg"
ORM: Final = "FastAPI, async ORM"
COMMANDS: Final = {
    LIMIT: ("", [sys.executable, "-m", "uvicorn", "limit:app", "--port", "PORT", "--no-access-log"]),
    ORM: ("fastapi_orm", [".venv/bin/uvicorn", "app:app", "--port", "PORT"]),
    "Django REST framework": (
        "drf",
        [".venv/bin/gunicorn", "app:application", "-b", "127.0.0.1:PORT", "--threads", "8", "--no-control-socket"],
    ),
    "django-ninja": (
        "ninja",
        [".venv/bin/gunicorn", "app:application", "-b", "127.0.0.1:PORT", "--threads", "8", "--no-control-socket"],
    ),
}


def install_peers() -> None:
    """Make each peer's environment from its lock, once."""
    uv = next((each for each in (Path(".uv/bin/uv"),) if each.exists()), Path("uv")).absolute()
    uv = uv if uv.exists() else Path("uv")
    for folder, _ in COMMANDS.values():
        if folder:
            kept = {name: value for name, value in os.environ.items() if name != "UV_PROJECT_ENVIRONMENT"}
            subprocess.run(
                [str(uv), "sync", "--quiet", "--locked", "--python", sys.executable],
                cwd=PEERS / folder,
                env=kept,
                check=True,
            )


def load(target: Target, requests: list[dict[str, Any]], postgres: int, measured: Measured) -> None:
    """One round on one target."""
    before = cpu_seconds(target.pid), cpu_seconds(postgres)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("load.py")), target.url, str(SECONDS), str(CONNECTIONS)],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=True,
    )
    after = cpu_seconds(target.pid), cpu_seconds(postgres)
    result = json.loads(done.stdout)
    assert not result["failures"], (target.name, requests[0], result)
    count = result["count"]
    measured.server_us.append((after[0] - before[0]) / count * 1e6)
    measured.database_us.append((after[1] - before[1]) / count * 1e6)
    measured.rate.append(count / SECONDS)
    measured.p50.append(result["p50"])
    measured.p99.append(result["p99"])


def answers_alike(targets: list[Target], category: str, product: str) -> None:
    """Fail unless all give the same products for the same question, and the same product."""
    lists, singles = {}, {}
    for target in targets:
        page = httpx2.get(f"{target.url}/products", params={"category_id": category, **QUESTION}, timeout=30).json()
        items = page.get("items", page.get("results"))
        lists[target.name] = (page.get("total", page.get("count")), [_comparable(each) for each in items])
        singles[target.name] = _comparable(httpx2.get(f"{target.url}/product/{product}", timeout=30).json())
    for found in (lists, singles):
        first = found[OURS]
        for name, other in found.items():
            assert other == first, f"{name} answers differently: {other} is not {first}"[:3000]
    assert lists[OURS][0] > 5


def _comparable(product: dict[str, Any]) -> Any:
    """Leave out what only some show, and the order of what has none."""
    kept = {name: value for name, value in product.items() if name not in ("created_at", "updated_at")}
    kept["price"] = float(kept["price"])
    kept["categories"] = sorted(each["id"] for each in kept["categories"])
    for part in kept["sizes"]:
        part["price_delta"] = float(part["price_delta"])
    for group in kept["modifier_groups"]:
        for option in group["options"]:
            option["price_delta"] = float(option["price_delta"])
    return kept


def table(title: str, rows: dict[str, Measured]) -> list[str]:
    lines = [
        f"### {title}",
        "",
        "| | server CPU, µs | ± | PostgreSQL CPU, µs | requests/s | p50, ms | p99, ms | server CPU over Crema's |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    ours = rows[OURS].median("server_us")
    for name, row in rows.items():
        ratio = row.median("server_us") / ours
        lines.append(
            f"| {name} | {row.median('server_us'):,.0f} | {row.spread:.0%} | {row.median('database_us'):,.0f} |"
            f" {row.median('rate'):,.0f} | {row.median('p50'):.1f} | {row.median('p99'):.1f} | {ratio:.2f} |"
        )
    return [*lines, ""]


def ask(connection: psycopg.Connection, statement: str) -> Any:
    row = connection.execute(statement).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row[0]


async def buyers(server: Server, database_url: str, folder: Path) -> list[tuple[str, str]]:
    """Tokens and ids of people with logins."""
    async with open_town([server], database_url, folder) as town:
        people = [await town.person() for _ in range(BUYERS)]
        return [(each.token, str(each.id)) for each in people]


async def write_documents(database_url: str) -> None:
    engine = make_engine(database_url)
    async with make_sessions(engine)() as session:
        await documents.rebuild(session)
        await session.commit()
    await engine.dispose()


def start_seconds(database_url: str, folder: Path) -> float:
    """From the command to the first answer, on a database that is there."""
    started = time.monotonic()
    with running(folder / "again", **environment(database_url)):
        return time.monotonic() - started


def slow_spots(database_url: str) -> list[str]:
    """What a page costs in the database wherever it is, and a search without a hit."""
    after = "created_at < (SELECT max(created_at) - interval '60 days' FROM orders)"
    page = "SELECT * FROM orders WHERE {} ORDER BY created_at DESC, id DESC LIMIT 21"
    nothing = (
        "SELECT id FROM products WHERE archived_at IS NULL"
        " AND (replace(lower(name), 'ё', 'е') LIKE '%щыъ%' OR replace(lower(description), 'ё', 'е') LIKE '%щыъ%')"
        " LIMIT 21"
    )
    statements = {
        "first page of all orders": page.format("true"),
        "a page in the middle, by cursor": page.format(after),
        "search, three letters, no hit": nothing,
    }
    lines = ["### In the database", "", "| | ms |", "|---|---:|"]
    with psycopg.connect(database_url) as connection:
        for name, statement in statements.items():
            times = []
            for _ in range(7):
                plan = ask(connection, f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
                times.append(plan[0]["Execution Time"])
            lines.append(f"| {name} | {statistics.median(times):.2f} |")
    return [*lines, ""]


def main() -> None:
    """Fill, compare, time, print and keep."""
    print("peers", flush=True)
    install_peers()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres", settings={"max_connections": "100"}))
        url = postgres.start()
        print(f"data: {PROFILE}", flush=True)
        schema.upgrade(url)
        fill(url, PROFILE)
        asyncio.run(write_documents(url))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            postmaster = _parent_of(ask(connection, "SELECT pg_backend_pid()"))
            category = str(ask(connection, "SELECT md5('category0')::uuid"))
            product = str(ask(connection, "SELECT md5('product21')::uuid"))
            shop = str(ask(connection, f"SELECT {SHOP}"))
        settings = environment(url) | {
            "CREMA_RATE_LIMIT": "1000000/second",
            "CREMA_MAX_OPEN_ORDERS": "100000000",
            "CREMA_LOG_FORMAT": "json",  # production's
        }
        server = stack.enter_context(running(folder / "crema", **settings))
        people = asyncio.run(buyers(server, url, folder))
        targets = [Target(OURS, server.url, server.process.pid)]
        for peer, (where, command) in COMMANDS.items():
            targets.append(stack.enter_context(served(peer, command, PEERS / where, url)))
        print("do all answer alike?", flush=True)
        answers_alike(targets, category, product)

        query = "&".join(f"{name}={value}" for name, value in {"category_id": category, **QUESTION}.items())
        query = query.replace("латте", "%D0%BB%D0%B0%D1%82%D1%82%D0%B5")
        item = {"product_id": product, "quantity": 1}
        body = {"shop_id": shop, "items": [item]}
        mine = [{"Authorization": f"Bearer {token}"} for token, _ in people]
        theirs = [{"X-User": id_} for _, id_ in people]
        read = {"product by id": f"/product/{product}", "list: filter, search, sort, total": f"/products?{query}"}
        jobs: dict[str, dict[str, list[dict[str, Any]]]] = {
            title: {target.name: [{"path": path}] for target in targets} for title, path in read.items()
        }
        signed_in = "Crema, signed in"
        for title, path in read.items():
            jobs[title][signed_in] = [{"path": path, "headers": headers} for headers in mine]
        for title, path, sent in (("add to the cart", "/cart", item), ("place an order", "/order", body)):
            post = {"method": "POST", "path": path, "body": sent}
            jobs[title] = {
                OURS: [post | {"headers": headers} for headers in mine],
                ORM: [post | {"headers": headers} for headers in theirs],
            }
        by_name = {target.name: target for target in targets} | {signed_in: targets[0]}
        measured: dict[str, dict[str, Measured]] = {
            title: {n: Measured() for n in names} for title, names in jobs.items()
        }
        for turn in range(ROUNDS):
            for title, requests in jobs.items():
                for target, sent_by in requests.items():
                    tidy(url)
                    load(by_name[target], sent_by, postmaster, measured[title][target])
                print(f"round {turn + 1} of {ROUNDS}: {title}", flush=True)
        lines = [
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {PROFILE}.",
            f"One process each, {CONNECTIONS} connections, medians of {ROUNDS} interleaved rounds of {SECONDS} s.",
            "",
        ]
        for title, rows in measured.items():
            lines += table(title, rows)
        lines += [
            f"Memory of Crema's process after the load: {resident_mib(server.process.pid):.0f} MiB.",
            f"Start to first answer: {start_seconds(url, folder):.1f} s.",
            "",
            *slow_spots(url),
            *goals(measured),
        ]
    text = "\n".join(lines)
    print(text)
    if not QUICK:
        keep("Menu and orders", text)


def tidy(database_url: str) -> None:
    """Leave nobody with a full cart, or with more open orders than a morning brings."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM carts")
        connection.execute("UPDATE orders SET status = 'completed' WHERE status = 'placed'")
        connection.execute("VACUUM ANALYZE carts, cart_items, orders")


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def goals(measured: dict[str, dict[str, Measured]]) -> list[str]:
    """The goals of the design, each reached or not."""

    def ratio(title: str, *peers: str) -> float:
        return min(measured[title][each].median("server_us") for each in peers) / measured[title][OURS].median(
            "server_us"
        )

    one, many = "product by id", "list: filter, search, sort, total"
    django = ("Django REST framework", "django-ninja")
    wanted = [
        ("product by id, over the async ORM", ratio(one, ORM), 4),
        ("product by id, over the best of Django", ratio(one, *django), 3),
        ("product by id, of the limit", ratio(one, LIMIT), 0.5),
        ("list, over the async ORM", ratio(many, ORM), 25),
        ("list, over the best of Django", ratio(many, *django), 20),
        ("list, of the limit", ratio(many, LIMIT), 0.6),
        ("add to the cart, over the async ORM", ratio("add to the cart", ORM), 5),
        ("place an order, over the async ORM", ratio("place an order", ORM), 7),
    ]
    lines = ["### Goals, by server CPU", "", "| | ours | goal | |", "|---|---:|---:|---|"]
    for name, ours, goal in wanted:
        lines.append(f"| {name} | {ours:.2f}x | {goal}x | {'reached' if ours >= goal else 'not reached'} |")
    return lines


if __name__ == "__main__":
    main()
