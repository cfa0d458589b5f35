"""Idempotency-Key: the same key and body give the same answer and one effect.

Claim, work and record share the request's transaction, so that a failure leaves the key free. Only final
answers are kept; a refusal may be tried again. Semantics: draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from uuid import UUID

from fastapi import Header, Request, Response
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.status import HTTP_201_CREATED

from crema.core.errors import ConflictError, InvalidError
from crema.db.idempotency import IdempotencyRecord

RETRY_SECONDS: Final = 1

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e\xa0-\xff]*$",
        description="Repeat a request safely: the same key and body give the same answer and one effect.",
        examples=["6f1d2c3e-morning-latte"],
    ),
]


class KeyReusedError(InvalidError):
    """The key was used with another body."""

    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used with another body."


class KeyInProgressError(ConflictError):
    """The first request with this key is still running."""

    code = "idempotency_in_progress"
    title = "The first request with this Idempotency-Key is still running."


async def create_once(
    request: Request,
    session: AsyncSession,
    *,
    user_id: UUID,
    key: str | None,
    body: BaseModel,
    create: Callable[[], Awaitable[tuple[BaseModel, str]]],
) -> Response:
    """Answer 201 with what `create` makes, (object, location); replay it when this key has done it already."""
    if key is None:
        return _created(*_rendered(await create()))

    route = f"{request.method} {request.scope['route'].path}"
    request_hash = hashlib.sha256(body.model_dump_json().encode()).digest()
    # Two at once: the lock tells the second to come again, instead of holding its connection while it waits.
    lock = func.hashtextextended(f"{user_id}\n{route}\n{key}", 0)
    if not await session.scalar(select(func.pg_try_advisory_xact_lock(lock))):
        raise KeyInProgressError(retry_after=RETRY_SECONDS)
    kept = await session.get(IdempotencyRecord, (user_id, route, key))
    if kept is not None:
        if kept.request_hash != request_hash:
            raise KeyReusedError
        return _created(kept.body, kept.location or "", replayed=True)

    content, location = _rendered(await create())
    session.add(
        IdempotencyRecord(
            user_id=user_id,
            route=route,
            key=key,
            request_hash=request_hash,
            status=HTTP_201_CREATED,
            location=location,
            body=content,
        )
    )
    return _created(content, location)


def _rendered(made: tuple[BaseModel, str]) -> tuple[bytes, str]:
    made_object, location = made
    return made_object.model_dump_json().encode(), location


def _created(content: bytes, location: str, *, replayed: bool = False) -> Response:
    headers = {"Location": location} | ({"Idempotency-Replayed": "true"} if replayed else {})
    return Response(content, status_code=HTTP_201_CREATED, headers=headers, media_type="application/json")
