"""Limits of mails with codes to one address: for each network that requests them, and for all networks together.

Somebody else uses up only the limit of their own network, so the owner of the address still gets mails from another.
The limit for all networks stops a flood from many. Its window is the 15 minutes for which a code is valid, so that the
last code is still valid when the limit is reached. After the limit of the day, one mail an hour is still sent.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import mailbox_of
from crema.accounts.service import throttle
from crema.accounts.service.codes import DAY, LIFETIME
from crema.accounts.service.throttle import TooManyAttemptsError

HOUR: Final = timedelta(hours=1)
PER_NETWORK: Final = {"hour": (3, HOUR), "day": (5, DAY)}
"""Mails of one purpose to one address that one network may request."""
PER_ADDRESS: Final = (5, LIFETIME)
PER_ADDRESS_A_DAY: Final = (10, DAY)
PER_ADDRESS_AFTERWARDS: Final = (1, HOUR)
"""Mails of one purpose to one address from all networks, after the limit of the day is reached."""
REQUESTS_PER_NETWORK: Final = (300, HOUR)
"""Requests for mails from one network to all addresses."""


async def count_request(session: AsyncSession, *, network: str, now: datetime) -> None:
    """Count a request for a mail that anyone may make; raise TooManyAttemptsError past the limit."""
    limit, window = REQUESTS_PER_NETWORK
    await throttle.count(session, key=f"mail-asked:{network}", limit=limit, window=window, now=now)


async def count(session: AsyncSession, *, purpose: str, email: str, network: str, now: datetime) -> None:
    """Count one mail; raise TooManyAttemptsError past the limit of the network or of the address."""
    await count_for_network(session, purpose=purpose, email=email, network=network, now=now)
    await count_for_address(session, purpose=purpose, email=email, now=now)


async def count_for_network(session: AsyncSession, *, purpose: str, email: str, network: str, now: datetime) -> None:
    """Count one mail that this network requested; raise TooManyAttemptsError past its limit."""
    for name, (limit, window) in PER_NETWORK.items():
        key = f"mail:{purpose}:{mailbox_of(email)}:{network}:{name}"
        await throttle.count(session, key=key, limit=limit, window=window, now=now)


async def count_for_address(session: AsyncSession, *, purpose: str, email: str, now: datetime) -> None:
    """Count one mail to this address, from whichever network; raise TooManyAttemptsError past the limit."""
    mailbox = f"mail:{purpose}:{mailbox_of(email)}"
    limit, window = PER_ADDRESS
    await throttle.count(session, key=f"{mailbox}:all", limit=limit, window=window, now=now)
    try:
        limit, window = PER_ADDRESS_A_DAY
        await throttle.count(session, key=f"{mailbox}:all-day", limit=limit, window=window, now=now)
    except TooManyAttemptsError:
        limit, window = PER_ADDRESS_AFTERWARDS
        await throttle.count(session, key=f"{mailbox}:all-hour", limit=limit, window=window, now=now)


async def count_and_decide(
    session: AsyncSession, *, purpose: str, email: str, network: str, now: datetime
) -> "MailDecision":
    """Count a mail that anyone may request, and return whether to send it. The response must not depend on it."""
    try:
        await count_request(session, network=network, now=now)
        await count_for_network(session, purpose=purpose, email=email, network=network, now=now)
    except TooManyAttemptsError:
        return "refused"
    try:
        await count_for_address(session, purpose=purpose, email=email, now=now)
    except TooManyAttemptsError:
        return "flooded"
    return "sent"


MailDecision = Literal["sent", "flooded", "refused"]
"""`flooded`: send no mail, but keep a valid code valid, because the owner of the address has it."""
