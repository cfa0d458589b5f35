"""The examples people copy, run as they are: they talk, lose the server, come back, and have lost nothing."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from crema.accounts.deps import AccountsState
from crema.web.state import state_of
from fixtures.browser import browser_page, needs_chromium
from fixtures.examples import load_example
from fixtures.live import Town, chatting, environment, open_town
from fixtures.people import PersonMade
from fixtures.server import Server, http_client, running

pytestmark = pytest.mark.anyio


class Restarted:
    """A server that is stopped, and comes back at the same address."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._stack = ExitStack()
        self._environment, self._folder = environment(database_url), folder
        self.server = self._start(None)

    def _start(self, port: int | None) -> Server:
        return self._stack.enter_context(running(self._folder / "data", port=port, **self._environment))

    async def restart(self) -> None:
        await asyncio.to_thread(self.server.stop, signal.SIGTERM)
        self.server = await asyncio.to_thread(self._start, int(self.server.url.rpartition(":")[2]))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def restarted(database_url: str, tmp_path: Path) -> Iterator[Restarted]:
    server = Restarted(database_url, tmp_path)
    yield server
    server.close()


@asynccontextmanager
async def town_of(restarted: Restarted, database_url: str, folder: Path) -> AsyncIterator[Town]:
    async with open_town([restarted.server], database_url, folder) as town:
        yield town


async def chat_of(server: Server, person: PersonMade) -> str:
    async with http_client(base_url=server.url) as client:
        answer = await client.post("/chat", headers={"Authorization": f"Bearer {person.token}"})
    chat_id: str = answer.json()["id"]
    return chat_id


async def test_the_python_example_comes_back_and_loses_nothing(
    restarted: Restarted, database_url: str, tmp_path: Path
) -> None:
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with town_of(restarted, database_url, tmp_path) as town, asyncio.timeout(60):
        anna, support = await town.person(), await town.person("support")
        chat_id = await chat_of(restarted.server, anna)

        async def token() -> str:
            return anna.token

        chat = load_example().Chat(restarted.server.url, token=token, heard=heard.put_nowait)
        talking = asyncio.create_task(chat.run())
        await chat.say("before")
        assert (await heard.get())["text"] == "before"
        restarting = asyncio.create_task(restarted.restart())
        await asyncio.sleep(0)
        await chat.say("meanwhile")
        await restarting
        assert (await heard.get())["text"] == "meanwhile"
        async with chatting(restarted.server, support, chat_id) as staff:
            await staff.say("answer")
        assert (await heard.get())["text"] == "answer"
        async with http_client(base_url=restarted.server.url) as client:
            await client.post("/logout", headers={"Authorization": f"Bearer {anna.token}"})
        assert await talking == 4401
    assert heard.empty()


async def until(page: Page, expression: str) -> None:
    """Await a truth in the page. Playwright's own way compiles a string there, which our CSP forbids."""
    async with asyncio.timeout(30):
        while not await page.evaluate(expression):  # noqa: ASYNC110 - it is in another process
            await asyncio.sleep(0.05)


TALK = """
async (token) => {
  const { Chat } = await import("/docs/assets/examples/chat.js");
  window.heard = [];
  window.chat = new Chat({
    ticket: async () => {
      const answer = await fetch("/chat/ticket", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
      return (await answer.json()).ticket;
    },
    onFrame: (frame) => { if (frame.type === "message") window.heard.push(frame.text); },
    onState: (state) => { window.state = state; },
  });
  window.chat.connect();
}
"""


@needs_chromium
async def test_the_browser_example_comes_back_and_loses_nothing(
    restarted: Restarted, database_url: str, tmp_path: Path
) -> None:
    async with town_of(restarted, database_url, tmp_path) as town, asyncio.timeout(90):
        anna, support = await town.person(), await town.person("support")
        chat_id = await chat_of(restarted.server, anna)
        async with browser_page(f"{restarted.server.url}/docs/live") as page:
            await page.evaluate(TALK, anna.token)
            await until(page, "window.state === 'open'")
            await page.evaluate("chat.say('before')")
            await until(page, "heard.length === 1")
            restarting = asyncio.create_task(restarted.restart())
            await until(page, "window.state === 'waiting' || window.state === 'connecting'")
            await page.evaluate("chat.say('<b>meanwhile</b>')")
            await restarting
            await until(page, "heard.length === 2")
            async with chatting(restarted.server, support, chat_id) as staff:
                await staff.say("answer")
            await until(page, "heard.length === 3")

            assert json.loads(await page.evaluate("JSON.stringify(heard)")) == [
                "before",
                "<b>meanwhile</b>",
                "answer",
            ]
            assert await page.evaluate("chat.unacknowledged.size") == 0


@needs_chromium
async def test_people_can_try_the_chat_on_the_page(town: Town) -> None:
    password = "oat milk please"
    hashed = await state_of(town.app, AccountsState).passwords.hash(password)
    anna = await town.person(password_hash=hashed)
    complaints: list[str] = []

    async with asyncio.timeout(60), browser_page(f"{town.servers[0].url}/docs/live") as page:
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.reload()
        await page.fill("#email", anna.email)
        await page.fill("#password", password)
        await page.click("#connect button")
        await until(page, "document.getElementById('state').textContent === 'open'")
        await page.fill("#text", "<img src=x onerror=alert(1)>")
        await page.click("#say button")
        await until(page, "document.getElementById('log').textContent.includes('\"ack\"')")

        assert await page.locator("#log img").count() == 0
        assert "export class Chat" in (await page.locator("pre[data-source]").first.text_content() or "")
    assert complaints == []
