"""Enqueue procrastinate's jobs in the transaction that causes them."""

from typing import Any

from sqlalchemy import ColumnElement, cast, func, null, tuple_
from sqlalchemy.types import UserDefinedType


class _Job(UserDefinedType[Any]):
    """The row type of procrastinate's own function: queue, task, priority, lock, queueing lock, arguments, time."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "procrastinate_job_to_defer_v1"


def defer(task: str, *, queue: str, arguments: ColumnElement[dict[str, Any]]) -> ColumnElement[list[int]]:
    """Return an expression that enqueues a job of `task` for each row of a SELECT; `arguments` are JSON of the row."""
    job = cast(tuple_(queue, task, 0, null(), null(), arguments, null()), _Job)
    return func.procrastinate_defer_jobs_v1(func.array_agg(job))
