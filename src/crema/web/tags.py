"""Entity tags (RFC 9110, 8.8.3): written, and read from If-Match and If-None-Match."""

import hashlib
import re
from typing import Final

_TAG: Final = re.compile(r'(W/)?"([^"]*)"')


def tag(version: str, content: bytes | memoryview) -> str:
    """Return the strong tag of a version of something that can be edited, as it is sent."""
    return f'"{version}.{hashlib.sha256(content).hexdigest()[:16]}"'


def tag_of(content: bytes | memoryview) -> str:
    """Return the strong tag of what is only read: of all that is sent, or of what names it."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def matches(header: str, etag: str) -> bool:
    """Whether If-None-Match names this tag. Weak tags count, as that header compares."""
    return header == "*" or etag in {each.strip().removeprefix("W/") for each in header.split(",")}


def versions_in(header: str) -> frozenset[str]:
    """Return the versions that the tags of If-Match name. Weak tags never match, and are left out."""
    return frozenset(text.partition(".")[0] for weak, text in _TAG.findall(header) if not weak)
