"""What becomes of conversations when people and messages come and go: a test for each cell of docs/conversations.md.

The first column is a conversation that isn't resolved, the second one that is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import func, select, update

from crema.accounts.models import User
from crema.db.base import new_id
from crema.db.session import Sessions
from crema.live.models import ConnectionRecord, ServerProcess
from factories.orders import make_shop, make_simple_product, place
from fixtures.app import Clock
from fixtures.live import WAIT_SECONDS, Town, chatting, open_socket
from fixtures.people import LogIn, PersonMade
from fixtures.server import http_client

pytestmark = pytest.mark.anyio


@dataclass
class Chat:
    """Anna's conversation about the shop `near`, and the people around it. `olga` manages `near`, `pavel` `far`."""

    id: str
    anna: httpx2.AsyncClient
    olga: httpx2.AsyncClient
    pavel: httpx2.AsyncClient
    support: httpx2.AsyncClient
    admin: httpx2.AsyncClient
    near: UUID
    far: UUID
    sessions: Sessions

    @property
    def path(self) -> str:
        return f"/chat/{self.id}"

    async def say(self, client: httpx2.AsyncClient, text: str) -> dict[str, Any]:
        return await ok(client.post(f"{self.path}/messages", json={"text": text}), 201)

    async def change(self, client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
        return await ok(client.patch(self.path, json=fields))

    async def look(self, client: httpx2.AsyncClient | None = None) -> dict[str, Any]:
        return await ok((client or self.admin).get(self.path))

    async def notes(self, client: httpx2.AsyncClient) -> list[str]:
        return [note["text"] for note in (await ok(client.get(f"{self.path}/notes")))["items"]]

    async def listed(self, client: httpx2.AsyncClient | None = None, **filters: Any) -> int:
        total: int = (await ok((client or self.admin).get("/chats", params=filters)))["total"]
        return total

    async def connect(self, client: httpx2.AsyncClient) -> None:
        """Take a seat, as a socket of theirs does."""
        async with self.sessions.begin() as session:
            process = ServerProcess(id=new_id(), seen_at=func.now())
            session.add(process)
            await session.flush()
            session.add(ConnectionRecord(id=new_id(), process_id=process.id, user_id=client.person.id, topic="chats"))


async def ok(request: Awaitable[httpx2.Response], status: int = 200) -> dict[str, Any]:
    response = await request
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json() if response.content else {}
    return body


async def refused(request: Awaitable[httpx2.Response]) -> tuple[int, str]:
    response = await request
    return response.status_code, response.json()["code"]


@pytest.fixture
async def chat(log_in: LogIn, admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions) -> Chat:
    near, far = await make_shop(sessions), await make_shop(sessions, slug="far")
    conversation = await ok(customer.post("/chat", json={"shop_id": str(near)}))
    return Chat(
        id=conversation["id"],
        anna=customer,
        olga=await log_in("olga@example.com", role="manager", shop_ids=(near,), name="Ольга"),
        pavel=await log_in("pavel@example.com", role="manager", shop_ids=(far,), name="Павел"),
        support=await log_in("support@example.com", role="support", name="Софья"),
        admin=admin,
        near=near,
        far=far,
        sessions=sessions,
    )


# The customer writes.


async def test_the_customer_writes_and_keeps_their_place(chat: Chat, clock: Clock) -> None:
    first = await chat.say(chat.anna, "Вы здесь?")
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id))
    clock.advance(minutes=1)

    await chat.say(chat.anna, "Ау!")

    now = await chat.look()
    assert (now["status"], now["waiting_since"]) == ("open", first["created_at"])
    assert now["assigned_to"] == str(chat.olga.person.id)


async def test_the_customer_writes_after_it_was_resolved_and_it_is_nobody_s(chat: Chat, clock: Clock) -> None:
    """Tried: resolved, assigned to somebody who has gone home; days later the customer writes: in nobody's queue."""
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id), status="resolved")
    clock.advance(days=3)

    message = await chat.say(chat.anna, "Забыла спросить")

    now = await chat.look()
    assert (now["status"], now["waiting_since"], now["assigned_to"]) == ("open", message["created_at"], None)
    assert await chat.listed(chat.support, assigned_to__isnull="true") == 1


async def test_the_customer_writes_after_it_was_resolved_and_the_connected_assignee_keeps_it(chat: Chat) -> None:
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id), status="resolved")
    await chat.connect(chat.olga)

    await chat.say(chat.anna, "Забыла спросить")

    assert (await chat.look())["assigned_to"] == str(chat.olga.person.id)


async def test_the_customer_writes_after_it_was_resolved_and_who_was_connected_to_a_server_that_died_is_not(
    chat: Chat,
) -> None:
    """Seats are rows with the process that holds them: one that hasn't said for 15 seconds that it lives holds none."""
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id), status="resolved")
    await chat.connect(chat.olga)
    async with chat.sessions.begin() as session:
        await session.execute(update(ServerProcess).values(seen_at=func.now() - timedelta(seconds=16)))

    await chat.say(chat.anna, "Забыла спросить")

    assert (await chat.look())["assigned_to"] is None


async def test_the_customer_writes_after_it_was_resolved_and_others_who_are_connected_do_not_count(chat: Chat) -> None:
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id), status="resolved")
    await chat.connect(chat.support)
    await chat.connect(chat.anna)

    await chat.say(chat.anna, "Забыла спросить")

    assert (await chat.look())["assigned_to"] is None


async def test_the_customer_writes_to_another_process_than_the_connected_assignee_s_and_they_keep_it(
    town: Town,
) -> None:
    anna, support = await town.person(), await town.person("support")
    headers = {"Authorization": f"Bearer {support.token}"}
    async with http_client(base_url=town.servers[0].url) as client, chatting(town.servers[0], anna) as hers:
        opened = (await client.post("/chat", headers={"Authorization": f"Bearer {anna.token}"})).json()
        taken = {"assigned_to": str(support.id), "status": "resolved"}
        assert (await client.patch(f"/chat/{opened['id']}", json=taken, headers=headers)).is_success
        async with open_socket(town.servers[1], "/chats/live", support) as theirs:
            await theirs.expect("snapshot")
            await hers.say("Забыла спросить")
            kept = (await client.get(f"/chat/{opened['id']}", headers=headers)).json()
        seen = {"status": "resolved", "seen_seq": 1}
        assert (await client.patch(f"/chat/{opened['id']}", json=seen, headers=headers)).is_success
        await until_nobody_sits(town, support.id)
        await hers.say("И ещё")
        returned = (await client.get(f"/chat/{opened['id']}", headers=headers)).json()

    assert (kept["status"], kept["assigned_to"]) == ("open", str(support.id))
    assert (returned["status"], returned["assigned_to"]) == ("open", None)


async def until_nobody_sits(town: Town, user_id: UUID) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            async with town.sessions() as session:
                if not await session.scalar(select(func.count()).where(ConnectionRecord.user_id == user_id)):
                    return
            await asyncio.sleep(0.02)  # between two looks


# Staff answer.


async def test_staff_answer_and_the_wait_ends(chat: Chat) -> None:
    await chat.say(chat.anna, "Вы здесь?")

    await chat.say(chat.olga, "Да")

    now = await chat.look()
    assert (now["status"], now["waiting_since"], now["unread_by_customer"]) == ("open", None, 1)


async def test_staff_answer_what_is_resolved_and_it_stays_so(chat: Chat) -> None:
    await chat.change(chat.olga, status="resolved")

    await chat.say(chat.olga, "Приходите ещё")

    assert (await chat.look())["status"] == "resolved"


# It is set to resolved.


@pytest.mark.parametrize("how", ["seen_seq", "read", "answered"])
async def test_resolved_once_all_is_seen(chat: Chat, how: str) -> None:
    await chat.say(chat.anna, "Спасибо")
    if how == "read":
        await ok(chat.olga.post(f"{chat.path}/read", json={"seq": 1}))
    if how == "answered":
        await chat.say(chat.olga, "Пожалуйста")

    resolved = await chat.change(chat.olga, status="resolved", **({"seen_seq": 1} if how == "seen_seq" else {}))

    assert (resolved["status"], resolved["waiting_since"]) == ("resolved", None)


@pytest.mark.parametrize("sent", [{"seen_seq": 1}, {}], ids=["seen_seq", "receipts"])
async def test_resolved_over_a_message_not_seen_is_refused(chat: Chat, sent: dict[str, int]) -> None:
    """Tried: resolved over a message not seen: out of every queue."""
    await chat.say(chat.anna, "Спасибо")
    await ok(chat.olga.post(f"{chat.path}/read", json={"seq": 1}))
    await chat.say(chat.anna, "Стойте, ещё вопрос!")

    response = await chat.olga.patch(chat.path, json={"status": "resolved"} | sent)

    assert (response.status_code, response.json()["code"]) == (409, "unseen_messages")
    assert response.json()["last_seq"] == 2
    now = await chat.look()
    assert now["status"] == "open"
    assert now["waiting_since"]


async def test_resolved_again_changes_nothing(chat: Chat) -> None:
    await chat.say(chat.anna, "Спасибо")
    body = {"status": "resolved", "seen_seq": 1}

    first, again = await chat.change(chat.olga, **body), await chat.change(chat.olga, **body)

    assert again == first


async def test_resolved_again_with_less_seen_than_the_customer_has_said_is_refused(chat: Chat) -> None:
    await chat.say(chat.anna, "Спасибо")
    before = await chat.change(chat.olga, status="resolved", seen_seq=1)

    again = await chat.olga.patch(chat.path, json={"status": "resolved", "seen_seq": 0})

    assert (again.status_code, again.json()["code"], again.json()["last_seq"]) == (409, "unseen_messages", 1)
    assert await chat.look() == before


async def test_seen_seq_without_resolving_is_refused(chat: Chat) -> None:
    for body in ({"seen_seq": 1}, {"status": "pending", "seen_seq": 1}, {"status": "resolved", "seen_seq": -1}):
        assert await refused(chat.olga.patch(chat.path, json=body)) == (422, "validation_error")


# The assignee may not answer any more.

Act = Callable[[Chat, LogIn], Awaitable[None]]


async def demoted(chat: Chat, log_in: LogIn) -> None:
    await ok(chat.admin.patch(f"/user/{chat.olga.person.id}", json={"role": "barista"}))


async def blocked(chat: Chat, log_in: LogIn) -> None:
    await ok(chat.admin.patch(f"/user/{chat.olga.person.id}", json={"is_active": False}))


async def deleted(chat: Chat, log_in: LogIn) -> None:
    await ok(chat.admin.delete(f"/user/{chat.olga.person.id}"), 204)


async def moved_to_another_shop(chat: Chat, log_in: LogIn) -> None:
    await ok(chat.admin.patch(f"/user/{chat.olga.person.id}", json={"shop_ids": [str(chat.far)]}))


async def tied_to_no_shop(chat: Chat, log_in: LogIn) -> None:
    await ok(chat.admin.patch(f"/user/{chat.olga.person.id}", json={"shop_ids": []}))


async def role_narrowed(chat: Chat, log_in: LogIn) -> None:
    roles = (await ok(chat.admin.get("/roles", params={"name": "manager"})))["items"]
    await ok(chat.admin.patch(f"/role/{roles[0]['id']}", json={"permissions": ["orders:read", "orders:write"]}))


WAYS = [demoted, blocked, deleted, moved_to_another_shop, tied_to_no_shop, role_narrowed]


@pytest.mark.parametrize("status", ["open", "pending", "resolved"])
@pytest.mark.parametrize("act", WAYS, ids=lambda act: act.__name__)
async def test_an_assignee_who_may_not_answer_any_more_is_none(
    chat: Chat, log_in: LogIn, act: Act, status: str
) -> None:
    """Tried: the assignee demoted or deleted: stays theirs."""
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id), status=status)
    assert await chat.listed(assigned_to=str(chat.olga.person.id)) == 1

    await act(chat, log_in)

    assert (await chat.look())["assigned_to"] is None
    assert await chat.listed(assigned_to=str(chat.olga.person.id)) == 0
    assert await chat.listed(assigned_to__isnull="true") == 1
    assert await chat.listed(assigned_to__ne=str(chat.olga.person.id)) == 1
    assert (await chat.olga.get(chat.path)).status_code in {401, 404}


async def test_nobody_who_works_for_no_shop_can_be_assigned(chat: Chat, log_in: LogIn) -> None:
    nowhere = await log_in("nowhere@example.com", role="manager")

    answer = await refused(chat.admin.patch(chat.path, json={"assigned_to": str(nowhere.person.id)}))

    assert answer == (422, "unfit_assignee")


async def test_somebody_of_another_shop_who_was_assigned_leaves_with_their_own_shop(chat: Chat) -> None:
    await chat.change(chat.admin, assigned_to=str(chat.pavel.person.id))
    assert (await chat.look(chat.pavel))["assigned_to"] == str(chat.pavel.person.id)

    await ok(chat.admin.patch(f"/user/{chat.pavel.person.id}", json={"shop_ids": []}))

    assert (await chat.look())["assigned_to"] is None
    assert (await chat.pavel.get(chat.path)).status_code == 404


async def test_an_assignee_who_may_answer_again_has_it_again(chat: Chat) -> None:
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id))
    for is_active in (False, True):
        await ok(chat.admin.patch(f"/user/{chat.olga.person.id}", json={"is_active": is_active}))

    assert (await chat.look())["assigned_to"] == str(chat.olga.person.id)


# The customer turns to another shop.


async def test_a5_the_customer_turns_to_another_shop_and_who_answered_stays(chat: Chat) -> None:
    """Tried: another shop_id in the middle of a conversation: the first shop's manager is thrown out, the other
    reads its private notes."""
    await chat.say(chat.anna, "Где мой латте?")
    await chat.say(chat.olga, "Сейчас посмотрю")
    await ok(chat.olga.post(f"{chat.path}/notes", json={"text": "Снова она."}), 201)

    await ok(chat.anna.post("/chat", json={"shop_id": str(chat.far)}))

    assert (await chat.look(chat.olga))["shop_id"] == str(chat.far)
    assert await chat.listed(chat.olga) == 1
    await chat.say(chat.olga, "Готов!")
    assert await chat.notes(chat.olga) == await chat.notes(chat.support) == ["Снова она."]
    assert (await chat.look(chat.pavel))["id"] == chat.id
    assert await chat.notes(chat.pavel) == []


async def test_a5_the_customer_turns_to_another_shop_and_who_has_not_answered_leaves(chat: Chat) -> None:
    await ok(chat.anna.post("/chat", json={"shop_id": str(chat.far)}))

    assert (await chat.olga.get(chat.path)).status_code == 404


async def test_a5_the_customer_turns_to_another_shop_and_the_assignee_stays(chat: Chat) -> None:
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id))

    await ok(chat.anna.post("/chat", json={"shop_id": str(chat.far)}))

    assert (await chat.look(chat.olga))["assigned_to"] == str(chat.olga.person.id)


async def test_a5_who_answered_stays_until_it_is_resolved(chat: Chat) -> None:
    await chat.say(chat.olga, "Здравствуйте")
    await ok(chat.anna.post("/chat", json={"shop_id": str(chat.far)}))

    await chat.change(chat.pavel, status="resolved")

    assert (await chat.olga.get(chat.path)).status_code == 404
    assert (await chat.look(chat.pavel))["status"] == "resolved"


async def test_a5_who_answered_and_works_there_no_more_does_not_stay(chat: Chat) -> None:
    await chat.say(chat.olga, "Здравствуйте")
    await ok(chat.anna.post("/chat", json={"shop_id": str(chat.far)}))

    await moved_to_another_shop(chat, None)
    assert (await chat.look(chat.olga))["id"] == chat.id, "it is about her new shop"
    await ok(chat.anna.post("/chat", json={"shop_id": str(chat.near)}))

    assert (await chat.olga.get(chat.path)).status_code == 404


async def test_a5_a_note_is_the_author_s_shop_s_wherever_they_were_assigned_from(chat: Chat) -> None:
    await chat.change(chat.admin, assigned_to=str(chat.pavel.person.id))

    await ok(chat.pavel.post(f"{chat.path}/notes", json={"text": "Мы её знаем."}), 201)

    assert await chat.notes(chat.pavel) == await chat.notes(chat.admin) == ["Мы её знаем."]
    assert await chat.notes(chat.olga) == []


async def test_a5_sockets_of_who_answered_stay_when_the_customer_turns_to_another_shop(town: Town) -> None:
    near, far = [await make_shop(town.sessions, slug=uuid4().hex) for _ in range(2)]
    anna = await town.person()
    answers, only_reads = [await town.person("manager", shop_ids=(near,)) for _ in range(2)]
    async with http_client(base_url=town.servers[0].url, headers=bearer(anna)) as client:
        chat = (await ok(client.post("/chat", json={"shop_id": str(near)})))["id"]
        async with (
            chatting(town.servers[0], answers, chat) as stays,
            chatting(town.servers[1], only_reads, chat) as leaves,
        ):
            await stays.say("Здравствуйте")
            await leaves.expect("message", seq=1)
            await ok(client.post("/chat", json={"shop_id": str(far)}))

            assert await leaves.closed() == 4403
            await ok(client.post(f"/chat/{chat}/messages", json={"text": "Вы здесь?"}), 201)
            await stays.expect("message", seq=2)


async def test_sockets_hear_with_the_next_message_that_an_assignee_who_may_not_answer_is_none(town: Town) -> None:
    near = await make_shop(town.sessions, slug=uuid4().hex)
    anna, support = await town.person(), await town.person("support")
    manager = await town.person("manager", shop_ids=(near,))
    async with http_client(base_url=town.servers[0].url) as client:
        chat = (await ok(client.post("/chat", headers=bearer(anna), json={"shop_id": str(near)})))["id"]
        async with chatting(town.servers[1], support, chat) as staff:
            body = {"assigned_to": str(manager.id)}
            await ok(client.patch(f"/chat/{chat}", headers=bearer(support), json=body))
            await staff.expect("conversation", assigned_to=str(manager.id))
            async with town.sessions.begin() as session:
                await session.execute(update(User).where(User.id == manager.id).values(is_active=False))
            await ok(client.post(f"/chat/{chat}/messages", headers=bearer(anna), json={"text": "Вы здесь?"}), 201)

            await staff.expect("conversation", assigned_to=None)


def bearer(person: PersonMade) -> dict[str, str]:
    return {"Authorization": f"Bearer {person.token}"}


async def test_the_customer_turns_to_another_shop_when_it_is_resolved(chat: Chat) -> None:
    await chat.change(chat.olga, status="resolved")

    await ok(chat.anna.post("/chat", json={"shop_id": str(chat.far)}))

    assert (await chat.look(chat.pavel))["status"] == "resolved"
    assert (await chat.olga.get(chat.path)).status_code == 404


# The customer is blocked, or deletes their account.


@pytest.mark.parametrize("status", ["open", "pending", "resolved"])
async def test_the_customer_is_blocked_and_it_stays(chat: Chat, status: str) -> None:
    await chat.say(chat.anna, "Вы здесь?")
    before = await chat.change(chat.olga, status=status, **({"seen_seq": 1} if status == "resolved" else {}))

    await ok(chat.admin.patch(f"/user/{chat.anna.person.id}", json={"is_active": False}))

    assert await chat.look() == before


@pytest.mark.parametrize("status", ["open", "pending", "resolved"])
async def test_the_customer_is_deleted_and_leaves_the_queue(chat: Chat, status: str) -> None:
    """Tried: the customer deleted: waits at the head for ever."""
    await chat.say(chat.anna, "Вы здесь?")
    await chat.say(chat.olga, "Да")
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id), status=status)
    if status == "open":
        await chat.say(chat.anna, "Ау!")

    await ok(chat.anna.delete(f"/user/{chat.anna.person.id}"), 204)

    now = await chat.look()
    assert (now["status"], now["waiting_since"], now["assigned_to"], now["unread_by_staff"]) == (
        "resolved",
        None,
        None,
        0,
    )
    assert now["customer"] == {"id": str(chat.anna.person.id), "name": None}
    assert await chat.listed(waiting_since__isnull="false") == 0
    assert (await chat.anna.get(chat.path)).status_code == 401
    kept = (await ok(chat.olga.get(f"{chat.path}/messages")))["items"]
    assert kept[0]["text"] == "Вы здесь?", "the staff read it until it is erased"


async def test_nothing_is_added_to_what_a_deleted_customer_left(chat: Chat) -> None:
    await ok(chat.anna.delete(f"/user/{chat.anna.person.id}"), 204)

    for request in (
        chat.olga.post(f"{chat.path}/messages", json={"text": "Вы здесь?"}),
        chat.olga.post(f"{chat.path}/notes", json={"text": "Ушла."}),
        chat.olga.patch(chat.path, json={"status": "open"}),
        chat.olga.post(f"{chat.path}/attachments", files={"file": ("a.pdf", b"%PDF-1.7\n", "application/pdf")}),
    ):
        assert await refused(request) == (409, "customer_deleted")
    answer = await chat.support.post("/chats", json={"customer_id": str(chat.anna.person.id), "text": "Вы здесь?"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_reference")


# The shop goes.


@pytest.mark.parametrize("status", ["open", "pending", "resolved"])
async def test_the_shop_is_deleted_and_it_is_the_whole_chain_s(chat: Chat, status: str) -> None:
    await chat.change(chat.olga, assigned_to=str(chat.olga.person.id), status=status)
    await ok(chat.olga.post(f"{chat.path}/notes", json={"text": "Снова она."}), 201)

    await ok(chat.admin.delete(f"/shop/{chat.near}"), 204)

    now = await chat.look(chat.support)
    assert (now["shop_id"], now["assigned_to"]) == (None, None)
    assert await chat.notes(chat.support) == ["Снова она."]
    for manager in (chat.olga, chat.pavel):
        assert (await manager.get(chat.path)).status_code == 404


# Staff write first.


async def first(client: httpx2.AsyncClient, customer: httpx2.AsyncClient, **fields: Any) -> httpx2.Response:
    return await client.post("/chats", json={"customer_id": str(customer.person.id), "text": "Зонт у нас."} | fields)


async def test_staff_write_first_into_the_one_conversation(chat: Chat) -> None:
    await chat.say(chat.anna, "Вы здесь?")

    answer = await first(chat.support, chat.anna)

    assert (answer.status_code, answer.headers["location"]) == (201, chat.path)
    assert answer.json() == await chat.look(chat.support)
    assert (answer.json()["status"], answer.json()["waiting_since"], answer.json()["last_seq"]) == ("open", None, 2)
    assert (await chat.look(chat.anna))["unread_by_customer"] == 1


async def test_staff_write_first_into_what_is_pending_and_go_on_waiting(chat: Chat) -> None:
    await chat.change(chat.olga, status="pending")

    answer = await first(chat.olga, chat.anna)

    assert (answer.status_code, answer.json()["status"], answer.json()["last_seq"]) == (201, "pending", 1)


async def test_staff_write_first_into_what_is_resolved_and_wait_for_the_customer(chat: Chat) -> None:
    await chat.change(chat.olga, status="resolved")

    answer = await first(chat.olga, chat.anna)

    assert (answer.status_code, answer.json()["status"]) == (201, "pending")


async def test_staff_write_first_where_there_is_no_conversation(chat: Chat, other_customer: httpx2.AsyncClient) -> None:
    answer = await first(chat.support, other_customer)
    again = await first(chat.admin, other_customer)

    assert (answer.status_code, answer.json()["status"], answer.json()["shop_id"]) == (201, "pending", None)
    assert again.headers["location"] == answer.headers["location"]
    assert (await ok(other_customer.post("/chat")))["last_seq"] == 2


async def test_a4_staff_of_a_shop_write_first_to_those_who_ordered_there(
    chat: Chat, other_customer: httpx2.AsyncClient
) -> None:
    order = await place(other_customer, await make_simple_product(chat.sessions), shop_id=str(chat.near))

    strangers = await first(chat.pavel, other_customer)
    foreign = await first(chat.pavel, other_customer, order_id=order["id"])
    ours = await first(chat.olga, other_customer)
    linked = await first(chat.olga, other_customer, order_id=order["id"])

    for refusal, field in ((strangers, "customer_id"), (foreign, "order_id")):
        assert (refusal.status_code, refusal.json()["code"]) == (422, "unknown_reference")
        assert refusal.json()["errors"][0]["loc"] == ["body", field]
    assert (ours.status_code, ours.json()["shop_id"], ours.json()["order_id"]) == (201, str(chat.near), None)
    assert (linked.json()["id"], linked.json()["order_id"]) == (ours.json()["id"], order["id"])


async def test_a5_staff_of_a_shop_don_t_write_themselves_into_another_s_conversation(chat: Chat) -> None:
    order = await place(chat.anna, await make_simple_product(chat.sessions), shop_id=str(chat.far))
    await chat.say(chat.anna, "Между нами")

    answer = await first(chat.pavel, chat.anna, order_id=order["id"])

    assert (answer.status_code, answer.json()["code"]) == (409, "conversation_elsewhere")
    assert (await chat.pavel.get(chat.path)).status_code == 404
    assert (await chat.look())["last_seq"] == 1


@pytest.mark.parametrize(
    "fields", [{"customer_id": "019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5"}, {"order_id": str(UUID(int=7))}]
)
async def test_a4_an_unknown_id_in_a_first_message_is_named(chat: Chat, fields: dict[str, str]) -> None:
    answer = await first(chat.support, chat.anna, **fields)

    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_reference")
    assert answer.json()["errors"][0]["loc"] == ["body", *fields]
    assert (await chat.look())["last_seq"] == 0


async def test_nobody_writes_first_to_themselves_or_without_a_text(chat: Chat) -> None:
    assert await refused(first(chat.support, chat.support)) == (422, "unknown_reference")
    assert await refused(first(chat.support, chat.anna, text=" ")) == (422, "validation_error")
    assert await refused(first(chat.anna, chat.support)) == (403, "forbidden")
