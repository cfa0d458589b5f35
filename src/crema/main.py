"""The application, put together. The only place where features, settings and the database meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from fastapi import FastAPI

from crema.accounts.service.tokens import AccessTokens
from crema.db.session import Sessions, make_engine, make_sessions
from crema.settings import Settings
from crema.web import problem
from crema.web.context import RequestContext

BODY_LIMIT: Final = 64 * 1024
TAGS: Final = [
    "Users management", "Working with JWT", "Menu", "Shops and static information", "Cart", "Orders", "Operations",
]


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
        lifespan=lifespan,
        redirect_slashes=False,
        max_body_size=BODY_LIMIT,
        docs_url=None,
        redoc_url=None,
    )
    app.state.sessions = sessions
    app.state.clock = lambda: datetime.now(UTC)
    app.state.access_tokens = AccessTokens(settings.secret(), settings.access_ttl)
    app.add_middleware(RequestContext)
    problem.add_handlers(app)
    return app
