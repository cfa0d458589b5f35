"""Editors at once: truly parallel changes that truly commit, and twins whose guard is off."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.media.service.rendering import Renderer, Rendition
from crema.menu import queries
from crema.menu.domain import MAX_IMAGES
from crema.menu.models import Category, Product
from crema.menu.schemas import ProductIn, ProductPatch
from crema.menu.service import categories, documents, importing, integrity, products
from factories.menu import add_image, make_category, make_group, make_product, upload
from fixtures.app import connect
from fixtures.people import make_person

pytestmark = pytest.mark.anyio

IN_VAIN_SECONDS = 0.3


@pytest.fixture
async def editor(own_app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    person = await make_person(own_app, email="manager@example.com", role="manager")
    async with connect(own_app, person.token) as client:
        yield client


def meeting_a_rival(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Make a caller that has its answer wait until another has one too, or in vain where a guard keeps it out."""
    both = asyncio.Barrier(2)

    async def slow(*args: Any, **kwargs: Any) -> Any:
        answer = await function(*args, **kwargs)
        with suppress(TimeoutError):
            await asyncio.wait_for(both.wait(), IN_VAIN_SECONDS)
        return answer

    return slow


async def list_subtree(session: AsyncSession, category_id: UUID) -> list[UUID]:
    """Return what `queries.lock_subtree` returns, without its locks. One level is enough here."""
    is_there = or_(Category.id == category_id, Category.parent_id == category_id)
    return [*await session.scalars(select(Category.id).where(is_there))]


async def nothing(*_: Any, **__: Any) -> None:
    """Stand where a guard stood."""


async def raise_twice(editor: httpx2.AsyncClient) -> str:
    """Raise a price of 250.00 by ten percent twice at once; tell what it becomes."""
    product = await make_product(editor)
    body = {"percent": "10", "dry_run": False}
    answers = await asyncio.gather(*(editor.post("/products/prices", json=body) for _ in range(2)))
    assert [answer.status_code for answer in answers] == [200, 200]
    return str((await editor.get(f"/product/{product['id']}")).json()["price"])


async def test_two_percentages_at_once_both_count(editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "load_live_products", meeting_a_rival(queries.load_live_products))

    assert await raise_twice(editor) == "302.50"


async def test_without_the_lock_one_percentage_would_be_lost(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "load_live_products", meeting_a_rival(queries.load_live_products))
    monkeypatch.setattr("crema.menu.queries.products.lock_live_products", nothing)

    assert await raise_twice(editor) == "275.00"


async def move_under_each_other(editor: httpx2.AsyncClient) -> tuple[list[int], bool]:
    """Move each of two trees under the other's leaf, at once; tell the answers and whether a circle came of it."""
    roots = [await make_category(editor, name) for name in ("Кофе", "Чай")]
    leaves = [await make_category(editor, "Лист", parent_id=root["id"]) for root in roots]

    answers = await asyncio.gather(
        *(
            editor.patch(f"/category/{root['id']}", json={"parent_id": leaf["id"]})
            for root, leaf in zip(roots, reversed(leaves), strict=True)
        )
    )

    found = (await editor.get("/categories")).json()["items"]
    parents = {category["id"]: category["parent_id"] for category in found}
    return sorted(answer.status_code for answer in answers), _has_circle(parents)


def _has_circle(parents: dict[str, str | None]) -> bool:
    """Return whether the categories form a cycle: whether some path upwards is longer than there are categories."""
    heights: set[str | None] = set(parents)
    for _ in parents:
        heights = {parents[at] for at in heights if at is not None}
    return heights - {None} != set()


async def test_two_moves_never_close_a_circle(editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "is_in_subtree", meeting_a_rival(queries.is_in_subtree))

    assert await move_under_each_other(editor) == ([200, 409], False)


async def test_without_turns_two_moves_close_a_circle(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "is_in_subtree", meeting_a_rival(queries.is_in_subtree))
    monkeypatch.setattr(categories, "lock_tree", nothing)
    monkeypatch.setattr(queries, "lock_subtree", list_subtree)

    assert await move_under_each_other(editor) == ([200, 200], True)


async def upload_two_for_one_place(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[int], int]:
    product = await make_product(editor)
    for _ in range(MAX_IMAGES - 1):
        await add_image(editor, product)

    async def rendered(*_: Any) -> Rendition:
        return Rendition(8, 8, {8: b"webp"})

    monkeypatch.setattr(Renderer, "render", rendered)
    monkeypatch.setattr(Renderer, "slot", lambda *_: nullcontext())  # as in two server processes
    monkeypatch.setattr(queries, "list_images", meeting_a_rival(queries.list_images))

    answers = await asyncio.gather(*(upload(editor, product) for _ in range(2)))

    shown = (await editor.get(f"/product/{product['id']}")).json()["images"]
    return sorted(answer.status_code for answer in answers), len(shown)


async def test_u4_two_uploads_never_exceed_the_limit(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await upload_two_for_one_place(editor, monkeypatch) == ([201, 409], MAX_IMAGES)


async def test_u4_without_the_products_lock_two_uploads_exceed_the_limit(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unlocked(session: AsyncSession, product_id: UUID) -> Product:
        return await queries.get_product(session, product_id)

    monkeypatch.setattr(queries, "get_product_for_update", unlocked)

    assert await upload_two_for_one_place(editor, monkeypatch) == ([201, 201], MAX_IMAGES + 1)


async def change_what_one_document_shows(editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Rename a group and price a product that offers it, at once; tell what the product's document then shows."""
    group = await make_group(editor, "Milk")
    product = await make_product(editor, price="250.00", modifier_group_ids=[group["id"]])
    monkeypatch.setattr(queries, "load_products", meeting_a_rival(queries.load_products))

    answers = await asyncio.gather(
        editor.patch(f"/modifier-group/{group['id']}", json={"name": "Oats"}),
        editor.patch(f"/product/{product['id']}", json={"price": "260.00"}),
    )

    assert [answer.status_code for answer in answers] == [200, 200]
    shown = (await editor.get(f"/product/{product['id']}")).json()
    return [shown["modifier_groups"][0]["name"], shown["price"]]


async def test_a_document_shows_both_of_two_changes_at_once(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await change_what_one_document_shows(editor, monkeypatch) == ["Oats", "260.00"]


async def test_without_its_lock_a_document_shows_one_of_two_changes(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_lock", nothing)

    assert await change_what_one_document_shows(editor, monkeypatch) != ["Oats", "260.00"]


async def make_namesakes(editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(categories, "free_slug", meeting_a_rival(integrity.free_slug))
    answers = await asyncio.gather(*(editor.post("/category", json={"name": "Кофе"}) for _ in range(2)))
    return sorted(answer.json().get("slug") or answer.json()["code"] for answer in answers)


async def test_namesakes_made_at_once_get_slugs_of_their_own(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await make_namesakes(editor, monkeypatch) == ["kofe", "kofe-2"]


async def test_without_turns_namesakes_collide(editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_lock_slugs", nothing)
    monkeypatch.setattr(categories, "lock_tree", nothing)

    assert await make_namesakes(editor, monkeypatch) == ["kofe", "slug_taken"]


async def hide_while_something_is_put_there(editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> int:
    """Hide a category while a product is put under its child; tell whether the public then finds the product."""
    top = await make_category(editor)
    child = await make_category(editor, "Холодный", parent_id=top["id"])
    product = await make_product(editor)
    monkeypatch.setattr(queries, "load_products", meeting_a_rival(queries.load_products))
    monkeypatch.setattr(documents, "fetch_ids", meeting_a_rival(documents.fetch_ids))

    answers = await asyncio.gather(
        editor.patch(f"/category/{top['id']}", json={"is_active": False}),
        editor.patch(f"/product/{product['id']}", json={"category_ids": [child["id"]]}),
    )

    assert [answer.status_code for answer in answers] == [200, 200]
    return (await editor.get(f"/product/{product['id']}", headers={"Authorization": ""})).status_code


async def test_what_is_put_under_a_category_while_it_is_hidden_is_hidden(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await hide_while_something_is_put_there(editor, monkeypatch) == 404


async def test_without_locks_below_a_category_something_put_there_stays_seen(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "lock_subtree", list_subtree)

    assert await hide_while_something_is_put_there(editor, monkeypatch) == 200


async def import_beside_an_edit(editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Import two changed products while one of them is being edited, which holds its row and wants the version's."""
    first, second = [await make_product(editor, slug=slug) for slug in ("first", "second")]
    document = (await editor.get("/menu/export")).json()
    for row in document["products"]:
        row["price"] = "300.00"
    order = {row["slug"]: row for row in document["products"]}
    document["products"] = [order["first"], order["second"]]
    edited, met = asyncio.Event(), asyncio.Event()
    check, refresh = products._check_references, documents.refresh

    async def check_slowly(session: AsyncSession, wanted: ProductIn | ProductPatch, **known: Any) -> None:
        await check(session, wanted, **known)
        if wanted.name == "Другое":  # the edit: it has its product
            edited.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(met.wait(), IN_VAIN_SECONDS)

    async def refresh_and_tell(session: AsyncSession, showing: Any) -> None:
        await refresh(session, showing)
        met.set()  # the import has the version's row

    monkeypatch.setattr(products, "_check_references", check_slowly)
    edit = asyncio.create_task(editor.patch(f"/product/{second['id']}", json={"name": "Другое"}))
    await edited.wait()
    monkeypatch.setattr(documents, "refresh", refresh_and_tell)
    answers = await asyncio.gather(edit, editor.post("/menu/import", json=document))
    assert first["price"] == second["price"]
    return [answer.status_code for answer in answers]


async def test_an_import_and_an_edit_take_turns(editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await import_beside_an_edit(editor, monkeypatch) == [200, 200]


async def test_twin_without_locking_the_menu_first_an_import_and_an_edit_wait_for_each_other(
    editor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_lock_menu", nothing)

    try:
        answers = await import_beside_an_edit(editor, monkeypatch)
    except DBAPIError:
        return

    assert answers != [200, 200]
