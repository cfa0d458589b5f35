"""A chain with a history, for benchmarks: made in the database, the same at every run."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from crema.db import schema
from crema.db.session import make_engine, make_sessions
from crema.menu.service import documents
from fixtures.live import open_town
from fixtures.people import PersonMade

SQL: Final = Path(__file__).with_name("sql")


@dataclass(frozen=True, slots=True)
class Profile:
    """How much there is."""

    products: int
    users: int
    orders: int

    def __str__(self) -> str:
        return f"{self.products:,} products, {self.users:,} people, {self.orders:,} orders"


SMALL: Final = Profile(2_000, 50_000, 200_000)
LARGE: Final = Profile(100_000, 200_000, 1_000_000)


def fill(database_url: str, profile: Profile, *, since: Profile | None = None) -> None:
    """Migrate and fill an empty database, or one that holds `since`, with the same people."""
    users = {"users": profile.users, "products": profile.products}
    schema.upgrade(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        if since is None:
            _run(connection, "chain", **users)
        _run(connection, "products", since=since.products if since else 0, until=profile.products)
        _run(connection, "orders", **users, since=since.orders if since else 0, until=profile.orders)
        asyncio.run(_write_documents(database_url))
        connection.execute("VACUUM ANALYZE")


def _run(connection: psycopg.Connection, name: str, **values: int) -> None:
    statements = (SQL / f"{name}.sql").read_text()
    for parameter, value in values.items():
        statements = statements.replace(f":{parameter}", str(value))
    connection.execute(statements)  # type: ignore[call-overload]


async def _write_documents(database_url: str) -> None:
    engine = make_engine(database_url)
    async with make_sessions(engine).begin() as session:
        await documents.rebuild(session, only_outdated=True)
    await engine.dispose()


async def make_people(database_url: str, folder: Path, roles: Iterable[str]) -> list[PersonMade]:
    """Make somebody with a login for each of these roles."""
    async with open_town([], database_url, folder) as town:
        return [await town.person(role) for role in roles]


def tidy(database_url: str) -> None:
    """Leave nobody with a full cart, or with more open orders than a morning brings."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM carts")
        connection.execute("UPDATE orders SET status = 'completed' WHERE status = 'placed'")
        connection.execute("VACUUM ANALYZE carts, cart_items, orders")


def id_of(name: str) -> str:
    """Give the id of what the statements name so, such as "product21"."""
    digest = md5(name.encode(), usedforsecurity=False).hexdigest()
    return str(UUID(digest))
