"""The hub, where timing matters."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from fastapi import FastAPI

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.live.deps import LiveState
from crema.live.hub import Hub, Subscription, connections
from crema.web.state import DatabaseState, WebState, state_of
from fixtures.people import make_person

pytestmark = pytest.mark.anyio
TOPIC = "chat:1"


async def subscription_of(app: FastAPI, email: str) -> Subscription:
    person = await make_person(app, email=email)
    actor = await accounts.find_actor(
        state_of(app, DatabaseState).reader,
        user_id=person.id,
        session_id=person.session_id,
        now=state_of(app, WebState).clock(),
    )
    assert actor is not None
    return Subscription(actor=actor, topic=TOPIC)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_who_connects_while_logins_are_looked_up_is_not_closed(
    own_app: FastAPI, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub: Hub = state_of(own_app, LiveState).hub
    first = await subscription_of(own_app, "anna@example.com")
    await stack.enter_async_context(hub.connected(first))
    second = await subscription_of(own_app, "boris@example.com")

    async def find_and_let_in(*args: object, **names: object) -> dict[object, Actor]:
        found = await accounts.find_actors(*args, **names)
        await stack.enter_async_context(hub.connected(second))
        return found

    monkeypatch.setattr(connections.accounts, "find_actors", _once(find_and_let_in, accounts.find_actors))
    async with state_of(own_app, DatabaseState).sessions() as session:
        await hub.check(session, hub._subscriptions)

    assert first.closing is None
    assert second.closing is None


def _once(first: object, later: object) -> object:
    """Call `first` at the first call, `later` afterwards."""
    calls = iter([first])

    async def call(*args: object, **names: object) -> object:
        return await next(calls, later)(*args, **names)

    return call
