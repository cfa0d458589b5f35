"""The application, put together. The only place where features, settings and the database meet."""

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

import email_validator
from fastapi import FastAPI

from crema import __version__, logs, worker
from crema.accounts import routes as accounts
from crema.accounts.deps import ACCESS, ERRORS_OF_LOGINS
from crema.cart import routes as cart
from crema.db.driver import (
    HEALTH_CONNECTIONS,
    IDENTITY_CONNECTIONS,
    READING,
    SEARCHING,
    WRITING,
    PoolReader,
    Reader,
    open_pool,
)
from crema.db.events import open_bus
from crema.db.session import Sessions, make_engine, make_readings, make_sessions
from crema.demo import examples
from crema.live import hub as live
from crema.live.deps import LiveState
from crema.media.service import MediaService
from crema.media.service.rendering import Renderer
from crema.menu import routes as menu
from crema.notifications import routes as notifications
from crema.notifications.service.senders import ConsoleSender, SmtpSender
from crema.orders import routes as orders
from crema.orders import socket as orders_live
from crema.reports import routes as reports
from crema.settings import Settings
from crema.shops import routes as shops
from crema.state import install_database, install_settings, make_mail_renderer, open_media
from crema.support import routes as support
from crema.support import socket as support_socket
from crema.web import (
    asyncapi,
    browser,
    compression,
    credentials,
    docs,
    health,
    limits,
    methods,
    openapi,
    problem,
    routing,
    security_txt,
)
from crema.web.context import RequestContext
from crema.web.origins import LOCALHOST
from crema.web.state import DatabaseState, WebState, install, state_of
from crema.worker import WorkerContext

TAGS: Final = {
    "Users management": "Register, verify an address, log in; people, and the roles that give them permissions.",
    "Working with JWT": "Access tokens of ten minutes, refresh tokens that are good once, and the logins behind them.",
    "Menu": "Categories, products with sizes, modifier groups and pictures. Anyone reads it; `menu:write` changes it.",
    "Shops and static information": "The chain, its shops and when they are open.",
    "Cart": "What a person is about to order, with prices as they are now.",
    "Orders": "Orders ahead, from `placed` to `completed`, and the shop's board.",
    "Reports": "What was sold.",
    "Support chat": "Conversations with customers, also over WebSocket.",
    "Operations": "Mails, health and metrics, for those who run it.",
}
ROUTERS: Final = (
    *menu.routers,
    cart.router,
    orders.router,
    shops.router,
    accounts.tokens,
    accounts.people,
    accounts.passwords,
    accounts.roles,
    accounts.mails,
    browser.router,
    *orders_live.routers,
    reports.router,
    support.router,
    support_socket.router,
    health.router,
    security_txt.router,
)

_HAS_TELEMETRY: Final = find_spec("opentelemetry.sdk") is not None
"""Where nobody has installed it FastAPI needn't look, at each request, whether somebody has set it up."""

EXTRAS: Final = openapi.Extras(
    access=ACCESS, errors=ERRORS_OF_LOGINS, bodies=examples.BODIES, parameters=examples.PARAMETERS
)
CHANNELS: Final = (*support_socket.CHANNELS, *orders_live.CHANNELS)
SOCKETS: Final = """\
Say who you are by the header `Authorization: Bearer …` or, within 5 seconds, by a first frame `auth` with an access
token or with a ticket of `POST /chat/ticket`; never in the address. A page of another origin is answered with 403.

Frames are JSON texts of up to 32 KiB, five a second; the third excess within ten seconds closes the socket. A text of
2,000 characters fits whatever way it is escaped; a character is a Unicode code point, over HTTP and here. `typing`
holds for five seconds. A person holds at most five sockets, event streams of `GET /orders/live` among them; a sixth
socket takes the place of the oldest.

A close has a code and a reason, which begins with a stable word. 1012 (restart), 1013 and 4408 pass by themselves: come
back with a back-off. But not after 1013 `too_many_sockets`: a newer socket of the same person took this one's place,
and two would take each other's for ever; come back when the person does. Coming back is of no use after 1008 (the
address is wrong), 4401 (the login doesn't count any more), 4403 (it may not do this any more) and 4404 (no such
conversation).

| code | reason |
|---|---|
| 1008 | `validation_error: …`, `invalid_position: …` |
| 1009 | the frame was over 32 KiB: drop it, then come back |
| 1012 | the server restarts |
| 1013 | `rate_limited`, `too_slow` (nothing read for 20 seconds), `server_busy`, `too_many_sockets` |
| 4401 | `not_authenticated` |
| 4403 | `forbidden`, `email_not_verified` |
| 4404 | `not_found` |
| 4408 | `auth_timeout` |

A role or shops that change close a socket only if it isn't allowed any more. What is seen follows at once.
"""


def create_app(settings: Settings, *, database: DatabaseState | None = None) -> FastAPI:
    """Build the application. It opens its own connections when it starts, unless `database` gives them, as in tests."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if database is not None:
            yield
            return
        engine = make_engine(settings.database_url or "", pool_size=settings.database_pool)
        bus = open_bus(settings.events_url, database_url=settings.database_url or "")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            live_engine = make_engine(settings.database_url or "", pool_size=live.CONNECTIONS)
            stack.push_async_callback(live_engine.dispose)
            reading, searching, writing = [
                await stack.enter_async_context(
                    open_pool(settings.database_url or "", size=max(2, settings.database_pool // 2), settings=limits)
                )
                for limits in (READING, SEARCHING, WRITING)
            ]
            identity, health_check = [
                await stack.enter_async_context(open_pool(settings.database_url or "", size=size, settings=READING))
                for size in (IDENTITY_CONNECTIONS, HEALTH_CONNECTIONS)
            ]
            own_sessions = make_sessions(engine, bus=bus)
            opened = DatabaseState(
                sessions=own_sessions,
                autocommit_sessions=make_readings(own_sessions),
                live_sessions=make_sessions(live_engine, bus=bus),
                reader=PoolReader(reading, searching=searching),
                identity_reader=PoolReader(identity),
                health_reader=PoolReader(health_check),
                writing=writing,
                bus=bus,
            )
            install_database(app, settings, opened)
            await stack.enter_async_context(state_of(app, LiveState).hub.running(bus))
            if settings.run_worker:
                context = _worker_context(settings, own_sessions, statements=PoolReader(writing))
                await stack.enter_async_context(worker.working(context))
            yield

    app = FastAPI(
        title="Crema",
        version=__version__,
        description=_description(settings),
        openapi_tags=[{"name": tag, "description": description} for tag, description in TAGS.items()],
        license_info={"name": "MIT", "identifier": "MIT"},
        contact={"email": settings.contact_email} if settings.contact_email else None,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        telemetry={"tracing": _HAS_TELEMETRY, "metrics": _HAS_TELEMETRY, "logs": _HAS_TELEMETRY},
    )
    # Addresses under .test, which RFC 2606 keeps for trying things out.
    email_validator.TEST_ENVIRONMENT = not settings.is_production
    install_settings(app, settings)
    if database is not None:
        install_database(app, settings, database)
    if settings.rate_limit is not None:
        app.add_middleware(limits.Throttle, rate=settings.rate_limit, store=settings.limits_url)
    app.add_middleware(browser.CookieRemoval)
    app.add_middleware(browser.Guard, hosts=settings.allowed_hosts)
    app.add_middleware(limits.RequestSize)
    if settings.allowed_origins or not settings.is_production:
        app.add_middleware(
            browser.Cors,
            allow_origins=settings.allowed_origins,
            allow_origin_regex=None if settings.is_production else LOCALHOST,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=browser.SENT_HEADERS,
            expose_headers=browser.EXPOSED_HEADERS,
            allow_credentials=True,
            max_age=600,
        )
    app.add_middleware(compression.Compression)
    app.add_middleware(methods.Head)
    app.add_middleware(RequestContext, headers=browser.headers_of(is_production=settings.is_production))
    problem.add_handlers(app)
    routers = [
        *ROUTERS,
        *([notifications.router] if _has_mailbox(settings) else ()),
        *([docs.router] if settings.docs else ()),
    ]
    described = routing.add_routes(app, routers)
    if settings.docs:
        docs.mount_assets(app)
    app.openapi = openapi.describe(app, routes=described, extras=EXTRAS)  # type: ignore[method-assign]  # FastAPI's documented way
    install(app, docs.Documents(openapi=app.openapi, asyncapi=partial(_describe_sockets, app, settings)))
    return app


def _describe_sockets(app: FastAPI, settings: Settings) -> dict[str, Any]:
    return asyncapi.describe(
        CHANNELS,
        title="Crema",
        version=__version__,
        description=SOCKETS,
        url=settings.links_to,
        schemes=credentials.schemes_of_sockets(state_of(app, WebState).cookies),
    )


def _description(settings: Settings) -> str:
    """Introduce the API, with what makes trying it easy where that is there."""
    parts = [openapi.DESCRIPTION]
    if _has_mailbox(settings):
        parts.append("Mails are on the page [/mailbox](/mailbox), for programs in [/mailbox.json](/mailbox.json).\n")
    if settings.has_demo:
        parts.append(examples.accounts_table())
    return "\n".join(parts)


def _has_mailbox(settings: Settings) -> bool:
    return not settings.is_production and settings.smtp_url is None


def _worker_context(settings: Settings, sessions: Sessions, *, statements: Reader) -> WorkerContext:
    media = MediaService(open_media(settings), Renderer())
    return WorkerContext(
        database_url=settings.database_url or "",
        sessions=sessions,
        statements=statements,
        sender=(
            SmtpSender(settings.smtp_url.get_secret_value())
            if settings.smtp_url
            else ConsoleSender(keeps_context=not settings.is_production)
        ),
        mail_renderer=make_mail_renderer(settings),
        media=media,
        erasures=worker.erasures(media),
        unverified_ttl=settings.unverified_ttl,
        erase_after=settings.erase_after,
        chat_url=settings.chat_link,
    )


async def run_worker(settings: Settings) -> None:
    """Work as a process of its own, until SIGTERM or Ctrl-C."""
    engine = make_engine(settings.database_url or "", pool_size=worker.CONCURRENCY + 2)
    bus = open_bus(settings.events_url, database_url=settings.database_url or "")
    async with open_pool(settings.database_url or "", size=worker.CONCURRENCY, settings=WRITING) as writing:
        context = _worker_context(settings, make_sessions(engine, bus=bus), statements=PoolReader(writing))
        task = asyncio.create_task(worker.run(context))
        for wanted in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(wanted, task.cancel)
        async with bus.listening(lambda _: None):
            with suppress(asyncio.CancelledError):
                await task
    await engine.dispose()


def from_environment() -> FastAPI:
    """Build the application from CREMA_ variables, as each server process does."""
    settings = Settings()
    logs.configure(settings.log_format or ("json" if settings.is_production else "console"))
    app = create_app(settings)
    _end_with_parent()
    # What is here now stays for good. Left in the collector's sight, it cost 150 ms at each full collection: measured
    # as every fifteenth `GET /products`.
    gc.collect()
    gc.freeze()
    return app


def _end_with_parent() -> None:
    """End, as at SIGTERM, when the process that has started this one is gone: it would keep the port for good."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
