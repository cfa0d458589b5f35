"""A shop's week, replaced whole."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.shops.models import OpeningInterval
from factories.shops import add_shop

pytestmark = pytest.mark.anyio


def week(*intervals: tuple[Any, Any, Any]) -> dict[str, Any]:
    return {"hours": [{"weekday": w, "opens_at": o, "closes_at": c} for w, o, c in intervals]}


async def minutes(session: AsyncSession) -> list[tuple[int, int, int]]:
    columns = (OpeningInterval.weekday, OpeningInterval.opens_minute, OpeningInterval.closes_minute)
    return [tuple(row) for row in await session.execute(select(*columns).order_by(*columns))]


async def test_replaces_the_week_and_tells_it_in_order(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)
    written = week((6, "22:00", "02:00"), (0, "13:00", "24:00"), (0, "08:00", "12:00"), (1, "08:00", "00:00"))

    response = await admin.put(f"/shop/{shop.id}/hours", json=written)

    assert response.status_code == 200
    told = response.json()
    assert (
        told["hours"]
        == week((0, "08:00", "12:00"), (0, "13:00", "24:00"), (1, "08:00", "24:00"), (6, "22:00", "02:00"))["hours"]
    )
    assert (told["is_open"], told["opens_at"]) == (False, "2026-11-23T10:00:00.000000Z")
    assert told["updated_at"] == "2026-11-23T09:00:00.000000Z"
    assert (await admin.get(f"/shop/{shop.id}")).json() == told
    assert await minutes(session) == [(0, 480, 720), (0, 780, 1440), (1, 480, 1440), (6, 1320, 1560)]


async def test_what_it_tells_can_be_written_again(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session, week=[(0, "00:00", "24:00"), (2, "23:00", "22:59"), (4, "08:00", "00:00")])
    before = (await admin.get(f"/shop/{shop.id}")).json()["hours"]

    response = await admin.put(f"/shop/{shop.id}/hours", json={"hours": before})

    assert response.json()["hours"] == before


async def test_no_hours_close_the_shop(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)

    response = await admin.put(f"/shop/{shop.id}/hours", json={"hours": []})

    assert (response.json()["hours"], response.json()["is_open"]) == ([], False)


NO_WEEKS = [
    week((0, "08:00", "08:00")),
    week((0, "8:00", "22:00")),
    week((0, "08:00", "25:00")),
    week((0, "08:00", "24:01")),
    week((0, "24:00", "24:00")),
    week((0, "08:60", "22:00")),
    week((0, "08:00:00", "22:00")),
    week((0, "08:00\n", "22:00")),
    week((0, "0٨:0٠", "22:00")),
    week((0, "", "22:00")),
    week((0, None, "22:00")),
    week((0, 480, 1320)),
    week((7, "08:00", "22:00")),
    week((-1, "08:00", "22:00")),
    week(("0", "08:00", "22:00")),
    week((True, "08:00", "22:00")),
    week((0.0, "08:00", "22:00")),
    week((2**31, "08:00", "22:00")),
    week(*((0, f"{n // 60:02}:{n % 60:02}", f"{n // 60:02}:{n % 60 + 1:02}") for n in range(11))),
    week(*((n % 7, "08:00", "22:00") for n in range(71))),
    {},
    {"hours": None},
    {"hours": {}},
    {"hours": [], "special_days": []},
    {"hours": [{"weekday": 0, "opens_at": "08:00", "closes_at": "22:00", "note": ""}]},
    [],
]


async def test_refuses_what_is_no_week(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)
    before = await minutes(session)

    answers = {str(body): (await admin.put(f"/shop/{shop.id}/hours", json=body)).status_code for body in NO_WEEKS}

    assert {body: status for body, status in answers.items() if status != 422} == {}
    assert await minutes(session) == before


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (week((0, "08:00", "12:00"), (0, "11:00", "14:00")), ["Monday 08:00-12:00", "Monday 11:00-14:00"]),
        (week((0, "01:00", "05:00"), (6, "22:00", "02:00")), ["Sunday 22:00-02:00", "Monday 01:00-05:00"]),
    ],
)
async def test_refuses_hours_that_overlap_and_names_them(
    admin: httpx2.AsyncClient, session: AsyncSession, body: dict[str, Any], named: list[str]
) -> None:
    shop = await add_shop(session)
    before = await minutes(session)

    response = await admin.put(f"/shop/{shop.id}/hours", json=body)

    assert (response.status_code, response.json()["code"]) == (422, "overlapping_hours")
    assert [name in response.json()["detail"] for name in named] == [True, True]
    assert await minutes(session) == before
