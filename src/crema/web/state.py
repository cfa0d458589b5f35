"""What requests, sockets and middlewares read from the application, by type.

The application holds a few frozen objects, its parts: `WebState` and `DatabaseState`, and one for each feature, defined
in the feature's `deps`. `crema.state` makes them. `state_of` is the only way to read one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from starlette.applications import Starlette

from crema.db.driver import Connections, Reader
from crema.db.hints import Bus
from crema.db.session import Sessions
from crema.web.cookies import Cookies
from crema.web.origins import Origins

Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True, slots=True)
class WebState:
    """The values of settings that `web` itself uses."""

    clock: Callable[[], datetime]
    cookies: Cookies
    origins: Origins
    public_url: str | None
    security_contacts: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseState:
    """The ways to the database; each kind of work has connections of its own."""

    sessions: Sessions
    autocommit_sessions: Sessions
    """The same without a transaction, for reads."""
    live_sessions: Sessions
    """For sockets and feeds."""
    reader: Reader
    identity_reader: Reader
    """For the question who is asking."""
    health_reader: Reader
    writing: Connections
    """For `db.driver.Writer`."""
    bus: Bus | None


def install(app: Starlette, *parts: object) -> None:
    """Add these parts to the application; each replaces an earlier one of its type."""
    earlier: Mapping[type, object] = getattr(app.state, "parts", {})
    app.state.parts = {**earlier, **{type(part): part for part in parts}}


def state_of(app: Starlette, part: type[Part]) -> Part:
    """Return the application's part of this type. LookupError if it has none (yet)."""
    parts: Mapping[type, object] = getattr(app.state, "parts", {})
    found = parts.get(part)
    if not isinstance(found, part):
        raise LookupError(f"The application has no {part.__name__}.")  # noqa: TRY004 - it is missing, not of a wrong type
    return found
