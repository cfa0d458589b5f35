"""One request, one transaction, committed before the reply leaves. A GET writes nothing, and so needs none."""

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
    """Commit when the route returns, with the audit log's row of what staff did; roll back when it raises."""
    database = state_of(request.app, DatabaseState)
    async with (database.autocommit_sessions if request.method == "GET" else database.sessions)() as session:
        request.state.transaction = session
        yield session
        versions.ensure_checked(session)
        await audit.record(request, session, created=response.headers.get("location"))
        await session.commit()


Reads = Annotated[Reader, Depends(_reader)]
"""For single SELECTs, without a transaction."""


async def _identity_reader(request: Request) -> Reader:
    return state_of(request.app, DatabaseState).identity_reader


IdentityReads = Annotated[Reader, Depends(_identity_reader)]
"""The same on connections that only ask who somebody is: they never wait behind lists, or a locked table of others."""


async def _writer(request: Request) -> AsyncIterator[Writer]:
    database = state_of(request.app, DatabaseState)
    async with Writer(database.writing, database.bus) as writer:
        request.state.transaction = writer
        yield writer


def transaction_of(request: Request) -> Executor:
    """Return the transaction that the request has begun."""
    transaction: Executor = request.state.transaction
    return transaction


# The default scope runs the exit code after the reply: a failing COMMIT would then answer 201 and keep no row.
Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]
Writes = Annotated[Writer, Depends(_writer, scope="function")]
"""The same for what is written all the time: a transaction of compiled statements, without a unit of work.

What staff make by it is in the audit log by `audit.record`, which the route calls.
"""
