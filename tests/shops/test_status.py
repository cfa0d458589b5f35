"""Staff say that their shop is busy or paused."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.shops.models import Shop
from factories.shops import add_shop
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

AT_TEN = "2026-11-23T10:00:00.000000Z"
OPEN = {"state": "open", "delay_minutes": None, "until": None}
BUSY = {"state": "busy", "delay_minutes": 10, "until": AT_TEN}
PAUSED = {"state": "paused", "delay_minutes": None, "until": AT_TEN}


async def say(client: httpx2.AsyncClient, shop: Shop, **body: Any) -> httpx2.Response:
    return await client.patch(f"/shop/{shop.id}/status", json=body)


async def stored(session: AsyncSession) -> tuple[Any, ...]:
    columns = select(Shop.state, Shop.delay_minutes, Shop.state_until, Shop.updated_at)
    return tuple((await session.execute(columns)).one())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (BUSY, BUSY),
        ({"state": "busy", "delay_minutes": 240}, BUSY | {"delay_minutes": 240, "until": None}),
        (PAUSED, PAUSED),
        ({"state": "paused"}, PAUSED | {"until": None}),
        ({"state": "open"}, OPEN),
        (OPEN, OPEN),
    ],
)
async def test_everyone_sees_what_staff_say(
    client: httpx2.AsyncClient, log_in: LogIn, session: AsyncSession, body: dict[str, Any], status: dict[str, Any]
) -> None:
    shop = await add_shop(session)
    barista = await log_in("barista@example.com", role="barista", shop_ids=(shop.id,))

    response = await say(barista, shop, **body)

    assert (response.status_code, response.json()["status"]) == (200, status)
    assert response.json()["is_open"], "its hours go on"
    for path in (f"/shop/{shop.id}", "/info", "/shops"):
        answer = (await client.get(path)).json()
        (seen,) = answer.get("shops") or answer.get("items") or [answer]
        assert (seen["status"], seen["is_open"]) == (status, True)


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        (BUSY, {"until": "2026-11-23T11:00:00.000000Z"}, BUSY | {"until": "2026-11-23T11:00:00.000000Z"}),
        (BUSY, {"delay_minutes": 20}, BUSY | {"delay_minutes": 20}),
        (BUSY, {"until": None}, BUSY | {"until": None}),
        (BUSY, {"state": "paused"}, PAUSED | {"until": None}),
        (BUSY, {"state": "open"}, OPEN),
        (PAUSED, {}, PAUSED),
        (PAUSED, {"delay_minutes": None}, PAUSED),
    ],
)
async def test_a_new_state_begins_anew_and_without_one_the_rest_changes(
    admin: httpx2.AsyncClient,
    session: AsyncSession,
    first: dict[str, Any],
    then: dict[str, Any],
    status: dict[str, Any],
) -> None:
    shop = await add_shop(session)
    await say(admin, shop, **first)

    response = await say(admin, shop, **then)

    assert (response.status_code, response.json()["status"]) == (200, status)


@pytest.mark.parametrize("path", ["/info", "/shops", "/shop/{id}"])
@pytest.mark.parametrize("second", [0, 30])
async def test_it_ends_by_itself_at_that_very_second(
    client: httpx2.AsyncClient,
    admin: httpx2.AsyncClient,
    session: AsyncSession,
    clock: Clock,
    path: str,
    second: int,
) -> None:
    shop = await add_shop(session)
    path = path.format(id=shop.id)
    until = clock.now.replace(hour=10, second=second)
    await say(admin, shop, state="paused", until=until.isoformat())
    clock.now = until.replace(hour=9, minute=59, second=59) if second == 0 else until.replace(second=29)
    paused = await client.get(path)
    clock.advance(seconds=0.9)
    same = await client.get(path, headers={"If-None-Match": paused.headers["etag"]})

    clock.advance(seconds=0.1)
    over = await client.get(path, headers={"If-None-Match": paused.headers["etag"]})

    assert ['"state":"paused"' in paused.text, same.status_code, over.status_code] == [True, 304, 200]
    assert '"status":{"state":"open","delay_minutes":null,"until":null}' in over.text


async def test_what_is_over_is_the_state_no_more_for_a_change_either(
    admin: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    shop = await add_shop(session)
    await say(admin, shop, **BUSY)
    clock.now = clock.now.replace(hour=11)

    longer = await say(admin, shop, until="2026-11-23T12:00:00Z")
    nothing = await say(admin, shop)

    assert (longer.status_code, longer.json()["code"]) == (422, "invalid_status")
    assert nothing.json()["status"] == OPEN


NO_STATUS = [
    {"state": "busy"},
    {"state": "busy", "delay_minutes": None},
    {"state": "busy", "delay_minutes": 0},
    {"state": "busy", "delay_minutes": 241},
    {"state": "busy", "delay_minutes": -5},
    {"state": "busy", "delay_minutes": 2**31},
    {"state": "busy", "delay_minutes": 10.5},
    {"state": "busy", "delay_minutes": "10"},
    {"state": "busy", "delay_minutes": True},
    {"state": "busy", "delay_minutes": 10, "until": "2026-11-23T09:00:00Z"},
    {"state": "paused", "delay_minutes": 10},
    {"state": "paused", "until": "2026-11-23T08:59:59Z"},
    {"state": "paused", "until": "2026-11-24T10:00:00"},
    {"state": "paused", "until": "tomorrow"},
    {"state": "paused", "until": 1798675200},
    {"state": "open", "delay_minutes": 10},
    {"state": "open", "until": "2026-11-24T10:00:00Z"},
    {"state": "closed"},
    {"state": "PAUSED"},
    {"state": None},
    {"delay_minutes": 10},
    {"until": "2026-11-24T10:00:00Z"},
    {"state": "open", "is_open": True},
    [],
]


async def test_refuses_what_is_no_status_and_changes_nothing(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)
    before = await stored(session)

    answers = [(str(body), await admin.patch(f"/shop/{shop.id}/status", json=body)) for body in NO_STATUS]

    assert [(body, answer.status_code) for body, answer in answers if answer.status_code != 422] == []
    assert await stored(session) == before


async def test_who_may_say_it(log_in: LogIn, session: AsyncSession) -> None:
    """Baristas and managers of the shop; nobody else's, no customer, nor who answers the chat of the whole chain."""
    shop, other = await add_shop(session), await add_shop(session)
    here = {"shop_ids": (shop.id,)}
    people = {
        "barista": (await log_in("barista@example.com", role="barista", **here), 200),
        "manager": (await log_in("manager@example.com", role="manager", **here), 200),
        "admin": (await log_in("boss@example.com", role="admin"), 200),
        "barista elsewhere": (await log_in("far@example.com", role="barista", shop_ids=(other.id,)), 403),
        "manager elsewhere": (await log_in("away@example.com", role="manager", shop_ids=(other.id,)), 403),
        "support": (await log_in("support@example.com", role="support"), 403),
        "customer": (await log_in("anna@example.com"), 403),
    }

    for name, (person, status) in people.items():
        assert (await say(person, shop, state="busy", delay_minutes=5)).status_code == status, name


async def test_a_barista_is_not_shown_the_mailbox(log_in: LogIn, session: AsyncSession) -> None:
    shop = await add_shop(session, email="till@example.com")
    barista = await log_in("barista@example.com", role="barista", shop_ids=(shop.id,))
    manager = await log_in("manager@example.com", role="manager", shop_ids=(shop.id,))

    told = [(await say(each, shop, state="open")).json()["email"] for each in (barista, manager)]

    assert told == [None, "till@example.com"]


async def test_an_inactive_shop_takes_a_status_and_an_unknown_one_is_not_found(
    admin: httpx2.AsyncClient, session: AsyncSession
) -> None:
    shop = await add_shop(session, is_active=False)
    unknown = "00000000-0000-7000-8000-000000000000"

    answers = [await admin.patch(f"/shop/{each}/status", json={"state": "paused"}) for each in (shop.id, unknown)]

    assert [each.status_code for each in answers] == [200, 404]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"status.state": "open"}, ["Гамма", "Дельта"]),
        ({"status.state__ne": "open"}, ["Арбат", "Бета"]),
        ({"status.state__in": "busy,paused"}, ["Арбат", "Бета"]),
        ({"status.delay_minutes__gte": "10"}, ["Арбат"]),
        ({"status.delay_minutes__isnull": "false"}, ["Арбат"]),
        ({"status.until__lte": "2026-11-23T10:00:00Z"}, ["Арбат"]),
        ({"status.until__isnull": "true"}, ["Бета", "Гамма", "Дельта"]),
        ({"sort": "-status.until,name"}, ["Арбат", "Бета", "Гамма", "Дельта"]),
        ({"sort": "status.state,name"}, ["Арбат", "Гамма", "Дельта", "Бета"]),
    ],
)
async def test_lists_are_filtered_and_sorted_by_what_the_status_is_now(
    client: httpx2.AsyncClient,
    admin: httpx2.AsyncClient,
    session: AsyncSession,
    clock: Clock,
    asked: dict[str, str],
    expected: list[str],
) -> None:
    """The pause of Дельта is over."""
    busy, paused, _, over = [await add_shop(session, name=each) for each in ("Арбат", "Бета", "Гамма", "Дельта")]
    await say(admin, busy, **BUSY)
    await say(admin, paused, state="paused")
    await say(admin, over, state="paused", until="2026-11-23T09:01:00Z")
    clock.advance(seconds=60)

    answer = await client.get("/shops", params=asked)

    assert answer.status_code == 200, answer.text
    assert [shop["name"] for shop in answer.json()["items"]] == expected
