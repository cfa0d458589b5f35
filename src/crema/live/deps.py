"""What sockets and streams take from the application."""

from dataclasses import dataclass

from crema.live.hub import Hub


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveState:
    """What the application holds for sockets and feeds."""

    hub: Hub
