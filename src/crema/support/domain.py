"""What a conversation is, as plain values."""

from enum import StrEnum
from typing import Final

MAX_TEXT: Final = 2_000
"""Characters of one message."""
SUPPORT: Final = "support:write"
"""The permission to answer customers."""


class Status(StrEnum):
    """Where a conversation stands. A new message of the customer makes it open again."""

    OPEN = "open"
    PENDING = "pending"
    RESOLVED = "resolved"
