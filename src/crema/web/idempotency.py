"""Idempotency-Key: the same key and body give the same answer and one effect.

Routes take it by `accounts.deps.Idempotent`, the last of their parameters: who may not do it is refused before.

The claim, the work and the record share the request's transaction: after a failure the key is free. Only successful
answers are recorded; a refused request may be repeated. Semantics: draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID

from fastapi import Header, Request, Response
from sqlalchemy import BigInteger, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from crema.core.errors import ConflictError, InvalidError
from crema.db.idempotency import IdempotencyRecord as Kept
from crema.db.statement import Statement
from crema.schemas import MatchesPattern
from crema.web import audit
from crema.web.response_hooks import AnsweredError, on_response, sent_json
from crema.web.transaction import transaction_of

RETRY_SECONDS: Final = 1

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Repeat a request safely: the same key and body give the same answer and one effect.",
        examples=["6f1d2c3e-morning-latte"],
    ),
    MatchesPattern(r"^[\x20-\x7e\xa0-\xff]*$", "send a key without control characters"),
]


class KeyReusedError(InvalidError):
    """The key was used with another body."""

    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used with another request body."
    advice = "Use a new key for each request."


class KeyInProgressError(ConflictError):
    """The first request with this key is still running."""

    code = "idempotency_in_progress"
    title = "The first request with this Idempotency-Key is still running."
    advice = "Try again after `retry_after` seconds with the same key."


async def answer_once(request: Request, *, user_id: UUID, key: str) -> None:
    """Claim a key in the request's transaction, and record the answer there.

    Raises AnsweredError with the answer that was recorded before: the request then does nothing.
    """
    tx = transaction_of(request)
    names = {"user_id": user_id, "route": f"{request.method} {request.scope['path']}", "key": key}
    request_hash = await _fingerprint(request)
    ((is_claimed, kept_hash, *kept),) = await _CLAIM.rows(tx, lock=_lock_of(names), **names)
    if not is_claimed:
        raise KeyInProgressError(retry_after=RETRY_SECONDS)
    if kept_hash is not None:
        if kept_hash != request_hash:
            raise KeyReusedError
        audit.leave_out(request)
        raise AnsweredError(_replayed(*kept))

    async def record_answer(_: Request, response: Response) -> None:
        record = names | {
            "request_hash": request_hash,
            "status": response.status_code,
            "location": response.headers.get("location"),
            "etag": response.headers.get("etag"),
            "body": bytes(response.body),
        }
        if not await _RECORD.rows(tx, **record):  # the first request ended between the SELECT and the claim
            raise KeyInProgressError(retry_after=RETRY_SECONDS)

    on_response(request, record_answer)


def _replayed(status: int, content: bytes, location: str | None, etag: str | None) -> Response:
    response = Response(content, status, media_type="application/json")
    for name, value in (("Location", location), ("ETag", etag), ("Idempotency-Replayed", "true")):
        if value is not None:
            response.headers[name] = value
    return response


async def _fingerprint(request: Request) -> bytes:
    """Return a digest of the query and the body, the same for equal JSON."""
    body = await sent_json(request)
    text = json.dumps([request.scope["query_string"].decode("latin-1"), body], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _lock_of(names: Mapping[str, object]) -> int:
    """Return the number of a key's advisory lock: a signed 64-bit integer."""
    digest = hashlib.sha256("\n".join(map(str, names.values())).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


# Of two requests at once the second is refused by the lock, instead of waiting with its connection.
_CLAIMED: Final = select(
    func.pg_try_advisory_xact_lock(bindparam("lock", type_=BigInteger)).label("is_claimed")
).subquery()
_CLAIM: Final = Statement(
    select(_CLAIMED.c.is_claimed, Kept.request_hash, Kept.status, Kept.body, Kept.location, Kept.etag).select_from(
        _CLAIMED.outerjoin(
            Kept,
            and_(Kept.user_id == bindparam("user_id"), Kept.route == bindparam("route"), Kept.key == bindparam("key")),
        )
    )
)
_COLUMNS: Final = ("user_id", "route", "key", "request_hash", "status", "location", "etag", "body")
_RECORD: Final = Statement(
    insert(Kept).values({name: bindparam(name) for name in _COLUMNS}).on_conflict_do_nothing().returning(Kept.key)
)
