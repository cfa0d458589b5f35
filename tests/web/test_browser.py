"""C3, C7, C9, F9: what every answer tells a browser, who may read it elsewhere, and which hosts we answer to."""

from pathlib import Path

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from crema.db.session import Sessions
from crema.settings import Settings
from crema.web.browser import EXPOSED_HEADERS, SENT_HEADERS
from fixtures.app import SECRET, Clock, connect, make_app

pytestmark = pytest.mark.anyio

PROMISED = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def broken() -> APIRouter:
    router = APIRouter()

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret")

    return router


@pytest.mark.parametrize("env", ["development", "production"])
async def test_c9_the_headers_are_on_every_status(env: str, sessions: Sessions, clock: Clock, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None,
        env=env,
        secret_key=SECRET,
        data_dir=tmp_path,
        embedded=True,
        mail_to_console=True,
        allowed_hosts=["crema"],
    )
    app = make_app(settings, sessions, clock)
    app.include_router(broken())
    async with connect(app) as client:
        answers = {
            200: await client.get("/products"),
            401: await client.get("/me"),
            404: await client.get("/nothing"),
            405: await client.request("DELETE", "/products"),
            422: await client.get("/products?nothing=1"),
            500: await client.get("/broken"),
            403: await client.post("/logout", params={"mode": "cookie"}),
        }
        hostile = await client.get("/products", headers={"Host": "evil.example"})
        alive = await client.get("/health/live", headers={"Host": "10.0.0.7"})

    for status, answer in answers.items():
        assert answer.status_code == status
        assert PROMISED.items() <= dict(answer.headers).items(), status
        assert ("strict-transport-security" in answer.headers) is (env == "production")
    assert (hostile.status_code, hostile.json()["code"]) == (422, "unknown_host")
    assert PROMISED.items() <= dict(hostile.headers).items()
    assert alive.status_code == 200


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("api.example.com", True),
        ("API.example.com:8000", True),
        ("shop.crema.example", True),
        ("example.com", False),
        ("api.example.com.evil.example", False),
        ("evil.example/?api.example.com", False),
        ("crema.example", False),
        ("", False),
    ],
)
async def test_f9_we_answer_to_our_names_only(
    host: str, is_known: object, sessions: Sessions, clock: Clock, tmp_path: Path
) -> None:
    hosts = ["api.example.com", "*.crema.example"]
    settings = Settings(_env_file=None, secret_key="x" * 32, data_dir=tmp_path, allowed_hosts=hosts)
    async with connect(make_app(settings, sessions, clock)) as client:
        answer = await client.get("/shops", headers={"Host": host})

    assert (answer.status_code == 200) is is_known


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://app.example.com", True),
        ("https://app.example.com.evil.example", False),
        ("http://app.example.com", False),
        ("null", False),
    ],
)
async def test_c3_other_origins_read_us_by_an_explicit_list(
    origin: str, is_allowed: object, sessions: Sessions, clock: Clock, tmp_path: Path
) -> None:
    settings = Settings(
        _env_file=None, secret_key="x" * 32, data_dir=tmp_path, allowed_origins=["https://app.example.com"]
    )
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "x-csrf-token",
    }
    async with connect(make_app(settings, sessions, clock)) as client:
        read = await client.get("/products", headers={"Origin": origin})
        preflight = await client.options("/cart", headers=asked)

    for answer in (read, preflight):
        assert answer.headers.get("access-control-allow-origin") == (origin if is_allowed else None)
    assert "Origin" in read.headers["vary"]
    assert (preflight.status_code == 200) is is_allowed


async def test_c3_nobody_else_reads_us_by_default(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/products", headers={"Origin": "https://app.example.com"})

    assert not [name for name in answer.headers if name.startswith("access-control")]


CONTRACT_HEADERS = [
    "Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "If-Match", "X-CSRF-Token", "X-Request-ID",
]  # fmt: skip


@pytest.mark.parametrize(
    "origin", ["http://localhost:5173", "http://127.0.0.1:3000", "https://localhost", "http://[::1]:80"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_c3_in_development_pages_of_localhost_may_send_what_the_contract_has(
    client: httpx2.AsyncClient, origin: str, method: str
) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    asked["Access-Control-Request-Headers"] = ", ".join(name.lower() for name in CONTRACT_HEADERS)

    preflight = await client.options("/product/019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5", headers=asked)
    read = await client.get("/products", headers={"Origin": origin})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == origin
    assert method in preflight.headers["access-control-allow-methods"]
    allowed = preflight.headers["access-control-allow-headers"].lower().split(", ")
    assert {name.lower() for name in CONTRACT_HEADERS} <= {*allowed}
    exposed = read.headers["access-control-expose-headers"].split(", ")
    assert {"ETag", "Link", "Location", "Retry-After", "Idempotency-Replayed", "X-Request-ID"} <= {*exposed}


async def test_c3_every_header_of_the_description_may_be_sent_and_read_and_the_page_names_them(app: FastAPI) -> None:
    operations = [
        operation
        for item in app.openapi()["paths"].values()
        for method, operation in item.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]
    sent = {
        each["name"].lower()
        for operation in operations
        for each in operation.get("parameters", ())
        if each["in"] == "header"
    }
    read = {name for each in operations for answer in each["responses"].values() for name in answer.get("headers", ())}
    page = (Path(__file__).parents[2] / "docs" / "front-end.md").read_text()

    assert {"if-match", "idempotency-key"} <= sent <= {name.lower() for name in SENT_HEADERS}
    assert read <= {*EXPOSED_HEADERS}
    assert [name for name in (*SENT_HEADERS, *EXPOSED_HEADERS) if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost.evil.example", "http://evil.example:5173", "http://localhost:5173.evil.example", "null",
        "http://localhost:5173/", "http://evil.example/http://localhost:1", "ftp://localhost:1", "http://localhost:x",
        "http://user@localhost:1",
    ],
)  # fmt: skip
async def test_c3_what_only_looks_like_localhost_may_not(client: httpx2.AsyncClient, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}

    preflight = await client.options("/products", headers=asked)
    read = await client.get("/products", headers={"Origin": origin})

    assert preflight.status_code == 400
    for answer in (preflight, read):
        assert "access-control-allow-origin" not in answer.headers


async def test_c3_in_production_localhost_is_a_stranger(sessions: Sessions, clock: Clock, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None, env="production", secret_key=SECRET, mail_to_console=True, data_dir=tmp_path, embedded=True
    )
    app = make_app(settings, sessions, clock)
    async with connect(app) as client:
        read = await client.get("/products", headers={"Origin": "http://localhost:5173"})
        changed = await client.post(
            "/authentication",
            params={"mode": "cookie"},
            json={"email": "anna@example.com", "password": "x"},
            headers={"Origin": "http://localhost:5173"},
        )

    assert "access-control-allow-origin" not in read.headers
    assert (changed.status_code, changed.json()["code"]) == (403, "csrf_failed")


async def test_c2_in_development_a_page_of_localhost_logs_in_by_cookie(client: httpx2.AsyncClient) -> None:
    headers = {"Origin": "http://localhost:5173"}
    headers["X-CSRF-Token"] = (await client.get("/csrf", headers=headers)).json()["csrf_token"]
    body = {"email": "anna@example.com", "password": "x"}

    answer = await client.post("/authentication", params={"mode": "cookie"}, json=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
