"""POST /logout, and cookies that are over: whoever wants to leave may, and what is dead is nobody."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import Session
from factories.people import bearer, sign_up
from fixtures.app import Clock, connect

pytestmark = pytest.mark.anyio
LOG_IN = {"email": "anna@example.com", "password": "oat milk please"}
STATES = ("live", "expired", "ended elsewhere", "garbage")


async def log_in(app: FastAPI, session: AsyncSession) -> dict[str, Any]:
    async with connect(app) as client:
        if await session.scalar(text("SELECT count(*) FROM users")) == 0:
            await sign_up(client, session)
        tokens: dict[str, Any] = (await client.post("/authentication", json=LOG_IN)).json()
    return tokens


async def put_into(state: str, tokens: dict[str, Any], app: FastAPI, session: AsyncSession, clock: Clock) -> None:
    """Make a login's tokens be in this state."""
    if state == "expired":
        clock.advance(minutes=11)
    elif state == "ended elsewhere":
        await session.execute(update(Session).values(ended_at=clock(), end_reason="logout"))
        await session.commit()
    elif state == "garbage":
        tokens |= {"access_token": "x.y.z", "refresh_token": "x" * 43}


async def browser(app: FastAPI, *, csrf: bool = True, **cookies: str) -> httpx2.AsyncClient:
    """Open a page of ours in a browser that holds these cookies."""
    client = connect(app)
    for name, value in cookies.items():
        client.cookies.set(f"crema_{name}", value, domain="crema.local")  # what a cookie jar makes of the host `crema`
    client.headers["Origin"] = "http://crema"
    if csrf:
        client.headers["X-CSRF-Token"] = (await client.get("/csrf")).json()["csrf_token"]
    return client


def dropped(answer: httpx2.Response) -> set[str]:
    """Name the cookies that an answer takes away."""
    given = answer.headers.get_list("set-cookie")
    gone = {each.partition("=")[0] for each in given if "Max-Age=0" in each}
    for each in given:
        assert "httponly" in each.lower()
        assert "samesite=strict" in each.lower()
    return gone


async def end_reasons(session: AsyncSession) -> list[str | None]:
    return list(await session.scalars(select(Session.end_reason).order_by(Session.id)))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("held", [("access",), ("refresh",), ("access", "refresh")], ids="+".join)
async def test_t14_logging_out_by_cookies_in_every_state(
    app: FastAPI, session: AsyncSession, clock: Clock, state: str, held: tuple[str, ...]
) -> None:
    tokens = await log_in(app, session)
    await put_into(state, tokens, app, session, clock)
    page = await browser(app, **{name: tokens[f"{name}_token"] for name in held})

    answer = await page.post("/logout")

    assert (answer.status_code, answer.content) == (204, b"")
    assert dropped(answer) == {"crema_access", "crema_refresh"}
    assert answer.headers["cache-control"] == "no-store"
    assert dict(page.cookies).keys() == {"crema_csrf"}
    assert await end_reasons(session) == [None if state == "garbage" else "logout"]
    # The next person at this browser is nobody.
    assert (await page.post("/refresh", params={"mode": "cookie"})).status_code == 401
    assert (await page.get("/me")).status_code == 401
    await page.aclose()


@pytest.mark.parametrize("state", ["live", "expired", "ended elsewhere"])
async def test_t5_logging_out_by_bearer_in_every_state(
    app: FastAPI, session: AsyncSession, clock: Clock, state: str
) -> None:
    tokens = await log_in(app, session)
    await put_into(state, tokens, app, session, clock)
    async with connect(app, tokens["access_token"]) as client:
        answer = await client.post("/logout")

    assert answer.status_code == 204
    assert await end_reasons(session) == ["logout"]


@pytest.mark.parametrize("state", STATES)
async def test_t5_logging_out_by_refresh_token_in_every_state(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, state: str
) -> None:
    tokens = await log_in(app, session)
    await put_into(state, tokens, app, session, clock)

    answer = await client.post("/logout", json={"refresh_token": tokens["refresh_token"]})

    assert answer.status_code == 204
    assert await end_reasons(session) == [None if state == "garbage" else "logout"]


async def test_t5_a_spent_refresh_token_ends_its_login(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    tokens = await log_in(app, session)
    current = (await client.post("/refresh", json={"refresh_token": tokens["refresh_token"]})).json()

    assert (await client.post("/logout", json={"refresh_token": tokens["refresh_token"]})).status_code == 204
    assert (await client.get("/me", headers=bearer(current))).status_code == 401


async def test_t5_every_login_that_is_named_ends_and_no_other(app: FastAPI, session: AsyncSession) -> None:
    by_access, by_refresh, other = [await log_in(app, session) for _ in range(3)]
    page = await browser(app, access=by_access["access_token"], refresh=by_refresh["refresh_token"])

    assert (await page.post("/logout")).status_code == 204

    assert await end_reasons(session) == ["logout", "logout", None]
    async with connect(app, other["access_token"]) as client:
        assert (await client.get("/me")).status_code == 200
    await page.aclose()


@pytest.mark.parametrize("body", [None, {}, {"refresh_token": None}], ids=str)
async def test_nobody_can_t_log_out(client: httpx2.AsyncClient, body: Any) -> None:
    answer = await client.post("/logout", json=body)

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_t1_a_bearer_that_is_none_of_ours_logs_nobody_out(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    tokens = await log_in(app, session)
    forged = tokens["access_token"].rpartition(".")[0] + "." + "A" * 43

    for token in (forged, "x", tokens["refresh_token"]):
        answer = await client.post("/logout", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert await end_reasons(session) == [None]


@pytest.mark.parametrize("state", STATES)
async def test_c2_no_other_site_logs_a_browser_out(
    app: FastAPI, session: AsyncSession, clock: Clock, state: str
) -> None:
    tokens = await log_in(app, session)
    await put_into(state, tokens, app, session, clock)
    before = await end_reasons(session)
    page = await browser(app, access=tokens["access_token"], refresh=tokens["refresh_token"])

    for headers in ({"Origin": "https://evil.example"}, {"X-CSRF-Token": "x"}):
        answer = await page.post("/logout", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
        assert dropped(answer) == set()
    assert await end_reasons(session) == before
    await page.aclose()


@pytest.mark.parametrize("state", ["expired", "ended elsewhere", "garbage"])
@pytest.mark.parametrize("path", ["/products", "/categories", "/ingredients", "/shops"])
async def test_t14_a_dead_cookie_is_nobody_on_the_public_menu(
    app: FastAPI, session: AsyncSession, clock: Clock, state: str, path: str
) -> None:
    tokens = await log_in(app, session)
    await put_into(state, tokens, app, session, clock)
    async with connect(app) as nobody:
        plain = await nobody.get(path)
    page = await browser(app, csrf=False, access=tokens["access_token"], refresh=tokens["refresh_token"])

    answer = await page.get(path)

    assert (answer.status_code, answer.content) == (plain.status_code, plain.content)
    # An access token that has expired says nothing about the refresh token beside it.
    lasting = {"crema_refresh"} if state in {"expired", "garbage"} else set()
    assert dropped(answer) == {"crema_access", "crema_refresh"} - lasting
    assert answer.headers["cache-control"] == "no-store"
    again = await page.get(path)
    assert dropped(again) == set()
    assert again.headers["cache-control"] == plain.headers["cache-control"]
    await page.aclose()


@pytest.mark.parametrize("path", ["/menu", "/info", "/csrf"])
async def test_what_asks_for_nobody_takes_any_cookie(app: FastAPI, path: str) -> None:
    page = await browser(app, csrf=False, access="x.y.z", refresh="x")

    answer = await page.get(path)

    assert (answer.status_code, dropped(answer)) == (200, set())
    await page.aclose()


@pytest.mark.parametrize("state", ["expired", "ended elsewhere", "garbage"])
async def test_t14_a_dead_cookie_is_nobody_where_one_logs_in(
    app: FastAPI, session: AsyncSession, clock: Clock, state: str
) -> None:
    tokens = await log_in(app, session)
    await put_into(state, tokens, app, session, clock)
    page = await browser(app, access=tokens["access_token"], refresh=tokens["refresh_token"])

    registered = await page.post("/registration", json=LOG_IN | {"email": "new@example.com"})
    assert registered.status_code == 201
    assert "crema_access" in dropped(registered)
    logged_in = await page.post("/authentication", params={"mode": "cookie"}, json=LOG_IN)

    assert logged_in.status_code == 200
    assert dropped(logged_in) == set()
    assert (await page.get("/me")).status_code == 200
    await page.aclose()


@pytest.mark.parametrize("state", ["expired", "ended elsewhere", "garbage"])
async def test_t14_a_dead_cookie_is_refused_and_dropped_where_a_login_is_needed(
    app: FastAPI, session: AsyncSession, clock: Clock, state: str
) -> None:
    tokens = await log_in(app, session)
    await put_into(state, tokens, app, session, clock)
    page = await browser(app, csrf=False, access=tokens["access_token"])

    answer = await page.get("/me")

    assert answer.status_code == 401
    assert "crema_access" in dropped(answer)
    await page.aclose()


@pytest.mark.parametrize("state", ["ended elsewhere", "garbage"])
async def test_t14_a_dead_refresh_cookie_is_dropped(
    app: FastAPI, session: AsyncSession, clock: Clock, state: str
) -> None:
    tokens = await log_in(app, session)
    await put_into(state, tokens, app, session, clock)
    page = await browser(app, access=tokens["access_token"], refresh=tokens["refresh_token"])

    answer = await page.post("/refresh", params={"mode": "cookie"})

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")
    assert dropped(answer) == {"crema_access", "crema_refresh"}
    await page.aclose()


async def test_an_expired_access_cookie_doesn_t_cost_the_refresh(
    app: FastAPI, session: AsyncSession, clock: Clock
) -> None:
    tokens = await log_in(app, session)
    clock.advance(minutes=11)
    page = await browser(app, access=tokens["access_token"], refresh=tokens["refresh_token"])

    assert (await page.get("/products")).status_code == 200
    refreshed = await page.post("/refresh", params={"mode": "cookie"})

    assert (refreshed.status_code, dropped(refreshed)) == (200, set())
    assert (await page.get("/me")).status_code == 200
    await page.aclose()


async def test_a_failure_of_ours_takes_no_cookie_away(
    app: FastAPI, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await log_in(app, session)
    page = await browser(app, refresh=tokens["refresh_token"])

    async def away(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("crema.accounts.service.logins.Logins.refresh", away)
    answer = await page.post("/refresh", params={"mode": "cookie"})

    assert (answer.status_code, dropped(answer)) == (503, set())
    await page.aclose()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/me"), ("POST", "/me"), ("GET", "/sessions"), ("GET", "/products"), ("GET", "/cart")]
)
async def test_t2_an_expired_bearer_is_good_for_nothing_else(
    app: FastAPI, session: AsyncSession, clock: Clock, method: str, path: str
) -> None:
    tokens = await log_in(app, session)
    clock.advance(minutes=11)
    async with connect(app, tokens["access_token"]) as client:
        answer = await client.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
