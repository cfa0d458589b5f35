"""ETags (RFC 9110, 8.8.3): making them, and reading them from If-Match and If-None-Match."""

import hashlib
import re
from typing import Final

_TAG: Final = re.compile(r'(W/)?"([^"]*)"')


def tag(version: str, content: bytes | memoryview) -> str:
    """Return the strong ETag of a version of something that can be edited, and of its content."""
    return f'"{version}.{hashlib.sha256(content).hexdigest()[:16]}"'


def tag_of(content: bytes | memoryview) -> str:
    """Return the strong ETag of something that can't be edited, by its content or by what identifies that."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def matches(header: str, etag: str) -> bool:
    """Return whether If-None-Match names this ETag. That header compares weak ETags, too."""
    return header == "*" or etag in {each.strip().removeprefix("W/") for each in header.split(",")}


def versions_in(header: str) -> frozenset[str]:
    """Return the versions in the ETags of If-Match. Weak ETags never match, and are left out."""
    return frozenset(text.partition(".")[0] for weak, text in _TAG.findall(header) if not weak)
