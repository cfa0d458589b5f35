"""The rules of a socket, as plain values."""

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Final

AUTH_SECONDS: Final = 5
"""How long a socket may stay silent before it says who it is."""
FRAMES_PER_SECOND: Final = 5
BURST: Final = 10
STRIKES: Final = 3
"""How often a socket may exceed the rate before it is closed."""
MAX_SEATS: Final = 5
"""Sockets and event streams one person may hold, in all processes together."""
TICKET_LIFETIME: Final = timedelta(seconds=30)


class Close(IntEnum):
    """Why the server hangs up. uvicorn adds 1009 for a frame over 16 KiB, 1007 for broken UTF-8, 1012 for a restart."""

    POLICY = 1008
    TRY_LATER = 1013
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    NOT_FOUND = 4404
    AUTH_TIMEOUT = 4408


@dataclass
class Bucket:
    """A token bucket: BURST at once, FRAMES_PER_SECOND on average. `at` is in seconds of any clock."""

    at: float
    left: float = BURST

    def take(self, now: float) -> bool:
        """Take one; False when there is none."""
        self.left = min(BURST, self.left + (now - self.at) * FRAMES_PER_SECOND)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True
