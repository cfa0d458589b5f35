"""A shop's stop-list: what it has run out of, and until when."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import func, select

from crema.db.session import Sessions
from crema.menu.models import ShopOffers, Stop
from factories.menu import make_ingredient
from factories.orders import Latte, make_latte, make_shop
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
AT_TWO = "2026-11-23T11:00:00.000000Z"
Json = dict[str, Any]


@pytest.fixture
async def latte(sessions: Sessions) -> Latte:
    return await make_latte(sessions)


async def stop(client: httpx2.AsyncClient, shop_id: UUID, kind: str, target_id: object, **fields: Any) -> Json:
    body = {"kind": kind, "target_id": str(target_id)} | fields
    answer = await client.post(f"/shop/{shop_id}/stop-list", json=body)
    assert answer.status_code == 201, answer.text
    stopped: Json = answer.json()
    return stopped


async def stopped(client: httpx2.AsyncClient, shop_id: UUID, query: str = "") -> list[Json]:
    answer = await client.get(f"/shop/{shop_id}/stop-list{query}")
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def test_what_is_stopped_is_listed_with_who_said_so_and_until_when(
    barista: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, latte: Latte
) -> None:
    milk = await make_ingredient(manager, "Овсяное молоко")

    made = await stop(barista, shop_id, "ingredient", milk["id"], until=AT_TWO, note="Привезут к обеду")
    await stop(barista, shop_id, "product", latte.id)
    await stop(barista, shop_id, "option", latte.oat)

    assert made | {"id": "", "created_at": ""} == {
        "id": "",
        "kind": "ingredient",
        "target_id": milk["id"],
        "name": "Овсяное молоко",
        "until": AT_TWO,
        "note": "Привезут к обеду",
        "created_by_id": str(barista.person.id),
        "created_at": "",
    }
    listed = await stopped(barista, shop_id, "?sort=name")
    assert [each["name"] for each in listed] == ["Латте", "Овсяное", "Овсяное молоко"]
    assert [each["kind"] for each in await stopped(barista, shop_id, "?until__isnull=false")] == ["ingredient"]


async def test_what_is_stopped_already_is_not_stopped_again_until_that_is_over(
    barista: httpx2.AsyncClient, shop_id: UUID, latte: Latte, clock: Clock, sessions: Sessions
) -> None:
    body = {"kind": "product", "target_id": str(latte.id), "until": AT_TWO}
    await stop(barista, shop_id, **body)

    again = await barista.post(f"/shop/{shop_id}/stop-list", json=body)
    clock.advance(hours=2)
    listed = await stopped(barista, shop_id)
    later = await barista.post(f"/shop/{shop_id}/stop-list", json=body | {"until": None})

    assert (again.status_code, again.json()["code"]) == (409, "already_stopped")
    assert listed == []
    assert later.status_code == 201
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Stop)) == 1


async def test_two_shops_have_lists_of_their_own(
    barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, shop_id: UUID, latte: Latte, sessions: Sessions
) -> None:
    other = await make_shop(sessions, slug="far")
    await stop(barista, shop_id, "product", latte.id)
    await stop(admin, other, "product", latte.id)

    refused = [
        await barista.get(f"/shop/{other}/stop-list"),
        await barista.post(f"/shop/{other}/stop-list", json={"kind": "product", "target_id": str(latte.id)}),
        await barista.delete(f"/shop/{other}/stop-list/{(await stopped(admin, other))[0]['id']}"),
    ]

    assert [answer.status_code for answer in refused] == [403, 403, 403]
    assert len(await stopped(admin, other)) == len(await stopped(barista, shop_id)) == 1


async def test_what_is_back_is_taken_off_the_list_once(
    barista: httpx2.AsyncClient, shop_id: UUID, latte: Latte
) -> None:
    made = await stop(barista, shop_id, "option", latte.oat)
    path = f"/shop/{shop_id}/stop-list/{made['id']}"

    assert [(await barista.delete(path)).status_code for _ in range(2)] == [204, 404]
    assert await stopped(barista, shop_id) == []


async def test_a_stop_ends_in_the_future_and_is_of_something(
    barista: httpx2.AsyncClient, shop_id: UUID, latte: Latte
) -> None:
    path = f"/shop/{shop_id}/stop-list"
    late = await barista.post(
        path, json={"kind": "product", "target_id": str(latte.id), "until": "2026-11-23T09:00:00Z"}
    )
    nothing = await barista.post(path, json={"kind": "product", "target_id": str(uuid4())})
    other_kind = await barista.post(path, json={"kind": "option", "target_id": str(latte.id)})

    assert [(each.status_code, each.json()["code"]) for each in (late, nothing, other_kind)] == [
        (422, "until_passed"),
        (422, "unknown_reference"),
        (422, "unknown_reference"),
    ]
    assert late.json()["errors"][0]["loc"] == ["body", "until"]


async def test_a_shop_that_is_not_there_has_no_list(admin: httpx2.AsyncClient, latte: Latte) -> None:
    path = f"/shop/{uuid4()}/stop-list"
    body = {"kind": "product", "target_id": str(latte.id)}

    assert [(await admin.get(path)).status_code, (await admin.post(path, json=body)).status_code] == [404, 404]


async def test_customers_see_no_list(customer: httpx2.AsyncClient, log_in: LogIn, shop_id: UUID) -> None:
    editor = await log_in("support@example.com", role="support")

    assert [(await who.get(f"/shop/{shop_id}/stop-list")).status_code for who in (customer, editor)] == [403, 403]


async def test_every_change_is_another_version_of_the_shop(
    barista: httpx2.AsyncClient, shop_id: UUID, latte: Latte, sessions: Sessions
) -> None:
    async def version() -> UUID | None:
        async with sessions() as session:
            return await session.scalar(select(ShopOffers.version).where(ShopOffers.shop_id == shop_id))

    seen = [await version()]
    made = await stop(barista, shop_id, "product", latte.id)
    seen.append(await version())
    await barista.delete(f"/shop/{shop_id}/stop-list/{made['id']}")
    seen.append(await version())
    await barista.patch(f"/shop/{shop_id}/product/{latte.id}", json={"stock": 3})
    seen.append(await version())
    await barista.patch(f"/shop/{shop_id}/option/{latte.oat}", json={"price_delta": "0"})
    seen.append(await version())

    assert len({*seen}) == 5
