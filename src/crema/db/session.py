"""Engine and sessions. Timeouts live in server settings: a SET made at connect is lost at the first reset."""

from typing import TypeAlias

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from crema.db.events import Bus, EventSession

Sessions: TypeAlias = async_sessionmaker[AsyncSession]


def make_engine(database_url: str, *, pool_size: int = 10) -> AsyncEngine:
    """Open no connection yet. A caller waits 2 s at most for one of the pool."""
    return create_async_engine(
        make_url(database_url).set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=2,
        pool_pre_ping=True,
        connect_args={
            "timeout": 2,
            "command_timeout": 6,  # for a server that hangs, and so keeps no timeout of its own
            "server_settings": {
                "application_name": "crema",
                "timezone": "UTC",
                "statement_timeout": "5s",
                "lock_timeout": "3s",
                "idle_in_transaction_session_timeout": "10s",
            },
        },
    )


def make_sessions(engine: AsyncEngine, *, bus: Bus | None = None) -> Sessions:
    """Objects stay readable after commit: the reply is rendered then. Without a bus events go nowhere."""
    return async_sessionmaker(engine, expire_on_commit=False, sync_session_class=EventSession, info={"bus": bus})


async def keep(session: AsyncSession) -> None:
    """Commit what must outlive a refusal that may follow, and give the connection back.

    For a counted try, or a session revoked because its token was stolen: the refusal rolls back the request,
    and these must stay. Also before a slow computation, which must not hold a connection.
    """
    await session.commit()
