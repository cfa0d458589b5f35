"""A chain with a history, for benchmarks: made in the database, the same at every run.

PostgreSQL is started and filled once a run. Each benchmark works on copies of what was filled.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

import psycopg
from results import QUICK
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from crema.accounts.deps import AccountsState
from crema.accounts.service.tokens import AccessTokens
from crema.app import create_app
from crema.db import schema
from crema.db.embedded import EmbeddedPostgres
from crema.db.session import make_sessions
from crema.menu.service import documents
from crema.settings import Settings
from crema.web.state import state_of
from fixtures.app import SECRET
from fixtures.database import create_database, drop_database

SQL: Final = Path(__file__).with_name("sql")
PEOPLE: Final = 5_000 if QUICK else 50_000
LOGINS: Final = 5_000
"""People who are logged in: user0 to user4999."""
REGULARS: Final = 200
"""Of these, the first, who placed half of all orders."""
PRODUCT: Final = "product21"


@dataclass(frozen=True, slots=True)
class Profile:
    """How much there is."""

    products: int
    orders: int

    @property
    def chats(self) -> int:
        """Conversations there are: one for ten orders, and no more than half of the people have one."""
        return min(self.orders // 10, PEOPLE // 2)

    @property
    def name(self) -> str:
        """The name of its database."""
        return f"of_{self.products}_{self.orders}"

    def __str__(self) -> str:
        return f"{self.products:,} products, {PEOPLE:,} people, {self.orders:,} orders, {self.chats:,} conversations"


MENU: Final = Profile(45, 0)
"""A menu of a size that is sent whole."""
LEAST: Final = Profile(2_000, 10_000)
"""Enough for whole pages: of products for each question, of orders for each of the regulars."""
USUAL: Final = Profile(LEAST.products, LEAST.orders * (4 if QUICK else 10))
LARGE: Final = Profile(100_000, 1_000_000)


@dataclass(slots=True)
class Chain:
    """A running PostgreSQL with databases of several sizes. `folder` is for what servers keep."""

    postgres_url: str
    folder: Path
    tokens: AccessTokens
    _filled: dict[Profile, str] = field(default_factory=dict)

    def filled(self, profile: Profile) -> str:
        """Return the address of a database with so much in it. It is filled once: change only copies of it."""
        if profile not in self._filled:
            print(f"data: {profile}", flush=True)
            smaller = [p for p in self._filled if p.products <= profile.products and p.orders <= profile.orders]
            since = max(smaller, key=lambda each: (each.orders, each.products), default=None)
            url = create_database(self.postgres_url, profile.name, template=since.name if since else "template0")
            _fill(url, profile, since=since)
            self._filled[profile] = url
        return self._filled[profile]

    @contextmanager
    def copy(self, profile: Profile, name: str) -> Iterator[str]:
        """Give the address of a copy, and drop it afterwards."""
        self.filled(profile)
        yield create_database(self.postgres_url, name, template=profile.name)
        drop_database(self.postgres_url, name)

    def person(self, name: str) -> "Person":
        """Return somebody who is logged in: "user0" to "user4999", "support0", "barista0", "admin"."""
        id_, login = UUID(id_of(name)), UUID(id_of(f"login of {name}"))
        return Person(id_, self.tokens.sign(user_id=id_, session_id=login, now=datetime.now(UTC)))

    def customers(self, count: int = LOGINS) -> list["Person"]:
        """Return the first of the customers who are logged in."""
        return [self.person(f"user{number}") for number in range(count)]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, and an access token of theirs."""

    id: UUID
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What shows a server who is asking."""
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def started() -> Iterator[Chain]:
    """Start an empty PostgreSQL for a run."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(_env_file=None, secret_key=SECRET, data_dir=folder, run_worker=False)
        tokens = replace(state_of(create_app(settings), AccountsState).logins.access_tokens, lifetime=timedelta(days=1))
        with EmbeddedPostgres(folder / "postgres", settings={"shared_buffers": "1GB"}) as postgres:
            yield Chain(postgres.start(), folder, tokens)


def _fill(database_url: str, profile: Profile, *, since: Profile | None) -> None:
    """Migrate and fill an empty database, or one that holds `since`."""
    schema.upgrade(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        if since is None:
            _run(connection, "chain", people=PEOPLE, logins=LOGINS)
        since = since or Profile(0, 0)
        _run(connection, "products", since=since.products, until=profile.products)
        _run(
            connection,
            "orders",
            people=PEOPLE,
            products=profile.products,
            since=since.orders,
            until=profile.orders,
        )
        _run(connection, "chats", since=since.chats, until=profile.chats)
        asyncio.run(_write_documents(database_url))
        connection.execute("VACUUM ANALYZE")


def _run(connection: psycopg.Connection, name: str, **values: int) -> None:
    statements = (SQL / f"{name}.sql").read_text()
    for parameter, value in values.items():
        statements = statements.replace(f":{parameter}", str(value))
    with connection.transaction():
        connection.execute(statements)  # type: ignore[call-overload]


async def _write_documents(database_url: str) -> None:
    # Not with the application's time limits, which a busy machine may exceed for thousands of products.
    engine = create_async_engine(make_url(database_url).set(drivername="postgresql+asyncpg"))
    async with make_sessions(engine).begin() as session:
        await documents.rebuild(session, only_outdated=True)
    await engine.dispose()


def tidy(database_url: str) -> None:
    """Leave nobody with a full cart, or with more open orders than a morning brings, and the worker nothing to do."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM carts")
        connection.execute("DELETE FROM mails WHERE status <> 'sent'")
        connection.execute("DELETE FROM events")
        connection.execute("DELETE FROM procrastinate_jobs WHERE status IN ('todo', 'failed', 'succeeded')")
        connection.execute("UPDATE orders SET status = 'completed' WHERE status = 'placed'")
        connection.execute("VACUUM ANALYZE carts, cart_items, orders, mails, procrastinate_jobs")


def id_of(name: str) -> str:
    """Give the id of what the statements name so, such as "product21"."""
    digest = md5(name.encode(), usedforsecurity=False).hexdigest()
    return str(UUID(digest))
