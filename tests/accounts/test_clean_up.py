"""Forgetting people who never verified, and what nobody needs any more."""

from datetime import timedelta

import httpx2
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import OneTimeCode, RefreshToken, Session, Throttle, User
from crema.accounts.service import cleanup
from crema.db.session import Sessions
from factories.orders import make_shop, make_simple_product
from factories.people import authenticate, bearer, last_code, register, sign_in, sign_up, verify
from fixtures.app import Clock

pytestmark = pytest.mark.anyio
TTL = timedelta(hours=48)


async def clean(session: AsyncSession, clock: Clock, **limits: int) -> int:
    deleted = await cleanup.delete_unverified(session, older_than=TTL, now=clock(), **limits)
    await session.commit()
    return deleted


async def emails(session: AsyncSession) -> list[str | None]:
    return list(await session.scalars(select(User.email).order_by(User.email)))


async def test_r5_two_days_to_the_second(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    await register(client)
    clock.advance(hours=47, minutes=59, seconds=59)
    assert await clean(session, clock) == 0
    assert await emails(session) == ["anna@example.com"]

    clock.advance(seconds=2)

    assert await cleanup.count_unverified(session, older_than=TTL, now=clock()) == 1
    assert await clean(session, clock) == 1
    assert await emails(session) == []


async def test_the_address_is_free_again(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    old = (await register(client)).json()
    clock.advance(days=3)
    await clean(session, clock)

    assert (await verify(client, await last_code(session))).status_code == 422
    new = await sign_up(client, session)

    assert new["id"] != old["id"]
    assert (await authenticate(client)).status_code == 200


async def test_registering_again_starts_anew(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    """Or the code just mailed would confirm nothing."""
    await register(client)
    clock.advance(hours=47, minutes=59)
    await register(client)
    clock.advance(minutes=2)

    assert await clean(session, clock) == 0
    assert (await verify(client, await last_code(session))).status_code == 200


async def test_a_code_sent_again_keeps_its_person_until_its_end(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    """The code was asked for three seconds before the clean-up."""
    await register(client)
    clock.advance(hours=48, seconds=1)
    await client.post("/verification/resend", json={"email": "anna@example.com"})
    clock.advance(seconds=3)
    assert await clean(session, clock) == 0

    clock.advance(minutes=14)
    assert await clean(session, clock) == 0
    assert (await verify(client, await last_code(session))).status_code == 200


async def test_two_days_and_a_code_s_life(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    await register(client)
    clock.advance(hours=48, seconds=1)
    await client.post("/verification/resend", json={"email": "anna@example.com"})
    clock.advance(minutes=15)

    assert await clean(session, clock) == 1


async def test_each_attempt_is_forgotten_in_its_own_time(
    client: httpx2.AsyncClient, session: AsyncSession, sessions: Sessions, clock: Clock
) -> None:
    """A stranger who registers the address again and again keeps only themselves."""
    await register(client, name="Анна")
    clock.advance(hours=47)
    await register(client, password="a stranger's password", name="Мэллори")
    clock.advance(hours=2)

    assert await clean(session, clock) == 0
    await cleanup.prune(sessions, attempts_kept=TTL, now=clock())
    assert list(await session.scalars(select(OneTimeCode.name))) == ["Мэллори"]
    clock.advance(hours=47)
    assert await clean(session, clock) == 1


async def test_never_the_verified_nor_anyone_with_an_order(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, session: AsyncSession, sessions: Sessions, clock: Clock
) -> None:
    await sign_up(client, session, "verified@example.com")
    order = {
        "shop_id": str(await make_shop(sessions)),
        "items": [{"product_id": str(await make_simple_product(sessions))}],
    }
    assert (await customer.post("/order", json=order)).status_code == 201
    await session.execute(update(User).where(User.id == customer.person.id).values(verified_at=None))
    await session.commit()
    clock.advance(days=30)

    assert await cleanup.count_unverified(session, older_than=TTL, now=clock()) == 0
    assert await clean(session, clock) == 0
    assert await emails(session) == ["anna@example.com", "verified@example.com"]


async def test_goes_in_batches_the_oldest_first(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    for name in "cab":
        await register(client, f"{name}@example.com")
        clock.advance(seconds=1)
    clock.advance(days=3)

    assert await clean(session, clock, batch=2) == 2
    assert await emails(session) == ["b@example.com"]
    assert await clean(session, clock, batch=2) == 1


async def test_a_metric_says_how_many(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    def deleted() -> float:
        return REGISTRY.get_sample_value("crema_unverified_deleted_total") or 0

    before = deleted()
    await register(client)
    clock.advance(days=3)

    await clean(session, clock)

    assert deleted() - before == 1


async def test_prunes_codes_counters_and_logins(
    client: httpx2.AsyncClient, session: AsyncSession, sessions: Sessions, clock: Clock
) -> None:
    await sign_in(client, session)
    await client.post("/password/forgot", json={"email": "anna@example.com"})
    tables = (OneTimeCode, Throttle, Session, RefreshToken)

    async def left() -> list[bool]:
        await cleanup.prune(sessions, attempts_kept=TTL, now=clock())
        await session.commit()
        return [bool(await session.scalar(select(func.count()).select_from(table))) for table in tables]

    assert await left() == [True, True, True, True]
    clock.advance(days=2)
    assert await left() == [False, False, True, True]
    clock.advance(days=29)
    assert await left() == [False, False, True, False]
    clock.advance(days=30)
    assert await left() == [False, False, False, False]


async def test_refresh_tokens_stay_as_long_as_they_can_show_a_theft(
    client: httpx2.AsyncClient, session: AsyncSession, sessions: Sessions, clock: Clock
) -> None:
    first = await sign_in(client, session)
    tokens = first
    for _ in range(4):
        clock.advance(days=5)
        answer = await client.post("/refresh", json={"refresh_token": tokens["refresh_token"]})
        tokens = answer.json()
    await client.post("/logout", headers=bearer((await authenticate(client)).json()))
    kept = select(func.count()).select_from(RefreshToken)
    assert await session.scalar(kept) == 6

    await cleanup.prune(sessions, attempts_kept=TTL, now=clock())
    await session.commit()
    assert await session.scalar(kept) == 5

    answer = await client.post("/refresh", json={"refresh_token": first["refresh_token"]})
    assert answer.json()["code"] == "refresh_token_reused"
    await cleanup.prune(sessions, attempts_kept=TTL, now=clock(), batch=3)
    await session.commit()
    assert await session.scalar(kept) == 0
    answer = await client.post("/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.json()["code"] == "invalid_refresh_token"
