"""Bodies are counted, not believed; requests are counted, too."""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from crema.core.networks import network_of
from crema.db.session import Sessions
from crema.settings import Settings
from crema.web.limits import RateLimit
from crema.web.routing import BODY_LIMIT
from fixtures.app import Clock, connect, make_app
from fixtures.ports import await_port, free_port

pytestmark = pytest.mark.anyio
JSON = {"Content-Type": "application/json"}


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024 + 1):
        yield b" " * 1024


async def test_s1_refuses_a_body_over_the_limit(client: httpx2.AsyncClient) -> None:
    response = await client.post("/registration", content=b" " * (BODY_LIMIT + 1), headers=JSON)

    assert response.status_code == 413
    assert response.json()["code"] == "too_large"


async def test_s1_refuses_a_chunked_body_that_grows_over_the_limit(client: httpx2.AsyncClient) -> None:
    response = await client.post("/registration", content=chunks(BODY_LIMIT), headers=JSON)

    assert response.status_code == 413


async def test_a_body_at_the_limit_is_read(client: httpx2.AsyncClient) -> None:
    body = b'{"email": "x"' + b" " * (BODY_LIMIT - 14) + b"}"

    response = await client.post("/registration", content=body, headers=JSON)

    assert len(body) == BODY_LIMIT
    assert response.status_code == 422


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_json_under_another_name_is_refused(client: httpx2.AsyncClient, content_type: str | None) -> None:
    response = await client.post(
        "/registration",
        content=b'{"email": "a@example.com", "password": "longenough"}',
        headers={"Content-Type": content_type} if content_type else {},
    )

    assert response.status_code == 422
    assert response.json()["errors"][0]["msg"] == "send JSON with the header `Content-Type: application/json`"


@pytest.fixture
async def limited(sessions: Sessions, clock: Clock, tmp_path: Path) -> FastAPI:
    settings = Settings(_env_file=None, secret_key="x" * 32, data_dir=tmp_path, rate_limit="5/minute")
    return make_app(settings, sessions, clock)


async def test_s1_a_client_has_so_many_requests_and_others_have_theirs(limited: FastAPI) -> None:
    async with connect(limited) as anna, connect(limited, address="192.0.2.7") as boris:
        answers = [await anna.get("/shops") for _ in range(6)]
        other = await boris.get("/shops")
        alive = await anna.get("/health/live")

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[5].json()["code"] == "too_many_requests"
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"requests";q=5;w=60'}
    told = [re.fullmatch(r'"requests";r=(\d+);t=(\d+)', answer.headers["ratelimit"]) for answer in answers]
    assert [each and int(each[1]) for each in told] == [4, 3, 2, 1, 0, 0]
    assert all(each and 1 <= int(each[2]) <= 60 for each in told)
    assert answers[5].headers["ratelimit"].endswith(f";t={answers[5].headers['retry-after']}")
    assert 1 <= int(answers[5].headers["retry-after"]) <= 60
    assert (other.status_code, alive.status_code) == (200, 200)


@pytest.fixture
def redis_url() -> Iterator[str]:
    command = shutil.which("redis-server") or shutil.which("valkey-server")
    if command is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    port = free_port()
    process = subprocess.Popen(  # noqa: S603 - a server of ours
        [command, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
    )
    await_port(port)
    yield f"redis://127.0.0.1:{port}"
    process.kill()
    process.wait(5)


async def test_s1_processes_count_together_in_redis(
    sessions: Sessions, clock: Clock, tmp_path: Path, redis_url: str
) -> None:
    settings = Settings(
        _env_file=None, secret_key="x" * 32, data_dir=tmp_path, rate_limit="5/minute", limits_url=redis_url
    )
    apps = [make_app(settings, sessions, clock) for _ in range(2)]
    statuses = []
    for number in range(8):
        async with connect(apps[number % 2]) as client:
            statuses.append((await client.get("/shops")).status_code)
    for app in apps:
        await hang_up(app)

    assert statuses == [200] * 5 + [429] * 3


async def hang_up(app: FastAPI) -> None:
    """Close the limiter's connections, which the end of the process closes otherwise."""
    layer: Any = app.middleware_stack
    while not isinstance(layer, RateLimit):
        layer = layer.app
    await layer._limiter.storage.bridge.storage.aclose()


async def test_s1_headers_dodge_no_limit(limited: FastAPI) -> None:
    async with connect(limited) as client:
        statuses = [
            (await client.get("/shops", headers={"X-Forwarded-For": f"192.0.2.{number}"})).status_code
            for number in range(6)
        ]

    assert statuses == [200] * 5 + [429]


async def test_s1_a_store_that_is_away_lets_requests_through(
    sessions: Sessions, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> bool:
        raise StorageError(OSError())

    settings = Settings(_env_file=None, secret_key="x" * 32, data_dir=tmp_path, rate_limit="1/minute")
    monkeypatch.setattr(SlidingWindowCounterRateLimiter, "hit", fail)
    async with connect(make_app(settings, sessions, clock)) as client:
        assert [(await client.get("/shops")).status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_what_one_person_commands(host: str, client: str) -> None:
    assert network_of(host, ipv4_prefix=32) == client
