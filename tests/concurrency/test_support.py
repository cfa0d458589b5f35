"""Many messages at once: numbers without gaps, nothing twice, nobody past their limits.

The twins take the guards off and must fail.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import Throttle
from crema.accounts.service import throttle
from crema.accounts.service.throttle import TooManyAttemptsError
from crema.db.session import Sessions
from crema.support import queries
from crema.support.models import Conversation, Message
from crema.support.service import limits
from fixtures.app import clients
from fixtures.people import make_person

pytestmark = pytest.mark.anyio


async def unlimited(*_: Any, **__: Any) -> None:
    """Count nothing."""


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take as many requests a second as come."""
    monkeypatch.setattr(limits, "count_request", unlimited)


async def send_side_by_side(app: FastAPI, *, messages: int, tries: int) -> list[int]:
    """Send each message `tries` times over all at once, no more than there are connections; give the statuses."""
    person = await make_person(app, email="anna@example.com")
    async with clients(app, *[person.token] * 8) as opened:
        chat = (await opened[0].post("/chat", json={})).json()["id"]
        answers = await asyncio.gather(
            *(
                opened[(n + again) % 8].post(
                    f"/chat/{chat}/messages", json={"text": f"Сообщение {n}", "client_id": f"m-{n}"}
                )
                for n in range(messages)
                for again in range(tries)
            )
        )
    return [answer.status_code for answer in answers]


async def stored(sessions: Sessions) -> list[tuple[int, str]]:
    async with sessions() as session:
        rows = await session.execute(select(Message.seq, Message.client_id).order_by(Message.seq))
        return [(seq, client_id) for seq, client_id in rows]


@pytest.mark.usefixtures("patient_database")
async def test_w7_each_message_is_stored_once_and_numbered_without_gaps(
    own_app: FastAPI, own_sessions: Sessions, unhurried: None
) -> None:
    statuses = await send_side_by_side(own_app, messages=20, tries=2)

    rows = await stored(own_sessions)
    assert statuses.count(201) == 20
    assert statuses.count(200) == 20
    assert [seq for seq, _ in rows] == list(range(1, 21))
    assert len({client_id for _, client_id in rows}) == 20


async def test_w7_without_lock_and_key_the_same_messages_are_stored_twice(
    own_app: FastAPI, own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch, unhurried: None
) -> None:
    locked = queries.get_conversation

    async def unlocked(*args: Any, for_update: bool = False, **kwargs: Any) -> Conversation:
        del for_update
        return await locked(*args, **kwargs)

    monkeypatch.setattr(queries, "get_conversation", unlocked)
    async with own_sessions.begin() as session:
        for columns in ("author_id_client_id", "seq"):
            await session.execute(text(f"ALTER TABLE messages DROP CONSTRAINT uq_messages_conversation_id_{columns}"))

    await send_side_by_side(own_app, messages=20, tries=2)

    rows = await stored(own_sessions)
    assert len({client_id for _, client_id in rows}) < len(rows) or [seq for seq, _ in rows] != [*range(1, 21)]


async def test_first_calls_side_by_side_open_one_conversation(own_app: FastAPI, own_sessions: Sessions) -> None:
    person = await make_person(own_app, email="anna@example.com")

    async with clients(own_app, *[person.token] * 8) as opened:
        answers = await asyncio.gather(*(client.post("/chat", json={}) for client in opened))

    assert {answer.status_code for answer in answers} == {200}
    assert len({UUID(answer.json()["id"]) for answer in answers}) == 1


# Limits


NOTES = 12


def unguarded() -> Callable[..., Awaitable[None]]:
    """Count as one would without one statement that decides: all read, all look, all write."""
    all_have_read = asyncio.Barrier(NOTES)

    async def count(
        session: AsyncSession, *, key: str, limit: int, window: timedelta, now: datetime, cost: int = 1
    ) -> None:
        hits = (await session.scalar(select(Throttle.hits).where(Throttle.key == key)) or 0) + cost
        await all_have_read.wait()
        if hits > limit:
            raise TooManyAttemptsError(retry_after=1)
        values = {"key": key, "hits": hits, "window_ends_at": now + window}
        await session.execute(
            insert(Throttle).values(values).on_conflict_do_update(index_elements=["key"], set_=values)
        )

    return count


async def write_notes(app: FastAPI, *, text: str) -> Counter[str]:
    """Write NOTES notes at once, as one person in a conversation each; count what becomes of them."""
    support = await make_person(app, email="support@example.com", role="support")
    customers = [await make_person(app, email=f"p{number}@example.com") for number in range(NOTES)]
    async with clients(app, support.token, *(customer.token for customer in customers)) as (ours, *theirs):
        chats = [(await client.post("/chat")).json()["id"] for client in theirs]
        answers = await asyncio.gather(*(ours.post(f"/chat/{chat}/notes", json={"text": text}) for chat in chats))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(answer.headers["retry-after"] for answer in refused)
    return Counter(answer.json().get("code", "written") for answer in answers)


async def test_w5_a_person_writes_five_times_a_second_over_http(own_app: FastAPI) -> None:
    """Tried: HTTP chat without a limit of its own."""
    assert await write_notes(own_app, text="x") == {"written": 5, "rate_limited": 7}


async def test_w5_counted_without_a_guard_more_would_pass(own_app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "count", unguarded())

    assert (await write_notes(own_app, text="x"))["written"] > 5


async def test_w5_a_person_writes_so_much_a_day(
    own_app: FastAPI, unhurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BYTES_A_DAY", 500)

    assert await write_notes(own_app, text="x" * 100) == {"written": 5, "chat_quota_exceeded": 7}


async def test_w5_a_day_s_bytes_counted_without_a_guard_would_be_more(
    own_app: FastAPI, unhurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BYTES_A_DAY", 500)
    monkeypatch.setattr(throttle, "count", unguarded())

    assert (await write_notes(own_app, text="x" * 100))["written"] > 5
