"""The support chat over HTTP: one conversation per customer, nothing stored twice, a queue for the staff."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from crema.db.session import Sessions
from crema.support.models import Message
from factories.orders import make_shop, make_simple_product, place
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


async def open_chat(client: httpx2.AsyncClient, **about: Any) -> dict[str, Any]:
    response = await client.post("/chat", json=about)
    assert response.status_code == 200, response.text
    conversation: dict[str, Any] = response.json()
    return conversation


async def say(client: httpx2.AsyncClient, chat: dict[str, Any], text: str, **fields: Any) -> dict[str, Any]:
    response = await client.post(f"/chat/{chat['id']}/messages", json={"text": text} | fields)
    assert response.status_code == 201, response.text
    message: dict[str, Any] = response.json()
    return message


async def look(client: httpx2.AsyncClient, chat: dict[str, Any]) -> dict[str, Any]:
    conversation: dict[str, Any] = (await client.get(f"/chat/{chat['id']}")).json()
    return conversation


@pytest.fixture
async def support(log_in: LogIn) -> httpx2.AsyncClient:
    return await log_in("support@example.com", role="support", name="Софья")


async def test_a_customer_has_one_conversation_for_good(customer: httpx2.AsyncClient) -> None:
    first, second = await open_chat(customer), await open_chat(customer)

    assert first == second
    assert first["status"] == "open"
    assert first["customer"] == {"id": str(customer.person.id), "name": "Анна"}
    assert (await customer.get("/chats")).json()["total"] == 1


async def test_a_question_and_its_answer(
    customer: httpx2.AsyncClient, support: httpx2.AsyncClient, clock: Clock
) -> None:
    chat = await open_chat(customer)

    question = await say(customer, chat, "Где мой <b>латте</b>?")
    asked = await look(support, chat)
    clock.advance(minutes=1)
    answer = await say(support, chat, "Уже готов.")
    answered = await look(customer, chat)

    assert question["text"] == "Где мой <b>латте</b>?"
    assert question["author"] == {"id": str(customer.person.id), "name": "Анна", "role": "user"}
    assert answer["author"]["role"] == "support"
    assert [question["seq"], answer["seq"]] == [1, 2]
    assert (asked["unread_by_staff"], asked["waiting_since"]) == (1, question["created_at"])
    assert (answered["unread_by_customer"], answered["waiting_since"]) == (1, None)
    assert answered["last_message_at"] == answer["created_at"]


async def test_the_wait_counts_from_the_oldest_message_without_an_answer(
    customer: httpx2.AsyncClient, clock: Clock
) -> None:
    chat = await open_chat(customer)
    first = await say(customer, chat, "Вы здесь?")
    clock.advance(minutes=5)
    await say(customer, chat, "Ау!")

    assert (await look(customer, chat))["waiting_since"] == first["created_at"]


async def test_a_new_message_of_the_customer_reopens(customer: httpx2.AsyncClient, support: httpx2.AsyncClient) -> None:
    chat = await open_chat(customer)
    await say(customer, chat, "Спасибо")

    resolved = await support.patch(f"/chat/{chat['id']}", json={"status": "resolved", "seen_seq": 1})
    await say(support, chat, "Приходите ещё")
    still = await look(support, chat)
    await say(customer, chat, "Забыл спросить")

    assert (resolved.json()["status"], resolved.json()["waiting_since"]) == ("resolved", None)
    assert still["status"] == "resolved"
    assert (await look(support, chat))["status"] == "open"


async def test_w7_what_is_sent_again_is_stored_once(customer: httpx2.AsyncClient, sessions: Sessions) -> None:
    chat = await open_chat(customer)
    body = {"text": "Привет", "client_id": "phone-1"}

    first = await customer.post(f"/chat/{chat['id']}/messages", json=body)
    again = await customer.post(f"/chat/{chat['id']}/messages", json=body)
    other = await customer.post(f"/chat/{chat['id']}/messages", json=body | {"text": "Пока"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert (other.status_code, other.json()["code"]) == (409, "client_id_taken")
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Message)) == 1
    assert (await look(customer, chat))["last_seq"] == 1


async def test_reading_lowers_what_is_unread_and_never_goes_back(
    customer: httpx2.AsyncClient, support: httpx2.AsyncClient
) -> None:
    chat = await open_chat(customer)
    for text in ("Раз", "Два", "Три"):
        await say(customer, chat, text)
    path = f"/chat/{chat['id']}/read"

    two = (await support.post(path, json={"seq": 2})).json()
    back = (await support.post(path, json={"seq": 1})).json()
    beyond = (await support.post(path, json={"seq": 99})).json()

    assert [(each["staff_read_seq"], each["unread_by_staff"]) for each in (two, back, beyond)] == [
        (2, 1),
        (2, 1),
        (3, 0),
    ]
    assert beyond["customer_read_seq"] == 0


async def test_the_queue_shows_who_waits_longest_first(
    log_in: LogIn, support: httpx2.AsyncClient, clock: Clock
) -> None:
    for name in ("anna", "boris", "vera"):
        customer = await log_in(f"{name}@example.com", name=name)
        chat = await open_chat(customer)
        await say(customer, chat, "Здравствуйте")
        if name == "anna":
            await say(support, chat, "Здравствуйте!")
        clock.advance(minutes=1)

    queue = (await support.get("/chats", params={"sort": "waiting_since"})).json()
    waiting = (await support.get("/chats", params={"waiting_since__isnull": "false"})).json()

    assert [each["customer"]["name"] for each in queue["items"]] == ["boris", "vera", "anna"]
    assert waiting["total"] == 2


async def test_the_queue_shows_what_was_said_last(customer: httpx2.AsyncClient, support: httpx2.AsyncClient) -> None:
    """Tried: a support person's queue: no word of what was said last."""
    chat = await open_chat(customer)
    before = (await support.get("/chats")).json()["items"][0]["last_message"]
    await say(customer, chat, "Раз")
    said = await say(support, chat, "ы" * 500)

    after = (await support.get("/chats")).json()["items"][0]["last_message"]

    assert before is None
    assert after == {"text": "ы" * 120, "author": said["author"], "created_at": said["created_at"]}


async def test_history_goes_on_after_the_last_one_seen(customer: httpx2.AsyncClient) -> None:
    chat = await open_chat(customer)
    for text in ("Раз", "Два ёлки", "Три"):
        await say(customer, chat, text)
    path = f"/chat/{chat['id']}/messages"

    missed = (await customer.get(path, params={"seq__gt": 1})).json()
    newest = (await customer.get(path, params={"sort": "-seq", "size": 1, "cursor": ""})).json()
    older = (await customer.get(path, params={"sort": "-seq", "size": 1, "cursor": newest["next_cursor"]})).json()
    found = (await customer.get(path, params={"search": "елки"})).json()

    assert [each["seq"] for each in missed["items"]] == [2, 3]
    assert [each["text"] for each in newest["items"] + older["items"]] == ["Три", "Два ёлки"]
    assert [each["seq"] for each in found["items"]] == [2]


async def test_a4_it_can_be_about_one_s_own_order_only(
    customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    shop = str(await make_shop(sessions))
    order = await place(customer, await make_simple_product(sessions), shop_id=shop)

    mine = await open_chat(customer, order_id=order["id"])
    foreign = await other_customer.post("/chat", json={"order_id": order["id"]})
    unknown = await customer.post("/chat", json={"shop_id": str(customer.person.id)})

    assert (mine["order_id"], mine["shop_id"]) == (order["id"], shop)
    for refused, name in ((foreign, "order_id"), (unknown, "shop_id")):
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_reference")
        assert [error["loc"] for error in refused.json()["errors"]] == [["body", name]]
    assert (await other_customer.get("/chats")).json()["total"] == 0, "a refusal changes nothing"


async def test_a5_staff_see_their_shops_and_what_is_assigned_to_them(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, log_in: LogIn, sessions: Sessions
) -> None:
    near, far = await make_shop(sessions), await make_shop(sessions, slug="far")
    ours = await log_in("ours@example.com", role="manager", shop_ids=(near,))
    theirs = await log_in("theirs@example.com", role="manager", shop_ids=(far,))
    chat = await open_chat(customer, shop_id=str(near))

    hidden = await theirs.get(f"/chat/{chat['id']}")
    assigned = await admin.patch(f"/chat/{chat['id']}", json={"assigned_to": str(theirs.person.id)})

    assert (await ours.get("/chats")).json()["total"] == 1
    assert hidden.status_code == 404
    assert assigned.json()["assigned_to"] == str(theirs.person.id)
    assert (await theirs.get(f"/chat/{chat['id']}")).status_code == 200
    assert (await theirs.get("/chats", params={"assigned_to": str(theirs.person.id)})).json()["total"] == 1


async def test_only_who_may_answer_can_be_assigned(customer: httpx2.AsyncClient, support: httpx2.AsyncClient) -> None:
    chat = await open_chat(customer)
    path = f"/chat/{chat['id']}"

    taken = await support.patch(path, json={"assigned_to": str(support.person.id)})
    refused = await support.patch(path, json={"assigned_to": str(customer.person.id)})
    given_back = await support.patch(path, json={"assigned_to": None})

    assert taken.json()["assigned_to"] == str(support.person.id)
    assert (refused.status_code, refused.json()["code"]) == (422, "unfit_assignee")
    assert given_back.json()["assigned_to"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"text": ""},
        {"text": "   "},
        {"text": "x" * 2001},
        {"text": "a\x00b"},
        {"text": "Привет", "client_id": "no spaces"},
        {"text": "Привет", "client_id": "x" * 65},
        {"text": "Привет", "seq": 7},
        {},
    ],
)
async def test_bad_messages_are_refused_and_change_nothing(customer: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    chat = await open_chat(customer)

    refused = await customer.post(f"/chat/{chat['id']}/messages", json=body)

    assert refused.status_code == 422
    assert (await look(customer, chat))["last_seq"] == 0


async def test_a_client_id_is_its_author_s_own(customer: httpx2.AsyncClient, support: httpx2.AsyncClient) -> None:
    """Tried: staff used `m1`, then the customer: 409."""
    chat = await open_chat(customer)

    answers = [
        await client.post(f"/chat/{chat['id']}/messages", json={"text": text, "client_id": "m1"})
        for client, text in ((support, "Здравствуйте"), (customer, "Привет"), (support, "Здравствуйте"))
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 200]
    assert answers[2].json() == answers[0].json()


@pytest.mark.parametrize("name", ["customer_id", "customer.id"])
async def test_f1_a_customer_who_filters_by_customer_finds_their_own(
    customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, name: str
) -> None:
    for someone in (customer, other_customer):
        await open_chat(someone)
    found = {
        (someone.person.id, asked.person.id): (await someone.get("/chats", params={name: str(asked.person.id)})).json()
        for someone in (customer, other_customer)
        for asked in (customer, other_customer)
    }

    assert {pair: page["total"] for pair, page in found.items()} == {
        (one, other): int(one == other) for one, other in found
    }
