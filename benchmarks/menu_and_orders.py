"""Reading the menu and placing orders, beside what a café's developer would build, and beside the limit.

Every peer serves the same tables from a folder and a locked environment of its own. Before anything is timed all answer
the same questions alike. Rounds are interleaved.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from operator import le
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import measuring
from data import LARGE, SMALL, SQL, fill, id_of, make_people, tidy
from measuring import MACHINE, QUICK, Measured, Target, cpu_seconds, crema, settings_of
from pictures import bars
from results import Goal, goals, keep

from crema.db.driver import WRITING
from crema.db.embedded import EmbeddedPostgres, find_binaries
from fixtures.ports import free_port
from fixtures.server import resident, running

IS_LARGE: Final = os.environ.get("PROFILE") == "large"
PROFILE: Final = LARGE if IS_LARGE else SMALL
ROUNDS: Final = 2 if QUICK else 3 if IS_LARGE else 5
SECONDS: Final = 1 if QUICK else 3
CONNECTIONS: Final = 8
PEERS: Final = Path(__file__).parent / "peers"

OURS: Final = "Crema"
SIGNED_IN: Final = "Crema, signed in"
LIMIT: Final = "bare ASGI + asyncpg"
PGBENCH: Final = "pgbench, the same statements"
ORM: Final = "FastAPI, async ORM"
DRF: Final = "Django REST framework"
NINJA: Final = "django-ninja"
GUNICORN: Final = [".venv/bin/gunicorn", "app:application", "-b", "127.0.0.1:PORT", "--threads", "8"]
COMMANDS: Final = {
    LIMIT: ("", [sys.executable, "-m", "uvicorn", "limit:app", "--port", "PORT", "--no-access-log"]),
    ORM: ("fastapi_orm", [".venv/bin/uvicorn", "app:app", "--port", "PORT"]),
    DRF: ("drf", [*GUNICORN, "--no-control-socket"]),
    NINJA: ("ninja", [*GUNICORN, "--no-control-socket"]),
}

PRODUCT: Final = f"/product/{id_of('product21')}"
QUESTION: Final = {
    "category_id": id_of("category0"),
    "price__lte": 500,
    "search": "латте",
    "sort": "price",
    "size": 20,
}
LIST: Final = f"/products?{urlencode(QUESTION)}"
ITEM: Final = {"product_id": id_of("product21"), "quantity": 1}
ORDER: Final = {"shop_id": id_of("shop"), "items": [ITEM]}

ONE, MANY, MENU = "product by id", "list: filter, search, sort, total", "whole menu, known already"
CART, PLACE = "add to the cart", "place an order"
OTHERS: Final = {"headings": "/categories", "places": "/shops", "the chain": "/info"}

Round = Callable[[Measured], None]


def install_peers() -> None:
    """Make each peer's environment from its lock, once."""
    own = Path(".uv/bin/uv").absolute()
    kept = {name: value for name, value in os.environ.items() if name != "UV_PROJECT_ENVIRONMENT"}
    for folder, _ in COMMANDS.values():
        if folder:
            command = [str(own) if own.exists() else "uv", "sync", "--quiet", "--locked", "--python", sys.executable]
            subprocess.run(command, cwd=PEERS / folder, env=kept, check=True)


@contextmanager
def served(name: str, command: list[str], folder: Path, database_url: str, postgres: int) -> Iterator[Target]:
    """Start a peer and wait until it answers."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [part.replace("PORT", str(port)) for part in command],
            cwd=folder,
            env=os.environ | {"DATABASE_URL": database_url, "PYTHONPATH": "."},
            stdout=log,
            stderr=log,
        )
        try:
            answer = httpx2.Response(503)
            for _ in range(200):
                try:
                    answer = httpx2.get(f"{url}{PRODUCT}", timeout=5)
                    break
                except httpx2.TransportError:
                    time.sleep(0.1)
            log.seek(0)
            assert answer.status_code == 200, f"{name}: {log.read()[-3000:]}"
            yield Target(name, url, process.pid, postgres)
        finally:
            process.terminate()
            process.wait(10)


def answers_alike(targets: dict[str, Target]) -> None:
    """Fail unless all give the same products for the same question, the same product, and the same menu."""

    def get(name: str, path: str) -> Any:
        return httpx2.get(f"{targets[name].url}{path}", timeout=60).raise_for_status().json()

    def page_of(name: str) -> Any:
        page = get(name, LIST)
        items = page.get("items", page.get("results"))
        return page.get("total", page.get("count")), [_comparable(each) for each in items]

    lists = {name: page_of(name) for name in targets}
    singles = {name: _comparable(get(name, PRODUCT)) for name in targets}
    compared = [lists, singles]
    if not IS_LARGE:
        whole = [each for heading in get(OURS, "/menu")["categories"] for each in heading["products"]]
        compared.append({OURS: {each["id"] for each in whole}, ORM: {each["id"] for each in get(ORM, "/menu")}})
    for found in compared:
        for name, other in found.items():
            same = _as_shown(other, found[OURS])
            assert other == same, f"{name} answers differently: {other} is not {same}"[:3000]
    assert lists[OURS][0] > 5


def _as_shown(other: Any, ours: Any) -> Any:
    """Give ours without the fields that a peer doesn't show: it need not do all that we do."""
    if isinstance(other, dict):
        return {name: _as_shown(part, ours[name]) for name, part in other.items()}
    if isinstance(other, list | tuple) and len(other) == len(ours):
        return type(other)(_as_shown(part, mine) for part, mine in zip(other, ours, strict=True))
    return ours


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


def load(target: Target, *requests: dict[str, Any], connections: int = CONNECTIONS) -> Round:
    """Plan a round of these requests on this server."""
    return lambda into: measuring.load(target, list(requests), into, seconds=SECONDS, connections=connections)


def pgbench(database_url: str, postgres: int) -> Round:
    """Plan a round of what placing an order asks of PostgreSQL, and nothing else."""
    options = f"--no-vacuum --protocol=prepared --client={CONNECTIONS} --time={SECONDS}".split()
    environment = os.environ | {"PGOPTIONS": f"-c plan_cache_mode={WRITING['plan_cache_mode']}"}  # as our connections
    command = [str(find_binaries() / "pgbench"), *options, f"--file={SQL / 'place_order.sql'}", database_url]

    def run(into: Measured) -> None:
        before = cpu_seconds(postgres)
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        count = int(re.findall(r"actually processed: (\d+)", said)[0])
        latency = float(re.findall(r"latency average = ([\d.]+)", said)[0])
        into.server_us.append(0)
        into.database_us.append((cpu_seconds(postgres) - before) / count * 1e6)
        into.rate.append(float(re.findall(r"tps = ([\d.]+)", said)[0]))
        into.p50.append(latency)
        into.p99.append(0)

    return run


def plan(targets: dict[str, Target], database_url: str, folder: Path) -> dict[str, dict[str, Round]]:
    """Tell what is asked of whom."""
    people = asyncio.run(make_people(database_url, folder, ["user"] * 200))
    ours, orm = targets[OURS], targets[ORM]
    mine = [{"Authorization": f"Bearer {person.token}"} for person in people]
    theirs = [{"X-User": str(person.id)} for person in people]
    etag = "" if IS_LARGE else httpx2.get(f"{ours.url}/menu", timeout=60).headers["ETag"]

    def read(path: str) -> dict[str, Round]:
        rounds = {name: load(target, {"path": path}) for name, target in targets.items()}
        return rounds | {SIGNED_IN: load(ours, *({"path": path, "headers": headers} for headers in mine))}

    def post(path: str, body: object, **more: str) -> dict[str, Round]:
        sent = {"method": "POST", "path": path, "body": body}
        return {
            OURS: load(ours, *(sent | {"headers": headers | more} for headers in mine)),
            ORM: load(orm, *(sent | {"headers": headers} for headers in theirs)),
        }

    known = {"path": "/menu", "headers": {"If-None-Match": etag}}
    others = {name: load(ours, {"path": path}) for name, path in OTHERS.items()}
    whole = {OURS: load(ours, known), ORM: load(orm, {"path": "/menu"}, connections=1)}
    paths = {
        ONE: read(PRODUCT),
        MANY: read(LIST),
        MENU: whole,
        CART: post("/cart", ITEM),
        # With a key, which is written down together with the answer; the peer knows none.
        PLACE: post("/order", ORDER, **{"Idempotency-Key": "{new}"}) | {PGBENCH: pgbench(database_url, ours.postgres)},
        "other reads": others | {"whole menu": load(ours, {"path": "/menu"})},
    }
    if IS_LARGE:  # nobody sends a menu of 100,000 products whole
        del paths[MENU], paths["other reads"]["whole menu"]
    return paths


def main() -> None:
    """Fill, compare, time, print and keep."""
    print("peers", flush=True)
    install_peers()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        url = stack.enter_context(EmbeddedPostgres(folder / "postgres")).start()
        print(f"data: {PROFILE}", flush=True)
        fill(url, PROFILE)
        server = stack.enter_context(running(folder / "crema", **settings_of(url)))
        targets = {OURS: crema(OURS, server, url)}
        for peer, (where, command) in COMMANDS.items():
            targets[peer] = stack.enter_context(served(peer, command, PEERS / where, url, targets[OURS].postgres))
        print("do all answer alike?", flush=True)
        answers_alike(targets)
        rounds = plan(targets, url, folder)
        measured = {title: {each: Measured() for each in those} for title, those in rounds.items()}
        for turn in range(ROUNDS):
            for title, those in rounds.items():
                for each, run in those.items():
                    tidy(url)
                    run(measured[title][each])
                print(f"round {turn + 1} of {ROUNDS}: {title}", flush=True)
        lines = [
            f"{MACHINE}; {PROFILE}.",
            f"One process each, {CONNECTIONS} connections, medians of {ROUNDS} interleaved rounds of {SECONDS} s.",
            "The ORM's full list is asked over one connection: over more, a round would end before its first answers.",
            "",
        ]
        lines += [line for title, rows in measured.items() for line in table(title, rows)]
        lines += goals(reached(measured, memory=resident(server) / 2**20, start=start_seconds(url, folder)))
    text = "\n".join(lines)
    print(text)
    if not QUICK:
        name = "ratios-much-data" if IS_LARGE else "ratios"
        titles = [title for title, rows in measured.items() if ORM in rows]
        picture = bars(name, "Server CPU per request, over Crema's", titles, over(measured))
        keep("Menu and orders, much data" if IS_LARGE else "Menu and orders", f"{picture}\n\n{text}")


def start_seconds(database_url: str, folder: Path) -> float:
    """From the command to the first answer, on a database that is there."""
    started = time.monotonic()
    with running(folder / "again", **settings_of(database_url)):
        return time.monotonic() - started


def table(title: str, rows: dict[str, Measured]) -> list[str]:
    """Show medians; CPU in µs per request."""
    lines = [
        f"### {title[0].upper()}{title[1:]}",
        "",
        "| | server CPU, µs | ± | PostgreSQL CPU, µs | requests/s | p50, ms | p99, ms | server CPU over Crema's |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in rows.items():
        cells = [
            f"{row.median('server_us'):,.0f} | {row.spread:.0%}" if name != PGBENCH else "– | –",
            f"{row.median('database_us'):,.0f}",
            f"{row.median('rate'):,.0f}",
            f"{row.median('p50'):.1f}",
            f"{row.median('p99'):.1f}" if name != PGBENCH else "–",
            f"{row.median('server_us') / rows[OURS].median('server_us'):.2f}"
            if OURS in rows and name != PGBENCH
            else "–",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def over(measured: dict[str, dict[str, Measured]]) -> dict[str, list[float | None]]:
    """Tell how many times Crema's CPU each peer takes on each path, where it has one."""
    return {
        peer: [
            rows[peer].median("server_us") / rows[OURS].median("server_us") if peer in rows else None
            for title, rows in measured.items()
            if OURS in rows
        ]
        for peer in (LIMIT, ORM, DRF, NINJA)
    }


def reached(measured: dict[str, dict[str, Measured]], *, memory: float, start: float) -> list[Goal]:
    """Compare with the goals of the design."""

    def ratio(title: str, *peers: str) -> float:
        ours = measured[title][OURS].median("server_us")
        return min(measured[title][each].median("server_us") for each in peers) / ours

    placed = measured[PLACE]
    menu = [] if IS_LARGE else [Goal("whole menu known already, over the async ORM's full list", ratio(MENU, ORM), 25)]
    return [
        Goal("product by id, over the async ORM", ratio(ONE, ORM), 4),
        Goal("product by id, over the better Django", ratio(ONE, DRF, NINJA), 3),
        Goal("product by id, of the limit", ratio(ONE, LIMIT), 0.5),
        Goal("list, over the async ORM", ratio(MANY, ORM), 25),
        Goal("list, over the better Django", ratio(MANY, DRF, NINJA), 20),
        Goal("list, of the limit", ratio(MANY, LIMIT), 0.6),
        *menu,
        Goal("add to the cart, over the async ORM", ratio(CART, ORM), 5),
        Goal("place an order, over the async ORM", ratio(PLACE, ORM), 7),
        Goal("place an order, of pgbench's rate", placed[OURS].median("rate") / placed[PGBENCH].median("rate"), 0.5),
        Goal("memory of the process after the load", memory, 150, " MiB", le),
        Goal("start to first answer, the database being there", start, 2, " s", le),
    ]


if __name__ == "__main__":
    main()
