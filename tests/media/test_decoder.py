"""The decoder's process: what it may cost, and that it ends with whoever started it."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from textwrap import indent

import httpx2
import pytest
from fastapi import FastAPI
from PIL import Image

from crema.media.deps import MediaState
from crema.media.service import rendering
from crema.media.service.rendering import (
    LIMITS,
    ImageBrokenError,
    ImageTooCostlyError,
    Renderer,
)
from factories.menu import add_image, encode, make_product, upload
from factories.pictures import png
from fixtures.app import change_state
from fixtures.live import environment, open_town
from fixtures.server import http_client, resident, running

pytestmark = pytest.mark.anyio

STAND_IN = """
import json, os, sys, time

def prepare(limits):
    pass

def process(content, limits):
{body}
    return []
"""


def stand_in(folder: Path, body: str) -> Path:
    """Write a program that does something else than decoding, within the decoder's limits."""
    path = folder / "stand_in.py"
    path.write_text(STAND_IN.format(body=indent(body, "    ")))
    return path


@pytest.fixture
def plain_png(tmp_path: Path) -> Iterator[BytesIO]:
    path = tmp_path / "plain.png"
    path.write_bytes(png())
    with path.open("rb") as file:
        yield file


async def test_u1_a_picture_beyond_the_memory_is_refused_and_the_next_one_taken(
    app: FastAPI, manager: httpx2.AsyncClient
) -> None:
    product = await make_product(manager)
    bomb = encode(Image.new("RGBA", (4000, 4000)), "PNG")
    change_state(app, MediaState, renderer=Renderer({**LIMITS, "memory_bytes": 40 * 1024**2}))

    refused = await upload(manager, product, bomb)
    await add_image(manager, product, png())
    change_state(app, MediaState, renderer=Renderer())
    taken = await upload(manager, product, bomb)

    assert (refused.status_code, refused.json()["code"]) == (422, "image_too_costly")
    assert taken.status_code == 201


async def test_u1_a_decoder_that_never_ends_is_killed_by_its_cpu_time(
    app: FastAPI, manager: httpx2.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = await make_product(manager)
    change_state(app, MediaState, renderer=Renderer({**LIMITS, "cpu_seconds": 1}))
    with monkeypatch.context() as patched:
        patched.setattr(rendering, "_DECODER", stand_in(tmp_path, "while True: pass"))
        refused = await upload(manager, product)

    assert (refused.status_code, refused.json()["code"]) == (422, "image_too_costly")
    assert (await upload(manager, product)).status_code == 201


async def test_u1_a_decoder_that_sleeps_is_killed_by_the_clock(
    plain_png: BytesIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = stand_in(tmp_path, "time.sleep(600)")
    monkeypatch.setattr(rendering, "_DECODER", program)
    monkeypatch.setattr(rendering, "WALL_SECONDS", 1)

    with pytest.raises(ImageTooCostlyError):
        await Renderer().render(plain_png)

    assert decoders_of(program) == []


@pytest.mark.parametrize("body", ["os.abort()", "sys.exit(3)", "os.kill(os.getpid(), 11)"])
async def test_u1_a_decoder_that_crashes_costs_one_answer(
    plain_png: BytesIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(rendering, "_DECODER", stand_in(tmp_path, body))
        with pytest.raises(ImageBrokenError):
            await Renderer().render(plain_png)

    assert (await Renderer().render(plain_png)).width == 8


async def test_u1_a_decoder_writes_no_files_and_knows_no_secret(
    plain_png: BytesIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREMA_SECRET_KEY", "secret")
    body = """
file = os.open({path!r}, os.O_CREAT | os.O_WRONLY)
try:
    written = os.write(file, b"x")
except OSError:
    written = 0
print(json.dumps({{"width": written, "height": sum("CREMA" in name for name in os.environ), "sizes": {{}}}}))
"""
    monkeypatch.setattr(rendering, "_DECODER", stand_in(tmp_path, body.format(path=str(tmp_path / "written"))))

    rendition = await Renderer().render(plain_png)

    assert (rendition.width, rendition.height) == (0, 0)


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("CMYK", "JPEG"), ("RGBA", "WEBP"), ("RGBA", "AVIF")])
async def test_the_largest_that_is_taken_fits_into_the_memory(tmp_path: Path, mode: str, kind: str) -> None:
    path = tmp_path / "largest"
    path.write_bytes(encode(Image.new(mode, (4000, 4000)), kind))

    with path.open("rb") as file:
        rendition = await Renderer().render(file)

    assert rendition.width == 1280


def decoders_of(program: Path) -> list[int]:
    """List the processes that run this program."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if bytes(program) in command.read_bytes():
                found.append(int(command.parent.name))
    return found


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - other processes have no events
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("workers", "how"), [("1", signal.SIGKILL), ("1", signal.SIGTERM), ("2", signal.SIGKILL)])
async def test_u1_no_decoder_outlives_its_server(
    database_url: str, tmp_path: Path, workers: str, how: signal.Signals
) -> None:
    program = stand_in(tmp_path, "time.sleep(600)")
    patch = f"import crema.media.service.rendering as r; from pathlib import Path; r._DECODER = Path({str(program)!r})"
    (tmp_path / "sitecustomize.py").write_text(patch)  # for the processes that a server of two starts
    environment_ = environment(database_url) | {"CREMA_WORKERS": workers, "PYTHONPATH": str(tmp_path)}
    with running(tmp_path / "data", prelude=patch, **environment_) as server:
        async with open_town([server], database_url, tmp_path / "town") as town:
            person = await town.person()
            headers = {"Authorization": f"Bearer {person.token}"}
            async with http_client(base_url=server.url, headers=headers, timeout=60) as client:
                path = f"/chat/{(await client.post('/chat')).json()['id']}/attachments"
                answer = asyncio.ensure_future(client.post(path, files={"file": ("a.png", png())}))
                await until(lambda: decoders_of(program))
                (decoder_pid,) = decoders_of(program)
                server.process.send_signal(how)
                await until(lambda: decoder_pid not in decoders_of(program))
                with suppress(httpx2.TransportError):
                    await answer
        server.process.wait(20)


async def test_u1_fifty_bombs_at_once_leave_the_server_small_and_quick(database_url: str, tmp_path: Path) -> None:
    bomb = encode(Image.new("1", (9000, 9000)), "PNG")
    with running(tmp_path / "data", **environment(database_url)) as server:
        async with open_town([server], database_url, tmp_path / "town") as town:
            people = [await town.person() for _ in range(10)]
            async with http_client(base_url=server.url, timeout=60) as client:

                async def chat(token: str) -> tuple[str, dict[str, str]]:
                    headers = {"Authorization": f"Bearer {token}"}
                    return (await client.post("/chat", headers=headers)).json()["id"], headers

                chats = [await chat(person.token) for person in people]
                upload_ = {"file": ("a.png", bomb)}
                first, headers = chats[0]
                await client.post(f"/chat/{first}/attachments", files=upload_, headers=headers)
                before = resident(server)

                async def send(chat_id: str, headers: dict[str, str]) -> httpx2.Response:
                    answer = await client.post(f"/chat/{chat_id}/attachments", files=upload_, headers=headers)
                    return await send(chat_id, headers) if answer.status_code == 503 else answer

                answers = await asyncio.gather(*(send(chat_id, headers) for chat_id, headers in chats * 5))
                after = resident(server)
                alive = await client.get("/health/ready")

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(422, "image_too_large")}
    assert after - before < 32 * 1024**2
    assert alive.status_code == 200
