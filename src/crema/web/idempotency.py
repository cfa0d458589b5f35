"""Idempotency-Key: the same key and body give the same answer and one effect.

Claim, work and record share the request's transaction, so that a failure leaves the key free. Only final
answers are kept; a refusal may be tried again. Semantics: draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Final
from uuid import UUID

from fastapi import Header, Request, Response
from pydantic import BaseModel
from sqlalchemy import BigInteger, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from crema.core.errors import ConflictError, InvalidError
from crema.db.driver import Writer
from crema.db.idempotency import IdempotencyRecord as Kept
from crema.db.statement import Statement
from crema.web import audit
from crema.web.listing import created

RETRY_SECONDS: Final = 1

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
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
    tx: Writer,
    *,
    user_id: UUID,
    key: str | None,
    body: BaseModel,
    create: Callable[[], Awaitable[tuple[BaseModel, str]]],
) -> Response:
    """Answer 201 with what `create` makes, (object, location); replay it when this key has done it already.

    What staff create gets its row in the audit log; a replay changes nothing, and gets none.
    """

    async def recorded() -> tuple[BaseModel, str]:
        made, location = await create()
        await audit.record(request, tx, created=location, sent=body)
        return made, location

    if key is None:
        made, location = await recorded()
        return created(made.model_dump_json(), location)

    names = {"user_id": user_id, "route": f"{request.method} {request.scope['route'].path}", "key": key}
    request_hash = hashlib.sha256(body.model_dump_json().encode()).digest()
    ((is_claimed, kept_hash, content, location),) = await _CLAIM.rows(tx, lock=_lock_of(names), **names)
    if not is_claimed:
        raise KeyInProgressError(retry_after=RETRY_SECONDS)
    if kept_hash is not None:
        if kept_hash != request_hash:
            raise KeyReusedError
        replayed = created(content, location)
        replayed.headers["Idempotency-Replayed"] = "true"
        return replayed

    made, location = await recorded()
    content = made.model_dump_json().encode()
    record = names | {"request_hash": request_hash, "status": 201, "location": location, "body": content}
    if not await _RECORD.rows(tx, **record):  # the first ended between our look and our claim
        raise KeyInProgressError(retry_after=RETRY_SECONDS)
    return created(content, location)


def _lock_of(names: Mapping[str, object]) -> int:
    """Number a key for PostgreSQL, which locks signed 64-bit integers."""
    digest = hashlib.sha256("\n".join(map(str, names.values())).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


# Two at once: the lock tells the second to come again, instead of holding its connection while it waits.
_CLAIMED: Final = select(
    func.pg_try_advisory_xact_lock(bindparam("lock", type_=BigInteger)).label("is_claimed")
).subquery()
_CLAIM: Final = Statement(
    select(_CLAIMED.c.is_claimed, Kept.request_hash, Kept.body, Kept.location).select_from(
        _CLAIMED.outerjoin(
            Kept,
            and_(Kept.user_id == bindparam("user_id"), Kept.route == bindparam("route"), Kept.key == bindparam("key")),
        )
    )
)
_RECORD: Final = Statement(
    insert(Kept)
    .values(
        {name: bindparam(name) for name in ("user_id", "route", "key", "request_hash", "status", "location", "body")}
    )
    .on_conflict_do_nothing()
    .returning(Kept.key)
)
