"""The mail about answers nobody read."""

import httpx2
import pytest
from sqlalchemy import select

from crema.db.session import Sessions
from crema.notifications.models import Mail
from crema.support.service import mails
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

CHAT_URL = "https://crema.example/chat/{conversation_id}"


@pytest.fixture
async def support(log_in: LogIn) -> httpx2.AsyncClient:
    return await log_in("support@example.com", role="support")


async def mail_unread(sessions: Sessions, clock: Clock) -> list[Mail]:
    async with sessions.begin() as session:
        await mails.mail_unread(session, chat_url=CHAT_URL, now=clock.now)
    async with sessions() as session:
        return list(await session.scalars(select(Mail).where(Mail.template == "chat_answer").order_by(Mail.id)))


async def say(client: httpx2.AsyncClient, chat: str, text: str) -> int:
    seq: int = (await client.post(f"/chat/{chat}/messages", json={"text": text})).json()["seq"]
    return seq


async def test_unread_answers_become_one_mail_after_two_minutes(
    customer: httpx2.AsyncClient, support: httpx2.AsyncClient, sessions: Sessions, clock: Clock
) -> None:
    chat = (await customer.post("/chat")).json()["id"]
    await say(customer, chat, "Где мой латте?")
    await say(support, chat, "Уже готов.")
    clock.advance(seconds=119)
    early = await mail_unread(sessions, clock)
    await say(support, chat, "Ждём вас!")
    clock.advance(seconds=1)
    first = await mail_unread(sessions, clock)
    clock.advance(minutes=10)
    again = await mail_unread(sessions, clock)
    await say(support, chat, "Вы где?")
    clock.advance(minutes=2)
    second = await mail_unread(sessions, clock)

    assert early == []
    assert [mail.context["answers"] for mail in first] == [["Уже готов.", "Ждём вас!"]]
    assert first[0].recipient == "anna@example.com"
    assert first[0].context["chat_url"] == f"https://crema.example/chat/{chat}"
    assert len(again) == 1
    assert [mail.context["answers"] for mail in second[1:]] == [["Вы где?"]]


async def test_what_was_read_is_not_mailed(
    customer: httpx2.AsyncClient, support: httpx2.AsyncClient, sessions: Sessions, clock: Clock
) -> None:
    chat = (await customer.post("/chat")).json()["id"]
    seq = await say(support, chat, "Здравствуйте!")
    await customer.post(f"/chat/{chat}/read", json={"seq": seq})
    clock.advance(minutes=5)

    assert await mail_unread(sessions, clock) == []


async def test_a_customer_s_own_messages_are_not_mailed_to_them(
    customer: httpx2.AsyncClient, sessions: Sessions, clock: Clock
) -> None:
    chat = (await customer.post("/chat")).json()["id"]
    await say(customer, chat, "Ау!")
    clock.advance(minutes=5)

    assert await mail_unread(sessions, clock) == []
