"""What probes and Prometheus are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from crema.db.session import Sessions, make_engine, make_sessions
from crema.web import health
from crema.web.health import HealthState
from crema.web.state import DatabaseState
from fixtures.app import change_state, connect

pytestmark = pytest.mark.anyio


async def test_s4_it_is_alive_without_a_database(client: httpx2.AsyncClient, app: FastAPI) -> None:
    change_state(app, DatabaseState, sessions=None)

    response = await client.get("/health/live")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["cache-control"] == "no-store"


async def test_it_is_ready_when_the_database_is(client: httpx2.AsyncClient) -> None:
    response = await client.get("/health/ready")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["cache-control"] == "no-store"


def assert_not_ready(response: httpx2.Response) -> None:
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.headers["retry-after"] == "2"
    assert response.headers["content-type"] == "application/problem+json"


async def test_it_is_not_ready_before_the_migrations(client: httpx2.AsyncClient, sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = 'of_yesterday'"))

    assert_not_ready(await client.get("/health/ready"))


async def test_a_schema_once_current_is_not_asked_again(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def is_current(_connection: object) -> bool:
        nonlocal asked
        asked += 1
        return asked > 1

    monkeypatch.setattr(health, "is_current", is_current)

    statuses = [(await client.get("/health/ready")).status_code for _ in range(4)]

    assert (statuses, asked) == ([503, 200, 200, 200], 2)


async def test_it_is_not_ready_without_a_server(client: httpx2.AsyncClient, app: FastAPI, tmp_path: Path) -> None:
    engine = make_engine(f"postgresql://crema@/crema?host={tmp_path}")
    change_state(app, DatabaseState, sessions=make_sessions(engine))

    response = await client.get("/health/ready")
    await engine.dispose()

    assert_not_ready(response)


async def test_s4_it_is_not_ready_without_its_database(
    client: httpx2.AsyncClient, app: FastAPI, server_url: str
) -> None:
    engine = make_engine(f"{server_url.replace('/crema?', '/no_such_database?')}")
    change_state(app, DatabaseState, sessions=make_sessions(engine))

    response = await client.get("/health/ready")
    await engine.dispose()

    assert_not_ready(response)


async def test_s4_it_does_not_wait_for_a_database_that_hangs(
    client: httpx2.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def hanging() -> AsyncIterator[Any]:
        await anyio.sleep_forever()
        yield

    monkeypatch.setattr(health, "READY_SECONDS", 0.01)
    change_state(app, DatabaseState, sessions=hanging)

    assert_not_ready(await client.get("/health/ready"))


async def test_metrics_are_prometheus_text(client: httpx2.AsyncClient) -> None:
    await client.get("/health/live")

    response = await client.get("/metrics")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert response.headers["cache-control"] == "no-store"
    assert 'crema_http_requests_total{method="GET",route="/health/live",status="200"}' in response.text


async def test_metrics_of_all_processes_are_one_answer(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    response = await client.get("/metrics")

    assert (response.status_code, response.text) == (200, "")  # no process has left its numbers there


@pytest.mark.parametrize(
    ("address", "headers", "networks", "status"),
    [
        ("127.0.0.1", {}, [], 403),
        ("127.0.0.1", {}, ["127.0.0.0/8"], 200),
        ("::1", {}, ["::1/128"], 200),
        ("::ffff:10.0.0.7", {}, ["10.0.0.0/8"], 200),
        ("10.0.0.7", {}, ["127.0.0.0/8", "10.0.0.0/8"], 200),
        ("192.0.2.7", {}, ["127.0.0.0/8", "::1/128"], 403),
        ("unknown", {}, ["0.0.0.0/0"], 403),
        # A proxy on this machine that nobody told us to trust.
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, ["127.0.0.0/8"], 403),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}, ["127.0.0.0/8"], 403),
    ],
)
async def test_metrics_are_for_known_networks_and_not_for_proxies(
    app: FastAPI, address: str, headers: dict[str, str], networks: list[str], status: int
) -> None:
    change_state(app, HealthState, metrics_networks=[ip_network(each) for each in networks])
    async with connect(app, address=address) as client:
        for path in ("/metrics", "/metrics/"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == status
    assert status == 200 or answer.json()["code"] == "metrics_private"


async def test_metrics_are_this_machine_s_by_default(app: FastAPI) -> None:
    async with connect(app) as here, connect(app, address="192.0.2.7") as there:
        statuses = [(await client.get("/metrics")).status_code for client in (here, there)]

    assert statuses == [200, 403]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_refuses_unknown_parameters(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(f"{path}?verbose=1")).status_code == 422
