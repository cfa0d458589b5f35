"""What a request costs as the chain's history, its menu and the number of server processes grow.

Databases of all sizes are asked in turn, each through a server of its own, so that the machine's moods reach them
alike.
"""

import asyncio
import itertools
import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from operator import le
from pathlib import Path
from statistics import linear_regression
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import psycopg
from data import Profile, fill, id_of, make_people, tidy
from measuring import MACHINE, QUICK, Measured, Target, crema, load, settings_of
from pictures import lines as draw
from results import Goal, goals, keep

from crema.db.embedded import EmbeddedPostgres
from fixtures.database import create_database
from fixtures.people import PersonMade
from fixtures.server import running

ROUNDS: Final = 2 if QUICK else 3
SECONDS: Final = 1 if QUICK else 2
CONNECTIONS: Final = 8
PROCESSES: Final = (1, 2, 4)
PEOPLE: Final = 50_000
SIZES: Final = (1, 10) if QUICK else (1, 10, 100)
OF_ORDERS: Final = [Profile(1_000, PEOPLE, 10_000 * times) for times in SIZES]
OF_PRODUCTS: Final = [Profile(1_000 * times, PEOPLE, 10_000) for times in SIZES]

PRODUCT: Final = id_of("product21")
ITEM: Final = {"product_id": PRODUCT, "quantity": 1}
ORDER: Final = {"shop_id": id_of("shop"), "items": [ITEM]}
LIST: Final = f"/products?{urlencode({'category_id': id_of('category0'), 'price__lte': 500, 'sort': 'price'})}"
MISS: Final = f"/products?{urlencode({'search': 'щыъ'})}"
ORDERS: Final = "/orders?sort=-created_at&cursor="
NEWEST, MIDDLE = "orders: newest", "orders: middle, by cursor"

Table = dict[str, dict[str, Measured]]
"""By what is asked, then by who is asked."""


def requests_of(target: Target, profile: Profile, people: Sequence[PersonMade]) -> dict[str, list[dict[str, Any]]]:
    """Tell what is asked; the last of the people is an administrator, who sees everybody's orders."""
    *buyers, admin = [{"headers": {"Authorization": f"Bearer {person.token}"}} for person in people]
    half = (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=profile.orders // 2)).isoformat()
    page = httpx2.get(f"{target.url}{ORDERS}&{urlencode({'created_at__lte': half})}", headers=admin["headers"])
    cursor = page.raise_for_status().json()["next_cursor"]
    return {
        "product by id": [{"path": f"/product/{PRODUCT}"}],
        "list: filter, sort, by cursor": [{"path": f"{LIST}&cursor="}],
        "list: filter, sort, total": [{"path": LIST}],
        NEWEST: [admin | {"path": ORDERS}],
        MIDDLE: [admin | {"path": f"{ORDERS}{cursor}"}],
        "add to the cart": [{"method": "POST", "path": "/cart", "body": ITEM, **buyer} for buyer in buyers],
        "place an order": [{"method": "POST", "path": "/order", "body": ORDER, **buyer} for buyer in buyers],
    }


def ask(targets: Sequence[Target], asked: Callable[[Target], dict[str, Any]], databases: Sequence[str]) -> Table:
    """Send all targets everything, in turn."""
    requests = [asked(target) for target in targets]
    table: Table = {title: {target.name: Measured() for target in targets} for title in requests[0]}
    for turn in range(ROUNDS):
        for title, rows in table.items():
            for target, sent, database_url in zip(targets, requests, databases, strict=True):
                tidy(database_url)
                load(target, sent[title], rows[target.name], seconds=SECONDS, connections=CONNECTIONS)
        print(f"round {turn + 1} of {ROUNDS}", flush=True)
    return table


def grow(server_url: str, profiles: Sequence[Profile], folder: Path, base: str, people: Sequence[PersonMade]) -> Table:
    """Ask databases of these sizes, the first of which is `base`."""
    urls = [base]
    for less, more in itertools.pairwise(profiles):
        print(f"data: {more}", flush=True)
        name = f"of_{more.products}_{more.orders}"
        urls.append(create_database(server_url, name, template=urls[-1].split("/")[3].split("?")[0]))
        fill(urls[-1], more, since=less)
    with ExitStack() as stack:
        sizes = {}
        for profile, url in zip(profiles, urls, strict=True):
            server = stack.enter_context(running(folder / f"{profile.products}-{profile.orders}", **settings_of(url)))
            sizes[crema(str(profile), server, url)] = profile
        return ask(list(sizes), lambda target: requests_of(target, sizes[target], people), urls)


def spread_out(database_url: str, folder: Path, people: Sequence[PersonMade]) -> Table:
    """Ask one database through more and more processes."""
    with ExitStack() as stack:
        targets = []
        for count in PROCESSES:
            settings = settings_of(database_url, CREMA_WORKERS=str(count), CREMA_DATABASE_POOL="4")
            server = stack.enter_context(running(folder / f"{count}-processes", **settings))
            targets.append(crema(str(count), server, database_url))
            stack.callback(server.stop)  # and its processes, so that the database can be copied
        return ask(targets, lambda target: requests_of(target, OF_ORDERS[0], people), [database_url] * len(targets))


def slope(sizes: Sequence[int], rows: dict[str, Measured]) -> float:
    """Fit cost ~ size ** slope: 0 doesn't grow, 1 grows as the data does."""
    costs = [math.log(row.total_us) for row in rows.values()]
    return linear_regression([math.log(size) for size in sizes], costs).slope


def search_ms(database_url: str) -> float:
    """Tell what PostgreSQL takes for a search of three letters that nothing contains, sent by a server."""
    with tempfile.TemporaryDirectory() as name, psycopg.connect(database_url, autocommit=True) as connection:
        with running(Path(name) / "data", **settings_of(database_url)) as server:
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            connection.execute("SELECT pg_stat_statements_reset()")
            for _ in range(20):
                assert httpx2.get(f"{server.url}{MISS}").json()["total"] == 0
        found = connection.execute(
            "SELECT mean_exec_time, calls FROM pg_stat_statements WHERE query LIKE '%product_documents%LIKE%'"
        ).fetchall()
    ((mean, calls),) = found
    assert calls == 20
    return float(mean)


def table_of(title: str, about: str, sizes: Sequence[int], table: Table) -> list[str]:
    """Show CPU of server and PostgreSQL together, and how it grows."""
    lines = [f"### {title}", "", about, ""]
    lines += [f"| µs | {' | '.join(f'{size:,}' for size in sizes)} | slope |", f"|---|{'---:|' * (len(sizes) + 1)}"]
    for name, rows in table.items():
        cells = " | ".join(f"{row.total_us:,.0f}" for row in rows.values())
        lines.append(f"| {name} | {cells} | {slope(sizes, rows):+.2f} |")
    return [*lines, ""]


def picture(name: str, title: str, sizes: Sequence[int], table: Table) -> list[str]:
    """Draw a table."""
    values = {what: [row.total_us for row in rows.values()] for what, rows in table.items()}
    return [draw(name, title, [f"{size:,}" for size in sizes], values), ""] if not QUICK else []


def main() -> None:
    """Fill, time, print and keep."""
    settings = {"shared_buffers": "1GB", "shared_preload_libraries": "pg_stat_statements"}
    with (
        tempfile.TemporaryDirectory() as name,
        EmbeddedPostgres(Path(name) / "postgres", settings=settings) as postgres,
    ):
        folder = Path(name)
        server_url = postgres.start()
        print(f"data: {OF_ORDERS[0]}", flush=True)
        base = create_database(server_url, "of_least")
        fill(base, OF_ORDERS[0])
        people = asyncio.run(make_people(base, folder, ["user"] * 200 + ["admin"]))
        print("processes", flush=True)
        by_processes = spread_out(base, folder, people)
        print("orders", flush=True)
        by_orders = grow(server_url, OF_ORDERS, folder, base, people)
        print("products", flush=True)
        by_products = grow(server_url, OF_PRODUCTS, folder, base, people)
        most = OF_PRODUCTS[-1]
        search = search_ms(server_url.replace("/postgres?", f"/of_{most.products}_{most.orders}?"))
    orders, products = [each.orders for each in OF_ORDERS], [each.products for each in OF_PRODUCTS]
    lines = [
        f"{MACHINE}. CPU of server and PostgreSQL together, µs per request: medians of {ROUNDS} rounds of {SECONDS} s.",
        "A slope of 0 is a cost that doesn't grow, of 1 one that grows as the data does.",
        "",
        *picture("growth-orders", "CPU per request, µs, by orders there are", orders, by_orders),
        *table_of("Orders in the history", f"With {OF_ORDERS[0].products:,} products.", orders, by_orders),
        *picture("growth-products", "CPU per request, µs, by products there are", products, by_products),
        *table_of("Products on the menu", f"With {OF_PRODUCTS[0].orders:,} orders.", products, by_products),
        *picture("growth-processes", "CPU per request, µs, by server processes", PROCESSES, by_processes),
        *table_of(
            "Server processes",
            "On enough cores, n processes answer n times as much as one if a request costs them no more than it costs"
            " one. Here the load, PostgreSQL and all of them share the cores.",
            PROCESSES,
            by_processes,
        ),
    ]
    largest = str(OF_ORDERS[-1])
    middle = by_orders[MIDDLE][largest].total_us / by_orders[NEWEST][largest].total_us
    steepest = max(slope(orders, rows) for rows in by_orders.values())
    linear = min(rows["1"].median("server_us") / rows["4"].median("server_us") for rows in by_processes.values())
    lines += goals(
        [
            Goal(f"a page in the middle of {orders[-1]:,} orders, over the first", middle, 1.3, "x", le),
            Goal(f"search of three letters without a hit in {products[-1]:,} products", search, 5, " ms", le),
            Goal("steepest slope by orders", steepest, 0.1, "", le),
            Goal("server CPU of one process, over that of four", linear, 0.85),
        ]
    )
    text = "\n".join(lines)
    print(text)
    if not QUICK:
        keep("Growth", text)


if __name__ == "__main__":
    main()
