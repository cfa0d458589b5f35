"""People who come in through the front door, and the mails they get."""

from datetime import UTC, datetime
from typing import Any

import httpx2
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema import worker
from crema.events.service import consuming
from crema.notifications.models import Mail

PASSWORD = "oat milk please"


async def register(
    client: httpx2.AsyncClient, email: str = "anna@example.com", *, password: str = PASSWORD, **fields: Any
) -> httpx2.Response:
    return await client.post("/registration", json={"email": email, "password": password, **fields})


async def verify(
    client: httpx2.AsyncClient, code: str, email: str = "anna@example.com", **proof: str
) -> httpx2.Response:
    """Enter a code, with the `registration_id` or `password` of the attempt that is meant."""
    return await client.post("/verification", json={"email": email, "code": code, **proof})


async def authenticate(
    client: httpx2.AsyncClient, email: str = "anna@example.com", password: str = PASSWORD
) -> httpx2.Response:
    return await client.post("/authentication", json={"email": email, "password": password})


async def sign_up(
    client: httpx2.AsyncClient, session: AsyncSession, email: str = "anna@example.com", **fields: Any
) -> dict[str, Any]:
    """Register and verify; give the person."""
    await register(client, email, **fields)
    answer = await verify(client, await last_code(session, email), email)
    assert answer.status_code == 200, answer.text
    user: dict[str, Any] = answer.json()
    return user


async def sign_in(
    client: httpx2.AsyncClient, session: AsyncSession, email: str = "anna@example.com", **fields: Any
) -> dict[str, Any]:
    """Register, verify and log in; give the tokens."""
    await sign_up(client, session, email, **fields)
    tokens: dict[str, Any] = (await authenticate(client, email)).json()
    return tokens


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    """Make the header of whoever holds these tokens."""
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def consume_events(session: AsyncSession) -> None:
    """Do what the worker does about what was logged, such as queueing the mails about orders."""
    for consumer in worker.consumers(shop_language="ru"):
        await consuming.handle_next(session, consumer, now=datetime.now(UTC))
    await session.flush()


async def mails_to(session: AsyncSession, email: str = "anna@example.com", template: str | None = None) -> list[Mail]:
    """Read a mailbox, oldest first, once the worker has followed the log."""
    await consume_events(session)
    wanted = select(Mail).where(Mail.recipient == email).order_by(Mail.id)
    return list(await session.scalars(wanted.where(Mail.template == template) if template else wanted))


async def last_code(session: AsyncSession, email: str = "anna@example.com", template: str = "verification_code") -> str:
    mails = await mails_to(session, email, template)
    code: str = mails[-1].context["code"]
    return code


def wrong(*codes: str) -> str:
    """Give a code that is none of these."""
    return next(code for code in ("111111", "222222", "333333", "444444") if code not in codes)
