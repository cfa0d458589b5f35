"""How many mails with codes go to an address: so many for each network that asks, and so many for all together.

A stranger uses up the share of their own network, and the owner of the address still gets a mail from another. The
bound for all stops a flood from many networks. It is counted by the quarter of an hour that a code lives, so that when
it is reached the last code mailed is still good; and past the day's mails one an hour still goes.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import mailbox_of
from crema.accounts.service import throttle
from crema.accounts.service.codes import DAY, LIFETIME
from crema.accounts.service.throttle import TooManyAttemptsError

HOUR: Final = timedelta(hours=1)
SHARE: Final = {"hour": (3, HOUR), "day": (5, DAY)}
"""Mails of one kind to one address that one network may ask for."""
TOTAL: Final = (5, LIFETIME)
TOTAL_A_DAY: Final = (10, DAY)
TOTAL_AFTERWARDS: Final = (1, HOUR)
"""Mails of one kind to one address, whoever asks: past those of a day."""
REQUESTS: Final = (300, HOUR)
"""Requests for mails from one network, whoever they are for."""


async def count_request(session: AsyncSession, *, network: str, now: datetime) -> None:
    """Count a request that anyone may make; raise TooManyAttemptsError past the limit."""
    limit, window = REQUESTS
    await throttle.count(session, key=f"mail-asked:{network}", limit=limit, window=window, now=now)


async def count(session: AsyncSession, *, purpose: str, email: str, network: str, now: datetime) -> None:
    """Count one mail; raise TooManyAttemptsError past the network's share, or past the bound for all."""
    await count_share(session, purpose=purpose, email=email, network=network, now=now)
    await count_for_all(session, purpose=purpose, email=email, now=now)


async def count_share(session: AsyncSession, *, purpose: str, email: str, network: str, now: datetime) -> None:
    """Count one mail that this network asked for; raise TooManyAttemptsError past its share."""
    for name, (limit, window) in SHARE.items():
        key = f"mail:{purpose}:{mailbox_of(email)}:{network}:{name}"
        await throttle.count(session, key=key, limit=limit, window=window, now=now)


async def count_for_all(session: AsyncSession, *, purpose: str, email: str, now: datetime) -> None:
    """Count one mail, whoever asked; raise TooManyAttemptsError past the bound for all."""
    mailbox = f"mail:{purpose}:{mailbox_of(email)}"
    limit, window = TOTAL
    await throttle.count(session, key=f"{mailbox}:all", limit=limit, window=window, now=now)
    try:
        limit, window = TOTAL_A_DAY
        await throttle.count(session, key=f"{mailbox}:all-day", limit=limit, window=window, now=now)
    except TooManyAttemptsError:
        limit, window = TOTAL_AFTERWARDS
        await throttle.count(session, key=f"{mailbox}:all-hour", limit=limit, window=window, now=now)


async def may_mail(session: AsyncSession, *, purpose: str, email: str, network: str, now: datetime) -> "Permit":
    """Count a mail that anyone may ask for, and say whether it may go out. The answer must not show to the asker."""
    try:
        await count_request(session, network=network, now=now)
        await count_share(session, purpose=purpose, email=email, network=network, now=now)
    except TooManyAttemptsError:
        return "refused"
    try:
        await count_for_all(session, purpose=purpose, email=email, now=now)
    except TooManyAttemptsError:
        return "flooded"
    return "sent"


Permit = Literal["sent", "flooded", "refused"]
"""`flooded`: no mail may go out, but a code that lives is to be kept valid, since its owner has it."""
