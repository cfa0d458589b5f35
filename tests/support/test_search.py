"""Searching conversations by what was written in them, within what the asker may see."""

import random
from collections.abc import Mapping
from uuid import UUID

import httpx2
import pytest

from crema.db.session import Sessions
from crema.support.service import limits
from factories.orders import make_shop
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


async def chat_of(client: httpx2.AsyncClient, *, shop_id: UUID | None = None) -> str:
    answer = await client.post("/chat", json={} if shop_id is None else {"shop_id": str(shop_id)})
    assert answer.status_code == 200, answer.text
    chat_id: str = answer.json()["id"]
    return chat_id


async def write(client: httpx2.AsyncClient, chat_id: str, text: str, *, kind: str = "messages") -> None:
    assert (await client.post(f"/chat/{chat_id}/{kind}", json={"text": text})).status_code == 201


async def found(client: httpx2.AsyncClient, words: str, **filters: str) -> list[str]:
    answer = await client.get("/chats", params={"search": words, "size": "100"} | filters)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


async def test_a_support_person_searches_through_what_was_written(customer: httpx2.AsyncClient, log_in: LogIn) -> None:
    """Tried: a support person's queue had no search over messages."""
    support = await log_in("support@example.com", role="support")
    boris = await log_in("boris@example.com", name="Борис")
    anna_s, boris_s = await chat_of(customer), await chat_of(boris)
    await write(customer, anna_s, "Забыла у вас жёлтый зонт")
    await write(support, anna_s, "Он ждёт у кассы")
    await write(boris, boris_s, "Где мой латте? 100% вовремя")

    assert await found(support, "желтый") == [anna_s]
    assert await found(support, "ЗОНТ касс") == [anna_s], "each word in some message"
    assert await found(support, "зонт латте") == []
    assert await found(support, "100%") == [boris_s], "% is an ordinary character"
    assert await found(support, "борис") == [boris_s], "by the customer's name"
    assert await found(support, "борис", search_fields="messages.text") == []
    assert await found(support, "зонт", status="resolved") == []
    assert await found(customer, "касс") == [anna_s]
    assert await found(customer, "латте") == []


async def test_a5_staff_only_notes_are_in_no_last_message_and_no_search_of_a_customer(
    customer: httpx2.AsyncClient, log_in: LogIn
) -> None:
    support = await log_in("support@example.com", role="support")
    chat = await chat_of(customer)
    await write(customer, chat, "Здравствуйте")
    await write(support, chat, "Трудный клиент", kind="notes")

    listed = {name: (await who.get("/chats")).json() for name, who in (("hers", customer), ("theirs", support))}
    asked = await customer.get("/chats", params={"search": "трудный", "search_fields": "notes.text"})

    assert {each["items"][0]["last_message"]["text"] for each in listed.values()} == {"Здравствуйте"}
    assert await found(support, "трудный") == [chat]
    assert await found(customer, "трудный") == []
    assert asked.status_code == 422
    assert "notes" not in asked.json()["detail"], "a customer isn't even told of notes"


WORDS = [f"слово{chr(ord('а') + n // 20)}{chr(ord('а') + n % 20)}" for n in range(36)]


async def words_in(client: httpx2.AsyncClient, chat_id: str) -> set[str]:
    """Read all that somebody may, word by word."""
    words: set[str] = set()
    for kind in ("messages", "notes"):
        answer = await client.get(f"/chat/{chat_id}/{kind}", params={"size": "100"})
        if answer.status_code == 200:
            words |= {word for each in answer.json()["items"] for word in each["text"].split()}
    return words


@pytest.mark.parametrize("seed", range(2))
async def test_a5_f2_nobody_finds_what_they_can_not_see(
    customer: httpx2.AsyncClient,
    admin: httpx2.AsyncClient,
    log_in: LogIn,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    """The oracle is what each may read: every word is written once, somewhere, and searched by everybody."""
    monkeypatch.setattr(limits, "REQUESTS_A_SECOND", 10_000)  # the clock stands still here
    chance = random.Random(seed)  # noqa: S311 - a test's
    near, far = await make_shop(sessions), await make_shop(sessions, slug="far")
    people: Mapping[str, httpx2.AsyncClient] = {
        "anna": customer,
        "boris": await log_in("boris@example.com"),
        "olga": await log_in("olga@example.com", role="manager", shop_ids=(near,)),
        "pavel": await log_in("pavel@example.com", role="manager", shop_ids=(far,)),
        "barista": await log_in("barista@example.com", role="barista", shop_ids=(near,)),
        "none": await log_in("none@example.com", role="support", is_tied=True),
        "support": await log_in("support@example.com", role="support"),
        "admin": admin,
    }
    chats = {
        await chat_of(people["anna"], shop_id=near): "anna",
        await chat_of(people["boris"], shop_id=far): "boris",
        await chat_of(people["olga"], shop_id=far): "olga",  # staff of one shop, a customer of another
    }
    turn_at = chance.randrange(12, 24)
    for number, word in enumerate(WORDS):
        if number == turn_at:  # who has answered follows it to another shop, without the notes written there
            await chat_of(people["anna"], shop_id=far)
        chat = chance.choice([*chats])
        writers = [
            who
            for name, who in people.items()
            if (await who.get(f"/chat/{chat}")).status_code == 200 and name not in {"anna", "boris"}
        ]
        owner = people[chats[chat]]
        match chance.randrange(3):
            case 0:
                await write(owner, chat, f"{word} от клиента")
            case 1:
                await write(chance.choice(writers), chat, f"ответ {word}")
            case 2:
                await write(chance.choice(writers), chat, f"заметка {word}", kind="notes")

    for name, who in people.items():
        readable = {chat: await words_in(who, chat) for chat in chats}
        for word in WORDS:
            expected = [chat for chat, words in readable.items() if word in words]
            assert await found(who, word) == expected, (name, word)
