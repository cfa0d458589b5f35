"""The state of the application for sockets and event streams."""

from dataclasses import dataclass

from crema.live.hub import Hub


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveState:
    """The hub of this process."""

    hub: Hub
