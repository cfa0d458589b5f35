"""The life of an order: its statuses, and who may change them. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Final

from crema.core.errors import ConflictError, InvalidError


class OrderStatus(StrEnum):
    """The status of an order."""

    PLACED = "placed"
    ACCEPTED = "accepted"
    PREPARING = "preparing"
    READY = "ready"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class EventKind(StrEnum):
    """The kinds of events about orders in the event log. An event has the id of the entry in the history."""

    PLACED = "order.placed"
    MOVED = "order.moved"
    EDITED = "order.edited"
    ARRIVAL = "order.arrival"


class OrderRole(Enum):
    """The role of whoever moves an order, in relation to that order. It is not the role of their account."""

    OWNER = "owner"
    STAFF = "staff"
    SYSTEM = "system"


MOVES: Final[dict[tuple[OrderStatus, OrderStatus], frozenset[OrderRole]]] = {
    (OrderStatus.PLACED, OrderStatus.ACCEPTED): frozenset({OrderRole.STAFF, OrderRole.SYSTEM}),
    (OrderStatus.PLACED, OrderStatus.CANCELLED): frozenset({OrderRole.OWNER, OrderRole.STAFF, OrderRole.SYSTEM}),
    (OrderStatus.PLACED, OrderStatus.EXPIRED): frozenset({OrderRole.SYSTEM}),
    (OrderStatus.ACCEPTED, OrderStatus.PREPARING): frozenset({OrderRole.STAFF}),
    (OrderStatus.ACCEPTED, OrderStatus.CANCELLED): frozenset({OrderRole.OWNER, OrderRole.STAFF, OrderRole.SYSTEM}),
    (OrderStatus.PREPARING, OrderStatus.READY): frozenset({OrderRole.STAFF}),
    (OrderStatus.PREPARING, OrderStatus.CANCELLED): frozenset({OrderRole.STAFF, OrderRole.SYSTEM}),
    (OrderStatus.READY, OrderStatus.COMPLETED): frozenset({OrderRole.STAFF}),
    (OrderStatus.READY, OrderStatus.CANCELLED): frozenset({OrderRole.STAFF, OrderRole.SYSTEM}),
    (OrderStatus.READY, OrderStatus.EXPIRED): frozenset({OrderRole.SYSTEM}),
}
"""The moves forward; beside them there are only the steps back."""

STEPS_BACK: Final = frozenset(
    {
        (OrderStatus.PREPARING, OrderStatus.ACCEPTED),
        (OrderStatus.READY, OrderStatus.PREPARING),
        (OrderStatus.COMPLETED, OrderStatus.READY),
    }
)
"""What staff take back: each undoes one move forward, within `TAKE_BACK_WITHIN` of it."""
TAKE_BACK_WITHIN: Final = timedelta(minutes=10)

EDITABLE: Final = frozenset({OrderStatus.PLACED, OrderStatus.ACCEPTED, OrderStatus.PREPARING})
"""While it stands here, staff may move its pick-up time."""
IN_WORK: Final = frozenset({OrderStatus.ACCEPTED, OrderStatus.PREPARING})
"""While it stands here, the bar makes its lines."""
FINAL: Final = frozenset({OrderStatus.COMPLETED, OrderStatus.CANCELLED, OrderStatus.EXPIRED})
OPEN: Final = frozenset(OrderStatus) - FINAL


class IllegalTransitionError(ConflictError):
    """The order can't change from its status to this one, or the actor may not do it."""

    code = "illegal_transition"
    title = "The order can't change to this status."
    advice = "Use one of `allowed`."


class StepBackTooLateError(ConflictError):
    """The move that is to be taken back was made too long ago."""

    code = "step_back_too_late"
    title = "It is too late to take this move back."
    advice = f"Take a move back within {TAKE_BACK_WITHIN // timedelta(minutes=1)} minutes."


class ReasonRequiredError(InvalidError):
    """The drink was made already: its customer has to be told why they don't get it."""

    code = "reason_required"
    title = "Cancelling an order that is ready needs a reason."
    advice = "Send `reason`; the customer is told."


def plan_start(*, promised_at: datetime, work: timedelta, delay: timedelta | None, now: datetime) -> datetime:
    """Return when to begin an order whose customer is late by `delay`, or is here already if `delay` is None.

    The promised time stays. If the customer is here, the order is begun as soon as the shop can; if they are late, it
    is begun later, so that it is fresh.
    """
    planned = promised_at - work
    return min(planned, now) if delay is None else planned + delay


def check_move(
    current: OrderStatus,
    wanted: OrderStatus,
    roles: Iterable[OrderRole],
    *,
    reason: str | None = None,
    time_since_move: timedelta | None = None,
) -> None:
    """Raise IllegalTransitionError unless one of these roles may make the move.

    `time_since_move` is the time since the move forward to the current status, None if it can't be taken back. A step
    back later than `TAKE_BACK_WITHIN` raises StepBackTooLateError. Cancelling an order that is ready needs a reason:
    without one ReasonRequiredError is raised.
    """
    may = set(roles)
    allowed = {to for (start, to), who in MOVES.items() if start == current and who & may}
    if OrderRole.STAFF in may and time_since_move is not None:
        steps_back = {to for start, to in STEPS_BACK if start == current}
        if wanted in steps_back and time_since_move > TAKE_BACK_WITHIN:
            raise StepBackTooLateError
        allowed |= steps_back if time_since_move <= TAKE_BACK_WITHIN else set()
    if wanted not in allowed:
        raise IllegalTransitionError(
            f"An order that is {current} can't become {wanted} by you.",
            status_now=current.value,
            wanted=wanted.value,
            allowed=sorted(to.value for to in allowed),
        )
    if (current, wanted) == (OrderStatus.READY, OrderStatus.CANCELLED) and not reason:
        raise ReasonRequiredError
