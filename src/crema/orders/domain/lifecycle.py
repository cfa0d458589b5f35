"""The life of an order: which move is whose. Pure."""

from collections.abc import Iterable
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Final

from crema.core.errors import ConflictError, InvalidError


class OrderStatus(StrEnum):
    """Where an order stands."""

    PLACED = "placed"
    ACCEPTED = "accepted"
    PREPARING = "preparing"
    READY = "ready"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Party(Enum):
    """In what capacity someone moves an order."""

    OWNER = "owner"
    STAFF = "staff"
    SYSTEM = "system"


MOVES: Final[dict[tuple[OrderStatus, OrderStatus], frozenset[Party]]] = {
    (OrderStatus.PLACED, OrderStatus.ACCEPTED): frozenset({Party.STAFF, Party.SYSTEM}),
    (OrderStatus.PLACED, OrderStatus.CANCELLED): frozenset({Party.OWNER, Party.STAFF, Party.SYSTEM}),
    (OrderStatus.ACCEPTED, OrderStatus.PREPARING): frozenset({Party.STAFF}),
    (OrderStatus.ACCEPTED, OrderStatus.CANCELLED): frozenset({Party.OWNER, Party.STAFF, Party.SYSTEM}),
    (OrderStatus.PREPARING, OrderStatus.READY): frozenset({Party.STAFF}),
    (OrderStatus.PREPARING, OrderStatus.CANCELLED): frozenset({Party.STAFF, Party.SYSTEM}),
    (OrderStatus.READY, OrderStatus.COMPLETED): frozenset({Party.STAFF}),
    (OrderStatus.READY, OrderStatus.CANCELLED): frozenset({Party.STAFF, Party.SYSTEM}),
    (OrderStatus.READY, OrderStatus.EXPIRED): frozenset({Party.SYSTEM}),
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
    """The order can't move there from where it stands, or not by you."""

    code = "illegal_transition"
    title = "The order can't move there."


class StepBackTooLateError(ConflictError):
    """The move that is to be taken back was made too long ago."""

    code = "step_back_too_late"
    title = f"A move can be taken back within {TAKE_BACK_WITHIN // timedelta(minutes=1)} minutes."


class ReasonRequiredError(InvalidError):
    """The customer of a drink that was made is told why they won't get it."""

    code = "reason_required"
    title = "Say why an order that is ready is cancelled: send `reason`."


def check_move(
    current: OrderStatus,
    wanted: OrderStatus,
    parties: Iterable[Party],
    *,
    reason: str | None = None,
    made_ago: timedelta | None = None,
) -> None:
    """Raise IllegalTransitionError unless one of these capacities may make the move.

    `made_ago` is how long ago a move forward brought the order where it is, None if none can be taken back. A step
    back that comes later than `TAKE_BACK_WITHIN` is a StepBackTooLateError. ReasonRequiredError where a drink that is
    ready is cancelled without a reason.
    """
    may = set(parties)
    allowed = {to for (start, to), who in MOVES.items() if start == current and who & may}
    if Party.STAFF in may and made_ago is not None:
        steps_back = {to for start, to in STEPS_BACK if start == current}
        if wanted in steps_back and made_ago > TAKE_BACK_WITHIN:
            raise StepBackTooLateError
        allowed |= steps_back if made_ago <= TAKE_BACK_WITHIN else set()
    if wanted not in allowed:
        raise IllegalTransitionError(
            f"An order that is {current} can't become {wanted} by you.",
            status_now=current.value,
            wanted=wanted.value,
            allowed=sorted(to.value for to in allowed),
        )
    if (current, wanted) == (OrderStatus.READY, OrderStatus.CANCELLED) and not reason:
        raise ReasonRequiredError
