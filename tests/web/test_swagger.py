"""Swagger UI in Chromium, as a front-end developer uses it."""

import asyncio

import pytest

from fixtures.browser import needs_chromium, watched_page
from fixtures.live import Town

pytestmark = [pytest.mark.anyio, needs_chromium]

PASSWORD = "oat milk please"


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
