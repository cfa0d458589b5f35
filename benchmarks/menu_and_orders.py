"""Reading the menu and placing orders, beside what a café's developer would build, and beside the limit.

Before anything is timed all answer the same questions alike. Rounds are interleaved.
"""

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import measuring
import psycopg
from data import LARGE, LOGINS, MENU, SQL, USUAL, Chain, Person, id_of, started, tidy
from measuring import LEAST_REQUESTS, MACHINE, Measured, Request, Round, Target, cpu_seconds, crema, settings_of
from peer_servers import DRF, LIMIT, NINJA, ORM, headers_of, served
from pictures import bars
from results import QUICK, keep, record

from crema.db.driver import WRITE_SETTINGS
from crema.db.embedded import find_binaries
from fixtures.server import resident, running
from fixtures.smtp import serving as mail_server

IS_LARGE: Final = os.environ.get("PROFILE") == "large"
PROFILE: Final = LARGE if IS_LARGE else USUAL
ROUNDS: Final = 1 if QUICK else 3
SECONDS: Final = 0.6 if QUICK else 2
CONNECTIONS: Final = 8
DRAIN_SECONDS: Final = 120

OURS: Final = "Crema"
SIGNED_IN: Final = "Crema, signed in"
SAME: Final = "Crema, one question"
COMPRESSED: Final = "Crema, compressed"
CHANGED: Final = "Crema, after each change of the menu"
WORKING: Final = "Crema, its worker delivering"
PGBENCH: Final = "pgbench, the same statements"

ONE, MANY = "product by id", "list: filter, search, sort, total"
MENU_WHOLE, MENU_KNOWN = "whole menu of 45 products, sent whole", "whole menu of 45 products, known already (304)"
CART, PLACE = "add to the cart", "place an order"
LIST: Final = "/products?" + urlencode(
    {"category_id": id_of("category0"), "price__lte": 500, "search": "латте", "sort": "price", "size": 20}
)
QUESTIONS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Peers:
    """What is running: by name, on the usual data and on the small menu."""

    usual: dict[str, Target]
    small: dict[str, Target]


def products() -> list[str]:
    """Return the paths of different products."""
    return [f"/product/{id_of(f'product{number}')}" for number in range(min(PROFILE.products, QUESTIONS))]


def questions() -> list[str]:
    """Return different questions about products, the same at every run."""
    draw = random.Random(1)  # noqa: S311 - not a secret
    words = ("латте", "раф", "капучино", "чай", "какао")
    asked = {
        f"/products?{urlencode(question)}": None
        for question in (
            {
                "category_id": id_of(f"category{draw.randrange(20)}"),
                "price__lte": draw.randrange(400, 800),
                "search": draw.choice(words),
                "sort": "price",
                "size": 20,
            }
            for _ in range(QUESTIONS * 2)
        )
    }
    return [*asked][:QUESTIONS]


def bodies() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Give what is put into carts and ordered, one product after another."""
    for number in range(LOGINS):
        item = {"product_id": id_of(f"product{number % PROFILE.products}"), "quantity": 1}
        yield item, {"shop_id": id_of("shop"), "items": [item]}


def answers_alike(peers: Peers) -> None:
    """Fail unless all give the same products for the same questions, the same product, and the same menu."""

    def get(target: Target, path: str) -> Any:
        return httpx2.get(f"{target.url}{path}", timeout=60).raise_for_status().json()

    def page_of(target: Target, path: str) -> Any:
        page = get(target, path)
        items = page.get("items", page.get("results"))
        return page.get("total", page.get("count")), [_comparable(each) for each in items]

    compared = [
        {name: page_of(target, path) for name, target in peers.usual.items()} for path in (LIST, *questions()[:3])
    ]
    compared.append({name: _comparable(get(target, products()[21])) for name, target in peers.usual.items()})
    whole = [each for category in get(peers.small[OURS], "/menu")["categories"] for each in category["products"]]
    compared.append(
        {OURS: {each["id"] for each in whole}, ORM: {each["id"] for each in get(peers.small[ORM], "/menu")}}
    )
    for found in compared:
        for name, other in found.items():
            same = _as_shown(other, found[OURS])
            assert other == same, f"{name} answers differently: {other} is not {same}"[:3000]
    assert compared[0][OURS][0] > 5


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


def load(target: Target, requests: Sequence[Request], *, connections: int = CONNECTIONS) -> Round:
    """Plan a round of these requests on this server."""

    def run(into: Measured) -> None:
        measuring.load(target, requests, into, seconds=SECONDS, connections=connections)

    return run


def with_worker(target: Target, requests: Sequence[Request], database_url: str, folder: Path) -> Round:
    """Plan a round during which the worker delivers mails, and go on until all are delivered."""

    def run(into: Measured) -> None:
        with mail_server() as sink, worker(database_url, sink.url, folder) as process:
            before = cpu_seconds(process.pid)
            count = measuring.load(target, requests, into, seconds=SECONDS, connections=CONNECTIONS)
            await_idle(database_url)
            into.worker_us.append((cpu_seconds(process.pid) - before) / count * 1e6)

    return run


@contextmanager
def worker(database_url: str, smtp_url: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `crema worker` until the body ends, from when it has begun to work."""
    settings = settings_of(database_url, CREMA_SMTP_URL=smtp_url, CREMA_DATA_DIR=str(folder))
    with (folder / "worker.log").open("ab") as log, psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM procrastinate_workers")
        process = subprocess.Popen(
            [sys.executable, "-m", "crema", "worker"], env=os.environ | settings, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 60
            while not connection.execute("SELECT 1 FROM procrastinate_workers").fetchone():
                assert process.poll() is None, (folder / "worker.log").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(1)  # for the schedules that are due at once
            yield process
        finally:
            process.terminate()
            process.wait(10)


_UNMAILED: Final = """
SELECT 1 FROM events, event_consumers consumer
WHERE events.transaction >= consumer.transaction AND events.id <> ALL (consumer.handled_ids)
"""
_UNDELIVERED: Final = "SELECT 1 FROM mails WHERE status = 'queued'"


def await_idle(database_url: str) -> None:
    """Wait until nothing in the log is left to be mailed, and no mail to be delivered."""
    deadline = time.monotonic() + DRAIN_SECONDS
    with psycopg.connect(database_url, autocommit=True) as connection:
        while connection.execute(f"{_UNMAILED} UNION ALL {_UNDELIVERED}").fetchone():
            assert time.monotonic() < deadline, "mails are not delivered"
            time.sleep(0.1)


def menu_after_changes(target: Target, database_url: str, times: int) -> Round:
    """Plan a round in which each answer is the first after a change, one after another."""

    def run(into: Measured) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection, httpx2.Client(base_url=target.url) as client:
            before, took = (cpu_seconds(target.pid), cpu_seconds(target.postgres)), []
            for _ in range(times):
                connection.execute("UPDATE menu_versions SET version = gen_random_uuid()")
                asked = time.perf_counter()
                assert client.get("/menu").status_code == 200
                took.append(time.perf_counter() - asked)
        into.server_us.append((cpu_seconds(target.pid) - before[0]) / times * 1e6)
        into.database_us.append((cpu_seconds(target.postgres) - before[1]) / times * 1e6)
        into.rate.append(times / sum(took))
        into.p50.append(sorted(took)[times // 2] * 1000)
        into.p99.append(sorted(took)[int(times * 0.99)] * 1000)

    return run


def pgbench(database_url: str, postgres: int) -> Round:
    """Plan a round of what placing an order asks of PostgreSQL, and nothing else."""
    options = ["--no-vacuum", "--protocol=prepared", f"--client={CONNECTIONS}", f"--time={max(1, int(SECONDS))}"]
    options.append(f"--define=products={PROFILE.products}")
    environment = os.environ | {
        "PGOPTIONS": f"-c plan_cache_mode={WRITE_SETTINGS['plan_cache_mode']}"
    }  # as our connections
    command = [str(find_binaries() / "pgbench"), *options, f"--file={SQL / 'place_order.sql'}", database_url]

    def run(into: Measured) -> None:
        before = cpu_seconds(postgres)
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        count = int(re.findall(r"actually processed: (\d+)", said)[0])
        into.server_us.append(0)
        into.database_us.append((cpu_seconds(postgres) - before) / count * 1e6)
        into.rate.append(float(re.findall(r"tps = ([\d.]+)", said)[0]))
        into.p50.append(float(re.findall(r"latency average = ([\d.]+)", said)[0]))
        into.p99.append(0)

    return run


def plan(peers: Peers, people: Sequence[Person], database_url: str, small_url: str, folder: Path) -> "Plan":
    """Tell what is asked of whom."""
    ours, orm = peers.usual[OURS], peers.usual[ORM]
    mine = [person.headers for person in people]
    theirs = [headers_of(person) for person in people]

    def read(paths: Sequence[str]) -> dict[str, Round]:
        rounds = {name: load(target, [{"path": path} for path in paths]) for name, target in peers.usual.items()}
        signed = [{"path": paths[number % len(paths)], "headers": headers} for number, headers in enumerate(mine)]
        return rounds | {SIGNED_IN: load(ours, signed)}

    def post(path: str, which: int, headers: Sequence[dict[str, str]], **more: str) -> list[Request]:
        return [
            {"method": "POST", "path": path, "body": body[which], "headers": who | more}
            for who, body in zip(headers, bodies(), strict=True)
        ]

    # With a key, which is written down together with the answer; the peer knows none.
    order = post("/order", 1, mine, **{"Idempotency-Key": "{new}"})
    return {
        ONE: read(products()),
        MANY: read(questions()) | {SAME: load(ours, [{"path": LIST}])},
        MENU_WHOLE: {
            OURS: load(peers.small[OURS], [{"path": "/menu"}]),
            COMPRESSED: load(peers.small[OURS], [{"path": "/menu", "headers": {"Accept-Encoding": "gzip"}}]),
            CHANGED: menu_after_changes(peers.small[OURS], small_url, 30 if QUICK else 200),
            ORM: load(peers.small[ORM], [{"path": "/menu"}], connections=2),
        },
        MENU_KNOWN: {name: load(target, [known(target)]) for name, target in peers.small.items()},
        CART: {OURS: load(ours, post("/cart", 0, mine)), ORM: load(orm, post("/cart", 0, theirs))},
        PLACE: {
            OURS: load(ours, order),
            WORKING: with_worker(ours, order, database_url, folder),
            ORM: load(orm, post("/order", 1, theirs)),
            PGBENCH: pgbench(database_url, ours.postgres),
        },
    }


Plan = dict[str, dict[str, Round]]


def known(target: Target) -> Request:
    """Ask for the menu as somebody who has it."""
    etag = httpx2.get(f"{target.url}/menu", timeout=60).headers["ETag"]
    headers = {"If-None-Match": etag}
    assert httpx2.get(f"{target.url}/menu", headers=headers).status_code == 304
    return {"path": "/menu", "headers": headers}


def measure(chain: Chain) -> None:
    """Compare, time and keep."""
    with ExitStack() as stack:
        url = stack.enter_context(chain.copy(PROFILE, "menu_and_orders"))
        small_url = stack.enter_context(chain.copy(MENU, "whole_menu"))
        server = stack.enter_context(running(chain.folder / "crema", **settings_of(url)))
        small = stack.enter_context(running(chain.folder / "small", **settings_of(small_url)))
        ours = crema(OURS, server, url)
        peers = Peers({OURS: ours}, {OURS: crema(OURS, small, small_url)})
        for peer in (LIMIT, ORM, DRF, NINJA):
            peers.usual[peer] = stack.enter_context(served(peer, url, ours.postgres, asking=products()[21]))
        peers.small[ORM] = stack.enter_context(served(ORM, small_url, ours.postgres, asking=products()[21]))
        print("do all answer alike?", flush=True)
        answers_alike(peers)
        measured = interleave(plan(peers, chain.customers(), url, small_url, chain.folder), url)
        figures = figures_of(measured) | {
            "whole menu of 45 products, on the wire, compressed": size_on_the_wire(peers.small[OURS]) / 1000,
            "memory of the process after the load": resident(server) / 2**20,
            "start to first answer, the database being there": start_seconds(url, chain.folder),
        }
    lines = [
        f"{MACHINE}; {PROFILE}.",
        f"One process each but of Django, {CONNECTIONS} connections, medians of {ROUNDS} interleaved rounds, each of",
        f"{SECONDS} s and {LEAST_REQUESTS} requests at least. {QUESTIONS:,} different questions, all products,",
        f"{LOGINS:,} people.",
        "",
        *[line for title, rows in measured.items() for line in table(title, rows)],
    ]
    text = "\n".join(lines)
    print(text)
    if not IS_LARGE:  # the goals are those of the usual data
        record(figures)
    name = "ratios-much-data" if IS_LARGE else "ratios"
    titles = [title for title, rows in measured.items() if ORM in rows]
    picture = bars(name, "CPU of server and PostgreSQL per request, over Crema's", titles, over(measured))
    keep("Menu and orders, much data" if IS_LARGE else "Menu and orders", f"{picture}\n\n{text}")


def interleave(rounds: Plan, database_url: str) -> dict[str, dict[str, Measured]]:
    """Run all rounds in turn."""
    measured = {title: {each: Measured() for each in those} for title, those in rounds.items()}
    for turn in range(ROUNDS):
        for title, those in rounds.items():
            for each, run in those.items():
                if title in (CART, PLACE):
                    tidy(database_url)
                run(measured[title][each])
            print(f"round {turn + 1} of {ROUNDS}: {title}", flush=True)
    return measured


def size_on_the_wire(target: Target) -> int:
    """Tell the bytes of the menu, compressed as browsers ask for it."""
    with httpx2.stream("GET", f"{target.url}/menu", headers={"Accept-Encoding": "gzip, deflate, br, zstd"}) as answer:
        return len(b"".join(answer.iter_raw()))


def start_seconds(database_url: str, folder: Path) -> float:
    """From the command to the first answer, on a database that is there."""
    began = time.monotonic()
    with running(folder / "again", **settings_of(database_url)):
        return time.monotonic() - began


def table(title: str, rows: dict[str, Measured]) -> list[str]:
    """Show medians; CPU in µs per request."""
    has_worker = any(row.worker_us for row in rows.values())
    titles = ["", "server CPU, µs", "±", "PostgreSQL CPU, µs", *(["worker CPU, µs"] if has_worker else [])]
    titles += ["together, µs", "requests/s", "p50, ms", "p99, ms", "together over Crema's"]
    lines = [
        f"### {title[0].upper()}{title[1:]}",
        "",
        f"| {' | '.join(titles)} |",
        f"|---|{'---:|' * (len(titles) - 1)}",
    ]
    for name, row in rows.items():
        is_server = name != PGBENCH
        worker_us = row.median("worker_us") if row.worker_us else 0
        together = row.total_us + worker_us
        cells = [
            f"{row.median('server_us'):,.0f} | {row.spread:.0%}" if is_server else "– | –",
            f"{row.median('database_us'):,.0f}",
            *([f"{worker_us:,.0f}" if worker_us else "–"] if has_worker else []),
            f"{together:,.0f}",
            f"{row.median('rate'):,.0f}",
            f"{row.median('p50'):.1f}",
            f"{row.median('p99'):.1f}" if is_server else "–",
            f"{together / rows[OURS].total_us:.2f}" if is_server else "–",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if has_worker:
        lines += [
            "",
            "While the worker delivers, its queries of that time are in the CPU of PostgreSQL. The worker's own CPU",
            "is counted until every mail of the round is delivered. The peers deliver nothing: they are compared with",
            "Crema whose worker is stopped.",
        ]
    return [*lines, ""]


def over(measured: dict[str, dict[str, Measured]]) -> dict[str, list[float | None]]:
    """Tell how many times Crema's CPU each peer takes on each path, where it has one."""
    return {
        peer: [
            rows[peer].total_us / rows[OURS].total_us if peer in rows else None
            for rows in measured.values()
            if ORM in rows
        ]
        for peer in (LIMIT, ORM, DRF, NINJA)
    }


def figures_of(measured: dict[str, dict[str, Measured]]) -> dict[str, float]:
    """Give the figures that goals are set for."""

    def ratio(title: str, over: str, under: str) -> float:
        return measured[title][over].total_us / measured[title][under].total_us

    one, placed = measured[ONE], measured[PLACE]
    working = placed[WORKING]
    return {
        "product by id, of a bare ASGI + asyncpg without reset, server CPU": one[LIMIT].median("server_us")
        / one[OURS].median("server_us"),
        "product by id, signed in over anonymous": ratio(ONE, SIGNED_IN, OURS),
        "list of 20, the ORM's over ours": ratio(MANY, ORM, OURS),
        "list of 20, 5,000 different questions over one": ratio(MANY, OURS, SAME),
        "whole menu of 45 products, sent whole, the ORM's over ours": ratio(MENU_WHOLE, ORM, OURS),
        "whole menu of 45 products, compressed over plain": ratio(MENU_WHOLE, COMPRESSED, OURS),
        "add to the cart, the ORM's over ours": ratio(CART, ORM, OURS),
        "place an order, the ORM's over ours": ratio(PLACE, ORM, OURS),
        "place an order, requests/s over those of pgbench": placed[OURS].median("rate")
        / placed[PGBENCH].median("rate"),
        "mails of an order, CPU of the worker over the order's own": working.median("worker_us")
        / placed[OURS].median("server_us"),
    }


if __name__ == "__main__":
    with started() as chain:
        measure(chain)
