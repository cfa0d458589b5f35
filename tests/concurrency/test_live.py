"""Many sockets of one person at once, feeds beside slow transactions. The twins take the guards off and must fail."""

import asyncio
import json
from contextlib import aclosing, suppress
from datetime import datetime
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import BigInteger, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.db import changes
from crema.db.base import new_id
from crema.db.session import Sessions
from crema.live import queries, service
from crema.live.hub import Batch
from crema.live.models import ConnectionRecord
from crema.support.deps import SupportState
from crema.support.hub import QueueFeed, QueueSubscription
from crema.support.models import Conversation, Message
from crema.web.state import DatabaseState, WebState, state_of
from fixtures.people import PersonMade, make_person

pytestmark = pytest.mark.anyio
AT_ONCE = 12


async def connect_at_once(app: FastAPI, sessions: Sessions) -> list[UUID]:
    """Record connections at once, each transaction staying open until all have counted or wait; give the ids."""
    person = await make_person(app, email="anna@example.com")
    process_id = new_id()
    async with sessions.begin() as session:
        await service.heartbeat(session, process_id=process_id)
    connections = [new_id() for _ in range(AT_ONCE)]

    async def add(connection_id: UUID) -> None:
        async with sessions.begin() as session:
            await service.add_connection(
                session,
                connection_id=connection_id,
                process_id=process_id,
                user_id=person.id,
                topic="chat:1",
                replaces_oldest=True,
            )
            await asyncio.sleep(0.05)

    await asyncio.gather(*(add(connection_id) for connection_id in connections))
    async with sessions() as session:
        assert await queries.find_connections(session, process_id=process_id) is not None
    return connections


async def taken(sessions: Sessions) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(ConnectionRecord)) or 0


async def test_w5_of_many_sockets_opened_at_once_five_are_left(own_app: FastAPI, own_sessions: Sessions) -> None:
    await connect_at_once(own_app, own_sessions)

    assert await taken(own_sessions) == 5


async def test_w5_twin_without_the_lock_more_are_left(
    own_app: FastAPI, own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unlocked(*_: object, **__: object) -> None:
        pass

    monkeypatch.setattr(service, "_lock_connections", unlocked)

    await connect_at_once(own_app, own_sessions)

    assert await taken(own_sessions) > 5


async def follow_a_late_commit(app: FastAPI, sessions: Sessions) -> list[str]:
    """Follow the queue while a message's transaction begins first and commits last; give the texts it tells."""
    staff = await make_person(app, email="staff@example.com", role="support")
    people = [await make_person(app, email=f"{name}@example.com") for name in ("anna", "boris")]
    slow, quick = [Conversation(id=new_id(), customer_id=person.id) for person in people]
    async with sessions.begin() as session:
        session.add_all([slow, quick])
    actor = await accounts.find_actor(
        state_of(app, DatabaseState).reader,
        user_id=staff.id,
        session_id=staff.session_id,
        now=state_of(app, WebState).clock(),
    )
    assert actor is not None
    feed: QueueFeed = state_of(app, SupportState).queue
    subscription = QueueSubscription(actor, position=None)
    told: list[Batch] = []
    async with feed.subscribed(subscription), aclosing(subscription.updates()) as updates:
        await anext(updates)  # the snapshot
        async with sessions() as late, sessions() as early:
            await say(late, slow, people[0], "late")
            await say(early, quick, people[1], "quick")
            await early.commit()
            feed.wake()
            told += await anext(updates)
            await late.commit()
        feed.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                told += await anext(updates)
    return [json.loads(frame.text)["text"] for batch in told for frame in batch.frames if frame.type == "message"]


async def say(session: AsyncSession, conversation: Conversation, person: PersonMade, text: str) -> None:
    session.add(
        Message(
            conversation_id=conversation.id,
            seq=1,
            client_id=text,
            author_id=person.id,
            author_role="user",
            is_from_customer=True,
            text=text,
        )
    )
    await session.flush()


async def test_w7_a_message_that_commits_late_is_told(own_app: FastAPI, own_sessions: Sessions) -> None:
    assert await follow_a_late_commit(own_app, own_sessions) == ["quick", "late"]


async def test_w7_twin_with_the_newest_transaction_as_position_it_is_passed_over(
    own_app: FastAPI, own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def newest(session: AsyncSession) -> tuple[int, datetime]:
        next_one = func.pg_snapshot_xmax(func.pg_current_snapshot())
        row = (await session.execute(select(cast(cast(next_one, Text), BigInteger), func.now()))).one()
        return row[0], row[1]

    monkeypatch.setattr(changes, "get_position", newest)

    assert await follow_a_late_commit(own_app, own_sessions) == ["quick"]
