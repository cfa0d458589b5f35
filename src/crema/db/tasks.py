"""What the `tasks.py` of features need besides procrastinate: the context that the worker gives to tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from procrastinate import JobContext

from crema.db.session import Sessions

HOUSEKEEPING: Final = "housekeeping"
"""The queue of all jobs but mails."""
_CONTEXT: Final = "crema"


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What every task may use. A feature whose tasks need more extends it; `worker.WorkerContext` extends all those."""

    sessions: Sessions
    clock: Callable[[], datetime]


ContextT = TypeVar("ContextT", bound=TaskContext)


def additional_context(context: TaskContext) -> dict[str, Any]:
    """Return the additional context of procrastinate's jobs."""
    return {_CONTEXT: context}


def context_of(job: JobContext, kind: type[ContextT]) -> ContextT:
    """Return the worker's context as the type that a feature's tasks need."""
    context = job.additional_context[_CONTEXT]
    assert isinstance(context, kind)
    return context
