"""Several server processes of one chain: what one changes counts in all, and none outlives the first."""

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from crema.db.embedded.lock import wait_until
from fixtures.live import Town, environment
from fixtures.people import PersonMade
from fixtures.ports import free_port
from fixtures.server import http_client, running

pytestmark = pytest.mark.anyio
SECONDS = 10


def client(town: Town, process: int, person: PersonMade) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {person.token}"}
    return http_client(base_url=town.servers[process].url, headers=headers)


async def log_out(somebody: httpx2.AsyncClient, _: httpx2.AsyncClient) -> None:
    (await somebody.post("/logout")).raise_for_status()


async def block(somebody: httpx2.AsyncClient, admin: httpx2.AsyncClient) -> None:
    me = (await somebody.get("/me")).json()["id"]
    (await admin.patch(f"/user/{me}", json={"is_active": False})).raise_for_status()


async def demote(somebody: httpx2.AsyncClient, admin: httpx2.AsyncClient) -> None:
    me = (await somebody.get("/me")).json()["id"]
    (await admin.patch(f"/user/{me}", json={"role": "user"})).raise_for_status()


@pytest.mark.parametrize(("revoke", "status"), [(log_out, 401), (block, 401), (demote, 403)])
async def test_t5_what_one_process_revokes_the_next_request_to_another_is_refused(
    town: Town, revoke: Callable[[httpx2.AsyncClient, httpx2.AsyncClient], Awaitable[None]], status: int
) -> None:
    somebody, admin = await town.person("admin"), await town.person("admin")

    async with client(town, 0, somebody) as here, client(town, 1, somebody) as there, client(town, 0, admin) as chief:
        before = [(await each.get("/users")).status_code for each in (here, there)]
        await revoke(here, chief)
        after = (await there.get("/users")).status_code

    assert (before, after) == ([200, 200], status)


def test_server_processes_end_with_the_one_that_started_them(town_database: str, tmp_path: Path) -> None:
    def answers() -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{port}/health/live").is_success
        except httpx2.TransportError:
            return False

    port = free_port()
    with running(tmp_path / "data", port=port, CREMA_WORKERS="2", **environment(town_database)) as server:
        assert answers()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(SECONDS)

        assert wait_until(lambda: not answers(), SECONDS)
