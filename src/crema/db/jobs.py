"""Jobs, enqueued in the caller's own transaction: committed with it, or never there.

The worker that runs them is `crema.worker`.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, LiteralString

from procrastinate import App, PsycopgConnector
from sqlalchemy.ext.asyncio import AsyncSession

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")


class SessionConnector(PsycopgConnector):
    """Lets procrastinate insert jobs over a SQLAlchemy session on asyncpg; it opens no connection of its own."""

    async def execute_query_all_async_with_connection(
        self, connection: Any, query: LiteralString, **arguments: Any
    ) -> list[dict[str, Any]]:
        """Run procrastinate's own INSERT: `%(name)s` becomes `$n`, the dicts inside job tuples become JSON."""
        names: list[str] = []

        def numbered(match: re.Match[str]) -> str:
            names.append(match[1])
            return f"${len(names)}"

        statement = _PLACEHOLDER.sub(numbered, query)
        raw = await (await connection.connection()).get_raw_connection()
        rows = await raw.driver_connection.fetch(statement, *(_plain(arguments[name]) for name in names))
        return [dict(row) for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value] if isinstance(value, list) else tuple(map(_plain, value))
    return value


_jobs: Final = App(connector=SessionConnector())


async def enqueue(session: AsyncSession, task: str, arguments: Sequence[dict[str, Any]], *, queue: str) -> None:
    """Enqueue one job of `task` for each item of `arguments`, in the session's transaction."""
    await session.flush()
    deferrer = _jobs.configure_task(task, queue=queue, connection=session)
    await deferrer.batch_defer_async(*arguments)
