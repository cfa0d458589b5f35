"""The command `crema`."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
import uvicorn
from pydantic import TypeAdapter, ValidationError

from crema import logs, startup
from crema.accounts.schemas import EmailAddress
from crema.accounts.service import cleanup as accounts_cleanup
from crema.db.embedded import EmbeddedPostgresError
from crema.db.locale import UnfitDatabaseError
from crema.live.domain import MAX_FRAME
from crema.process import run_worker
from crema.settings import Settings
from crema.startup import StartupError
from crema.web.protocol import BoundedProtocol, FrameProtocol

app = typer.Typer(help="Crema: the backend of a chain of take-away coffee shops.", no_args_is_help=True)
admin = typer.Typer(help="Administrators.", no_args_is_help=True)
app.add_typer(admin, name="admin")
menu = typer.Typer(help="The menu.", no_args_is_help=True)
app.add_typer(menu, name="menu")


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Print errors of settings and of the start as sentences, without a traceback."""
    try:
        yield
    except ValidationError as error:
        for wrong in error.errors():
            place = "_".join(["CREMA", *map(str, wrong["loc"])]).upper() if wrong["loc"] else ""
            typer.echo(f"crema: {place} {wrong['msg'].removeprefix('Value error, ')}".replace("  ", " "), err=True)
        sys.exit(2)
    except (EmbeddedPostgresError, UnfitDatabaseError, StartupError) as error:
        typer.echo(f"crema: {error}", err=True)
        sys.exit(2)


def _settings() -> Settings:
    settings = Settings()
    logs.configure(settings.log_format or ("json" if settings.is_production else "console"))
    return settings


@app.command()
def serve() -> None:
    """Serve the API; in development also start a database, migrate it and seed the demo chain."""
    # uvicorn raises the signal again that ended it: with this handler our own clean-up runs, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _plain_errors():
        settings = _settings()
        startup.warn(settings)
        _check_port(settings)
        with startup.database(settings) as settings:
            startup.migrate(settings)
            asyncio.run(startup.prepare(settings))
            startup.announce(settings)
            _run_uvicorn(settings)


def _check_port(settings: Settings) -> None:
    """Raise StartupError if the port can't be used, before anything is started."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise StartupError(
                f"Can't listen on {settings.host}:{settings.port} ({error.strerror}). Set CREMA_PORT to another port."
            ) from error


def _run_uvicorn(settings: Settings) -> None:
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers if settings.workers > 1 else None,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": settings.trusted_proxies or None,
    }
    uvicorn.run(
        "crema.process:make_server_app",
        factory=True,
        http=BoundedProtocol,
        ws=FrameProtocol,
        ws_max_size=MAX_FRAME,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=5,
        server_header=False,
        access_log=False,  # web.context writes one that holds no query strings
        log_config=None,
        **options,
    )


@app.command()
def worker() -> None:
    """Deliver mail and run schedules, without serving the API."""
    with _plain_errors(), startup.database(_settings(), join=True) as settings:
        asyncio.run(run_worker(settings))


@app.command()
def migrate() -> None:
    """Migrate the database to this version's schema."""
    with _plain_errors(), startup.database(_settings(), join=True) as settings:
        startup.upgrade(settings)
        typer.echo("The schema is current.")


@app.command(name="seed")
def seed_demo() -> None:
    """Seed the demo chain. Running it again changes nothing."""
    with _plain_errors(), startup.database(_settings(), join=True) as settings:
        startup.migrate(settings)
        chain = asyncio.run(startup.seed_demo(settings))
        typer.echo(f"The demo chain is there: {len(chain.shops)} shops, {len(chain.products)} products.")


@app.command()
def cleanup(*, dry_run: Annotated[bool, typer.Option(help="Only show what would be deleted.")] = False) -> None:
    """Delete people who did not verify their e-mail address in time."""

    async def clean(settings: Settings) -> int:
        now, total, deleted = datetime.now(UTC), 0, accounts_cleanup.BATCH
        while deleted == accounts_cleanup.BATCH:
            async with startup.transaction(settings) as session:
                ttl = settings.unverified_ttl
                if dry_run:
                    return await accounts_cleanup.count_unverified(session, older_than=ttl, now=now)
                deleted = await accounts_cleanup.delete_unverified(session, older_than=ttl, now=now)
            total += deleted
        return total

    with _plain_errors(), startup.database(_settings(), join=True) as settings:
        count = asyncio.run(clean(settings))
        typer.echo(f"{count} unverified people {'would be' if dry_run else 'were'} deleted.")


@admin.command()
def create(email: Annotated[str, typer.Option(help="Their e-mail address.")]) -> None:
    """Create an administrator. The password comes from CREMA_ADMIN_PASSWORD, or is asked for."""
    with _plain_errors(), startup.database(_settings(), join=True) as settings:
        given = settings.admin_password
        password = (
            given.get_secret_value() if given else typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        )
        try:
            address = TypeAdapter(EmailAddress).validate_python(email)
        except ValidationError as error:
            raise StartupError(error.errors()[0]["msg"]) from error
        asyncio.run(startup.make_admin(settings, email=address, password=password))
        typer.echo(f"{address} is an administrator.")


@menu.command()
def rebuild() -> None:
    """Renew the stored documents of all products from the tables."""
    with _plain_errors(), startup.database(_settings(), join=True) as settings:
        typer.echo(f"{asyncio.run(startup.rebuild_menu(settings))} documents were written.")


def main() -> None:
    """Run the command line."""
    app()
