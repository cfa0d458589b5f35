"""Steps before the first request: the database, its schema, the first administrator, the demo chain."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Integer, case, cast, column, create_engine, func, make_url, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.domain import ADMIN
from crema.accounts.models import User
from crema.accounts.schemas import Password
from crema.accounts.service.passwords import Passwords, WeakPasswordError, check_strength
from crema.accounts.service.people import make_person
from crema.db import roles, schema
from crema.db.driver import HEALTH_CONNECTIONS, IDENTITY_CONNECTIONS
from crema.db.embedded import EmbeddedPostgres, find_running
from crema.db.locale import check_locale
from crema.db.session import commit_now, make_engine, make_sessions
from crema.demo.chain import Chain, load
from crema.demo.seed import seed
from crema.live import hub as live
from crema.menu.service import documents
from crema.settings import Settings
from crema.worker import CONCURRENCY

DATABASE_URL: Final = "CREMA_DATABASE_URL"


class StartupError(RuntimeError):
    """Crema can't start with these settings. The message says what to do."""


@contextmanager
def database(settings: Settings, *, join: bool = False) -> Iterator[Settings]:
    """Yield settings with a database: the configured one, or the embedded one, which runs until this context ends.

    `join`: use the server that another process of Crema runs in the same folder, if there is one.
    """
    if settings.database_url:
        yield settings
        return
    if join and (url := find_running(settings.data_dir)):
        yield settings.model_copy(update={"database_url": roles.as_app(url), "migration_url": url})
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        owner_url = server.start()
        url = roles.make_app_role(owner_url)
        os.environ[DATABASE_URL] = url  # for the server processes that uvicorn starts
        yield settings.model_copy(update={"database_url": url, "migration_url": owner_url})


@asynccontextmanager
async def transaction(settings: Settings) -> AsyncIterator[AsyncSession]:
    """Yield a session for a command, and commit at the end."""
    engine = make_engine(url_of(settings))
    async with make_sessions(engine)() as session:
        yield session
        await commit_now(session)
    await engine.dispose()


def url_of(settings: Settings) -> str:
    """Return the URL of the database, which `database` has set."""
    assert settings.database_url is not None
    return settings.database_url


def upgrade(settings: Settings) -> None:
    """Migrate the schema and renew outdated stored documents, as the role that owns them."""
    url = settings.migration_url or url_of(settings)
    schema.upgrade(url)
    asyncio.run(rebuild_menu(settings.model_copy(update={"database_url": url}), only_outdated=True))


async def rebuild_menu(settings: Settings, *, only_outdated: bool = False) -> int:
    """Renew the stored documents of products, or only those of another version; return how many."""
    async with transaction(settings) as session:
        return await documents.rebuild(session, only_outdated=only_outdated)


def migrate(settings: Settings) -> None:
    """Migrate the database in development and the embedded one; elsewhere refuse an outdated schema."""
    migrates_itself = not settings.is_production or settings.embedded
    if migrates_itself:
        upgrade(settings)
        return
    engine = create_engine(make_url(url_of(settings)).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        is_current = schema.is_current(connection)
    engine.dispose()
    if not is_current:
        raise StartupError("The database's schema is not this version's. Run `crema migrate` first.")


async def prepare(settings: Settings) -> None:
    """Check the database, create the first administrator, and seed or refuse the demo chain."""
    engine = make_engine(url_of(settings))
    async with engine.connect() as connection:
        await check_locale(connection)
        await _warn_of_connections(connection, settings)
    await engine.dispose()
    async with transaction(settings) as session:
        await _make_first_admin(session, settings)
    if settings.is_production:
        await _refuse_demo_accounts(settings)
    elif settings.has_demo:
        await seed_demo(settings)


def connections_of(settings: Settings) -> int:
    """Return how many database connections `crema serve` opens at most, with its server processes and its worker."""
    pools = settings.database_pool + 3 * max(2, settings.database_pool // 2)
    others = IDENTITY_CONNECTIONS + HEALTH_CONNECTIONS + live.CONNECTIONS + _LISTENING
    worker = CONCURRENCY + 2 if settings.run_worker else 0
    return settings.workers * (pools + others + worker)


_LISTENING: Final = 1
"""The connection that receives the events of other processes."""


async def _warn_of_connections(connection: AsyncConnection, settings: Settings) -> None:
    """Warn if PostgreSQL allows fewer connections than the processes may need under load."""
    allowed = (
        select(func.sum(cast(column("setting"), Integer) * case((column("name") == "max_connections", 1), else_=-1)))
        .select_from(table("pg_settings", column("name"), column("setting")))
        .where(column("name").in_(("max_connections", "superuser_reserved_connections", "reserved_connections")))
    )
    available = await connection.scalar(allowed)
    wanted = connections_of(settings)
    if available is not None and wanted > available:
        line = (
            f"WARNING: under load Crema may open {wanted} database connections, and PostgreSQL allows {available}."
            " Lower CREMA_DATABASE_POOL or CREMA_WORKERS, or raise max_connections."
        )
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - for the terminal


async def seed_demo(settings: Settings) -> Chain:
    """Seed the demo chain; rows that exist are not changed."""
    if settings.is_production:
        raise StartupError("The demo chain has accounts with known passwords, so it can't be seeded in production.")
    chain = load()
    async with transaction(settings) as session:
        await seed(session, chain=chain, passwords=Passwords(), now=datetime.now(UTC))
    return chain


async def make_admin(settings: Settings, *, email: str, password: str) -> None:
    """Create a verified administrator. The password is checked like any other."""
    _check(password, email=email)
    password_hash = await Passwords().hash(password)
    async with transaction(settings) as session:
        user = await make_person(session, email=email, password_hash=password_hash, role=ADMIN, now=datetime.now(UTC))
        if user.role_name != ADMIN:
            raise StartupError(f"{email} belongs to a person who is not an administrator; change their role instead.")


def _check(password: str, *, email: str) -> None:
    try:
        TypeAdapter(Password).validate_python(password)
        check_strength(password, field="password", email=email)
    except ValidationError as error:
        raise StartupError(f"The administrator's password: {error.errors()[0]['msg']}") from error
    except WeakPasswordError as error:
        raise StartupError(f"The administrator's password: {error.detail}") from error


async def _make_first_admin(session: AsyncSession, settings: Settings) -> None:
    if settings.admin_email is None or settings.admin_password is None or await accounts.lock_and_list_admins(session):
        return
    password = settings.admin_password.get_secret_value()
    _check(password, email=settings.admin_email)
    password_hash = await Passwords().hash(password)
    await make_person(
        session, email=settings.admin_email, password_hash=password_hash, role=ADMIN, now=datetime.now(UTC)
    )


async def _refuse_demo_accounts(settings: Settings) -> None:
    emails = [account.email for account in load().accounts]
    async with transaction(settings) as session:
        found = (await session.scalars(select(User.email).where(User.email.in_(emails)))).all()
    if found:
        raise StartupError(
            f"Demo accounts have known passwords; delete them before production: {', '.join(filter(None, found))}"
        )


def warn(settings: Settings) -> None:
    """Warn if a development server can be reached from other machines."""
    if settings.is_exposed:
        line = (
            f"WARNING: development mode listens on {settings.host}. Anyone who can reach port {settings.port} of this"
            " machine can log in with known passwords, and read all mails.\n"
            "         Set CREMA_HOST=127.0.0.1, or CREMA_ENV=production."
        )
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - for the terminal


def announce(settings: Settings) -> None:
    """Print the addresses of the server, and the demo accounts."""
    address = f"http://{settings.host}:{settings.port}"
    lines = [f"Crema serves at {address}", f"  Swagger   {address}/docs", f"  ReDoc     {address}/redoc"]
    if settings.has_mailbox:
        lines.append(f"  Mailbox   {address}/mailbox")
    if settings.has_demo:
        chain = load()
        lines += ["", f"Demo accounts, all with the password  {chain.demo_password}"]
        lines += [f"  {account.role:<8}  {account.email}" for account in chain.accounts]
    print("\n".join(["", *lines, ""]), file=sys.stderr, flush=True)  # noqa: T201 - for the terminal
