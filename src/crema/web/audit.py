"""Writes changes by staff to the audit log, in the transaction of the change."""

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel

from crema.core.networks import network_of
from crema.db.audit import AuditEvent
from crema.db.base import new_id
from crema.db.statement import BulkInsert, Executor, Statement
from crema.web.state import WebState, state_of

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_VALUES: Final = frozenset(
    {
        *("role", "is_active", "shop_ids", "serves_all_shops", "permissions", "assigned_to", "seen_seq"),
        *("status", "is_made", "source"),
        *("price", "price_delta", "free_quantity", "min_choices", "max_choices", "max_quantity", "is_default"),
        *("slug", "parent_id", "category_ids", "modifier_group_ids", "ingredient_ids", "position", "allergens"),
        *("sizes", "options", "modifier_groups", "id", "group_id", "product_id", "product_ids", "order_ids"),
        *("hours", "weekday", "opens_at", "closes_at", "timezone", "pickup_at", "shop_id", "items", "quantity"),
        *("special_days", "date", "is_closed", "takes_orders_ahead", "state", "delay_minutes", "until"),
        *("force", "dry_run", "preparation_seconds", "volume_ml", "nutrition", "seconds_per_slot", "percent"),
        *("prices", "round_to", "category_id", "size_prices", "size_name", "size_nutrition", "allergens_always"),
        *("energy_kcal", "proteins_g", "fats_g", "carbohydrates_g", "caffeine_mg"),
    }
)
"""Fields whose values are logged. Of other fields, which may be personal data, only the names are."""
_LONGEST: Final = 8 * 1024
"""Bytes up to which the values of a body are logged."""


@dataclass(frozen=True, slots=True)
class Author:
    """The actor of a request, for the log. What customers do is not logged."""

    user_id: UUID
    role: str
    is_staff: bool


async def record(request: Request, db: Executor, *, created: str | None, sent: BaseModel | None = None) -> None:
    """Write an event if this request is a change by staff. Call it before the commit.

    `created` is the path of what the request made, from its Location header. `sent` is the body, where it can't be
    read from the request again.
    """
    author: Author | None = getattr(request.state, "author", None)
    if author is None or not author.is_staff or request.method in _SAFE_METHODS or _is_left_out(request):
        return
    event = AuditEvent(
        id=new_id(),
        actor_id=author.user_id,
        actor_role=author.role,
        action=f"{request.method} {getattr(request.scope.get('route'), 'path', '')}"[:80],
        subject={name: str(value) for name, value in request.path_params.items()},
        details=await _details(request, sent) | ({"created": created} if created else {}),
        network=network_of(request.client.host) if request.client else "",
        request_id=getattr(request.state, "request_id", None),
        created_at=state_of(request.app, WebState).clock(),
    )
    await _INSERT.rows(db, **_EVENTS.values([event]))


def leave_out(request: Request) -> None:
    """Write no event for this request: it repeats a request that has one."""
    request.state.is_left_out_of_log = True


def _is_left_out(request: Request) -> bool:
    return getattr(request.state, "is_left_out_of_log", False)


_EVENTS: Final = BulkInsert(AuditEvent, AuditEvent)
_INSERT: Final = Statement(_EVENTS.statement)


async def _details(request: Request, sent: BaseModel | None) -> dict[str, Any]:
    """Return the names of all fields that were sent, and the values of those without personal data."""
    details: dict[str, Any] = {"query": _kept(dict(request.query_params))} if request.query_params else {}
    if not request.headers.get("content-type", "").startswith("application/json"):
        return details
    body = sent.model_dump_json(exclude_unset=True).encode() if sent else await request.body()
    fields = json.loads(body) if body else None
    if isinstance(fields, dict):
        details["fields"] = sorted(fields)[:100]
        if len(body) <= _LONGEST:
            details["values"] = _kept(fields)
    return details


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _kept(each) for name, each in value.items() if name in _VALUES}
    if isinstance(value, list):
        return [_kept(each) for each in value]
    return value
