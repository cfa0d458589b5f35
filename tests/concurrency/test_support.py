"""Many messages at once: numbers without gaps, nothing twice, nobody past their limits.

The twins take the guards off and must fail.
"""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select, text

from crema.db.session import Sessions
from crema.support import queries
from crema.support.models import Conversation, Message
from crema.support.service import limits
from fixtures.app import clients
from fixtures.people import make_person

pytestmark = pytest.mark.anyio


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take as many requests a second as come."""
    monkeypatch.setattr(limits, "REQUESTS_A_SECOND", 10_000)


async def send_side_by_side(app: FastAPI, *, messages: int, tries: int) -> list[int]:
    """Send each message `tries` times over all at once; give the statuses."""
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


async def test_w7_each_message_is_stored_once_and_numbered_without_gaps(
    own_app: FastAPI, own_sessions: Sessions, unhurried: None
) -> None:
    statuses = await send_side_by_side(own_app, messages=20, tries=3)

    rows = await stored(own_sessions)
    assert statuses.count(201) == 20
    assert statuses.count(200) == 40
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

    await send_side_by_side(own_app, messages=20, tries=3)

    rows = await stored(own_sessions)
    assert len({client_id for _, client_id in rows}) < len(rows) or [seq for seq, _ in rows] != [*range(1, 21)]


async def test_first_calls_side_by_side_open_one_conversation(own_app: FastAPI, own_sessions: Sessions) -> None:
    person = await make_person(own_app, email="anna@example.com")

    async with clients(own_app, *[person.token] * 8) as opened:
        answers = await asyncio.gather(*(client.post("/chat", json={}) for client in opened))

    assert {answer.status_code for answer in answers} == {200}
    assert len({UUID(answer.json()["id"]) for answer in answers}) == 1
