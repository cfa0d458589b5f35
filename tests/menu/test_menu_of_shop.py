"""Menu, list, product and availability as a shop offers them: its prices, and what is available there now."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crema.db.session import Sessions
from factories.menu import make_category, make_group, make_ingredient, make_product
from factories.orders import make_shop
from fixtures.app import Clock
from fixtures.statements import recorded

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
BREAKFAST: Json = {"weekdays": [0, 1, 2, 3, 4, 5, 6], "from": "07:00", "to": "11:00"}
AT_TWO = "2026-11-23T11:00:00.000000Z"


@pytest.fixture
async def oats(manager: httpx2.AsyncClient) -> Json:
    return await make_ingredient(manager, "Овёс")


@pytest.fixture
async def latte(manager: httpx2.AsyncClient, oats: Json) -> Json:
    options = [
        {"name": "Коровье", "is_default": True},
        {
            "name": "Овсяное",
            "price_delta": "60",
            "size_prices": [{"size_name": "L", "price_delta": "80"}],
            "ingredient_ids": [oats["id"]],
        },
    ]
    milk = await make_group(manager, options=options, min_choices=1)
    return await make_product(manager, sizes=[{"name": "S"}, {"name": "L"}], modifier_group_ids=[milk["id"]])


async def product(client: httpx2.AsyncClient, latte: Json, shop_id: UUID) -> Json:
    answer = await client.get(f"/product/{latte['id']}?shop_id={shop_id}")
    assert answer.status_code == 200, answer.text
    shown: Json = answer.json()
    return shown


def reasons(availability: Json) -> list[tuple[str, str | None]]:
    return [(each["code"], each["until"]) for each in availability["reasons"]]


async def stop(client: httpx2.AsyncClient, shop_id: UUID, kind: str, target: Json, **fields: Any) -> None:
    body = {"kind": kind, "target_id": target["id"]} | fields
    (await client.post(f"/shop/{shop_id}/stop-list", json=body)).raise_for_status()


async def test_all_three_show_the_shops_prices_and_what_is_available(
    client: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, latte: Json, oats: Json
) -> None:
    oat = latte["modifier_groups"][0]["options"][1]
    await barista.patch(f"/shop/{shop_id}/product/{latte['id']}", json={"price": "270"})
    await barista.patch(f"/shop/{shop_id}/option/{oat['id']}", json={"price_delta": "0"})
    await stop(barista, shop_id, "ingredient", oats, until=AT_TWO)

    shown = await product(client, latte, shop_id)
    listed = (await client.get(f"/products?shop_id={shop_id}")).json()["items"]
    menu = (await client.get(f"/menu?shop_id={shop_id}")).json()

    assert listed == menu["products"] == [shown]
    assert (menu["shop_id"], shown["price"]) == (str(shop_id), "270.00")
    assert shown["availability"] == {"is_available": True, "reasons": []}
    cow, oat = shown["modifier_groups"][0]["options"]
    assert (oat["price_delta"], oat["size_prices"]) == ("0.00", [])
    assert (cow["availability"]["is_available"], oat["availability"]["is_available"]) == (True, False)
    assert reasons(oat["availability"]) == [("stopped_ingredient", AT_TWO)]
    # The chain's own is as it was.
    whole = (await client.get(f"/product/{latte['id']}")).json()
    assert (whole["price"], whole["availability"]) == ("250.00", None)
    assert whole["modifier_groups"][0]["options"][1]["availability"] is None


async def test_prices_of_the_shop_filter_and_sort(
    client: httpx2.AsyncClient, barista: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, latte: Json
) -> None:
    raf = await make_product(manager, "Раф", "260.00")
    await barista.patch(f"/shop/{shop_id}/product/{latte['id']}", json={"price": "270"})

    async def names(query: str) -> list[str]:
        answer = await client.get(f"/products?shop_id={shop_id}&{query}")
        assert answer.status_code == 200, answer.text
        return [each["name"] for each in answer.json()["items"]]

    assert await names("sort=price") == ["Раф", "Латте"]
    assert await names("price__gte=265") == ["Латте"]
    assert await names("price=250") == []
    assert await names("search=раф&fields=name") == [raf["name"]]
    assert [each["name"] for each in (await client.get("/products?sort=price")).json()["items"]] == ["Латте", "Раф"]
    cursor = (await client.get(f"/products?shop_id={shop_id}&sort=price&size=1&cursor=")).json()["next_cursor"]
    assert await names(f"sort=price&size=1&cursor={cursor}") == ["Латте"]
    category = await make_category(manager)
    await manager.patch(f"/product/{latte['id']}", json={"category_ids": [category["id"]]})
    assert await names(f"category_id={category['id']}") == ["Латте"]


@pytest.mark.parametrize("path", ["/product/{id}", "/products", "/menu"])
async def test_the_tag_is_another_when_something_goes_off_comes_back_or_ends_by_the_clock(
    client: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, latte: Json, clock: Clock, path: str
) -> None:
    path = f"{path.format(id=latte['id'])}?shop_id={shop_id}"
    seen: list[tuple[str, bool]] = []

    async def look() -> None:
        answer = await client.get(path)
        tag = answer.headers["etag"]
        assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 304
        seen.append((tag, '"stopped"' in answer.text))

    await look()
    await stop(barista, shop_id, "product", latte, until=AT_TWO)
    await look()
    clock.advance(hours=1)
    await look()
    clock.advance(hours=1)
    await look()

    assert [is_stopped for _, is_stopped in seen] == [False, True, True, False]
    tags = [tag for tag, _ in seen]
    assert tags[1] == tags[2]
    assert tags[0] != tags[1] != tags[3]


async def test_what_has_a_schedule_comes_and_goes_by_the_shops_clock(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions, clock: Clock
) -> None:
    # It is noon in Moscow and seven in the evening in Vladivostok.
    moscow, far = await make_shop(sessions), await make_shop(sessions, slug="far", timezone="Asia/Vladivostok")
    breakfast = await make_category(manager, "Завтраки", schedule=[BREAKFAST])
    porridge = await make_product(manager, "Каша", category_ids=[breakfast["id"]])

    there = await product(client, porridge, moscow)
    path = f"/products?shop_id={moscow}"
    before = (await client.get(path)).headers["etag"]
    clock.advance(hours=19)
    later = await product(client, porridge, moscow)

    assert reasons(there["availability"]) == [("out_of_schedule", "2026-11-24T04:00:00.000000Z")]
    assert later["availability"]["is_available"]
    assert (await client.get(path)).headers["etag"] != before
    assert not (await product(client, porridge, far))["availability"]["is_available"]


async def test_two_shops_differ(
    client: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, latte: Json, sessions: Sessions
) -> None:
    other = await make_shop(sessions, slug="far")
    await barista.patch(f"/shop/{shop_id}/product/{latte['id']}", json={"is_sold": False})

    here, there = await product(client, latte, shop_id), await product(client, latte, other)

    assert reasons(here["availability"]) == [("not_sold_here", None)]
    assert there["availability"]["is_available"]


async def test_editors_see_hidden_things_as_off_the_menu(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID
) -> None:
    hidden = await make_product(manager, "Секрет", is_active=False)

    shown = await product(manager, hidden, shop_id)
    asked = (await client.get(f"/product/{hidden['id']}/availability?shop_id={shop_id}")).json()

    assert reasons(shown["availability"]) == [("off_menu", None)]
    assert reasons(asked) == [("off_menu", None)]
    assert "Секрет" not in str(asked)
    assert (await client.get(f"/product/{hidden['id']}?shop_id={shop_id}")).status_code == 404


async def test_availability_is_asked_for_a_time(
    client: httpx2.AsyncClient, barista: httpx2.AsyncClient, shop_id: UUID, latte: Json
) -> None:
    await stop(barista, shop_id, "product", latte, until=AT_TWO)
    path = f"/product/{latte['id']}/availability?shop_id={shop_id}&size_id={latte['sizes'][0]['id']}"

    now, later = (await client.get(path)).json(), (await client.get(f"{path}&at={AT_TWO}")).json()

    assert reasons(now) == [("stopped", AT_TWO)]
    assert later == {"is_available": True, "reasons": []}


async def test_availability_says_too_when_the_shop_takes_no_order_for_that_time(
    client: httpx2.AsyncClient, latte: Json, sessions: Sessions
) -> None:
    # Noon in Moscow is before this shop opens, at one.
    shop_id = await make_shop(sessions, slug="late", hours=(13 * 60, 20 * 60))
    path = f"/product/{latte['id']}/availability?shop_id={shop_id}"

    now, closed, too_soon, open_ = [
        reasons((await client.get(f"{path}{at}")).json())
        for at in ("", "&at=2026-11-23T18:00:00Z", "&at=2026-11-23T09:01:00Z", "&at=2026-11-23T12:00:00Z")
    ]

    assert now == [("shop_closed", "2026-11-23T10:00:00.000000Z")]
    assert closed == [("outside_opening_hours", "2026-11-24T10:00:00.000000Z")]
    assert [code for code, _ in too_soon] in (["too_soon"], ["outside_opening_hours"])
    assert open_ == []


async def test_what_is_not_there_is_not_available(client: httpx2.AsyncClient, shop_id: UUID, latte: Json) -> None:
    path = f"/product/{latte['id']}/availability"

    answers = [
        await client.get(f"/product/{uuid4()}/availability?shop_id={shop_id}"),
        await client.get(f"{path}?shop_id={uuid4()}"),
        await client.get(f"{path}?shop_id={shop_id}&size_id={uuid4()}"),
        await client.get(path),
        *[await client.get(f"{each}?shop_id={uuid4()}") for each in ("/menu", "/products", f"/product/{latte['id']}")],
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 422, 422, 404, 404, 404]


async def test_what_is_kept_costs_no_documents(
    client: httpx2.AsyncClient, shop_id: UUID, latte: Json, engine: AsyncEngine
) -> None:
    for path in ("/products", f"/product/{latte['id']}", "/menu"):
        await client.get(f"{path}?shop_id={shop_id}")
        with recorded(engine) as statements:
            await client.get(f"{path}?shop_id={shop_id}")
        assert not [each for each in statements if "product_documents.pricing" in each]
