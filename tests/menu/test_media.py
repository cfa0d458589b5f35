"""Files of pictures: how they are served, and how those nobody names go."""

import os
import shutil
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from crema.db.session import Sessions
from crema.media.deps import MediaState
from crema.menu.service import images
from crema.web.state import state_of
from factories.menu import add_image, make_product, upload
from fixtures.app import Clock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]


def age(folder: Path, clock: Clock, **parts: float) -> None:
    """Make every file this old by the test's clock."""
    written = (clock() - timedelta(**parts)).timestamp()
    for path in folder.iterdir():
        os.utime(path, (written, written))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def folder(app: FastAPI, data_dir: Path) -> Path:
    return data_dir / "media"


async def test_files_are_kept_for_ever_by_those_who_fetched_them(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    image = await add_image(manager, await make_product(manager))

    response = await client.get(image["urls"]["8"])

    assert response.status_code == 200
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-type"] == "image/webp"
    assert response.headers["content-disposition"] == "inline"
    assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert not response.headers["etag"].startswith("W/")


async def test_a_file_is_not_sent_twice(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    image = await add_image(manager, await make_product(manager))
    first = await client.get(image["urls"]["8"])

    again = await client.get(image["urls"]["8"], headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == first.headers["cache-control"]


STRANGE = [
    "",
    "secret_key",
    "../secret_key",
    "..%2fsecret_key",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/secret_key",
    "..%5csecret_key",
    "%2fetc%2fpasswd",
    "C:%5cwindows%5cwin.ini",
    "a" * 32 + "-320.webp",
    "a" * 32 + "-320.webp%00",
    "a" * 32 + "-320.webp%0a",
    "a" * 32 + "-320.webp%2f..%2f..%2fsecret_key",
    "x/" + "a" * 32 + "-320.webp",
    "А" * 32 + "-320.webp",
    "0" * 300,
    "%ff%fe",
]


async def test_u3_names_we_never_gave_are_not_looked_up(client: httpx2.AsyncClient, folder: Path) -> None:
    (folder.parent / "secret_key").write_text("secret")

    answers = {path: await client.get(f"/media/{path}") for path in STRANGE}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(STRANGE, 404)
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/problem+json"}


async def test_u4_a_sweep_removes_files_nobody_names_after_an_hour(
    app: FastAPI, manager: httpx2.AsyncClient, sessions: Sessions, clock: Clock, folder: Path
) -> None:
    product = await make_product(manager)
    gone, kept = await add_image(manager, product), await add_image(manager, product)
    await manager.delete(f"/product/{product['id']}/image/{gone['id']}")
    age(folder, clock, minutes=61)

    sweep = await images.sweep(sessions, state_of(app, MediaState).store, now=clock())

    assert sweep.removed == [url.removeprefix("/media/") for url in gone["urls"].values()]
    assert names(folder) == {url.removeprefix("/media/") for url in kept["urls"].values()}
    assert sweep.missing == []


async def test_u4_a_sweep_leaves_files_that_may_belong_to_an_open_request(
    app: FastAPI, sessions: Sessions, clock: Clock, folder: Path
) -> None:
    (folder / ("a" * 32 + "-320.webp")).write_bytes(b"")
    age(folder, clock, minutes=59)

    sweep = await images.sweep(sessions, state_of(app, MediaState).store, now=clock())

    assert sweep.removed == []
    assert len(names(folder)) == 1


async def test_a_sweep_leaves_files_that_are_not_ours(
    app: FastAPI, sessions: Sessions, clock: Clock, folder: Path
) -> None:
    (folder / "README").write_text("hands off")
    age(folder, clock, days=1)

    await images.sweep(sessions, state_of(app, MediaState).store, now=clock())

    assert names(folder) == {"README"}


async def test_a_sweep_tells_which_pictures_lost_their_files(
    app: FastAPI, manager: httpx2.AsyncClient, sessions: Sessions, clock: Clock, folder: Path
) -> None:
    image = await add_image(manager, await make_product(manager))
    shutil.rmtree(folder)
    clock.advance(minutes=61)

    sweep = await images.sweep(sessions, state_of(app, MediaState).store, now=clock())

    assert [str(id_) for id_ in sweep.missing] == [image["id"]]


async def test_u4_a_failed_upload_leaves_no_row_and_its_files_to_the_sweep(
    app: FastAPI,
    manager: httpx2.AsyncClient,
    sessions: Sessions,
    clock: Clock,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    product = await make_product(manager)
    monkeypatch.setattr(images, "ProductImage", None)  # fails between the files and the row

    response = await upload(manager, product)
    written = names(folder)
    age(folder, clock, minutes=61)
    sweep = await images.sweep(sessions, state_of(app, MediaState).store, now=clock())

    assert response.status_code == 500
    assert (await manager.get(f"/product/{product['id']}")).json()["images"] == []
    assert set(sweep.removed) == written != set()
