"""The list of shops: the list language, what is near, what is open."""

from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from factories.shops import EVERY_DAY, ROUND_THE_CLOCK, add_shop
from fixtures.app import Clock
from fixtures.statements import recorded

pytestmark = pytest.mark.anyio

KREMLIN = "55.7520,37.6175"


async def names(client: httpx2.AsyncClient, **parameters: Any) -> list[str]:
    response = await client.get("/shops", params=parameters)
    assert response.status_code == 200, response.text
    return [shop["name"] for shop in response.json()["items"]]


@pytest.fixture
async def chain(session: AsyncSession) -> None:
    """Four shops: one on the other side of the country, one not on the map, one not active."""
    await add_shop(session, name="Арбат", latitude="55.7494", longitude="37.5916")
    await add_shop(session, name="Ёлка", address="Тверская, 5", latitude="55.7577", longitude="37.6136")
    await add_shop(
        session,
        name="Маяк",
        address="Владивосток",
        timezone="Asia/Vladivostok",
        latitude="43.1155",
        longitude="131.8855",
    )
    await add_shop(session, name="Жук", address="Где-то", timezone="Asia/Yekaterinburg", week=ROUND_THE_CLOCK)
    await add_shop(session, name="Закрыто", is_active=False)


@pytest.mark.usefixtures("chain")
async def test_lists_active_shops_by_name_with_yo_as_ye(client: httpx2.AsyncClient) -> None:
    response = await client.get("/shops")

    assert [shop["name"] for shop in response.json()["items"]] == ["Арбат", "Ёлка", "Жук", "Маяк"]
    assert response.json() | {"items": []} == {
        "items": [],
        "page": 1,
        "size": 20,
        "total": 4,
        "pages": 1,
        "total_at_least": None,
        "next_cursor": None,
    }


async def test_an_item_is_the_shop_and_its_distance(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)

    (item,) = (await client.get("/shops")).json()["items"]

    assert item == (await client.get(f"/shop/{shop.id}")).json() | {"distance_m": None}


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"name": "Арбат"}, ["Арбат"]),
        ({"name__icontains": "елк"}, ["Ёлка"]),
        ({"address__istartswith": "твер"}, ["Ёлка"]),
        ({"timezone__startswith": "Asia/"}, ["Жук", "Маяк"]),
        ({"timezone__ne": "Europe/Moscow", "sort": "-name"}, ["Маяк", "Жук"]),
        ({"search": "арбат 10"}, ["Арбат"]),
        ({"search": "владивосток", "search_fields": "name"}, []),
        ({"slug": "nowhere"}, []),
        ({"created_at__lt": "2020-01-01T00:00:00.000000Z"}, []),
        ({"sort": "-created_at", "size": 2, "name__ne": "Жук"}, ["Маяк", "Ёлка"]),
    ],
)
async def test_filters_searches_and_sorts(
    client: httpx2.AsyncClient, parameters: dict[str, Any], expected: list[str]
) -> None:
    assert sorted(await names(client, **parameters)) == sorted(expected)
    if "sort" in parameters and not parameters["sort"].endswith("created_at"):
        assert await names(client, **parameters) == expected


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize(
    "parameters",
    [
        {"sort": "distance"},
        {"sort": "hours.weekday"},
        {"email": "a@example.com"},
        {"opening_intervals": "1"},
        {"near": "91,0"},
        {"near": "0,181"},
        {"near": "55.75"},
        {"near": "55.75,37.61,3"},
        {"near": "nan,nan"},
        {"near": "٥٥,٣٧"},
        {"near": ""},
        {"open_now": "perhaps"},
    ],
)
async def test_f1_refuses_what_the_public_can_t_ask(client: httpx2.AsyncClient, parameters: dict[str, Any]) -> None:
    assert (await client.get("/shops", params=parameters)).status_code == 422


@pytest.mark.usefixtures("chain")
async def test_f1_the_public_finds_no_hidden_shop(client: httpx2.AsyncClient) -> None:
    for asked in ({"is_active": "false"}, {"name": "Закрыто"}, {"search": "закрыто"}):
        assert await names(client, **asked) == []


@pytest.mark.usefixtures("chain")
async def test_is_open_is_a_filter_and_an_order_like_any_other(client: httpx2.AsyncClient, clock: Clock) -> None:
    clock.advance(hours=4)  # 23:00 in Vladivostok
    open_, closed = [await names(client, is_open=value) for value in ("true", "false")]

    assert open_ == await names(client, open_now="true")
    assert closed == await names(client, is_open__ne="true") == await names(client, open_now="false")
    assert await names(client, sort="is_open,name") == [*closed, *open_]
    assert open_
    assert closed


async def test_refuses_a_place_given_twice(client: httpx2.AsyncClient) -> None:
    assert (await client.get(f"/shops?near={KREMLIN}&near=1,1")).status_code == 422


@pytest.mark.usefixtures("chain")
async def test_who_edits_shops_lists_inactive_ones(manager: httpx2.AsyncClient) -> None:
    assert await names(manager, is_active="false") == ["Закрыто"]
    assert len(await names(manager)) == 5


@pytest.mark.usefixtures("chain")
async def test_the_nearest_comes_first_and_those_off_the_map_last(client: httpx2.AsyncClient) -> None:
    items = (await client.get("/shops", params={"near": KREMLIN})).json()["items"]

    assert [shop["name"] for shop in items] == ["Ёлка", "Арбат", "Маяк", "Жук"]
    assert items[0]["distance_m"] == pytest.approx(680, abs=10)
    assert items[1]["distance_m"] == pytest.approx(1647, abs=10)
    assert items[2]["distance_m"] == pytest.approx(6_416_000, rel=0.005)
    assert items[3]["distance_m"] is None


@pytest.mark.usefixtures("chain")
async def test_distance_is_an_order_like_others(client: httpx2.AsyncClient) -> None:
    assert await names(client, near=KREMLIN, sort="-distance") == ["Жук", "Маяк", "Арбат", "Ёлка"]
    assert await names(client, near=KREMLIN, sort="name") == ["Арбат", "Ёлка", "Жук", "Маяк"]


@pytest.mark.usefixtures("chain")
async def test_walks_by_distance_with_a_cursor(client: httpx2.AsyncClient) -> None:
    seen = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await client.get("/shops", params={"near": KREMLIN, "size": 1, "cursor": cursor})).json()
        seen += [shop["name"] for shop in page["items"]]
        cursor = page["next_cursor"]

    assert seen == ["Ёлка", "Арбат", "Маяк", "Жук"]


@pytest.mark.parametrize("place", ["0,0", "-0.0,180", "90,0", "-55.752,-142.3825"])
async def test_any_place_has_a_distance(client: httpx2.AsyncClient, session: AsyncSession, place: str) -> None:
    await add_shop(session, latitude="55.752", longitude="37.6175")

    (shop,) = (await client.get("/shops", params={"near": place})).json()["items"]

    assert 0 < shop["distance_m"] <= 20_015_115


@pytest.mark.usefixtures("chain")
async def test_tells_the_open_from_the_closed(client: httpx2.AsyncClient, clock: Clock) -> None:
    # 12:00 in Moscow, 19:00 in Vladivostok.
    assert await names(client, open_now="true") == ["Арбат", "Ёлка", "Жук", "Маяк"]

    clock.advance(hours=4)  # 23:00 in Vladivostok

    assert await names(client, open_now="true") == ["Арбат", "Ёлка", "Жук"]
    assert await names(client, open_now="false") == ["Маяк"]


@pytest.mark.usefixtures("chain")
async def test_pages_count_only_what_is_open(client: httpx2.AsyncClient, clock: Clock) -> None:
    clock.advance(hours=4)

    page = (await client.get("/shops", params={"open_now": "true", "size": 2, "page": 2})).json()

    assert ([shop["name"] for shop in page["items"]], page["total"], page["pages"]) == (["Жук"], 3, 2)


async def test_none_open_is_an_empty_list(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await add_shop(session, week=[])

    assert await names(client, open_now="true") == []


async def test_a_list_is_sent_once(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await add_shop(session)
    first = await client.get("/shops", params={"near": KREMLIN})

    second = await client.get("/shops", params={"near": KREMLIN}, headers={"If-None-Match": first.headers["etag"]})

    assert second.status_code == 304


@pytest.mark.parametrize(("parameters", "expected"), [({}, 1), ({"near": KREMLIN}, 1), ({"open_now": "true"}, 2)])
async def test_the_number_of_statements_does_not_grow(
    client: httpx2.AsyncClient, session: AsyncSession, engine: AsyncEngine, parameters: dict[str, str], expected: int
) -> None:
    for number in range(7):
        await add_shop(session, name=f"Shop {number}", week=EVERY_DAY)

    with recorded(engine) as statements:
        response = await client.get("/shops", params=parameters)

    assert response.json()["total"] == 7
    assert sum(each.startswith("SELECT") for each in statements) == expected, statements


@pytest.mark.parametrize("at", ["07:29", "07:30", "07:59", "23:30", "02:30", "00:31"])
async def test_hours_are_found_to_the_minute(client: httpx2.AsyncClient, session: AsyncSession, at: str) -> None:
    """Tried: 07:30 was found as 08:30."""
    await add_shop(session, name="Утро", week=[(0, at, "12:00")])
    await add_shop(session, name="Вечер", week=[(0, "12:00", at)])

    found = [await names(client, **{f"hours.{field}": at}) for field in ("opens_at", "closes_at")]

    assert found == [["Утро"], ["Вечер"]]
