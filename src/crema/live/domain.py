"""The rules of a socket, as plain values."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final, Self

from crema.core.errors import InvalidError

AUTH_SECONDS: Final = 5
"""How long a socket may stay silent before it says who it is."""
MAX_FRAME: Final = 32 * 1024
"""Bytes of one frame. 2,000 characters of 12 bytes each (an emoji, escaped) fit."""
FRAMES_PER_SECOND: Final = 5
BURST: Final = 10
STRIKES: Final = 3
"""How often a socket may exceed the rate before it is closed."""
STRIKE_SECONDS: Final = 10
"""One strike is forgotten after so long."""
MAX_CONNECTIONS: Final = 5
"""Sockets and event streams one person may hold, in all processes together."""
TICKET_LIFETIME: Final = timedelta(seconds=30)
RESUMABLE: Final = timedelta(hours=12)
"""A feed's position that is older can't be resumed."""


class Close(IntEnum):
    """Why the server closes a socket.

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
    """A close code and its reason: up to 123 bytes, first a stable code as in `error` frames."""

    code: Close
    reason: str


LOGIN_OVER: Final = Closing(Close.UNAUTHENTICATED, "not_authenticated")
NOT_ALLOWED: Final = Closing(Close.FORBIDDEN, "forbidden")
NO_SUCH: Final = Closing(Close.NOT_FOUND, "not_found")
AUTH_TIMEOUT: Final = Closing(Close.AUTH_TIMEOUT, "auth_timeout")
TOO_FAST: Final = Closing(Close.TRY_LATER, "rate_limited")
TOO_MANY: Final = Closing(Close.TRY_LATER, "too_many_sockets")
TOO_SLOW: Final = Closing(Close.TRY_LATER, "too_slow")
SERVER_BUSY: Final = Closing(Close.TRY_LATER, "server_busy")


@dataclass
class Bucket:
    """A token bucket: `size` at once, `per_second` on average. `at` is in seconds of any clock."""

    at: float
    size: float
    per_second: float
    used: float = 0

    def take(self, now: float) -> bool:
        """Take one; False when there is none."""
        self.used = max(0, self.used - (now - self.at) * self.per_second)
        self.at = now
        if self.used > self.size - 1:
            return False
        self.used += 1
        return True


class InvalidPositionError(InvalidError):
    """Not what a frame called its position, or beyond the end."""

    code = "invalid_position"
    title = "This position does not exist."
    advice = "Connect without a position, and read everything again."


@dataclass(frozen=True, slots=True)
class Position:
    """How far a feed was read: what transaction `transaction` or a later one wrote may be unread."""

    transaction: int
    at: datetime

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote. Raises InvalidPositionError."""
        match = re.fullmatch(r"(\d{1,18})-(\d{1,10})", text, re.ASCII)
        if match is None:
            raise InvalidPositionError
        return cls(int(match[1]), datetime.fromtimestamp(int(match[2]), UTC))

    def __str__(self) -> str:
        return f"{self.transaction}-{int(self.at.timestamp())}"
