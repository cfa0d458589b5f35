"""Swagger as a front-end developer meets it: operations that fit the screen, filters that do what was typed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2
import pytest
from playwright.async_api import Locator, Page

from factories.menu import make_product
from fixtures.browser import browser_page, needs_chromium, watched_page
from fixtures.live import Town

pytestmark = [pytest.mark.anyio, needs_chromium]

HEIGHTS = {"listProducts": 2_000, "postMe": 900}
"""Pixels an opened operation may be high, on a screen 1,280 pixels wide."""

PASSWORD = "oat milk please"
PATIENCE = 240
"""Seconds: the page draws every operation there is, on machines that do much else."""


class Swagger:
    """An open `/docs`, and what the browser complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(request.url))

    async def open(self, operation: str) -> Locator:
        """Open an operation by its id, and give its element."""
        found = self.page.locator(f".opblock[id$='-{operation}']")
        await found.locator(".opblock-summary-control").click()
        await found.locator(".responses-table").wait_for()
        return found

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


@asynccontextmanager
async def swagger(town: Town, *, width: int, is_styled: bool = True) -> AsyncIterator[Swagger]:
    async with asyncio.timeout(PATIENCE), browser_page(viewport={"width": width, "height": 844}) as page:
        page.set_default_timeout(1_000 * PATIENCE)
        if not is_styled:
            await page.route("**/assets/docs.css", lambda route: route.abort())
        shown = Swagger(page)
        await page.goto(f"{town.servers[0].url}/docs")
        await page.locator(".opblock").first.wait_for()
        yield shown


async def ask(operation: Locator, filters: dict[str, str]) -> list[str]:
    """Fill in filters, execute, and read the names of what is shown."""
    await operation.locator("tr[data-param-name='filter'] textarea").fill(json.dumps(filters))
    await operation.locator(".execute").click()
    shown = operation.locator(".live-responses-table .response pre").first
    answer = json.loads(await shown.text_content() or "")
    return [item["name"] for item in answer["items"]]


async def test_an_opened_operation_fits_the_screen(town: Town) -> None:
    async with swagger(town, width=1280) as shown:
        heights = {operation: await shown.height(operation) for operation in HEIGHTS}

    assert {name: height for name, height in heights.items() if height >= HEIGHTS[name]} == {}
    assert shown.complaints == []


async def test_twin_without_our_style_it_does_not(town: Town) -> None:
    async with swagger(town, width=1280, is_styled=False) as shown:
        heights = {operation: await shown.height(operation) for operation in HEIGHTS}

    assert {name for name, height in heights.items() if height >= HEIGHTS[name]} == HEIGHTS.keys()
    assert [complaint for complaint in shown.complaints if complaint.endswith("docs.css")]


@pytest.mark.parametrize("width", [1280, 390])
async def test_two_filters_find_what_they_say_and_nothing_sticks_out(town: Town, width: int) -> None:
    mark = uuid4().hex
    admin = await town.person("admin")
    headers = {"Authorization": f"Bearer {admin.token}"}
    async with httpx2.AsyncClient(base_url=town.servers[0].url, headers=headers, timeout=20) as editor:
        for name, price in (("Латте", "200.00"), ("Раф", "300.00"), ("Мокко", "400.00")):
            await make_product(editor, f"{name} {mark}", price)

    async with swagger(town, width=width) as shown:
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


async def test_authorize_asks_for_an_address_and_a_password_and_for_no_client(town: Town) -> None:
    anna = await town.person(password_hash=await town.app.state.passwords.hash(PASSWORD))
    async with asyncio.timeout(120), watched_page() as watched:
        page = watched.page
        await page.goto(f"{town.servers[0].url}/docs")
        await page.click(".scheme-container .authorize")
        form = page.locator(".auth-container", has_text="Token URL")
        labels = [text for text in await form.locator("label:visible").all_inner_texts() if text]
        await page.fill("#oauth_username", anna.email)
        await page.fill("#oauth_password", PASSWORD)
        await form.locator("button.authorize").click()
        await form.locator("button", has_text="Logout").wait_for()
        left = [text for text in await form.locator("label:visible").all_inner_texts() if text]
        await page.click(".close-modal")
        me = page.locator("#operations-Users_management-seeMe")
        await me.locator(".opblock-summary-control").click()
        await me.locator("button.execute").click()
        shown = await me.locator(".live-responses-table .response .microlight").first.inner_text()

    assert labels == left == ["username:", "password:"]
    assert anna.email in shown
    assert watched.alarms == []
