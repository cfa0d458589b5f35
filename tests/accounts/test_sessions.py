"""Logging out, seeing and ending one's logins."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from factories.people import authenticate, bearer, sign_in
from fixtures.app import Clock

pytestmark = pytest.mark.anyio


async def me(client: httpx2.AsyncClient, tokens: dict[str, Any]) -> int:
    return (await client.get("/me", headers=bearer(tokens))).status_code


async def sessions_of(client: httpx2.AsyncClient, tokens: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await client.get("/sessions", headers=bearer(tokens))).json()["items"]
    return items


async def test_t5_logging_out_ends_both_tokens_at_once(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    tokens = await sign_in(client, session)
    other = (await authenticate(client)).json()

    answer = await client.post("/logout", headers=bearer(tokens))

    assert (answer.status_code, answer.content) == (204, b"")
    assert await me(client, tokens) == 401
    refreshed = await client.post("/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 401
    assert await me(client, other) == 200


async def test_lists_one_s_own_live_logins_latest_first(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    first = await sign_in(client, session)
    await sign_in(client, session, "boris@example.com")
    clock.advance(minutes=5)
    second = (await authenticate(client)).json()
    ended = (await authenticate(client)).json()
    await client.post("/logout", headers=bearer(ended))

    shown = await sessions_of(client, first)

    assert [login["is_current"] for login in shown] == [False, True]
    assert [login["is_current"] for login in await sessions_of(client, second)] == [True, False]
    assert shown[0]["created_at"] == "2026-11-23T09:05:00.000000Z"
    assert shown[0].keys() == {
        "id", "user_agent", "network", "created_at", "last_used_at", "expires_at", "is_current",
    }  # fmt: skip


async def test_pages_through_logins(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    tokens = await sign_in(client, session)
    for _ in range(2):
        await authenticate(client)

    page = (await client.get("/sessions?size=2&page=2&sort=created_at", headers=bearer(tokens))).json()

    assert (len(page["items"]), page["total"], page["pages"]) == (1, 3, 2)


async def test_t5_ends_another_login(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    here = await sign_in(client, session)
    there = (await authenticate(client)).json()
    other = next(login for login in await sessions_of(client, here) if not login["is_current"])

    answer = await client.delete(f"/session/{other['id']}", headers=bearer(here))

    assert answer.status_code == 204
    assert (await me(client, here), await me(client, there)) == (200, 401)


async def test_a4_someone_else_s_login_is_not_there(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    anna = await sign_in(client, session)
    boris = await sign_in(client, session, "boris@example.com")
    [his] = await sessions_of(client, boris)

    answers = [
        await client.delete(f"/session/{session_id}", headers=bearer(anna)) for session_id in (his["id"], uuid4())
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() | {"request_id": ""} == answers[1].json() | {"request_id": ""}
    assert await me(client, boris) == 200


async def test_an_ended_login_is_not_there(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    here = await sign_in(client, session)
    await authenticate(client)
    other = next(login for login in await sessions_of(client, here) if not login["is_current"])
    await client.delete(f"/session/{other['id']}", headers=bearer(here))

    assert (await client.delete(f"/session/{other['id']}", headers=bearer(here))).status_code == 404
