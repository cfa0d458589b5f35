"""The life of an order: which move is whose, its number, and when it will be ready. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Final
from uuid import UUID

from crema.core.errors import ConflictError


class Status(StrEnum):
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


MOVES: Final[dict[tuple[Status, Status], frozenset[Party]]] = {
    (Status.PLACED, Status.ACCEPTED): frozenset({Party.STAFF, Party.SYSTEM}),
    (Status.PLACED, Status.CANCELLED): frozenset({Party.OWNER, Party.STAFF, Party.SYSTEM}),
    (Status.ACCEPTED, Status.PREPARING): frozenset({Party.STAFF}),
    (Status.ACCEPTED, Status.CANCELLED): frozenset({Party.OWNER, Party.STAFF, Party.SYSTEM}),
    (Status.PREPARING, Status.READY): frozenset({Party.STAFF}),
    (Status.PREPARING, Status.CANCELLED): frozenset({Party.STAFF, Party.SYSTEM}),
    (Status.READY, Status.COMPLETED): frozenset({Party.STAFF}),
    (Status.READY, Status.EXPIRED): frozenset({Party.SYSTEM}),
}
"""The whole table; what isn't in it can't happen."""

FINAL: Final = frozenset({Status.COMPLETED, Status.CANCELLED, Status.EXPIRED})
OPEN: Final = frozenset(Status) - FINAL
HANDLING: Final = timedelta(minutes=2)
"""From the order reaching the counter to the first drink being started."""
FURTHEST_PICKUP: Final = timedelta(days=7)

LIVE: Final = "orders"
"""Where who follows orders is seen to be."""
EVERYWHERE: Final = "orders:everywhere"
"""The topic of all orders' changes."""


class IllegalTransitionError(ConflictError):
    """The order can't move there from where it stands, or not by you."""

    code = "illegal_transition"
    title = "The order can't move there."


def check_move(current: Status, wanted: Status, parties: Iterable[Party]) -> None:
    """Raise IllegalTransitionError unless one of these capacities may make the move."""
    if not MOVES.get((current, wanted), frozenset()) & set(parties):
        raise IllegalTransitionError(
            f"An order that is {current} can't become {wanted} by you.",
            status_now=current.value,
            wanted=wanted.value,
            allowed=sorted(to.value for (start, to), who in MOVES.items() if start == current and who & set(parties)),
        )


def number_of(sequence: int) -> str:
    """Name the n-th order of a shop's day, n from 1: A-001 to A-999, B-001 … Z-999, AA-001 and on."""
    block, rest = divmod(sequence - 1, 999)
    letters = ""
    while True:
        letters = chr(ord("A") + block % 26) + letters
        block = block // 26 - 1
        if block < 0:
            return f"{letters}-{rest + 1:03d}"


def estimate_ready(*, now: datetime, pickup_at: datetime | None, work_seconds: int) -> datetime:
    """Estimate when it will be ready: one pair of hands makes it from now on, and never before it's wanted."""
    soonest = now + HANDLING + timedelta(seconds=work_seconds)
    return max(soonest, pickup_at) if pickup_at else soonest


def topic_of_person(user_id: UUID) -> str:
    """Name a person's own orders as a topic of events."""
    return f"orders:of:{user_id}"


def topic_of_shop(shop_id: UUID) -> str:
    """Name a shop's orders as a topic of events."""
    return f"orders:at:{shop_id}"
