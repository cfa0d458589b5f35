"""When products and what stands under a category are sold."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from crema.menu import queries
from crema.menu.domain import Timetable
from factories.menu import make_category, make_product

pytestmark = pytest.mark.anyio
Json = dict[str, Any]

BREAKFAST: Json = {"weekdays": [0, 1, 2, 3, 4], "from": "07:00", "to": "11:00", "starts_on": None, "ends_on": None}
NIGHT: Json = {"weekdays": [5], "from": "22:00", "to": "02:00", "starts_on": "2026-12-01", "ends_on": "2026-12-31"}


async def timetable(session: AsyncSession, product: Json) -> Timetable:
    id_ = UUID(product["id"])
    return (await queries.load_for_pricing(session, {id_}))[id_].timetable


async def test_a_schedule_is_written_read_and_taken_away(manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager, schedule=[BREAKFAST, NIGHT])
    category = await make_category(manager, schedule=[{"weekdays": [6], "from": "00:00", "to": "24:00"}])

    assert (await manager.get(f"/product/{product['id']}")).json()["schedule"] == [BREAKFAST, NIGHT]
    assert [each["to"] for each in (await manager.get(f"/category/{category['id']}")).json()["schedule"]] == ["24:00"]
    assert (await manager.get("/categories")).json()["items"][0]["schedule"] == category["schedule"]
    assert (await manager.get("/menu")).json()["categories"][0]["schedule"] == category["schedule"]

    changed = await manager.patch(f"/product/{product['id']}", json={"schedule": []})
    replaced = await manager.put(f"/category/{category['id']}", json={"name": "Кофе"})

    assert changed.json()["schedule"] == replaced.json()["schedule"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"weekdays": []},
        {"weekdays": [7]},
        {"weekdays": [1, 1]},
        {"from": "24:00"},
        {"from": "7:00"},
        {"to": "07:00"},
        {"starts_on": "2026-12-02", "ends_on": "2026-12-01"},
        {"starts_on": "soon"},
        {"begins": "07:00"},
    ],
)
async def test_what_is_no_window_is_refused(manager: httpx2.AsyncClient, wrong: Json) -> None:
    answer = await manager.post("/product", json={"name": "Латте", "price": "250", "schedule": [BREAKFAST | wrong]})

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["loc"][:2] == ["body", "schedule"]


async def test_pricing_knows_the_schedules_of_all_categories_above(
    manager: httpx2.AsyncClient, session: AsyncSession
) -> None:
    drinks = await make_category(manager, "Напитки", schedule=[NIGHT])
    coffee = await make_category(manager, "Кофе", parent_id=drinks["id"])
    latte = await make_product(manager, category_ids=[coffee["id"]], schedule=[BREAKFAST])

    seen = await timetable(session, latte)

    assert [window.from_minute for window in seen.own] == [7 * 60]
    assert [[window.to_minute for window in schedule] for (schedule,) in seen.category_schedules] == [[26 * 60]]

    # A category above that changes reaches what stands far below.
    await manager.patch(f"/category/{drinks['id']}", json={"schedule": []})
    assert (await timetable(session, latte)).category_schedules == ()

    await manager.patch(f"/category/{coffee['id']}", json={"schedule": [BREAKFAST]})
    await manager.patch(f"/category/{drinks['id']}", json={"schedule": [NIGHT]})
    assert [len(path) for path in (await timetable(session, latte)).category_schedules] == [2]

    await manager.patch(f"/category/{coffee['id']}", json={"parent_id": None})
    assert [len(path) for path in (await timetable(session, latte)).category_schedules] == [1]


async def test_a_category_without_a_schedule_keeps_a_product_always_there(
    manager: httpx2.AsyncClient, session: AsyncSession
) -> None:
    breakfast = await make_category(manager, "Завтраки", schedule=[BREAKFAST])
    bakery = await make_category(manager, "Выпечка")

    both = await make_product(manager, "Круассан", category_ids=[breakfast["id"], bakery["id"]])

    assert await timetable(session, both) == Timetable()


async def test_an_export_takes_schedules_along(manager: httpx2.AsyncClient) -> None:
    coffee = await make_category(manager, slug="coffee", schedule=[NIGHT])
    latte = await make_product(manager, slug="latte", category_ids=[coffee["id"]], schedule=[BREAKFAST, NIGHT])
    document = (await manager.get("/menu/export")).json()
    workbook = (await manager.get("/menu/export?format=xlsx")).content

    same = await manager.post("/menu/import", json=document)
    file = {"file": ("menu.xlsx", workbook)}
    as_workbook = await manager.post("/menu/import", files=file)
    document["products"][0]["schedule"] = [NIGHT]
    changed = await manager.post("/menu/import", json=document)

    assert (same.json()["changes"], as_workbook.json()["changes"]) == ([], [])
    assert [each["fields"] for each in changed.json()["changes"]] == [["schedule"]]
    assert (await manager.get(f"/product/{latte['id']}")).json()["schedule"] == [NIGHT]


async def test_a_copy_is_sold_when_its_model_is(manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager, schedule=[NIGHT])

    copied = await manager.post(f"/product/{product['id']}/copy")

    assert copied.json()["schedule"] == [NIGHT]
