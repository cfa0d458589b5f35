"""C1, C2: requests that browsers make for other sites change nothing; every unsafe route, and a twin."""

import re
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.requests import HTTPConnection
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from crema.accounts.deps import AccountsState
from crema.accounts.models import Session
from crema.db.session import Sessions
from crema.web import browser
from crema.web.cookies import Cookies
from crema.web.origins import Origins
from crema.web.state import WebState, state_of
from fixtures.app import change_state, connect
from fixtures.people import PersonMade, make_person

pytestmark = pytest.mark.anyio

PASSWORD = "oat milk please"
SITES = ("same-origin", "same-site", "cross-site", "none", None)
ORIGINS = (
    "http://crema",
    "https://crema",
    "http://crema:8000",
    "http://evilcrema",
    "https://evil.example",
    "http://crema.evil.example",
    "null",
    "",
    None,
)
NO_BEARER = ("Basic x", "Bearer", "Bearer ", "bearer", "Digest username=x", "x", "")
CHANGES = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables"


def unsafe_routes(app: FastAPI) -> list[tuple[str, str]]:
    return [
        (method.upper(), re.sub(r"{\w+}", str(UUID(int=7)), path))
        for path, item in app.openapi()["paths"].items()
        for method in item
        if method in {"post", "put", "patch", "delete"}
    ]


def headers_of(site: str | None, origin: str | None) -> dict[str, str]:
    given = {"Sec-Fetch-Site": site, "Origin": origin}
    return {name: value for name, value in given.items() if value is not None}


@pytest.fixture
async def anna(app: FastAPI) -> PersonMade:
    hashed = await state_of(app, AccountsState).passwords.hash(PASSWORD)
    return await make_person(app, email="anna@example.com", name="Анна", password_hash=hashed)


@pytest.fixture
async def page(app: FastAPI, client: httpx2.AsyncClient, anna: PersonMade) -> httpx2.AsyncClient:
    """A page of ours, logged in with cookies, that has its CSRF token at hand."""
    token = (await client.get("/csrf")).json()["csrf_token"]
    client.headers |= {"Origin": "http://crema", "Sec-Fetch-Site": "same-origin", "X-CSRF-Token": token}
    answer = await client.post(
        "/authentication", params={"mode": "cookie"}, json={"email": anna.email, "password": PASSWORD}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"user"}
    return client


async def test_a_browser_logs_in_reads_writes_refreshes_and_logs_out_by_cookies(
    page: httpx2.AsyncClient, anna: PersonMade
) -> None:
    me = await page.get("/me")
    changed = await page.patch(f"/user/{anna.id}", json={"name": "Аня"})
    before = dict(page.cookies)
    refreshed = await page.post("/refresh", params={"mode": "cookie"})
    after = dict(page.cookies)
    out = await page.post("/logout")

    assert me.json()["email"] == "anna@example.com"
    assert changed.json()["name"] == "Аня"
    assert refreshed.json().keys() == {"user"}
    assert {name for name in before if before[name] != after[name]} == {"crema_access", "crema_refresh"}
    assert out.status_code == 204
    assert dict(page.cookies).keys() == {"crema_csrf"}
    assert (await page.get("/me")).status_code == 401


async def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(
    app: FastAPI, client: httpx2.AsyncClient, anna: PersonMade
) -> None:
    change_state(app, WebState, cookies=Cookies(key=b"k" * 32, is_secure=True))
    given = await client.get("/csrf")
    cookie, token = given.headers["set-cookie"], given.json()["csrf_token"]
    secret = cookie.partition("=")[2].partition(";")[0]
    answer = await client.post(
        "/authentication",
        params={"mode": "cookie"},
        json={"email": anna.email, "password": PASSWORD},
        headers={"Cookie": f"__Host-csrf={secret}", "X-CSRF-Token": token, "Origin": "http://crema"},
    )

    cookies = [cookie, *answer.headers.get_list("set-cookie")]
    assert [each.partition("=")[0] for each in cookies] == ["__Host-csrf", "__Host-access", "__Host-refresh"]
    for each in cookies:
        attributes = {part.strip().lower() for part in each.split(";")[1:]}
        assert {"httponly", "secure", "samesite=strict", "path=/"} <= attributes
        assert not [part for part in attributes if part.startswith("domain")]


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("origin", ORIGINS)
async def test_c2_every_unsafe_route_wants_a_page_of_ours(
    app: FastAPI, page: httpx2.AsyncClient, sessions: Sessions, site: str | None, origin: str | None
) -> None:
    is_ours = origin == "http://crema" or (origin is None and site == "same-origin")
    for name in ("Origin", "Sec-Fetch-Site"):
        del page.headers[name]
    page.headers |= headers_of(site, origin)
    async with sessions() as session:
        before = await session.scalar(text(CHANGES))

    routes = unsafe_routes(app)
    assert len(routes) > 40
    if is_ours:
        answer = await page.patch("/user/me", json={})
        assert answer.json()["code"] != "csrf_failed"
        return
    for method, path in routes:
        for query in ({}, {"mode": "cookie"}):
            answer = await page.request(method, path, params=query)
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed"), (method, path)
    async with sessions() as session:
        assert await session.scalar(text(CHANGES)) == before


@pytest.mark.parametrize("token", [None, "", "x", "0" * 64])
async def test_c2_every_unsafe_route_wants_the_token(app: FastAPI, page: httpx2.AsyncClient, token: str | None) -> None:
    del page.headers["X-CSRF-Token"]
    page.headers |= {"X-CSRF-Token": token} if token is not None else {}

    for method, path in unsafe_routes(app):
        answer = await page.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed"), (method, path)


async def test_c2_another_browser_s_token_does_not_fit(app: FastAPI, page: httpx2.AsyncClient) -> None:
    async with connect(app) as other:
        page.headers["X-CSRF-Token"] = (await other.get("/csrf")).json()["csrf_token"]

    assert (await page.post("/logout")).status_code == 403


@pytest.mark.parametrize("path", ["/authentication", "/access", "/refresh"])
async def test_c2_nobody_is_logged_in_by_another_site(
    client: httpx2.AsyncClient, sessions: Sessions, anna: PersonMade, path: str
) -> None:
    credentials: dict[str, Any] = {"json": {"email": anna.email, "password": PASSWORD}}
    if path == "/access":
        credentials = {"data": {"username": anna.email, "password": PASSWORD}}

    answer = await client.post(
        path, params={"mode": "cookie"}, headers={"Origin": "https://evil.example"}, **credentials
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert "set-cookie" not in answer.headers
    async with sessions() as session:
        assert await session.get(Session, anna.session_id)
        assert await session.scalar(text("SELECT count(*) FROM sessions")) == 1


COOKIE_ROUTES = ("/authentication/cookie", "/refresh/cookie", "/verification/login/cookie")


@pytest.mark.parametrize("path", [*COOKIE_ROUTES, *(f"{path}/" for path in COOKIE_ROUTES)])
@pytest.mark.parametrize("has_bearer", [False, True])
async def test_c2_a_route_that_sets_cookies_wants_the_proof_whatever_else_is_sent(
    client: httpx2.AsyncClient, sessions: Sessions, anna: PersonMade, path: str, *, has_bearer: bool
) -> None:
    headers = {"Origin": "https://evil.example"} | ({"Authorization": f"Bearer {anna.token}"} if has_bearer else {})

    answer = await client.post(path, headers=headers, json={"email": anna.email, "password": PASSWORD})

    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert "set-cookie" not in answer.headers
    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM sessions")) == 1


async def test_a_page_logs_in_and_refreshes_by_the_routes_of_cookies(
    page: httpx2.AsyncClient, anna: PersonMade
) -> None:
    logged_in = await page.post("/authentication/cookie", json={"email": anna.email, "password": PASSWORD})
    before = dict(page.cookies)
    refreshed = await page.post("/refresh/cookie")

    assert (logged_in.status_code, refreshed.status_code) == (200, 200)
    assert logged_in.json() == refreshed.json() == {"user": (await page.get("/me")).json()}
    assert dict(page.cookies) != before


@pytest.mark.parametrize("authorization", NO_BEARER)
async def test_c2_another_authorization_header_does_not_free_cookies_from_the_guard(
    app: FastAPI, page: httpx2.AsyncClient, sessions: Sessions, authorization: str
) -> None:
    page.headers |= {"Origin": "https://evil.example", "Authorization": authorization}
    async with sessions() as session:
        before = await session.scalar(text(CHANGES))

    for method, path in unsafe_routes(app):
        answer = await page.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed"), (method, path)
    async with sessions() as session:
        assert await session.scalar(text(CHANGES)) == before


@pytest.mark.parametrize("path", ["/refresh", "/authentication", "/access"])
@pytest.mark.parametrize("query", ["mode=cookie", "mode=token&mode=cookie", "mode=cookie&mode=token"])
async def test_c2_a_bearer_does_not_free_what_works_on_cookies(
    page: httpx2.AsyncClient, anna: PersonMade, path: str, query: str
) -> None:
    page.headers |= {"Origin": "https://evil.example", "Authorization": f"Bearer {anna.token}"}
    before = dict(page.cookies)

    answer = await page.post(f"{path}?{query}", json={"email": anna.email, "password": PASSWORD})

    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert dict(page.cookies) == before


async def test_c2_twin_freed_by_any_authorization_another_site_changes_a_name(
    page: httpx2.AsyncClient, anna: PersonMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "bearer_token", lambda headers: headers.get("authorization"))

    answer = await page.patch(
        f"/user/{anna.id}",
        json={"name": "Mallory"},
        headers={"Origin": "https://evil.example", "Authorization": "Basic x"},
    )

    assert answer.json()["name"] == "Mallory"


async def test_c2_twin_compared_by_its_end_a_longer_host_changes_a_name(
    page: httpx2.AsyncClient, anna: PersonMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends_alike(_: Origins, connection: HTTPConnection) -> bool:
        return connection.headers["origin"].endswith(connection.headers["host"])

    monkeypatch.setattr(Origins, "include", ends_alike)

    answer = await page.patch(f"/user/{anna.id}", json={"name": "Mallory"}, headers={"Origin": "https://evilcrema"})

    assert answer.json()["name"] == "Mallory"


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "public_url", "is_ours"),
    [
        ("https://crema.ru", "crema.ru", "https", None, True),
        ("https://CREMA.ru:443", "crema.ru", "https", None, True),
        ("https://crema.ru", "crema.ru:443", "https", None, True),
        ("https://crema.ru", "crema.ru", "wss", None, True),
        ("http://crema.ru:8000", "crema.ru:8000", "ws", None, True),
        ("https://app.crema.ru", "crema.ru", "https", None, True),
        ("https://[2001:db8::1]:8000", "[2001:db8::1]:8000", "https", None, True),
        ("http://crema.ru", "crema.ru", "https", None, False),
        ("https://crema.ru", "crema.ru", "http", None, False),
        ("https://crema.ru:8443", "crema.ru", "https", None, False),
        ("https://evilcrema.ru", "crema.ru", "https", None, False),
        ("https://crema.ru.evil.example", "crema.ru", "https", None, False),
        ("https://crema.ru@evil.example", "crema.ru", "https", None, False),
        ("https://evilapp.crema.ru", "crema.ru", "https", None, False),
        ("http://app.crema.ru", "crema.ru", "https", None, False),
        ("https://crema.ru:port", "crema.ru", "https", None, False),
        ("https://[crema.ru", "crema.ru", "https", None, False),
        ("null", "crema.ru", "https", None, False),
        ("https://", "", "https", None, False),
        # Behind a proxy whose X-Forwarded-Proto nobody told us to believe.
        ("https://crema.ru", "crema.ru", "http", "https://crema.ru", True),
        ("http://crema.ru", "crema.ru", "http", "https://crema.ru", False),
        ("https://crema.ru", "10.0.0.7:8000", "http", "https://crema.ru/", True),
        ("https://evilcrema.ru", "crema.ru", "http", "https://crema.ru", False),
        ("http://127.0.0.1:8642", "127.0.0.1:8642", "http", "http://127.0.0.1:8000", True),
    ],
)
def test_c2_w1_an_origin_is_ours_by_scheme_host_and_port(
    origin: str, host: str, scheme: str, public_url: str | None, is_ours: object
) -> None:
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    scope = {"type": "websocket" if scheme.startswith("ws") else "http", "scheme": scheme, "headers": headers}

    origins = Origins(["https://app.crema.ru"], public_url=public_url)

    assert origins.include(HTTPConnection(scope)) is is_ours


async def test_c2_a_trusted_proxy_tells_the_scheme(app: FastAPI, page: httpx2.AsyncClient) -> None:
    """As uvicorn is started with CREMA_TRUSTED_PROXIES."""
    behind = ProxyHeadersMiddleware(app, trusted_hosts="127.0.0.1")
    statuses = {}
    for origin in ("http://crema", "https://crema"):
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(behind), base_url="http://crema", headers=page.headers, cookies=page.cookies
        ) as client:
            headers = {"Origin": origin, "X-Forwarded-Proto": "https"}
            statuses[origin] = (await client.patch("/user/me", json={}, headers=headers)).json()["code"]

    assert statuses["http://crema"] == "csrf_failed" != statuses["https://crema"]


async def test_c2_twin_without_the_guard_another_site_changes_a_name(
    page: httpx2.AsyncClient, anna: PersonMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser.HostAndCsrfMiddleware, "_has_proof", lambda *_: True)

    answer = await page.patch(f"/user/{anna.id}", json={"name": "Mallory"}, headers={"Origin": "https://evil.example"})

    assert answer.json()["name"] == "Mallory"


async def test_c1_bearer_clients_need_nothing_of_it(app: FastAPI, anna: PersonMade) -> None:
    async with connect(app, anna.token) as client:
        answer = await client.patch(
            f"/user/{anna.id}",
            json={"name": "Аня"},
            headers={"Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site", "Cookie": "crema_access=x"},
        )

    assert answer.json()["name"] == "Аня"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_c1_a_form_of_another_site_is_no_json(app: FastAPI, anna: PersonMade, content_type: str) -> None:
    async with connect(app, anna.token) as client:
        answer = await client.patch(
            f"/user/{anna.id}", content='{"name": "Mallory"}', headers={"Content-Type": content_type}
        )

    assert answer.status_code in {415, 422}
