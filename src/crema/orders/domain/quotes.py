"""Quotes: the total of an order and the time when it would be ready, promised for two minutes. Pure.

A quote is a signed text and not a row, and nothing is reserved. Quoting and placing use the same draft.
"""

import binascii
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Self
from uuid import UUID

from crema.cart.domain import ItemUnavailableError
from crema.core.errors import ConflictError, InvalidError
from crema.orders.domain.draft import (
    OrderContext,
    OrderDraft,
    OrderRequest,
    OrderSettings,
    SlotFullError,
    TooSoonError,
    check_total,
    draft_order,
)
from crema.orders.domain.new_order import NewLine, new_lines
from crema.shops.domain import Handover, Slot

QUOTE_LIFE: Final = timedelta(minutes=2)
"""How long the total and the time of a quote are promised."""


class InvalidQuoteError(InvalidError):
    """The `quote_id` wasn't signed with the key of this server."""

    code = "invalid_quote"
    title = "There is no such quote."
    advice = "Send the `quote_id` of an answer of POST /quote."

    def __init__(self) -> None:
        super().__init__(errors=[{"loc": ["body", "quote_id"], "msg": "is no quote of ours", "type": self.code}])


class QuoteOutdatedError(ConflictError):
    """The quote can no longer be ordered, or was ordered already; `quote` is the quote of now, or null."""

    code = "quote_outdated"
    title = "The quote no longer holds."
    advice = "Show the customer the new `quote`, and order with its `quote_id`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The total and the time that are promised for the same order. `user_id` is None for anyone.

    `digest` is made of the lines, the shop and the pick-up time that were quoted.
    """

    id: UUID
    user_id: UUID | None
    digest: str
    total: Decimal
    promised_at: datetime
    expires_at: datetime

    def sign(self, key: bytes) -> str:
        """Return the quote as a text that `read` verifies with the same key."""
        fields = {name: str(value) for name, value in asdict(self).items() if value is not None}
        payload = json.dumps(fields, separators=(",", ":")).encode()
        return f"{_encode(payload)}.{_encode(_signature(payload, key))}"

    @classmethod
    def read(cls, text: str, key: bytes) -> Self:
        """Return the quote that `sign` wrote. InvalidQuoteError if it wasn't written with this key."""
        try:
            payload, signature = map(_decode, text.encode("ascii").split(b"."))
        except (ValueError, binascii.Error):
            raise InvalidQuoteError from None
        if not hmac.compare_digest(signature, _signature(payload, key)):
            raise InvalidQuoteError
        fields = json.loads(payload)
        return cls(
            id=UUID(fields["id"]),
            user_id=UUID(fields["user_id"]) if "user_id" in fields else None,
            digest=fields["digest"],
            total=Decimal(fields["total"]),
            promised_at=datetime.fromisoformat(fields["promised_at"]),
            expires_at=datetime.fromisoformat(fields["expires_at"]),
        )

    def holds(self, draft: OrderDraft, *, user_id: UUID, now: datetime) -> bool:
        """Return whether a draft is what was quoted, has the quoted total, and is ready by the promised time."""
        return (
            now <= self.expires_at
            and self.user_id in {None, user_id}
            and self.digest == digest_of(draft.request, shop_id=draft.shop.id)
            and self.total == draft.total
            and draft.handover.ready_at <= self.promised_at
        )


def _signature(payload: bytes, key: bytes) -> bytes:
    return hmac.digest(key, payload, hashlib.sha256)


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: bytes) -> bytes:
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def digest_of(request: OrderRequest, *, shop_id: UUID) -> str:
    """Return a digest of the lines, the shop and the pick-up time."""
    lines = [
        [
            str(line.product_id),
            str(line.size_id),
            line.choices and sorted((str(choice.option_id), choice.quantity) for choice in line.choices),
            line.note,
            line.quantity,
        ]
        for line in request.lines
    ]
    pickup_at = request.pickup_at and request.pickup_at.astimezone(UTC).isoformat()
    return hashlib.sha256(json.dumps([str(shop_id), pickup_at, request.source, lines]).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedOrder:
    """The answer to a request for a quote. `quote` is None if the order can't be placed: `problems` says why.

    In that case the other fields are about the lines that can be sold; if there are none, `promised_at` and `slot` are
    None.
    """

    quote: Quote | None
    shop_id: UUID
    pickup_at: datetime | None
    promised_at: datetime | None
    slot: Slot | None
    lines: Sequence[NewLine]
    total: Decimal
    currency: str
    problems: Sequence[Mapping[str, Any]]


def quote_order(
    request: OrderRequest,
    context: OrderContext,
    *,
    settings: OrderSettings,
    user_id: UUID | None,
    now: datetime,
    make_id: Callable[[], UUID],
) -> QuotedOrder:
    """Return the quote of an order that is placed within `QUOTE_LIFE`.

    Lines that can't be sold are its `problems`. Any other problem raises the error that placing would raise.
    """
    problems: Sequence[Mapping[str, Any]] = ()
    try:
        draft = draft_order(request, context, settings=settings, now=now)
    except ItemUnavailableError as error:
        problems = error.extra["problems"]
        missing = {problem["line"] for problem in problems}
        rest = [line for index, line in enumerate(request.lines) if index not in missing]
        request = replace(request, lines=rest, expected_total=None)
        if not rest:
            return _nothing(request, context, settings=settings, problems=problems)
        draft = draft_order(request, context, settings=replace(settings, minimum=Decimal(0)), now=now)
    expires_at, promised_at = now + QUOTE_LIFE, _promise(draft, context, now=now + QUOTE_LIFE)
    quote = Quote(
        id=make_id(),
        user_id=user_id,
        digest=digest_of(request, shop_id=context.shop.id),
        total=draft.total,
        promised_at=promised_at,
        expires_at=expires_at,
    )
    return QuotedOrder(
        quote=None if problems else quote,
        shop_id=context.shop.id,
        pickup_at=request.pickup_at,
        promised_at=promised_at,
        slot=context.work.slot_at(promised_at),
        lines=new_lines(draft.lines, order_id=quote.id, make_id=make_id),
        total=draft.total,
        currency=draft.currency,
        problems=problems,
    )


def _promise(draft: OrderDraft, context: OrderContext, *, now: datetime) -> datetime:
    """Return when a draft is ready if it is placed as late as the quote allows, as long as the shop takes it then."""
    if draft.request.pickup_at is not None:
        return draft.handover.ready_at
    found = context.work.plan(None, now=now, work=draft.work)
    return max(draft.handover.ready_at, found.ready_at) if isinstance(found, Handover) else draft.handover.ready_at


def _nothing(
    request: OrderRequest, context: OrderContext, *, settings: OrderSettings, problems: Sequence[Mapping[str, Any]]
) -> QuotedOrder:
    return QuotedOrder(
        quote=None,
        shop_id=context.shop.id,
        pickup_at=request.pickup_at,
        promised_at=None,
        slot=None,
        lines=(),
        total=Decimal(0),
        currency=settings.currency,
        problems=problems,
    )


def draft_as_quoted(
    request: OrderRequest,
    context: OrderContext,
    quote: Quote,
    *,
    settings: OrderSettings,
    user_id: UUID,
    now: datetime,
    make_id: Callable[[], UUID],
) -> OrderDraft | QuotedOrder:
    """Return the draft of an order as it was quoted, or a new quote if that is no longer possible.

    If the time is no longer free, the new quote is for the next time that is.
    """
    at: datetime | None = request.pickup_at
    unpriced = replace(request, expected_total=None)
    try:
        draft = draft_order(unpriced, context, settings=settings, now=now)
    except (SlotFullError, TooSoonError) as error:
        if error.next_at is None:
            raise
        at = error.next_at
    except ItemUnavailableError:
        pass  # the next quote lists what is missing
    else:
        if quote.holds(draft, user_id=user_id, now=now):
            check_total(draft.lines, expected=request.expected_total, minimum=settings.minimum)
            return replace(draft, quote_id=quote.id)
    return quote_order(
        replace(unpriced, pickup_at=at), context, settings=settings, user_id=user_id, now=now, make_id=make_id
    )
