"""SQLAlchemy's engine and sessions.

Timeouts are server settings of the connection: a SET after connecting is lost when the pool resets it.
"""

from typing import Any, Final, TypeAlias

from sqlalchemy import event, make_url
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from crema.db.hints import Bus, HintSession

Sessions: TypeAlias = async_sessionmaker[AsyncSession]

_SERVER_SETTINGS: Final = {
    "application_name": "crema",
    "timezone": "UTC",
    "statement_timeout": "5s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "10s",
}
CONNECT_ARGS: Final[dict[str, Any]] = {
    "timeout": 2,
    "command_timeout": 6,  # for a server that hangs, and so keeps no timeout of its own
    "server_settings": _SERVER_SETTINGS,
}


def make_engine(database_url: str, *, pool_size: int = 10) -> AsyncEngine:
    """Return an engine that opens connections when they are needed. A caller waits 2 s at most for one."""
    engine = create_async_engine(
        make_url(database_url).set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=2,
        connect_args=CONNECT_ARGS,
        hide_parameters=True,  # of statements that fail: they are logged, and may be codes or hashes
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool replace a connection that the server has closed. Unlike a ping it costs no round trip."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def make_sessions(engine: AsyncEngine, *, bus: Bus | None = None) -> Sessions:
    """Return a factory of sessions. Objects stay readable after the commit; hints go to `bus`, if there is one."""
    return async_sessionmaker(engine, expire_on_commit=False, sync_session_class=HintSession, info={"bus": bus})


def make_autocommit_sessions(sessions: Sessions) -> Sessions:
    """Return a factory of sessions without BEGIN and COMMIT, for reads: each statement sees its own snapshot anyway."""
    return _with_isolation(sessions, "AUTOCOMMIT")


def make_snapshot_sessions(sessions: Sessions) -> Sessions:
    """Return a factory of sessions whose statements all see the snapshot of the first."""
    return _with_isolation(sessions, "REPEATABLE READ")


def _with_isolation(sessions: Sessions, level: IsolationLevel) -> Sessions:
    engine = sessions.kw["bind"]
    if not isinstance(engine, AsyncEngine):  # one connection, whose owner has begun a transaction on it
        return sessions
    return async_sessionmaker(**sessions.kw | {"bind": engine.execution_options(isolation_level=level)})


async def commit_now(session: AsyncSession) -> None:
    """Commit at once what must outlive a refusal, and give the connection back.

    A refusal rolls back the rest of the request, but a counted try or a session revoked for theft must stay. Also
    called before a slow computation, which must not hold a connection.
    """
    await session.commit()
