"""The application: features, middlewares, settings and the database put together."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import Final

from fastapi import FastAPI

from crema import __version__, worker
from crema.accounts import routes as accounts
from crema.cart import routes as cart
from crema.db.driver import PoolReader
from crema.db.hints import open_bus
from crema.descriptions import EXTRAS, TAGS, describe_api, describe_sockets
from crema.live.deps import LiveState
from crema.menu import routes as menu
from crema.notifications import routes as notifications
from crema.orders import routes as orders
from crema.orders import socket as orders_live
from crema.reports import routes as reports
from crema.settings import Settings
from crema.shops import routes as shops
from crema.state import install_database, install_settings, make_worker_context, open_database
from crema.support import routes as support
from crema.support import socket as support_socket
from crema.web import browser, compression, docs, health, limits, methods, openapi, problem, routing, security_txt
from crema.web.context import RequestContext
from crema.web.origins import LOCALHOST
from crema.web.state import DatabaseState, WebState, install, state_of

ROUTERS: Final = (
    *menu.routers,
    cart.router,
    *orders.routers,
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


def create_app(settings: Settings, *, database: DatabaseState | None = None) -> FastAPI:
    """Build the application. It opens its own connections when it starts, unless `database` gives them, as in tests."""
    app = FastAPI(
        title="Crema",
        version=__version__,
        description=describe_api(settings),
        openapi_tags=[{"name": tag, "description": description} for tag, description in TAGS.items()],
        license_info={"name": "MIT", "identifier": "MIT"},
        contact={"email": settings.contact_email} if settings.contact_email else None,
        lifespan=_with_database(settings) if database is None else None,
        redirect_slashes=False,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        telemetry={"tracing": _HAS_TELEMETRY, "metrics": _HAS_TELEMETRY, "logs": _HAS_TELEMETRY},
    )
    install_settings(app, settings)
    if database is not None:
        install_database(app, settings, database)
    _add_middlewares(app, settings)
    problem.add_handlers(app)
    _add_routes(app, settings)
    return app


def _with_database(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return a lifespan that opens the database, and runs the hub and, where it is wanted here, the worker."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        bus = open_bus(settings.events_url, database_url=settings.database_url or "")
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(open_database(settings, bus=bus))
            install_database(app, settings, database)
            await stack.enter_async_context(state_of(app, LiveState).hub.running(bus))
            if settings.run_worker:
                context = make_worker_context(settings, database.sessions, statements=PoolReader(database.writing))
                await stack.enter_async_context(worker.working(context))
            yield

    return lifespan


def _add_middlewares(app: FastAPI, settings: Settings) -> None:
    """Add the middlewares; a request passes the last one first."""
    if settings.rate_limit is not None:
        app.add_middleware(limits.RateLimit, rate=settings.rate_limit, store=settings.limits_url)
    app.add_middleware(browser.CookieRemoval)
    app.add_middleware(browser.HostAndCsrfMiddleware, hosts=settings.allowed_hosts)
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
    app.add_middleware(compression.CompressionMiddleware)
    app.add_middleware(methods.HeadMiddleware)
    app.add_middleware(RequestContext, headers=browser.security_headers(is_production=settings.is_production))


def _add_routes(app: FastAPI, settings: Settings) -> None:
    """Add the routes, and their description."""
    routers = [
        *ROUTERS,
        *([notifications.router] if settings.has_mailbox else ()),
        *([docs.router] if settings.docs else ()),
    ]
    described = routing.add_routes(app, routers)
    if settings.docs:
        docs.mount_assets(app)
    app.openapi = openapi.describe(app, routes=described, extras=EXTRAS)  # type: ignore[method-assign]  # FastAPI's documented way
    documents = docs.Documents(
        openapi=app.openapi, asyncapi=lambda: describe_sockets(settings, state_of(app, WebState).cookies)
    )
    install(app, documents)
