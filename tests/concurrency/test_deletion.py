"""A person is deleted while they order, write or are written to. The twins take the guards off and must fail."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import bindparam, func, select, text

from crema.accounts import queries as accounts
from crema.accounts.deps import AccountsState
from crema.accounts.models import User
from crema.accounts.service import people
from crema.db.session import Sessions
from crema.db.statement import Statement
from crema.orders.models import Order
from crema.orders.service import placing
from crema.support.models import Conversation
from crema.support.service import conversations
from crema.web.state import DatabaseState, WebState, state_of
from factories.orders import make_shop, make_simple_product
from fixtures.app import clients
from fixtures.people import PersonMade, make_person

pytestmark = pytest.mark.anyio


async def delete_while(
    app: FastAPI, person: PersonMade, request: Callable[[], Awaitable[httpx2.Response]]
) -> httpx2.Response:
    """Delete a person, and commit once the request waits for that."""
    sessions: Sessions = state_of(app, DatabaseState).sessions
    now = state_of(app, WebState).clock()
    async with sessions.begin() as session:
        actor = await accounts.find_actor(session, user_id=person.id, session_id=person.session_id, now=now)
        assert actor is not None
        steps = state_of(app, AccountsState).before_deletion
        await people.delete_user(session, actor=actor, user_id=person.id, force=False, before=steps, now=now)
        asked = asyncio.ensure_future(request())
        await until_somebody_waits(sessions)
    return await asked


async def until_somebody_waits(sessions: Sessions) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(10):
        while True:
            async with sessions() as session:
                if await session.scalar(waiting):
                    return
            await asyncio.sleep(0.01)


async def order_while_deleted(app: FastAPI, sessions: Sessions) -> tuple[int, int]:
    """Give the order's status, and how many orders there are."""
    shop, product = await make_shop(sessions), await make_simple_product(sessions)
    anna = await make_person(app, email="anna@example.com")
    body = {"shop_id": str(shop), "items": [{"product_id": str(product)}]}
    async with clients(app, anna.token) as (client,):
        answer = await delete_while(app, anna, lambda: client.post("/order", json=body))
    async with sessions() as session:
        return answer.status_code, await session.scalar(select(func.count()).select_from(Order)) or 0


async def test_nobody_orders_who_is_being_deleted(own_app: FastAPI, own_sessions: Sessions) -> None:
    assert await order_while_deleted(own_app, own_sessions) == (401, 0)


async def test_unless_the_locked_person_is_looked_at_the_deleted_would_order(
    own_app: FastAPI, own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    anybody = select(User.id, User.name, User.phone, User.email, User.language).where(User.id == bindparam("user_id"))
    monkeypatch.setattr(placing, "_LOCK_PERSON", Statement(anybody.with_for_update(key_share=True)))

    assert await order_while_deleted(own_app, own_sessions) == (201, 1)


async def write_while_deleted(app: FastAPI, sessions: Sessions) -> tuple[int, bool]:
    """Give the message's status, and whether somebody waits for an answer."""
    anna = await make_person(app, email="anna@example.com")
    async with clients(app, anna.token) as (client,):
        chat = (await client.post("/chat")).json()["id"]
        body = {"text": "Вы здесь?"}
        answer = await delete_while(app, anna, lambda: client.post(f"/chat/{chat}/messages", json=body))
    async with sessions() as session:
        waits = select(func.count()).where(Conversation.waiting_since.is_not(None))
        return answer.status_code, bool(await session.scalar(waits))


async def test_nobody_waits_for_an_answer_who_is_being_deleted(own_app: FastAPI, own_sessions: Sessions) -> None:
    assert await write_while_deleted(own_app, own_sessions) == (409, False)


async def test_unless_the_locked_conversation_is_looked_at_the_deleted_would_wait_for_ever(
    own_app: FastAPI, own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "check_customer_not_deleted", lambda _: None)

    assert await write_while_deleted(own_app, own_sessions) == (201, True)


async def first_message_while_deleted(app: FastAPI, sessions: Sessions) -> tuple[int, int]:
    """Give the first message's status, and how many conversations there are."""
    anna = await make_person(app, email="anna@example.com")
    support = await make_person(app, email="support@example.com", role="support")
    async with clients(app, support.token) as (client,):
        body = {"customer_id": str(anna.id), "text": "Зонт у нас."}
        answer = await delete_while(app, anna, lambda: client.post("/chats", json=body))
    async with sessions() as session:
        return answer.status_code, await session.scalar(select(func.count()).select_from(Conversation)) or 0


async def test_nobody_is_written_to_who_is_being_deleted(own_app: FastAPI, own_sessions: Sessions) -> None:
    assert await first_message_while_deleted(own_app, own_sessions) == (422, 0)


async def test_a_first_message_that_does_not_wait_would_reach_the_deleted(
    own_app: FastAPI, own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unlocked(*_: Any) -> bool:
        return True

    monkeypatch.setattr(accounts, "lock_against_deletion", unlocked)
    anna = await make_person(own_app, email="anna@example.com")
    support = await make_person(own_app, email="support@example.com", role="support")

    async with own_sessions.begin() as session:
        now = state_of(own_app, WebState).clock()
        actor = await accounts.find_actor(session, user_id=anna.id, session_id=anna.session_id, now=now)
        assert actor is not None
        steps = state_of(own_app, AccountsState).before_deletion
        await people.delete_user(session, actor=actor, user_id=anna.id, force=False, before=steps, now=now)
        async with clients(own_app, support.token) as (client,):
            answer = await client.post("/chats", json={"customer_id": str(anna.id), "text": "Зонт у нас."})

    assert answer.status_code == 201


async def test_deleting_and_answering_side_by_side_never_deadlock(own_app: FastAPI, own_sessions: Sessions) -> None:
    """A deletion holds the person and wants the conversation; a message holds that and points to its author."""
    names = [f"p{number}@example.com" for number in range(10)]
    customers = [await make_person(own_app, email=name) for name in names]
    support = await make_person(own_app, email="support@example.com", role="admin")
    for customer in customers:
        async with clients(own_app, customer.token, support.token) as (theirs, ours):
            chat = (await theirs.post("/chat")).json()["id"]
            answers = await asyncio.gather(
                theirs.post(f"/chat/{chat}/messages", json={"text": "Вы здесь?"}),
                ours.post(f"/chat/{chat}/messages", json={"text": "Да"}),
                ours.delete(f"/user/{customer.id}"),
            )
            assert {answer.status_code for answer in answers} <= {201, 204, 401, 409}
            state_of(own_app, WebState).clock.advance(seconds=1)

    async with own_sessions() as session:
        waits = select(func.count()).where(Conversation.waiting_since.is_not(None))
        assert await session.scalar(waits) == 0
