"""Engine and sessions. Timeouts live in server settings: a SET made at connect is lost at the first reset."""

from typing import Any, Final, TypeAlias

from sqlalchemy import event, make_url
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from crema.db.events import Bus, EventSession

Sessions: TypeAlias = async_sessionmaker[AsyncSession]

_LIMITS: Final = {
    "application_name": "crema",
    "timezone": "UTC",
    "statement_timeout": "5s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "10s",
}
SETTINGS: Final[dict[str, Any]] = {
    "timeout": 2,
    "command_timeout": 6,  # for a server that hangs, and so keeps no timeout of its own
    "server_settings": _LIMITS,
}


def make_engine(database_url: str, *, pool_size: int = 10) -> AsyncEngine:
    """Open no connection yet. A caller waits 2 s at most for one of the pool."""
    engine = create_async_engine(
        make_url(database_url).set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=2,
        connect_args=SETTINGS,
        hide_parameters=True,  # of statements that fail: they are logged, and may be codes or hashes
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool open another in place of one that the server has ended: a ping without the round trip."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def make_sessions(engine: AsyncEngine, *, bus: Bus | None = None) -> Sessions:
    """Objects stay readable after commit: the reply is rendered then. Without a bus events go nowhere."""
    return async_sessionmaker(engine, expire_on_commit=False, sync_session_class=EventSession, info={"bus": bus})


def make_readings(sessions: Sessions) -> Sessions:
    """Open the same without BEGIN and COMMIT: under READ COMMITTED each statement sees its own moment either way."""
    return _with_isolation(sessions, "AUTOCOMMIT")


def make_snapshots(sessions: Sessions) -> Sessions:
    """Open the same in which all statements see the database as it was at the first of them."""
    return _with_isolation(sessions, "REPEATABLE READ")


def _with_isolation(sessions: Sessions, level: IsolationLevel) -> Sessions:
    engine = sessions.kw["bind"]
    if not isinstance(engine, AsyncEngine):  # one connection, whose owner has begun a transaction on it
        return sessions
    return async_sessionmaker(**sessions.kw | {"bind": engine.execution_options(isolation_level=level)})


async def keep(session: AsyncSession) -> None:
    """Commit what must outlive a refusal that may follow, and give the connection back.

    For a counted try, or a session revoked because its token was stolen: the refusal rolls back the request,
    and these must stay. Also before a slow computation, which must not hold a connection.
    """
    await session.commit()
