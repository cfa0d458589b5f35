"""The whole queue over one socket, against two real server processes on one database."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, select, update

from crema.accounts import queries as accounts
from crema.accounts.models import Role, StaffShop, User
from crema.live.deps import LiveState
from crema.live.hub import Hub
from crema.support import queries
from crema.support.deps import SupportState
from crema.support.hub import QueueFeed, QueueSubscription
from crema.support.models import Conversation, Message
from crema.web.state import DatabaseState, WebState, state_of
from factories.orders import make_shop
from fixtures.app import Clock, connect
from fixtures.live import WAIT_SECONDS, Socket, Town, chatting, open_socket
from fixtures.people import PersonMade, make_person
from fixtures.server import http_client

pytestmark = pytest.mark.anyio


class Shop:
    """A shop with a manager, and customers who write to it. What others of the suite say isn't theirs."""

    def __init__(self, town: Town, shop_id: UUID, manager: PersonMade) -> None:
        self.town, self.id, self.manager = town, shop_id, manager

    async def customer(self, name: str = "Анна") -> tuple[PersonMade, str]:
        person = await self.town.person(name=name)
        async with client_of(self.town, person) as client:
            opened = await client.post("/chat", json={"shop_id": str(self.id)})
        return person, opened.json()["id"]

    async def write(self, person: PersonMade, chat: str, said: str) -> None:
        """Write over HTTP, as often as it takes past the limit of five a second."""
        async with client_of(self.town, person) as client:
            answer = await client.post(f"/chat/{chat}/messages", json={"text": said})
        if answer.status_code == 429:
            await asyncio.sleep(int(answer.headers["Retry-After"]))
            await self.write(person, chat, said)
            return
        assert answer.status_code == 201, answer.text

    async def move(self, chat: str, **values: Any) -> None:
        """Change a conversation as its service would, and wake nobody: the feed looks when it hears of the next."""
        async with self.town.sessions.begin() as session:
            await session.execute(update(Conversation).values(**values).where(Conversation.id == chat))


@asynccontextmanager
async def client_of(town: Town, person: PersonMade, *, server: int = 1) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {person.token}"}
    async with http_client(base_url=town.servers[server].url, headers=headers, timeout=10) as client:
        yield client


@asynccontextmanager
async def following(town: Town, person: PersonMade, after: str = "") -> AsyncIterator[tuple[Socket, dict[str, Any]]]:
    path = f"/chats/live?after={after}" if after else "/chats/live"
    async with open_socket(town.servers[0], path, person) as socket:
        yield socket, await socket.expect("snapshot")


@pytest.fixture
async def shop(town: Town) -> Shop:
    shop_id = await make_shop(town.sessions, slug=f"s{uuid4().hex[:12]}")
    return Shop(town, shop_id, await town.person("manager", shop_ids=(shop_id,), name="Марина"))


async def heard_before(queue: Socket, shop: Shop, *, in_shop: UUID | None = None) -> list[dict[str, Any]]:
    """Give what came by now: somebody else writes, and what came before that message is what there was."""
    person, chat = await shop.customer("Последний")
    if in_shop is not None:
        await shop.move(chat, shop_id=in_shop)
    await shop.write(person, chat, "the end")
    frames = []
    while (frame := await queue.next()).get("text") != "the end":
        if chat not in (frame.get("id"), frame.get("conversation_id")):
            frames.append(frame)
    return frames


async def test_the_sixth_conversation_and_the_board_are_open_beside_each_other(town: Town, shop: Shop) -> None:
    customers = [await shop.customer(f"Гость {number}") for number in range(7)]

    async with (
        following(town, shop.manager) as (queue, snapshot),
        open_socket(town.servers[0], "/orders/live", shop.manager) as board,
    ):
        await board.expect("snapshot")
        for number, (person, chat) in enumerate(customers):
            await shop.write(person, chat, f"вопрос {number}")
            heard = await queue.expect("message", conversation_id=chat)
            await queue.send("message", conversation_id=chat, client_id=f"a-{number}", text=f"ответ {number}")
            ack = await queue.expect("ack", conversation_id=chat)
            assert (heard["text"], heard["author"]["name"]) == (f"вопрос {number}", f"Гость {number}")
            assert (ack["client_id"], ack["seq"]) == (f"a-{number}", 2)
        await board.send("ping")
        await board.expect("pong")

    assert {each["id"] for each in snapshot["conversations"]} == {chat for _, chat in customers}


async def test_it_begins_with_names_who_waits_longest_first_and_who_is_there(town: Town, shop: Shop) -> None:
    boris, second = await shop.customer("Борис")
    anna, first = await shop.customer("Анна")
    _, resolved = await shop.customer("Вера")
    await shop.write(anna, first, "раньше")
    await shop.write(boris, second, "позже")
    await shop.move(first, assigned_to_id=shop.manager.id, assigned_shop_id=shop.id)
    await shop.move(resolved, status="resolved")

    async with chatting(town.servers[1], boris), following(town, shop.manager) as (_, snapshot):
        pass

    assert [each["id"] for each in snapshot["conversations"]] == [first, second]
    mine, others = snapshot["conversations"]
    assert (mine["last_message"]["text"], mine["last_message"]["author"]["name"]) == ("раньше", "Анна")
    assert (mine["customer"]["name"], mine["assignee"]) == ("Анна", {"id": str(shop.manager.id), "name": "Марина"})
    assert (mine["assigned_to"], mine["online"], mine["last_seq"]) == (str(shop.manager.id), [], 1)
    assert (others["assignee"], others["online"], others["unread_by_staff"]) == (None, [str(boris.id)], 1)


async def test_it_tells_how_conversations_stand_who_reads_who_writes_and_who_is_there(town: Town, shop: Shop) -> None:
    anna, chat = await shop.customer()
    async with following(town, shop.manager) as (queue, _), chatting(town.servers[1], anna) as customer:
        came = await queue.expect("presence")
        await customer.say("Где?")
        said = await queue.expect("message")
        await customer.send("typing")
        typing = await queue.expect("typing")
        await queue.send("read", conversation_id=chat, seq=1)
        await customer.expect("read", side="staff", seq=1)
        await queue.expect("conversation", staff_read_seq=1, unread_by_staff=0)
        await queue.send("typing", conversation_id=chat)
        heard = await customer.expect("typing")
        async with client_of(town, shop.manager) as client:
            await client.patch(f"/chat/{chat}", json={"status": "pending", "assigned_to": str(shop.manager.id)})
        stands = await queue.expect("conversation", status="pending")
        await customer.connection.close()
        left = await queue.expect("presence")

    whose = {"conversation_id": chat, "user_id": str(anna.id), "side": "customer"}
    assert came == {"type": "presence", "online": True} | whose
    assert left == {"type": "presence", "online": False} | whose
    assert typing == {"type": "typing"} | whose
    assert heard == {"type": "typing", "user_id": str(shop.manager.id), "side": "staff"}
    assert (said["seq"], said["conversation_id"]) == (1, chat)
    assert (stands["id"], stands["assigned_to"]) == (chat, str(shop.manager.id))
    assert stands["assignee"]["name"] == "Марина"
    assert not [frame for frame in queue.seen if frame["type"] == "typing" and frame["user_id"] == str(shop.manager.id)]


async def test_who_comes_back_gets_the_messages_missed_meanwhile_in_order(town: Town, shop: Shop) -> None:
    (anna, first), (boris, second) = await shop.customer("Анна"), await shop.customer("Борис")
    async with following(town, shop.manager) as (queue, _):
        await shop.write(anna, first, "1")
        position = (await queue.expect("message"))["position"]

    for number in range(2, 5):
        await shop.write(anna, first, str(number))
        await shop.write(boris, second, str(number))
    await shop.move(second, status="resolved")
    async with following(town, shop.manager, after=position) as (queue, snapshot):
        missed = [frame for frame in await heard_before(queue, shop) if frame["type"] == "message"]

    assert [each["id"] for each in snapshot["conversations"]] == [first]
    by_chat = {
        chat: [frame["text"] for frame in missed if frame["conversation_id"] == chat] for chat in (first, second)
    }
    assert [each for each in by_chat[first] if each != "1"] == ["2", "3", "4"]
    assert by_chat[second] == ["2", "3", "4"]


async def test_a_message_that_commits_late_is_not_missed(town: Town, shop: Shop) -> None:
    """Its transaction began first and committed last: a position by time or by number would have passed it."""
    (anna, slow), (boris, quick) = await shop.customer("Анна"), await shop.customer("Борис")
    async with following(town, shop.manager) as (queue, _), town.sessions() as session:
        conversation = await session.get_one(Conversation, UUID(slow))
        conversation.last_seq = 1
        session.add(
            Message(
                conversation_id=UUID(slow),
                seq=1,
                client_id="late",
                author_id=anna.id,
                author_role="user",
                is_from_customer=True,
                text="late",
            )
        )
        await session.flush()
        await shop.write(boris, quick, "quick")
        position = (await queue.expect("message", text="quick"))["position"]
        await session.commit()
        await shop.write(boris, quick, "next")
        live = await queue.expect("message", text="late")

    async with following(town, shop.manager, after=position) as (queue, _):
        resumed = await queue.expect("message", text="late")

    assert live["conversation_id"] == resumed["conversation_id"] == slow


@pytest.mark.parametrize("position", ["0-0", "999999999999999999-9999999999"])
async def test_a_position_too_old_or_of_another_database_is_said_and_it_starts_at_the_end(
    town: Town, shop: Shop, position: str
) -> None:
    anna, chat = await shop.customer()
    await shop.write(anna, chat, "before")
    async with following(town, shop.manager, after=position) as (queue, snapshot):
        refused = await queue.next()
        await shop.write(anna, chat, "after")
        heard = await queue.expect("message")

    assert [each["last_seq"] for each in snapshot["conversations"]] == [1]
    assert (refused["type"], refused["code"]) == ("error", "invalid_position")
    assert heard["text"] == "after"


async def test_every_message_is_told_once_while_many_write_at_once(town: Town, shop: Shop) -> None:
    customers = [await shop.customer(f"Гость {number}") for number in range(5)]
    async with following(town, shop.manager) as (queue, _):

        async def write(person: PersonMade, chat: str) -> None:
            for number in range(6):
                await shop.write(person, chat, str(number))

        await asyncio.gather(*(write(*customer) for customer in customers))
        for _ in range(30):
            await queue.expect("message")
        more = [frame for frame in await heard_before(queue, shop) if frame["type"] == "message"]

    told = [frame for frame in queue.seen if frame["type"] == "message" and frame["text"] != "the end"]
    heard = [(frame["conversation_id"], frame["seq"]) for frame in told]
    assert not more
    assert sorted(heard) == sorted((chat, seq) for _, chat in customers for seq in range(1, 7))
    for _, chat in customers:
        assert [seq for each, seq in heard if each == chat] == [1, 2, 3, 4, 5, 6]


async def test_a5_a_conversation_appears_and_leaves_with_a_frame(town: Town, shop: Shop) -> None:
    elsewhere = await make_shop(town.sessions, slug=f"s{uuid4().hex[:12]}")
    anna, chat = await shop.customer()
    await shop.move(chat, shop_id=elsewhere)
    async with following(town, shop.manager) as (queue, snapshot), client_of(town, anna) as client:
        await shop.write(anna, chat, "not for you")
        await client.post("/chat", json={"shop_id": str(shop.id)})
        appeared = await queue.next()
        await shop.write(anna, chat, "for you")
        await queue.expect("message", text="for you")
        await client.post("/chat", json={"shop_id": str(elsewhere)})
        left = await queue.expect("removed")
        await shop.write(anna, chat, "again not for you")
        async with chatting(town.servers[1], anna) as customer:
            await customer.send("typing")
            await customer.send("ping")
            await customer.expect("pong")
        after = await heard_before(queue, shop)
        await queue.send("message", conversation_id=chat, client_id="1", text="hello?")
        refused = await queue.expect("error")

    assert snapshot["conversations"] == []
    assert (appeared["type"], appeared["id"]) == ("conversation", chat)
    assert left["conversation_id"] == chat
    assert after == []
    assert (refused["code"], refused["conversation_id"], refused["client_id"]) == ("not_found", chat, "1")


async def test_a5_an_assignment_shows_a_conversation_of_another_shop_and_its_end_hides_it(
    town: Town, shop: Shop
) -> None:
    support = await town.person("support")
    _, chat = await shop.customer()
    elsewhere = await make_shop(town.sessions, slug=f"s{uuid4().hex[:12]}")
    await shop.move(chat, shop_id=elsewhere)
    async with following(town, shop.manager) as (queue, _), client_of(town, support) as client:
        await client.patch(f"/chat/{chat}", json={"assigned_to": str(shop.manager.id)})
        appeared = await queue.next()
        await client.patch(f"/chat/{chat}", json={"assigned_to": None})
        left = await queue.next()

    assert (appeared["type"], appeared["assignee"]["name"]) == ("conversation", "Марина")
    assert (left["type"], left["conversation_id"]) == ("removed", chat)


async def test_a5_what_one_sees_follows_the_shops_one_serves_at_once(town: Town, shop: Shop) -> None:
    elsewhere = await make_shop(town.sessions, slug=f"s{uuid4().hex[:12]}")
    anna, chat = await shop.customer()
    async with following(town, shop.manager) as (queue, before):
        async with town.sessions.begin() as session:
            moved = update(StaffShop).where(StaffShop.user_id == shop.manager.id)
            await session.execute(moved.values(shop_id=elsewhere))
        after = await queue.expect("snapshot")
        await shop.write(anna, chat, "not for you")
        assert await heard_before(queue, shop, in_shop=elsewhere) == []

    assert [each["id"] for each in before["conversations"]] == [chat]
    assert after["conversations"] == []


async def test_w4_it_closes_with_the_right_to_answer_and_with_the_login(town: Town, shop: Shop) -> None:
    async with following(town, shop.manager) as (queue, _):
        async with town.sessions.begin() as session:
            role_id = (await session.scalars(select(Role.id).where(Role.name == "barista"))).one()
            await session.execute(update(User).where(User.id == shop.manager.id).values(role_id=role_id))
        demoted = await queue.closed()
    support = await town.person("support")
    async with following(town, support) as (queue, _):
        async with client_of(town, support) as client:
            await client.post("/logout")
        gone = await queue.closed()

    assert (demoted, gone) == (4403, 4401)


@pytest.mark.parametrize("role", ["user", "barista"])
async def test_a5_who_may_not_answer_gets_no_queue(town: Town, role: str) -> None:
    async with open_socket(town.servers[0], "/chats/live", await town.person(role)) as queue:
        assert await queue.closed() == 4403


async def test_a_malformed_position_is_the_reason_of_the_close(town: Town, shop: Shop) -> None:
    async with open_socket(town.servers[0], "/chats/live?after=soon", shop.manager) as queue:
        assert await queue.closed() == 1008
        assert (queue.connection.close_reason or "").startswith("invalid_position")


async def test_w4_a_message_after_the_right_is_gone_is_not_stored(town: Town, shop: Shop) -> None:
    _, chat = await shop.customer()
    async with following(town, shop.manager) as (queue, _):
        async with town.sessions.begin() as session:
            await session.execute(delete(StaffShop).where(StaffShop.user_id == shop.manager.id))
        await queue.send("message", conversation_id=chat, client_id="late", text="too late")
        refused = await queue.expect("error")

    assert (refused["code"], refused["client_id"]) == ("not_found", "late")
    async with town.sessions() as session:
        assert not list(await session.scalars(select(Message).where(Message.author_id == shop.manager.id)))


async def test_a_message_sent_again_through_the_queue_is_stored_once(town: Town, shop: Shop) -> None:
    _, chat = await shop.customer()
    async with following(town, shop.manager) as (queue, _):
        acks = []
        for _ in range(2):
            await queue.send("message", conversation_id=chat, client_id="same", text="once")
            acks.append(await queue.expect("ack"))

    assert acks[0] == acks[1] == {"type": "ack", "client_id": "same", "seq": 1, "conversation_id": chat}


async def test_it_makes_nobody_present_in_a_conversation(town: Town, shop: Shop) -> None:
    (anna, chat), support = await shop.customer(), await town.person("support")
    async with (
        chatting(town.servers[1], anna) as customer,
        following(town, shop.manager),
        chatting(town.servers[0], support, chat),
    ):
        came = await customer.expect("presence")

    assert came["user_id"] == str(support.id)


async def test_those_who_may_be_assigned_are_listed_with_names(town: Town, shop: Shop) -> None:
    barista = await town.person("barista", name="Бариста")
    blocked = await town.person("support", name="Ушла")
    async with town.sessions.begin() as session:
        await session.execute(update(User).where(User.id == blocked.id).values(is_active=False))
    async with client_of(town, shop.manager) as client:
        listed = (await client.get("/chat/assignees", params={"id": str(shop.manager.id)})).json()
        everybody = (await client.get("/chat/assignees", params={"size": 100})).json()
        found = (await client.get("/chat/assignees", params={"name__icontains": "МАРИ", "role": "manager"})).json()
        _, chat = await shop.customer()
        given = await client.patch(f"/chat/{chat}", json={"assigned_to": listed["items"][0]["id"]})
    async with client_of(town, barista) as client:
        refused = await client.get("/chat/assignees")

    mine = {"id": str(shop.manager.id), "name": "Марина", "role": "manager", "shop_ids": [str(shop.id)]}
    assert listed["items"] == [mine]
    assert mine in found["items"]
    assert not {str(barista.id), str(blocked.id)} & {each["id"] for each in everybody["items"]}
    assert given.status_code == 200
    assert refused.status_code == 403


@pytest.mark.parametrize("guard", ["one-snapshot", "off"])
async def test_a_move_between_two_statements_of_a_reading_shows_no_message_written_after_it(
    own_app: FastAPI, clock: Clock, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    """Tried: a conversation leaves the shop, and its customer writes, when the reading has seen it there still."""
    clock.now = datetime.now(UTC)  # the feed asks PostgreSQL what is recent
    elsewhere, here = [
        await make_shop(state_of(own_app, DatabaseState).sessions, slug=f"s{uuid4().hex[:12]}") for _ in range(2)
    ]
    manager = await make_person(own_app, email="m@example.com", role="manager", shop_ids=(here,))
    anna = await make_person(own_app, email="anna@example.com")
    async with connect(own_app, anna.token) as client:
        chat = (await client.post("/chat", json={"shop_id": str(here)})).json()["id"]
    actor = await accounts.find_actor(
        state_of(own_app, DatabaseState).reader,
        user_id=manager.id,
        session_id=manager.session_id,
        now=state_of(own_app, WebState).clock(),
    )
    assert actor is not None
    hub: Hub = state_of(own_app, LiveState).hub
    feed: QueueFeed = state_of(own_app, SupportState).queue
    subscription = QueueSubscription(actor, position=None)
    list_messages = queries.list_messages_since

    async def move_write_and_list(*args: Any, **names: Any) -> list[Message]:
        monkeypatch.setattr(queries, "list_messages_since", list_messages)
        async with state_of(own_app, DatabaseState).sessions.begin() as session:
            await session.execute(update(Conversation).values(shop_id=elsewhere).where(Conversation.id == chat))
        async with connect(own_app, anna.token) as client:
            await client.post(f"/chat/{chat}/messages", json={"text": "not for you"})
        feed.wake()
        return await list_messages(*args, **names)

    if guard == "off":
        monkeypatch.setattr(hub, "snapshot", hub.transaction)
    told: list[str] = []
    async with (
        asyncio.timeout(WAIT_SECONDS),
        feed.subscribed(subscription),
        aclosing(subscription.updates()) as updates,
    ):
        await anext(updates)  # the snapshot, with the conversation
        async with connect(own_app, anna.token) as client:
            await client.post(f"/chat/{chat}/messages", json={"text": "for you"})
        monkeypatch.setattr(queries, "list_messages_since", move_write_and_list)
        feed.wake()
        while "removed" not in told:
            for batch in await anext(updates):
                told += [json.loads(frame.text).get("text", frame.type) for frame in batch.frames]

    assert ("not for you" in told) == (guard == "off")
