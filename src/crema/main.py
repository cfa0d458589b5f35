"""The application, put together. The only place where features, settings and the database meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from fastapi import FastAPI

from crema import __version__
from crema.accounts.service.tokens import AccessTokens
from crema.cart import routes as cart
from crema.db.session import Sessions, make_engine, make_sessions
from crema.orders import routes as orders
from crema.orders.service.placing import Rules
from crema.settings import Settings
from crema.shops.domain import Chain
from crema.web import docs, openapi, problem, routing
from crema.web.context import RequestContext

BODY_LIMIT: Final = 64 * 1024
TAGS: Final = (
    "Users management",
    "Working with JWT",
    "Menu",
    "Shops and static information",
    "Cart",
    "Orders",
    "Operations",
)
ROUTERS: Final = (cart.router, orders.router,)


def create_app(settings: Settings, *, sessions: Sessions | None = None) -> FastAPI:
    """Build the application. Tests hand in `sessions` of their own; otherwise the app owns its engine."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if sessions is not None:
            yield
            return
        engine = make_engine(settings.database_url or "", pool_size=settings.database_pool)
        app.state.sessions = make_sessions(engine)
        yield
        await engine.dispose()

    app = FastAPI(
        title="Crema",
        version=__version__,
        description=openapi.DESCRIPTION,
        openapi_tags=[{"name": tag} for tag in TAGS],
        lifespan=lifespan,
        redirect_slashes=False,
        max_body_size=BODY_LIMIT,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=routing.operation_id,
    )
    _hand_out(app, settings, sessions)
    app.add_middleware(RequestContext)
    problem.add_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(docs.router)
    docs.mount_assets(app)
    app.openapi = openapi.describe(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _hand_out(app: FastAPI, settings: Settings, sessions: Sessions | None) -> None:
    """Give features their values: they read `app.state` in their `deps` and never see the settings."""
    secret = settings.secret()
    app.state.sessions = sessions
    app.state.clock = lambda: datetime.now(UTC)
    app.state.access_tokens = AccessTokens(secret, settings.access_ttl)
    app.state.chain = Chain(
        name=settings.chain_name,
        description=settings.chain_description,
        email=settings.contact_email,
        phone=settings.contact_phone,
        social_links=settings.social_links,
        currency=settings.currency,
    )
    app.state.order_rules = Rules(
        currency=settings.currency,
        max_open_orders=settings.max_open_orders,
        minimum=settings.minimum_order,
        shop_language=settings.language,
    )
