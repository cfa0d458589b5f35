"""The life of an order: which move is whose. Pure."""

from collections.abc import Iterable
from enum import Enum, StrEnum
from typing import Final
from uuid import UUID

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


Status = OrderStatus


class Party(Enum):
    """In what capacity someone moves an order."""

    OWNER = "owner"
    STAFF = "staff"
    SYSTEM = "system"


MOVES: Final[dict[tuple[Status, Status], frozenset[Party]]] = {
    (Status.PLACED, Status.ACCEPTED): frozenset({Party.STAFF, Party.SYSTEM}),
    (Status.PLACED, Status.CANCELLED): frozenset({Party.OWNER, Party.STAFF, Party.SYSTEM}),
    (Status.ACCEPTED, Status.PREPARING): frozenset({Party.STAFF}),
    (Status.ACCEPTED, Status.CANCELLED): frozenset({Party.OWNER, Party.STAFF, Party.SYSTEM}),
    (Status.PREPARING, Status.READY): frozenset({Party.STAFF}),
    (Status.PREPARING, Status.CANCELLED): frozenset({Party.STAFF, Party.SYSTEM}),
    (Status.READY, Status.COMPLETED): frozenset({Party.STAFF}),
    (Status.READY, Status.CANCELLED): frozenset({Party.STAFF, Party.SYSTEM}),
    (Status.READY, Status.EXPIRED): frozenset({Party.SYSTEM}),
}
"""The whole table; what isn't in it can't happen."""

EDITABLE: Final = frozenset({Status.PLACED, Status.ACCEPTED, Status.PREPARING})
"""While it stands here, staff may move its pick-up time."""
IN_WORK: Final = frozenset({Status.ACCEPTED, Status.PREPARING})
"""While it stands here, the bar makes its lines."""
FINAL: Final = frozenset({Status.COMPLETED, Status.CANCELLED, Status.EXPIRED})
OPEN: Final = frozenset(Status) - FINAL
LIVE: Final = "orders"
"""Where who follows orders is seen to be."""
EVERYWHERE: Final = "orders:everywhere"
"""The topic of all orders' changes."""


class IllegalTransitionError(ConflictError):
    """The order can't move there from where it stands, or not by you."""

    code = "illegal_transition"
    title = "The order can't move there."


class ReasonRequiredError(InvalidError):
    """The customer of a drink that was made is told why they won't get it."""

    code = "reason_required"
    title = "Say why an order that is ready is cancelled: send `reason`."


def check_move(current: Status, wanted: Status, parties: Iterable[Party], *, reason: str | None = None) -> None:
    """Raise IllegalTransitionError unless one of these capacities may make the move.

    ReasonRequiredError where a drink that is ready is cancelled without one.
    """
    if not MOVES.get((current, wanted), frozenset()) & set(parties):
        raise IllegalTransitionError(
            f"An order that is {current} can't become {wanted} by you.",
            status_now=current.value,
            wanted=wanted.value,
            allowed=sorted(to.value for (start, to), who in MOVES.items() if start == current and who & set(parties)),
        )
    if (current, wanted) == (Status.READY, Status.CANCELLED) and not reason:
        raise ReasonRequiredError


def topic_of_person(user_id: UUID) -> str:
    """Name a person's own orders as a topic of events."""
    return f"orders:of:{user_id}"


def topic_of_shop(shop_id: UUID) -> str:
    """Name a shop's orders as a topic of events."""
    return f"orders:at:{shop_id}"
