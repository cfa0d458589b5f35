"""What a request costs as the chain's history, its menu and the number of server processes grow, and a periodic job.

Databases of all sizes are asked in turn, each through a server of its own, so that the machine's moods reach them
alike.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from statistics import linear_regression, median
from typing import Final
from urllib.parse import urlencode

import httpx2
import structlog
from data import LEAST, PRODUCT, Chain, Profile, id_of, started, tidy
from measuring import CORES, MACHINE, Measured, Request, Target, crema, load, settings_of
from pictures import lines as draw
from results import QUICK, keep, record

from crema.db.driver import WRITE_SETTINGS, PoolReader, open_pool
from crema.db.session import make_engine, make_sessions
from crema.settings import Settings
from crema.state import make_worker_context
from crema.worker import make_jobs
from fixtures.app import SECRET
from fixtures.server import running
from fixtures.worker import run_task_of

ROUNDS: Final = 1 if QUICK else 2
SECONDS: Final = 0.4 if QUICK else 1
CONNECTIONS: Final = 4
PROCESSES: Final = (1, 2)
CORES_FOR_TWO: Final = 4
"""Two processes, PostgreSQL and the load each need one, or more processes only wait for each other."""
SIZES: Final = (1, 4) if QUICK else (1, 10, 100)
OF_ORDERS: Final = [Profile(LEAST.products, LEAST.orders * times) for times in SIZES]
OF_PRODUCTS: Final = [Profile(LEAST.products * times, LEAST.orders) for times in ((1, 3) if QUICK else (1, 10))]
JOB_RUNS: Final = 3

ITEM: Final = {"product_id": id_of(PRODUCT), "quantity": 1}
ORDER: Final = {"shop_id": id_of("shop"), "items": [ITEM]}
LIST: Final = f"/products?{urlencode({'category_id': id_of('category0'), 'price__lte': 500, 'sort': 'price'})}"
MISS: Final = f"/products?{urlencode({'search': 'щыъ'})}"
FIRST, CURSOR, MIDDLE = "orders: default request", "orders: newest, by cursor", "orders: middle, by cursor"
CART, PLACE = "add to the cart", "place an order"

Table = dict[str, dict[str, Measured]]
"""By what is asked, then by who is asked."""


def requests_of(target: Target, profile: Profile, chain: Chain) -> dict[str, list[Request]]:
    """Tell what is asked; an administrator sees everybody's orders."""
    admin = {"headers": chain.person("admin").headers}
    buyers = [{"headers": person.headers} for person in chain.customers()]
    half = (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=profile.orders // 2)).isoformat()
    sought = urlencode({"sort": "-created_at", "cursor": "", "created_at__lte": half})
    page = httpx2.get(f"{target.url}/orders?{sought}", headers=admin["headers"], timeout=30)
    cursor = page.raise_for_status().json()["next_cursor"]
    return {
        "product by id": [{"path": f"/product/{id_of(PRODUCT)}"}],
        "list: default request": [{"path": "/products"}],
        "list: filter, sort, by cursor": [{"path": f"{LIST}&cursor="}],
        "list: filter, sort, total": [{"path": LIST}],
        "list: search that finds nothing": [{"path": MISS}],
        FIRST: [admin | {"path": "/orders"}],
        CURSOR: [admin | {"path": "/orders?sort=-created_at&cursor="}],
        MIDDLE: [admin | {"path": f"/orders?sort=-created_at&cursor={cursor}"}],
        "one's own orders: default request": [buyer | {"path": "/orders"} for buyer in buyers[:200]],
        "people: default request": [admin | {"path": "/users"}],
        "conversations: default request": [admin | {"path": "/chats"}],
        CART: [{"method": "POST", "path": "/cart", "body": ITEM, **buyer} for buyer in buyers],
        PLACE: [{"method": "POST", "path": "/order", "body": ORDER, **buyer} for buyer in buyers],
    }


Asked = Callable[[Target], dict[str, list[Request]]]


def ask(targets: Mapping[Target, str], asked: Asked) -> Table:
    """Send all targets, each with its database, everything, in turn."""
    requests = {target: asked(target) for target in targets}
    titles = next(iter(requests.values()))
    table: Table = {title: {target.name: Measured() for target in targets} for title in titles}
    for turn in range(ROUNDS):
        for title, rows in table.items():
            for target, database_url in targets.items():
                if title in (CART, PLACE):
                    tidy(database_url)
                into = rows[target.name]
                load(target, requests[target][title], into, seconds=SECONDS, connections=CONNECTIONS)
        print(f"round {turn + 1} of {ROUNDS}", flush=True)
    return table


def grow(chain: Chain, profiles: Sequence[Profile]) -> tuple[Table, dict[str, list[float]]]:
    """Ask databases of these sizes, and run the periodic jobs of each; give milliseconds of these."""
    with ExitStack() as stack:
        sizes: dict[Target, Profile] = {}
        urls = {}
        for profile in profiles:
            url = stack.enter_context(chain.copy(profile, f"grown_{profile.name}"))
            server = stack.enter_context(running(chain.folder / profile.name, **settings_of(url)))
            target = crema(str(profile), server, url)
            sizes[target], urls[target] = profile, url
        table = ask(urls, lambda target: requests_of(target, sizes[target], chain))
        for url in urls.values():
            tidy(url)
        jobs = [asyncio.run(time_jobs(url, chain)) for url in urls.values()]
    return table, {task: [each[task] for each in jobs] for task in jobs[0]}


def spread_out(chain: Chain) -> Table:
    """Ask one database through more and more processes."""
    with ExitStack() as stack:
        url = stack.enter_context(chain.copy(LEAST, "spread_out"))
        targets = {}
        for count in PROCESSES:
            settings = settings_of(url, CREMA_WORKERS=str(count), CREMA_DATABASE_POOL="4")
            server = stack.enter_context(running(chain.folder / f"{count}-processes", **settings))
            targets[crema(str(count), server, url)] = url
            stack.callback(server.stop)  # and its processes, so that the database can be dropped
        return ask(targets, lambda target: requests_of(target, LEAST, chain))


async def time_jobs(database_url: str, chain: Chain) -> dict[str, float]:
    """Return how many milliseconds each periodic job takes if nothing is due."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = Settings(
        _env_file=None,
        secret_key=SECRET,
        data_dir=chain.folder,
        database_url=database_url,
        smtp_url="smtp+plain://127.0.0.1:9",
        run_worker=False,
    )
    engine = make_engine(database_url)
    took: dict[str, list[float]] = {}
    async with (
        open_pool(database_url, size=1, settings=WRITE_SETTINGS) as connections,
        make_jobs(
            context := make_worker_context(settings, make_sessions(engine), statements=PoolReader(connections))
        ).open_async() as jobs,
    ):
        for name, _ in jobs.periodic_registry.periodic_tasks:
            for _ in range(1 + JOB_RUNS):  # the first does what was due, or meets a cold cache
                began = time.perf_counter()
                await run_task_of(jobs, context, name, timestamp=0)
                took.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    await engine.dispose()
    return {name: median(runs[1:]) for name, runs in took.items()}


def slope(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Fit cost ~ size ** slope: 0 doesn't grow, 1 grows as the data does."""
    return linear_regression([math.log(size) for size in sizes], [math.log(cost) for cost in costs]).slope


def costs_of(table: Table) -> dict[str, list[float]]:
    """Give CPU of server and PostgreSQL together, by what is asked."""
    return {name: [row.total_us for row in rows.values()] for name, rows in table.items()}


def table_of(
    title: str, about: str, sizes: Sequence[int], costs: Mapping[str, Sequence[float]], unit: str
) -> list[str]:
    """Show costs, and how they grow."""
    lines = [f"### {title}", "", about, ""]
    lines += [f"| {unit} | {' | '.join(f'{size:,}' for size in sizes)} | slope |", f"|---|{'---:|' * (len(sizes) + 1)}"]
    for name, row in costs.items():
        cells = " | ".join(f"{cost:,.0f}" if unit == "µs" else f"{cost:,.1f}" for cost in row)
        lines.append(f"| {name} | {cells} | {slope(sizes, row):+.2f} |")
    return [*lines, ""]


def picture(name: str, title: str, sizes: Sequence[int], costs: Mapping[str, Sequence[float]]) -> list[str]:
    """Draw a table."""
    return [draw(name, title, [f"{size:,}" for size in sizes], costs), ""]


def measure(chain: Chain) -> None:
    """Time and keep."""
    print("processes", flush=True)
    by_processes = spread_out(chain)
    print("orders", flush=True)
    by_orders, jobs = grow(chain, OF_ORDERS)
    print("products", flush=True)
    by_products, _ = grow(chain, OF_PRODUCTS)
    orders, products = [each.orders for each in OF_ORDERS], [each.products for each in OF_PRODUCTS]
    lines = [
        f"{MACHINE}. CPU of server and PostgreSQL together, µs per request: medians of {ROUNDS} rounds of {SECONDS} s.",
        "A slope of 0 is a cost that doesn't grow, of 1 one that grows as the data does.",
        "",
        *picture("growth-orders", "CPU per request, µs, by orders there are", orders, costs_of(by_orders)),
        *table_of(
            "Orders in the history",
            f"With {OF_ORDERS[0].products:,} products, {OF_ORDERS[-1].chats:,} conversations beside the most orders.",
            orders,
            costs_of(by_orders),
            "µs",
        ),
        *table_of("Periodic jobs, by orders in the history", "When nothing is due for them.", orders, jobs, "ms"),
        *picture("growth-products", "CPU per request, µs, by products there are", products, costs_of(by_products)),
        *table_of(
            "Products on the menu",
            f"With {OF_PRODUCTS[0].orders:,} orders.",
            products,
            costs_of(by_products),
            "µs",
        ),
        *picture("growth-processes", "CPU per request, µs, by server processes", PROCESSES, costs_of(by_processes)),
        *table_of(
            "Server processes",
            "On enough cores, n processes answer n times as much as one if a request costs them no more than it costs"
            f" one. Here the load, PostgreSQL and all of them share {CORES} cores.",
            PROCESSES,
            costs_of(by_processes),
            "µs",
        ),
    ]
    print("\n".join(lines))
    keep_goals(by_orders, by_products, by_processes, jobs)
    keep("Growth", "\n".join(lines))


def keep_goals(by_orders: Table, by_products: Table, by_processes: Table, jobs: Mapping[str, Sequence[float]]) -> None:
    """Write what goals are set for."""
    most = str(OF_ORDERS[-1])
    orders, products = [each.orders for each in OF_ORDERS], [each.products for each in OF_PRODUCTS]
    two = "server CPU of one process over that of two"
    reason = f"the load, PostgreSQL and two processes need {CORES_FOR_TWO} cores, here are {CORES}"
    record(
        {
            "first page of the most orders with its total, over the same by cursor": by_orders[FIRST][most].total_us
            / by_orders[CURSOR][most].total_us,
            "periodic jobs, steepest slope by what has piled up": max(slope(orders, ms) for ms in jobs.values()),
            "requests, steepest slope by orders, the default request included": max(
                slope(orders, costs) for costs in costs_of(by_orders).values()
            ),
            "requests, steepest slope by products, the default request included": max(
                slope(products, costs) for costs in costs_of(by_products).values()
            ),
            two: median(
                rows["1"].median("server_us") / rows["2"].median("server_us") for rows in by_processes.values()
            ),
        },
        unclaimed={} if CORES >= CORES_FOR_TWO else {two: reason},
    )


if __name__ == "__main__":
    with started() as chain:
        measure(chain)
