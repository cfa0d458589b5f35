"""One request, one transaction, committed before the reply leaves. A GET writes nothing, and so needs none."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db import versions
from crema.db.driver import Reader, Writer
from crema.db.statement import Where
from crema.web import audit


async def _reader(request: Request) -> Reader:
    reader: Reader = request.app.state.reader
    return reader


async def transaction(request: Request, response: Response) -> AsyncIterator[AsyncSession]:
    """Commit when the route returns, with the audit log's row of what staff did; roll back when it raises."""
    state = request.app.state
    async with (state.readings if request.method == "GET" else state.sessions)() as session:
        request.state.transaction = session
        yield session
        versions.ensure_checked(session)
        await audit.record(request, session, created=response.headers.get("location"))
        await session.commit()


Reads = Annotated[Reader, Depends(_reader)]
"""For single SELECTs, without a transaction."""


async def _identity_reader(request: Request) -> Reader:
    reader: Reader = request.app.state.identity_reader
    return reader


IdentityReads = Annotated[Reader, Depends(_identity_reader)]
"""The same on connections that only ask who somebody is: they never wait behind lists, or a locked table of others."""


async def _writer(request: Request) -> AsyncIterator[Writer]:
    async with Writer(request.app.state.writing, request.app.state.bus) as writer:
        request.state.transaction = writer
        yield writer


def transaction_of(request: Request) -> Where:
    """Return the transaction that the request has begun."""
    transaction: Where = request.state.transaction
    return transaction


# The default scope runs the exit code after the reply: a failing COMMIT would then answer 201 and keep no row.
Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]
Writes = Annotated[Writer, Depends(_writer, scope="function")]
"""The same for what is written all the time: a transaction of compiled statements, without a unit of work.

What staff make by it is in the audit log by `audit.record`, which the route calls.
"""
