"""What the descriptions of the API say of the application as a whole: OpenAPI's of HTTP, AsyncAPI's of sockets."""

from typing import Any, Final

from crema import __version__
from crema.accounts.deps import ACCESS, ACTOR_ERRORS
from crema.demo import examples
from crema.orders import socket as orders_live
from crema.settings import Settings
from crema.support import socket as support_socket
from crema.web import asyncapi, credentials, openapi
from crema.web.cookies import Cookies

TAGS: Final = {
    "Users management": "Register, verify an address, log in; people, and the roles that give them permissions.",
    "Working with JWT": "Access tokens of ten minutes, refresh tokens that are good once, and the logins behind them.",
    "Menu": "Categories, products with sizes, modifier groups and pictures. Anyone reads it; `menu:write` changes it.",
    "Shops and static information": "The chain, its shops and when they are open.",
    "Cart": "What a person is about to order, with prices as they are now.",
    "Orders": "Orders ahead, from `placed` to `completed`, and the shop's board.",
    "Reports": "What was sold.",
    "Support chat": "Conversations with customers, also over WebSocket.",
    "Operations": "Mails, health and metrics, for those who run it.",
}
EXTRAS: Final = openapi.Extras(
    access=ACCESS, errors=ACTOR_ERRORS, bodies=examples.BODIES, parameters=examples.PARAMETERS
)
CHANNELS: Final = (*support_socket.CHANNELS, *orders_live.CHANNELS)
SOCKETS: Final = """\
Say who you are by the header `Authorization: Bearer …` or, within 5 seconds, by a first frame `auth` with an access
token or with a ticket of `POST /chat/ticket`; never in the address. A page of another origin is answered with 403.

Frames are JSON texts of up to 32 KiB, five a second; the third excess within ten seconds closes the socket. A text of
2,000 characters fits whatever way it is escaped; a character is a Unicode code point, over HTTP and here. `typing`
holds for five seconds. A person holds at most five sockets, event streams of `GET /orders/live` among them; a sixth
socket takes the place of the oldest.

A close has a code and a reason, which begins with a stable word. 1012 (restart), 1013 and 4408 pass by themselves: come
back with a back-off. But not after 1013 `too_many_sockets`: a newer socket of the same person took this one's place,
and two would take each other's for ever; come back when the person does. Coming back is of no use after 1008 (the
address is wrong), 4401 (the login doesn't count any more), 4403 (it may not do this any more) and 4404 (no such
conversation).

| code | reason |
|---|---|
| 1008 | `validation_error: …`, `invalid_position: …` |
| 1009 | the frame was over 32 KiB: drop it, then come back |
| 1012 | the server restarts |
| 1013 | `rate_limited`, `too_slow` (nothing read for 20 seconds), `server_busy`, `too_many_sockets` |
| 4401 | `not_authenticated` |
| 4403 | `forbidden`, `email_not_verified` |
| 4404 | `not_found` |
| 4408 | `auth_timeout` |

A role or shops that change close a socket only if it isn't allowed any more. What is seen follows at once.
"""


def describe_api(settings: Settings) -> str:
    """Return the introduction of the OpenAPI document, with what makes trying it easy where that is there."""
    parts = [openapi.DESCRIPTION]
    if settings.has_mailbox:
        parts.append("Mails are on the page [/mailbox](/mailbox), for programs in [/mailbox.json](/mailbox.json).\n")
    if settings.has_demo:
        parts.append(examples.accounts_table())
    return "\n".join(parts)


def describe_sockets(settings: Settings, cookies: Cookies) -> dict[str, Any]:
    """Return the AsyncAPI document."""
    return asyncapi.describe(
        CHANNELS,
        title="Crema",
        version=__version__,
        description=SOCKETS,
        url=settings.links_to,
        schemes=credentials.schemes_of_sockets(cookies),
    )
