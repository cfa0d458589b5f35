"""Stored documents: whatever changes the menu, each is what the tables would give."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.menu.models import Product, ProductDocument
from crema.menu.service import documents
from factories.menu import NUTRITION, Json, add_image, make_category, make_group, make_ingredient, make_product

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]
STEPS = 50


class Editor:
    """Changes the menu at random, over HTTP."""

    def __init__(self, client: httpx2.AsyncClient, seed: int) -> None:
        self.client = client
        self.chance = random.Random(seed)  # noqa: S311 - to choose changes
        self.count = 0

    async def all(self, path: str) -> list[Json]:
        return list((await self.client.get(path, params={"size": 100})).json()["items"])

    async def some(self, path: str) -> list[str]:
        found = [each["id"] for each in await self.all(path)]
        return self.chance.sample(found, min(len(found), self.chance.randint(0, 3)))

    async def one(self, path: str) -> Json | None:
        found = await self.all(path)
        return self.chance.choice(found) if found else None

    def name(self) -> str:
        self.count += 1
        return f"Название {self.count}"

    async def product(self) -> Json:
        return {
            "name": self.name(),
            "price": f"{self.chance.randint(100, 900)}.50",
            "category_ids": await self.some("/categories"),
            "modifier_group_ids": await self.some("/modifier-groups"),
            "ingredient_ids": await self.some("/ingredients"),
            "sizes": [{"name": each, "nutrition": NUTRITION} for each in "SML"[: self.chance.randint(0, 3)]],
            "is_active": self.chance.random() > 0.2,
        }

    async def options(self) -> list[Json]:
        return [
            {
                "name": self.name(),
                "is_active": self.chance.random() > 0.3,
                "price_delta": f"{self.chance.randint(-50, 50)}.00",
                "size_prices": [{"size_name": each, "price_delta": "9.00"} for each in self.chance.sample("SML", 2)],
                "nutrition": self.chance.choice([None, NUTRITION]),
                "size_nutrition": [{"size_name": "L", "nutrition": NUTRITION}],
                "ingredient_ids": await self.some("/ingredients"),
            }
            for _ in range(self.chance.randint(0, 3))
        ]

    async def step(self) -> httpx2.Response | None:
        changes: list[Callable[[], Awaitable[httpx2.Response | None]]] = [
            self.add_product,
            self.change_product,
            self.change_product,
            self.offer_group,
            self.change_prices,
            self.replace_product,
            self.delete_product,
            self.change_category,
            self.change_category,
            self.order_category,
            self.delete_category,
            self.change_group,
            self.change_group,
            self.delete_group,
            self.rename_ingredient,
            self.rename_ingredient,
            self.delete_ingredient,
            self.add_picture,
            self.change_picture,
            self.delete_picture,
        ]
        return await self.chance.choice(changes)()

    async def add_product(self) -> httpx2.Response:
        return await self.client.post("/product", json=await self.product())

    async def change_product(self) -> httpx2.Response | None:
        if (found := await self.one("/products")) is None:
            return None
        whole = await self.product()
        field = self.chance.choice([*whole])
        return await self.client.patch(f"/product/{found['id']}", json={field: whole[field]})

    async def offer_group(self) -> httpx2.Response | None:
        if (found := await self.one("/products")) is None or (group := await self.one("/modifier-groups")) is None:
            return None
        link = {"group_id": group["id"], "free_quantity": self.chance.choice([None, 0, 3])}
        return await self.client.patch(f"/product/{found['id']}", json={"modifier_groups": [link]})

    async def change_prices(self) -> httpx2.Response:
        body = {"percent": f"{self.chance.randint(-50, 50)}", "dry_run": self.chance.random() < 0.3}
        return await self.client.post("/products/prices", json=body)

    async def replace_product(self) -> httpx2.Response | None:
        if (found := await self.one("/products")) is None:
            return None
        return await self.client.put(f"/product/{found['id']}", json=await self.product())

    async def delete_product(self) -> httpx2.Response | None:
        if (found := await self.one("/products")) is None or self.chance.random() > 0.3:
            return None
        return await self.client.delete(f"/product/{found['id']}")

    async def change_category(self) -> httpx2.Response | None:
        if (found := await self.one("/categories")) is None:
            return None
        above = self.chance.choice([None, *(each["id"] for each in await self.all("/categories"))])
        body = self.chance.choice(
            [{"name": self.name()}, {"is_active": not found["is_active"]}, {"parent_id": above}, {"parent_id": above}]
        )
        return await self.client.patch(f"/category/{found['id']}", json=body)

    async def order_category(self) -> httpx2.Response | None:
        if (found := await self.one("/categories")) is None:
            return None
        body = {"product_ids": await self.some("/products")}
        return await self.client.put(f"/category/{found['id']}/products", json=body)

    async def delete_category(self) -> httpx2.Response | None:
        if (found := await self.one("/categories")) is None or self.chance.random() > 0.3:
            return None
        return await self.client.delete(f"/category/{found['id']}", params={"force": True})

    async def change_group(self) -> httpx2.Response | None:
        if (found := await self.one("/modifier-groups")) is None:
            return None
        body = self.chance.choice(
            [{"name": self.name()}, {"free_quantity": self.chance.randint(0, 3)}, {"options": await self.options()}]
        )
        return await self.client.patch(f"/modifier-group/{found['id']}", json=body)

    async def delete_group(self) -> httpx2.Response | None:
        if (found := await self.one("/modifier-groups")) is None or self.chance.random() > 0.3:
            return None
        return await self.client.delete(f"/modifier-group/{found['id']}", params={"force": True})

    async def delete_ingredient(self) -> httpx2.Response | None:
        if (found := await self.one("/ingredients")) is None or self.chance.random() > 0.3:
            return None
        return await self.client.delete(f"/ingredient/{found['id']}", params={"force": True})

    async def rename_ingredient(self) -> httpx2.Response | None:
        if (found := await self.one("/ingredients")) is None:
            return None
        return await self.client.patch(f"/ingredient/{found['id']}", json={"name": self.name()})

    async def add_picture(self) -> httpx2.Response | None:
        if (found := await self.one("/products")) is not None:
            await add_image(self.client, found)
        return None

    async def picture(self) -> tuple[str, str] | None:
        found = [(each["id"], image["id"]) for each in await self.all("/products") for image in each["images"]]
        return self.chance.choice(found) if found else None

    async def change_picture(self) -> httpx2.Response | None:
        if (found := await self.picture()) is None:
            return None
        body = self.chance.choice([{"alt": self.name()}, {"position": 0}])
        return await self.client.patch(f"/product/{found[0]}/image/{found[1]}", json=body)

    async def delete_picture(self) -> httpx2.Response | None:
        if (found := await self.picture()) is None:
            return None
        return await self.client.delete(f"/product/{found[0]}/image/{found[1]}")


async def stored(session: AsyncSession) -> list[dict[str, Any]]:
    columns = list(ProductDocument.__table__.columns)
    rows = await session.execute(select(*columns).order_by(ProductDocument.product_id))
    return [row._asdict() for row in rows]


async def rendered(session: AsyncSession) -> list[dict[str, Any]]:
    return await documents.render(session, (await session.scalars(select(Product.id))).all())


async def start(client: httpx2.AsyncClient, seed: int) -> Editor:
    editor = Editor(client, seed)
    for _ in range(3):
        await make_category(client, editor.name())
        await make_ingredient(client, editor.name())
        await make_group(client, editor.name())
    for _ in range(4):
        await make_product(client, **await editor.product())
    return editor


@pytest.mark.parametrize("seed", range(3))
async def test_after_every_change_each_is_what_the_tables_give(
    manager: httpx2.AsyncClient, session: AsyncSession, seed: int
) -> None:
    editor = await start(manager, seed)
    done = set()
    for _ in range(STEPS):
        answer = await editor.step()
        if answer is not None:
            done.add((answer.request.method, answer.status_code))
        assert await stored(session) == await rendered(session), answer and answer.request

    assert {("PATCH", 200), ("POST", 201)} <= done


async def test_a_forgotten_refresh_would_be_seen(
    manager: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = await start(manager, 0)

    async def forget(*_: Any) -> None:
        """Refresh nothing."""

    monkeypatch.setattr(documents, "refresh", forget)
    await editor.change_group()
    await editor.change_product()

    assert await stored(session) != await rendered(session)


async def test_rebuilding_mends_what_was_edited_by_hand(manager: httpx2.AsyncClient, session: AsyncSession) -> None:
    await start(manager, 0)
    await session.execute(update(Product).values(price=1))
    assert await stored(session) != await rendered(session)

    count = await documents.rebuild(session)

    assert count == 4
    assert await stored(session) == await rendered(session)


async def test_another_version_s_documents_are_written_anew(manager: httpx2.AsyncClient, session: AsyncSession) -> None:
    await start(manager, 0)
    first = (await session.scalars(select(ProductDocument.product_id))).first()
    await session.execute(update(ProductDocument).where(ProductDocument.product_id == first).values(shape="old"))

    assert await documents.rebuild(session, only_outdated=True) == 1
    assert await documents.rebuild(session, only_outdated=True) == 0
    assert await stored(session) == await rendered(session)
