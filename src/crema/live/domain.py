"""Limits, close codes and positions of sockets and event streams, as plain values."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final, Self

from crema.core.errors import InvalidError

AUTH_SECONDS: Final = 5
"""How long a socket may take to authenticate."""
MAX_FRAME: Final = 32 * 1024
"""Bytes of one frame. 2,000 characters of 12 bytes each (an escaped emoji) fit into it."""
FRAMES_PER_SECOND: Final = 5
BURST: Final = 10
MAX_RATE_VIOLATIONS: Final = 3
"""How often a socket may exceed the rate before it is closed."""
RATE_VIOLATION_SECONDS: Final = 10
"""After so long one violation doesn't count any more."""
MAX_CONNECTIONS: Final = 5
"""Sockets and event streams that one person may have open, in all processes together."""
TICKET_LIFETIME: Final = timedelta(seconds=30)
RESUMABLE: Final = timedelta(hours=12)
"""A position that is older can't be resumed from."""


class Close(IntEnum):
    """The codes with which the server closes a socket.

    uvicorn adds 1009 for a frame over MAX_FRAME, 1007 for broken UTF-8, 1012 for a restart.
    """

    POLICY = 1008
    TRY_LATER = 1013
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    NOT_FOUND = 4404
    AUTH_TIMEOUT = 4408


@dataclass(frozen=True, slots=True)
class Closing:
    """A close code and its reason: up to 123 bytes that begin with a stable code as in `error` frames."""

    code: Close
    reason: str


NOT_AUTHENTICATED: Final = Closing(Close.UNAUTHENTICATED, "not_authenticated")
NOT_ALLOWED: Final = Closing(Close.FORBIDDEN, "forbidden")
NOT_FOUND: Final = Closing(Close.NOT_FOUND, "not_found")
AUTH_TIMEOUT: Final = Closing(Close.AUTH_TIMEOUT, "auth_timeout")
TOO_FAST: Final = Closing(Close.TRY_LATER, "rate_limited")
TOO_MANY: Final = Closing(Close.TRY_LATER, "too_many_sockets")
TOO_SLOW: Final = Closing(Close.TRY_LATER, "too_slow")
SERVER_BUSY: Final = Closing(Close.TRY_LATER, "server_busy")


@dataclass
class TokenBucket:
    """A token bucket: `size` at once, `per_second` on average. `at` is in seconds of any clock."""

    at: float
    size: float
    per_second: float
    used: float = 0

    def take(self, now: float) -> bool:
        """Take one token; return False if there is none."""
        self.used = max(0, self.used - (now - self.at) * self.per_second)
        self.at = now
        if self.used > self.size - 1:
            return False
        self.used += 1
        return True


class InvalidPositionError(InvalidError):
    """The position is not one that a frame contained, or is beyond the end."""

    code = "invalid_position"
    title = "This position does not exist."
    advice = "Connect without a position, and read everything again."


@dataclass(frozen=True, slots=True)
class Position:
    """How far a feed was read: rows written by the transaction `transaction` or a later one may be unread."""

    transaction: int
    at: datetime

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position that `str` wrote; raise InvalidPositionError."""
        match = re.fullmatch(r"(\d{1,18})-(\d{1,10})", text, re.ASCII)
        if match is None:
            raise InvalidPositionError
        return cls(int(match[1]), datetime.fromtimestamp(int(match[2]), UTC))

    def __str__(self) -> str:
        return f"{self.transaction}-{int(self.at.timestamp())}"
