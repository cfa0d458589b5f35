"""Limits of files, and names of pictures. Pure."""

import re
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 5 * 1024 * 1024
"""Bytes of one file."""
MAX_PIXELS: Final = 16_000_000
MAX_SIDE: Final = 8000
IMAGE_WIDTHS: Final = (320, 640, 1280)
"""The widths in which a picture is stored, up to its own width."""
MEDIA_NAME: Final = re.compile(r"(?P<key>[0-9a-f]{32})-[0-9]{1,4}\.webp", re.ASCII)
"""The names of public pictures. Other names are not looked up."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of what one person may upload for one purpose. Refused files count, too: they cost as much."""

    purpose: str
    per_minute: int
    bytes_per_day: int


CHAT_QUOTA: Final = Quota("chat", per_minute=30, bytes_per_day=100 * 1024**2)
MENU_QUOTA: Final = Quota("menu", per_minute=60, bytes_per_day=1024**3)
WORKBOOK_QUOTA: Final = Quota("workbook", per_minute=20, bytes_per_day=200 * 1024**2)


def media_name(key: str, width: int) -> str:
    """Return the file name of a public picture in one width."""
    return f"{key}-{width}.webp"
