"""Swagger as a front-end developer meets it: operations that fit the screen, filters that do what was typed."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from playwright.async_api import ConsoleMessage, Locator, Page

from crema.accounts.deps import AccountsState
from crema.web.state import state_of
from factories.menu import make_product
from fixtures.browser import browser_page, needs_chromium
from fixtures.live import Town
from fixtures.server import Server, http_client

pytestmark = [pytest.mark.anyio, needs_chromium]

HEIGHTS = {"listProducts": 2_000, "postMe": 900}
"""Pixels an opened operation may be high, on a screen 1,280 pixels wide."""

PASSWORD = "oat milk please"
PATIENCE = 240
"""Seconds: the page draws every operation there is, on machines that do much else."""


class Swagger:
    """An open `/docs`, and what the browser complained of. It is loaded once: the page takes seconds to draw."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(request.url))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type != "verbose":  # hints for who wrote the page
            self.complaints.append(f"{message.type}: {message.text}")

    async def open(self, operation: str) -> Locator:
        """Open an operation by its id, and give its element."""
        found = self.page.locator(f".opblock[id$='-{operation}']")
        await found.locator(".opblock-summary-control").click()
        await found.locator(".responses-table").wait_for()
        return found

    async def tidy(self) -> None:
        """Leave the page as it was loaded."""
        opened = self.page.locator(".opblock.is-open")
        while await opened.count():
            for button in (".btn-clear", ".reset"):  # what was answered, then what was filled in
                if await opened.first.locator(button).count():
                    await opened.first.locator(button).click()
            await opened.first.locator(".opblock-summary-control").click()
        self.complaints.clear()

    async def height(self, operation: str) -> float:
        found = await self.open(operation)
        await found.locator(".response[data-code='200'] pre").wait_for()
        box = await found.bounding_box()
        assert box is not None
        return box["height"]

    async def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        pixels: int = await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return pixels


@pytest.fixture(scope="module")
async def loaded(town_servers: list[Server]) -> AsyncIterator[Swagger]:
    async with browser_page() as page:
        page.set_default_timeout(1_000 * PATIENCE)
        loaded = Swagger(page)
        await page.goto(f"{town_servers[0].url}/docs")
        await page.locator(".opblock").first.wait_for()
        yield loaded


@pytest.fixture
async def shown(loaded: Swagger) -> AsyncIterator[Swagger]:
    await loaded.page.set_viewport_size({"width": 1280, "height": 844})
    assert loaded.complaints == []
    yield loaded
    await loaded.tidy()


@asynccontextmanager
async def without_our_style(page: Page) -> AsyncIterator[None]:
    style = page.locator("link[href*='docs.css']")
    await style.evaluate("link => { link.disabled = true }")
    yield
    await style.evaluate("link => { link.disabled = false }")


async def ask(operation: Locator, filters: dict[str, str]) -> list[str]:
    """Fill in filters, execute, and read the names of what is shown."""
    await operation.locator("tr[data-param-name='filter'] textarea").fill(json.dumps(filters))
    await operation.locator(".execute").click()
    shown = operation.locator(".live-responses-table .response pre").first
    answer = json.loads(await shown.text_content() or "")
    return [item["name"] for item in answer["items"]]


async def test_an_opened_operation_fits_the_screen(shown: Swagger) -> None:
    heights = {operation: await shown.height(operation) for operation in HEIGHTS}

    assert {name: height for name, height in heights.items() if height >= HEIGHTS[name]} == {}
    assert shown.complaints == []


async def test_twin_without_our_style_it_does_not(shown: Swagger) -> None:
    async with without_our_style(shown.page):
        heights = {operation: await shown.height(operation) for operation in HEIGHTS}

    assert {name for name, height in heights.items() if height >= HEIGHTS[name]} == HEIGHTS.keys()


@pytest.mark.parametrize("width", [1280, 390])
async def test_two_filters_find_what_they_say_and_nothing_sticks_out(town: Town, shown: Swagger, width: int) -> None:
    mark = uuid4().hex
    admin = await town.person("admin")
    headers = {"Authorization": f"Bearer {admin.token}"}
    async with http_client(base_url=town.servers[0].url, headers=headers, timeout=20) as editor:
        for name, price in (("Латте", "200.00"), ("Раф", "300.00"), ("Мокко", "400.00")):
            await make_product(editor, f"{name} {mark}", price)

    await shown.page.set_viewport_size({"width": width, "height": 844})
    overflows = [await shown.overflow()]
    operation = await shown.open("listProducts")
    overflows.append(await shown.overflow())
    await operation.locator("summary", has_text="Fields and operators").click()
    overflows.append(await shown.overflow())
    found = await ask(operation, {"name__icontains": mark, "price__gte": "300"})
    overflows.append(await shown.overflow())

    assert sorted(found) == [f"Мокко {mark}", f"Раф {mark}"]
    assert overflows == [0, 0, 0, 0]
    assert shown.complaints == []


async def test_authorize_asks_for_an_address_and_a_password_and_for_no_client(town: Town, shown: Swagger) -> None:
    anna = await town.person(password_hash=await state_of(town.app, AccountsState).passwords.hash(PASSWORD))
    page = shown.page
    await page.click(".scheme-container .authorize")
    form = page.locator(".auth-container", has_text="Token URL")
    labels = [text for text in await form.locator("label:visible").all_inner_texts() if text]
    await page.fill("#oauth_username", anna.email)
    await page.fill("#oauth_password", PASSWORD)
    await form.locator("button.authorize").click()
    log_out = form.locator("button", has_text="Logout")
    await log_out.wait_for()
    left = [text for text in await form.locator("label:visible").all_inner_texts() if text]
    await page.click(".close-modal")
    me = await shown.open("seeMe")
    await me.locator("button.execute").click()
    answer = await me.locator(".live-responses-table .response .microlight").first.inner_text()
    await page.click(".scheme-container .authorize")
    await log_out.click()
    await page.click(".close-modal")

    assert labels == left == ["username:", "password:"]
    assert anna.email in answer
    assert shown.complaints == []
