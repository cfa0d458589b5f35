"""Dependencies that give routes the database: one transaction a request, committed before the reply; none for a GET."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db import versions
from crema.db.driver import Reader, Writer
from crema.db.statement import Executor
from crema.web import audit
from crema.web.state import DatabaseState, state_of


async def _reader(request: Request) -> Reader:
    return state_of(request.app, DatabaseState).reader


async def transaction(request: Request, response: Response) -> AsyncIterator[AsyncSession]:
    """Yield a session; commit with an event of the audit log when the route returns, roll back when it raises."""
    database = state_of(request.app, DatabaseState)
    async with (database.autocommit_sessions if request.method == "GET" else database.sessions)() as session:
        request.state.transaction = session
        yield session
        versions.ensure_checked(session)
        await audit.record(request, session, created=response.headers.get("location"))
        await session.commit()


Reads = Annotated[Reader, Depends(_reader)]
"""Runs single SELECTs, without a transaction."""


async def _identity_reader(request: Request) -> Reader:
    return state_of(request.app, DatabaseState).identity_reader


IdentityReads = Annotated[Reader, Depends(_identity_reader)]
"""The same on connections for authentication only: it never waits for lists, or for a table that is locked."""


async def _writer(request: Request) -> AsyncIterator[Writer]:
    database = state_of(request.app, DatabaseState)
    async with Writer(database.writing, database.bus) as writer:
        request.state.transaction = writer
        yield writer


def transaction_of(request: Request) -> Executor:
    """Return the request's transaction."""
    transaction: Executor = request.state.transaction
    return transaction


# The default scope runs the exit code after the reply: a failing COMMIT would then answer 201 and keep no row.
Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]
Writes = Annotated[Writer, Depends(_writer, scope="function")]
"""The same as a transaction of compiled statements, without SQLAlchemy's unit of work: for carts and orders.

Its routes call `audit.record` themselves.
"""
