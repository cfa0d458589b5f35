"""The picture of a category: one, kept as those of products are."""

from datetime import timedelta
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI

from crema.db.session import Sessions
from crema.media.deps import MediaState
from crema.media.domain import MENU_QUOTA
from crema.menu.service import images
from crema.web.state import state_of
from factories.menu import Json, decode, make_category
from factories.pictures import png
from fixtures.app import Clock
from menu.test_images import files_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]


async def upload(
    editor: httpx2.AsyncClient, category_id: object, content: bytes | None = None, **form: str
) -> httpx2.Response:
    file = ("coffee.png", png() if content is None else content, "image/png")
    return await editor.post(f"/category/{category_id}/image", files={"file": file}, data=form)


async def shown(client: httpx2.AsyncClient, category: Json) -> list[Json | None]:
    """Give the picture as each answer shows it."""
    one = (await client.get(f"/category/{category['id']}")).json()
    listed = (await client.get("/categories")).json()["items"]
    menu = (await client.get("/menu")).json()["categories"]
    return [one["image"], *(each["image"] for each in (*listed, *menu) if each["id"] == category["id"])]


async def test_a_category_has_one_picture_shown_everywhere(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    category, other = await make_category(manager), await make_category(manager, "Чай")
    assert await shown(client, category) == [None] * 3

    answer = await upload(manager, category["id"], png(2000, 1500), alt="Кофе")

    image = answer.json()["image"]
    assert answer.status_code == 200
    assert [image[name] for name in ("alt", "width", "height")] == ["Кофе", 1280, 960]
    sizes = {width: decode((await client.get(url)).content).size for width, url in image["urls"].items()}
    assert sizes == {"320": (320, 240), "640": (640, 480), "1280": (1280, 960)}
    assert await shown(client, category) == [image] * 3
    assert await shown(client, other) == [None] * 3


async def test_another_picture_replaces_it_and_the_old_files_are_swept(
    app: FastAPI, client: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, clock: Clock
) -> None:
    category = await make_category(manager)
    old = (await upload(manager, category["id"], png(100, 100))).json()["image"]
    new = (await upload(manager, category["id"], png(200, 200))).json()["image"]
    assert await shown(client, category) == [new] * 3

    swept = await images.sweep(sessions, state_of(app, MediaState).store, now=clock() + timedelta(days=3650))

    assert [f"/media/{name}" for name in swept.removed] == [*old["urls"].values()]
    assert swept.missing == []
    assert [f"/media/{name}" for name in files_of(app)] == [*new["urls"].values()]


async def test_a_deleted_picture_is_shown_no_more(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, clock: Clock
) -> None:
    category = await make_category(manager)
    await upload(manager, category["id"])
    clock.advance(minutes=1)

    first, second = [await manager.delete(f"/category/{category['id']}/image") for _ in range(2)]

    assert (first.status_code, second.status_code) == (204, 404)
    assert await shown(client, category) == [None] * 3
    assert (await client.get(f"/category/{category['id']}")).json()["updated_at"] == "2026-11-23T09:01:00.000000Z"


async def test_a_lost_file_is_named_by_its_category(
    app: FastAPI, manager: httpx2.AsyncClient, sessions: Sessions, clock: Clock
) -> None:
    category = await make_category(manager)
    await upload(manager, category["id"], png(100, 100))
    await state_of(app, MediaState).store.delete_async(files_of(app))

    swept = await images.sweep(sessions, state_of(app, MediaState).store, now=clock() + timedelta(days=1))

    assert [str(id_) for id_ in swept.missing] == [category["id"]]


async def test_get_and_put_keep_the_picture(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    category = (await upload(manager, (await make_category(manager))["id"])).json()

    same = await manager.put(f"/category/{category['id']}", json=category)
    other = await manager.put(f"/category/{category['id']}", json=category | {"image": None})

    assert same.status_code == 200
    assert (other.status_code, other.json()["code"]) == (422, "read_only_field")
    assert await shown(client, category) == [category["image"]] * 3


async def test_what_is_no_picture_or_no_category_is_refused(
    app: FastAPI, manager: httpx2.AsyncClient, customer: httpx2.AsyncClient
) -> None:
    category = await make_category(manager)

    answers = [
        await upload(manager, category["id"], b"<svg/>"),
        await upload(manager, uuid4()),
        await upload(customer, category["id"]),
        await customer.delete(f"/category/{category['id']}/image"),
    ]

    assert [answer.status_code for answer in answers] == [415, 404, 403, 403]
    assert files_of(app) == []


async def test_pictures_of_categories_count_against_the_same_quota(manager: httpx2.AsyncClient) -> None:
    category = await make_category(manager)

    answers = [await upload(manager, category["id"], b"no picture") for _ in range(MENU_QUOTA.per_minute + 1)]

    assert {answer.status_code for answer in answers[:-1]} == {415}
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "too_many_uploads")
