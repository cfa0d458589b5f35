"""The stack as `compose.yaml` describes it, on a real Docker engine. `make docker-test` runs it; the suite doesn't.

CREMA_TEST_IMAGES=crema-test uses the base images of deploy/test-images.sh, where no registry can be reached.
"""

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

ROOT = Path(__file__).parents[1]
PORT = 8642
URL = f"http://127.0.0.1:{PORT}"
PASSWORD = "oat milk and a double shot"
COMPOSE = (
    ["docker", "compose"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    else ["docker-compose"]
)
ENVIRONMENT = dict(os.environ) | {"CREMA_HTTP_PORT": str(PORT), "CREMA_HTTPS_PORT": "8643", "COMPOSE_PROFILES": ""}
if given := os.environ.get("CREMA_TEST_IMAGES"):
    ENVIRONMENT |= {
        "PYTHON_IMAGE": f"{given}/python",
        "POSTGRES_IMAGE": f"{given}/postgres",
        "CADDY_IMAGE": f"{given}/caddy",
        "CREMA_BUILD_NETWORK": "host",
    }

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(shutil.which("docker") is None, reason="no Docker here")]


def compose(*arguments: str, check: bool = True) -> str:
    command = [*COMPOSE, "--env-file", "deploy/demo.env", "--project-name", "crema-test", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def containers(service: str) -> list[str]:
    return compose("ps", "-q", service).split()


def await_ready() -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{URL}/health/ready", timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(compose("logs", "--tail=50", check=False))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def stack() -> Iterator[None]:
    compose("down", "-v", check=False)
    compose("up", "-d", "--build", "--scale", "server=2")
    await_ready()
    yield
    compose("down", "-v")


@contextmanager
def log_in(email: str) -> Iterator[httpx2.Client]:
    answer = httpx2.post(f"{URL}/authentication", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    with httpx2.Client(base_url=URL, headers=headers, timeout=15) as client:
        yield client


def order(client: httpx2.Client) -> dict[str, Any]:
    shop = client.get("/shops").json()["items"][0]
    product = next(each for each in client.get("/products").json()["items"])
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)
    body = {"shop_id": shop["id"], "pickup_at": tomorrow.isoformat(), "items": [{"product_id": product["id"]}]}
    answer = client.post("/order", json=body)
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    return placed


def load_example() -> ModuleType:
    path = ROOT / "src" / "crema" / "web" / "assets" / "examples" / "chat.py"
    spec = importlib.util.spec_from_file_location("chat_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_swagger_and_the_demo_chain_are_there() -> None:
    assert "swagger-ui" in httpx2.get(f"{URL}/docs").text
    assert httpx2.get(f"{URL}/products").json()["total"] > 20


def test_an_order_survives_down_and_up() -> None:
    with log_in("anna@crema.example.com") as anna:
        placed = order(anna)

    compose("down")
    compose("up", "-d", "--scale", "server=2")
    await_ready()

    with log_in("anna@crema.example.com") as anna:
        again = anna.get(f"/order/{placed['id']}").json()
    assert (again["number"], again["total"]) == (placed["number"], placed["total"])


async def test_a_chat_goes_on_when_its_server_is_killed() -> None:
    with log_in("anna@crema.example.com") as anna, log_in("support@crema.example.com") as support:
        chat_id = anna.post("/chat").json()["id"]
        token_of_anna, token_of_support = (each.headers["Authorization"] for each in (anna, support))
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def token() -> str:
        return str(token_of_anna).removeprefix("Bearer ")

    chat = load_example().Chat(URL, token=token, heard=heard.put_nowait)
    talking = asyncio.create_task(chat.run())
    async with asyncio.timeout(90):
        await chat.say("one")
        assert (await heard.get())["text"] == "one"
        for victim in containers("server"):
            subprocess.run(["docker", "kill", victim], check=True, capture_output=True)
            await chat.say(f"after {victim[:6]}")
            assert (await heard.get())["text"] == f"after {victim[:6]}"
            subprocess.run(["docker", "start", victim], check=True, capture_output=True)
            await asyncio.to_thread(await_healthy, victim)
        headers = {"Authorization": token_of_support}
        async with connect(f"{URL.replace('http', 'ws')}/chat/{chat_id}?after=0", additional_headers=headers) as staff:
            texts: list[str] = []
            while len(texts) < 3:
                frame = json.loads(await staff.recv())
                if frame["type"] == "message":
                    texts.append(frame["text"])
    talking.cancel()
    assert texts[0] == "one"
    assert len(set(texts)) == 3


def await_healthy(container: str) -> None:
    deadline = time.monotonic() + 60
    command = ["docker", "inspect", "--format", "{{.State.Health.Status}}", container]
    while subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() != "healthy":
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_s2_half_sent_requests_are_cut_off_while_the_menu_stays_quick() -> None:
    slow = []
    for _ in range(300):
        connection = socket.create_connection(("127.0.0.1", PORT))
        connection.sendall(b"POST /order HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        slow.append(connection)
    started, delays = time.monotonic(), []
    while time.monotonic() - started < 7:
        asked = time.monotonic()
        assert httpx2.get(f"{URL}/products?size=5").status_code == 200
        delays.append(time.monotonic() - asked)
    open_still = 0
    for connection in slow:
        connection.settimeout(max(0.01, started + 10 - time.monotonic()))
        try:
            while connection.recv(4096):
                pass
        except TimeoutError:
            open_still += 1
        except OSError:
            pass
        connection.close()

    assert open_still == 0
    assert sorted(delays)[len(delays) // 2] < 0.2


def test_f4_the_application_s_role_alters_no_table() -> None:
    (database,) = containers("db")
    statement = "ALTER TABLE orders ADD COLUMN evil text"
    command = [
        "docker",
        "exec",
        "-e",
        "PGPASSWORD=look",
        database,
        "psql",
        "-h",
        "127.0.0.1",
        "-U",
        "crema_app",
        "crema",
        "-c",
    ]

    altered = subprocess.run([*command, statement], capture_output=True, text=True, check=False)
    made = subprocess.run([*command, "CREATE TABLE evil ()"], capture_output=True, text=True, check=False)
    read = subprocess.run([*command, "SELECT count(*) FROM orders"], capture_output=True, text=True, check=False)

    assert "must be owner of table orders" in altered.stderr
    assert "permission denied for schema public" in made.stderr
    assert read.returncode == 0, read.stderr


def test_an_administrator_is_made_by_a_command() -> None:
    password = f"CREMA_ADMIN_PASSWORD={PASSWORD}"
    compose("run", "--rm", "-T", "-e", password, "server", "crema", "admin", "create", "--email", "owner@example.com")

    with log_in("owner@example.com") as owner:
        assert owner.get("/users").status_code == 200


def test_the_containers_are_nobody_s_root_and_stop_clean() -> None:
    server = containers("server")[0]
    inside = subprocess.run(
        ["docker", "exec", server, "sh", "-c", "id -u; touch /app/x 2>&1 || true; which gcc cc || true"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    subprocess.run(["docker", "stop", "-t", "12", server], check=True, capture_output=True)
    status = subprocess.run(
        ["docker", "inspect", "--format", "{{.State.ExitCode}}", server], capture_output=True, text=True, check=True
    ).stdout.strip()

    assert inside.splitlines()[0] == "10001"
    assert "Read-only file system" in inside
    assert "gcc" not in inside
    assert status in {"0", "143"}
