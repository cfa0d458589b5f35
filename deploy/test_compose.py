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
from aiosmtpd.controller import Controller
from websockets.asyncio.client import connect

from fixtures.smtp import Sink, free_port
from journeys.morning import a_morning

ROOT = Path(__file__).parents[1]
PORT = 8642
URL = f"http://127.0.0.1:{PORT}"
PASSWORD = "oat milk and a double shot"
COMPOSE = (
    ["docker", "compose"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    else ["docker-compose"]
)
ENVIRONMENT = dict(os.environ) | {
    "CREMA_HTTP_PORT": f"127.0.0.1:{PORT}",
    "CREMA_HTTPS_PORT": "127.0.0.1:8643",
    "COMPOSE_PROFILES": "",
}
if given := os.environ.get("CREMA_TEST_IMAGES"):
    ENVIRONMENT |= {
        "PYTHON_IMAGE": f"{given}/python",
        "POSTGRES_IMAGE": f"{given}/postgres",
        "CADDY_IMAGE": f"{given}/caddy",
        "CREMA_BUILD_NETWORK": "host",
    }

GATEWAY = "172.30.86.1"
"""This machine, as the containers see it."""

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


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """Take the stack's mails."""
    sink = Sink()
    port = free_port()
    controller = Controller(sink, hostname="0.0.0.0", port=port)  # noqa: S104 - containers come by the bridge
    controller.start()
    sink.url = f"smtp+plain://{GATEWAY}:{port}"
    yield sink
    controller.stop()


@pytest.fixture(scope="module", autouse=True)
def stack(sink: Sink) -> Iterator[None]:
    ENVIRONMENT["CREMA_SMTP_URL"] = sink.url
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


def test_a_morning_through_the_proxy(sink: Sink) -> None:
    a_morning(URL, sink)


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
    await asyncio.gather(talking, return_exceptions=True)
    assert texts[0] == "one"
    assert len(set(texts)) == 3


def await_healthy(container: str) -> None:
    deadline = time.monotonic() + 60
    while inspect(container, ".State.Health.Status") != "healthy":
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_s2_half_sent_requests_are_cut_off_while_the_menu_is_read() -> None:
    slow = []
    for _ in range(300):
        connection = socket.create_connection(("127.0.0.1", PORT))
        connection.sendall(b"POST /order HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        connection.setblocking(False)
        slow.append(connection)
    statuses, deadline = [], time.monotonic() + 60
    while slow and time.monotonic() < deadline:
        statuses.append(httpx2.get(f"{URL}/products?size=5").status_code)
        slow = [connection for connection in slow if is_open(connection)]

    assert not slow
    assert len(statuses) > 1
    assert set(statuses) == {200}


def is_open(connection: socket.socket) -> bool:
    """Read what has come; close what the other side has closed."""
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    connection.close()
    return False


def test_metrics_are_read_inside_and_not_through_the_proxy() -> None:
    assert httpx2.get(f"{URL}/metrics").status_code == 403
    assert httpx2.get(f"{address_of(containers('server')[0])}/metrics").status_code == 200


def test_the_demo_listens_to_this_machine_only() -> None:
    published = inspect(containers("proxy")[0], "json .NetworkSettings.Ports")

    assert {each["HostIp"] for ports in json.loads(published).values() if ports for each in ports} == {"127.0.0.1"}


def test_f4_the_application_s_role_alters_no_table() -> None:
    (database,) = containers("db")
    statement = "ALTER TABLE orders ADD COLUMN evil text"
    login = ["-h", "127.0.0.1", "-U", "crema_app", "crema", "-c"]
    command = ["docker", "exec", "-e", "PGPASSWORD=look", database, "psql", *login]

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


def test_a_backup_is_restored() -> None:
    """By the commands of docs/docker.md."""
    with log_in("anna@crema.example.com") as anna:
        kept = order(anna)
        dump = exec_in("db", "pg_dump", "--username=crema", "--format=custom", "crema")
        lost = order(anna)

    compose("stop", "server", "worker")
    restore = ("pg_restore", "--username=crema", "--dbname=crema", "--clean", "--if-exists", "--single-transaction")
    exec_in("db", *restore, content=dump)
    compose("up", "-d", "--scale", "server=2")
    await_ready()

    with log_in("anna@crema.example.com") as anna:
        statuses = [anna.get(f"/order/{each['id']}").status_code for each in (kept, lost)]
        order(anna)
    assert statuses == [200, 404]


def exec_in(service: str, *command: str, content: bytes | None = None) -> bytes:
    done = subprocess.run(
        ["docker", "exec", "-i", containers(service)[0], *command], input=content, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def inspect(container: str, field: str) -> str:
    command = ["docker", "inspect", "--format", "{{" + field + "}}", container]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def address_of(container: str) -> str:
    return f"http://{inspect(container, 'range .NetworkSettings.Networks}}{{.IPAddress}}{{end')}:8000"


def test_the_image_is_small_and_its_start_is_told() -> None:
    """How long a start takes is a figure, not a promise: the machine may be busy."""
    server = containers("server")[0]
    starts = []
    for _ in range(3):
        subprocess.run(["docker", "stop", server], check=True, capture_output=True)
        subprocess.run(["docker", "start", server], check=True, capture_output=True)
        started = time.monotonic()
        url = address_of(server)
        while True:
            assert time.monotonic() - started < 120
            try:
                if httpx2.get(f"{url}/health/ready", timeout=1).status_code == 200:
                    break
            except httpx2.TransportError:
                time.sleep(0.02)
        starts.append(time.monotonic() - started)
    size = int(inspect(inspect(server, ".Image"), ".Size"))
    print(f"image {size / 1e6:.0f} MB; ready after {', '.join(f'{each:.1f}' for each in starts)} s")  # noqa: T201

    assert size < 250e6


async def test_s5_what_is_under_way_is_answered_before_a_server_stops() -> None:
    server = containers("server")[0]
    async with httpx2.AsyncClient(base_url=address_of(server), timeout=20) as client:

        async def log_in_as_nobody(number: int) -> int:
            body = {"email": f"nobody{number}@example.com", "password": PASSWORD}
            return (await client.post("/authentication", json=body)).status_code

        await asyncio.gather(*(client.get("/health/live") for _ in range(30)))  # thirty connections
        answers = [asyncio.create_task(log_in_as_nobody(number)) for number in range(30)]
        await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        under_way = sum(not each.done() for each in answers)
        await asyncio.to_thread(subprocess.run, ["docker", "stop", server], check=True, capture_output=True)
        statuses = [await each for each in answers]
    subprocess.run(["docker", "start", server], check=True, capture_output=True)
    await asyncio.to_thread(await_healthy, server)

    assert under_way > 10
    assert statuses == [401] * 30


def test_the_containers_are_nobody_s_root_and_stop_clean() -> None:
    server = containers("server")[0]
    inside = subprocess.run(
        ["docker", "exec", server, "sh", "-c", "id -u; touch /app/x 2>&1 || true; which gcc cc || true"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    subprocess.run(["docker", "stop", "-t", "12", server], check=True, capture_output=True)
    status = inspect(server, ".State.ExitCode")

    assert inside.splitlines()[0] == "10001"
    assert "Read-only file system" in inside
    assert "gcc" not in inside
    assert status in {"0", "143"}
