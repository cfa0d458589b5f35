"""A morning at the shop, over real HTTP against a started server, with a real SMTP server at the other end."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest

from fixtures.server import Server, processes_using, running
from fixtures.smtp import Sink
from journeys.morning import PASSWORD, a_morning, log_in


@pytest.fixture(scope="module")
def server(demo_database: str, smtp_server: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"CREMA_DATABASE_URL": demo_database, "CREMA_SMTP_URL": smtp_server.url}
    with running(tmp_path_factory.mktemp("morning") / "data", **settings) as server:
        yield server


def test_from_registration_to_the_handed_over_order(server: Server, smtp_server: Sink) -> None:
    a_morning(server.url, smtp_server)


OWNER = {"CREMA_ADMIN_EMAIL": "owner@example.com", "CREMA_ADMIN_PASSWORD": PASSWORD}


def test_s5_it_stops_clean_and_starts_again_on_the_same_data(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    for how in (signal.SIGTERM, signal.SIGINT):
        with running(data_dir, CREMA_DEMO="false", **OWNER) as server:
            code = server.stop(how)
            assert code in {0, -how, 128 + how}, server.log.read_text()
        assert processes_using(data_dir) == []

    with running(data_dir, CREMA_DEMO="false") as server:
        with log_in(server.url, "owner@example.com", PASSWORD) as owner:
            assert owner.get("/users").json()["total"] == 1
        server.process.kill()
        server.process.wait(10)
    deadline = time.monotonic() + 15
    while processes_using(data_dir) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_using(data_dir) == [], "PostgreSQL must not outlive a killed server"


def test_s4_the_database_going_away_is_told_as_such_and_no_restart_is_needed(tmp_path: Path, database_url: str) -> None:
    with running(tmp_path / "data", CREMA_DEMO="false", CREMA_DATABASE_URL=database_url) as server:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        statuses = {httpx2.get(f"{server.url}/products").status_code for _ in range(5)}

        assert statuses <= {200, 503}
        assert httpx2.get(f"{server.url}/products").status_code == 200
