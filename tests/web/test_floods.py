"""More than one client may ask: bodies, ranges, forms, logins, held connections, hang-ups. A server people start."""

import asyncio
import json
import random
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from crema.accounts.service.passwords import MAX_ADMITTED, MAX_WAITING
from factories.people import PASSWORD
from fixtures.live import Town, environment, open_town
from fixtures.people import PersonMade
from fixtures.server import Server, http_client, resident, running

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024
POOL = 4
WAIT_SECONDS = 20
ASSET = "/docs/vendor/swagger-ui-bundle.js"


@pytest.fixture(scope="module")
def server(server_url: str, town_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    unthrottled = {
        "CREMA_RATE_LIMIT": "",
        "CREMA_LOGIN_TRIES_PER_NETWORK": "1000000",
        "CREMA_DATABASE_POOL": str(POOL),
        "CREMA_LOG_FORMAT": "json",
    }
    folder = tmp_path_factory.mktemp("flooded")
    with running(folder / "data", **environment(town_database), **unthrottled) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx2.AsyncClient]:
    limits = httpx2.Limits(max_connections=None)
    async with http_client(base_url=server.url, limits=limits, timeout=WAIT_SECONDS) as client:
        yield client


@pytest.fixture
async def town(server: Server, town_database: str, tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town([server], town_database, tmp_path) as town:
        yield town


async def test_t10_p12_a_flood_of_logins_is_turned_away_and_the_menu_stays_open(
    server: Server, client: httpx2.AsyncClient
) -> None:
    async def log_in(number: int) -> int:
        body = {"email": f"nobody{number}@example.com", "password": PASSWORD}
        return (await client.post("/authentication", json=body)).status_code

    async def read_until(flood: asyncio.Future[list[int]]) -> list[int]:
        statuses = []
        while not flood.done():
            statuses.append((await client.get("/products")).status_code)
        return statuses

    await log_in(-1)
    before = resident(server)
    flood = asyncio.gather(*(log_in(number) for number in range(300)))
    reads = await read_until(flood)
    statuses = Counter(await flood)

    assert statuses.keys() == {401, 429}
    assert statuses[401] >= MAX_ADMITTED + MAX_WAITING
    assert reads
    assert set(reads) == {200}
    assert resident(server) - before < 64 * MIB


@pytest.mark.parametrize("framing", ["Content-Length: 419430400", "Transfer-Encoding: chunked", "Content-Length: 5"])
@pytest.mark.parametrize("path", ["/registration", "/chat/019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5/attachments"])
def test_s1_a_body_of_400_megabytes_is_not_kept(server: Server, path: str, framing: str) -> None:
    """Whether its length is told, left open, or a lie."""
    address = urlsplit(server.url)
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    piece = b" " * MIB
    before = resident(server)
    sent, answer = 0, b""
    with socket.create_connection((address.hostname, address.port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(head.encode())
        try:
            while sent < 400 * MIB:
                connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if "chunked" in framing else piece)
                sent += len(piece)
        except OSError:
            pass  # it hung up, as it should
        with suppress(OSError):
            answer = connection.recv(65536)

    assert resident(server) - before < 16 * MIB
    assert sent < 400 * MIB
    assert answer == b"" or answer.split()[1] in {b"400", b"401", b"413"}


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /products HTTP/1.1\r\nHost: crema\r\nX-Long: ", b"a" * MIB),
        (b"GET /products HTTP/1.1\r\nHost: crema\r\n", b"X-Many: b\r\n" * 100_000),
        (b"GET /products?search=", b"a" * MIB),
        (b"GET /products HTTP/1.1\r\nHost: crema\r\n\r\nGET /second?search=", b"a" * MIB),
        (b"POST /order HTTP/1.1\r\nHost: crema\r\nContent-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\nX-Long: ", b"a" * MIB),
    ],
)
def test_s1_a_request_whose_headers_never_end_is_cut_off(server: Server, start: bytes, piece: bytes) -> None:
    before = resident(server)

    sent = pour(server, start, piece)

    assert sent < 100 * MIB
    assert resident(server) - before < 16 * MIB


def pour(server: Server, start: bytes, piece: bytes) -> int:
    """Send until the server hangs up, 100 MiB at most; return how much was sent."""
    address = urlsplit(server.url)
    sent = 0
    with socket.create_connection((address.hostname, address.port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(start)
        with suppress(ConnectionError):
            while sent < 100 * MIB:
                connection.sendall(piece)
                sent += len(piece)
    return sent


def test_s1_twin_uvicorn_itself_keeps_headers_without_end(town_database: str, tmp_path: Path) -> None:
    """Ours is put back to the protocol it is made of."""
    prelude = (
        "import crema.cli; from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol;"
        " crema.cli.BoundedProtocol = HttpToolsProtocol"
    )
    with running(tmp_path / "data", prelude=prelude, **environment(town_database)) as server:
        before = resident(server)
        sent = pour(server, b"GET /products HTTP/1.1\r\nHost: crema\r\n", b"X-Many: b\r\n" * 100_000)

        assert sent >= 100 * MIB
        assert resident(server) - before > 64 * MIB


async def test_s1_a_request_of_many_headers_is_told_so(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/products", headers={f"X-{number}": "1" for number in range(200)})

    assert (answer.status_code, answer.json()["code"]) == (431, "headers_too_large")


async def test_s1_a_handshake_with_too_many_parameters_is_refused(server: Server) -> None:
    url = server.url.replace("http", "ws") + "/orders/live?" + "a&" * 200

    with pytest.raises(InvalidStatus) as refused:
        await connect(url)

    assert refused.value.response.status_code == 403


async def test_s1_a_picture_somewhat_too_large_is_told_so(client: httpx2.AsyncClient, town: Town) -> None:
    person = await town.person("admin")
    headers = {"Authorization": f"Bearer {person.token}"}
    files = {"file": ("big.png", b" " * 8 * MIB, "image/png")}

    answer = await client.post(f"/product/{person.id}/images", files=files, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_u5_a_thousand_ranges_are_no_larger_than_the_file(client: httpx2.AsyncClient) -> None:
    whole = await client.get(ASSET)
    ranges = "bytes=" + ",".join(f"{n}-{n + 1}" for n in range(0, 3000, 3))

    answer = await client.get(ASSET, headers={"Range": ranges})

    assert whole.status_code == 200
    assert answer.status_code in {200, 206, 400, 416, 431}
    assert len(answer.content) <= len(whole.content) + 200 * 1000


async def test_u5_a_form_of_nothing_but_headers_is_refused(client: httpx2.AsyncClient, town: Town) -> None:
    person = await town.person()
    headers = {"Authorization": f"Bearer {person.token}", "Content-Type": "multipart/form-data; boundary=x"}
    opened = await client.post("/chat", headers={"Authorization": headers["Authorization"]})
    body = b"--x\r\n" + b"A: b\r\n" * 800_000

    answer = await client.post(f"/chat/{opened.json()['id']}/attachments", content=body, headers=headers)

    assert answer.status_code in {400, 413, 422}


async def test_s3_a_held_database_is_told_as_such_and_costs_others_nothing(
    client: httpx2.AsyncClient, town_database: str
) -> None:
    """Every connection of the pool waits for a lock; whoever needs one is told to come again."""
    with psycopg.connect(town_database) as holder:
        holder.execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
        waiting = [asyncio.create_task(client.get("/products")) for _ in range(POOL * 3)]
        done, _ = await asyncio.wait(waiting, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        alive = await client.get("/health/live")
        holder.rollback()
    answers = await asyncio.gather(*waiting)

    assert done
    assert alive.status_code == 200
    assert {answer.status_code for answer in answers} <= {200, 503}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert all(answer.headers["Retry-After"] for answer in refused)
    assert (await client.get("/products")).status_code == 200


async def test_r10_r11_who_hangs_up_leaves_no_transaction_behind(
    client: httpx2.AsyncClient, town: Town, town_database: str
) -> None:
    person = await town.person()
    headers = {"Authorization": f"Bearer {person.token}"}
    chance = random.Random(20261123)  # noqa: S311 - to scatter moments

    async def hang_up(number: int, person: PersonMade, headers: dict[str, str]) -> None:
        with suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(chance.uniform(0.0005, 0.03)):
                await client.patch(f"/user/{person.id}", json={"name": f"Name {number}"}, headers=headers)

    for start in range(0, 300, 20):
        await asyncio.gather(*(hang_up(start + number, person, headers) for number in range(20)))
    # Somebody else: what was hung up on is finished all the same, sooner or later.
    person = await town.person()
    headers = {"Authorization": f"Bearer {person.token}"}
    statuses = []
    for number in range(50):
        answer = await client.patch(f"/user/{person.id}", json={"name": f"Last {number}"}, headers=headers)
        with psycopg.connect(town_database) as other:
            seen = other.execute("SELECT name FROM users WHERE id = %s", [person.id]).fetchone()
        statuses.append((answer.status_code, seen))
    with psycopg.connect(town_database) as other:
        idle = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'"
            " AND datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()

    assert statuses == [(200, (f"Last {number}",)) for number in range(50)]
    assert idle == (0,)


async def test_s9_a_log_line_is_one_event_and_holds_no_secret(
    server: Server, client: httpx2.AsyncClient, town: Town
) -> None:
    person = await town.person()
    forged = '{"event": "forged", "level": "info"}'
    headers = {"Authorization": f"Bearer {person.token}", "User-Agent": f"curl {forged}", "X-Request-ID": "a b"}
    body = {"email": "log@example.com", "password": "a password of mine", "name": f"x\n{forged}\n"}
    await client.post("/registration", json=body, headers=headers)
    await client.get(f"/products?search={person.token}%0A{forged}", headers=headers)
    await client.get(f"/no%0A{forged}%0D", headers=headers)
    await client.get("/no%1B%5B2J%C2%9B2J%C2%85%E2%80%A8%E2%80%AEgnp%7F%00", headers=headers)
    await client.post("/authentication", json=body | {"name": None})

    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]

    assert len(lines) > 3
    assert [line for line in lines if line["event"] == "forged"] == []
    text = server.log.read_text()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)
    assert {line.get("client") for line in lines if line["event"] == "request"} == {"127.0.0.0/24"}
    assert not [secret for secret in (person.token, body["password"], "$argon2") if secret in text]
