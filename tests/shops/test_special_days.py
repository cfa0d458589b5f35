"""A shop's special days, replaced as a whole."""

from datetime import date
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.shops.models import SpecialDay, SpecialInterval
from factories.shops import add_shop
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

SHORTER = {"date": "2026-12-31", "hours": [{"opens_at": "10:00", "closes_at": "18:00"}], "note": "С наступающим!"}
CLOSED = {"date": "2027-01-01", "is_closed": True}


def days(*special_days: Any) -> dict[str, Any]:
    return {"special_days": list(special_days)}


def open_on(day: str, *hours: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    return {"date": day, "hours": [{"opens_at": o, "closes_at": c} for o, c in hours]} | more


async def stored(session: AsyncSession) -> tuple[Any, ...]:
    rows = select(SpecialDay.date, SpecialDay.takes_orders_ahead, SpecialDay.note).order_by(SpecialDay.date)
    return [*map(tuple, await session.execute(rows))], await session.scalar(
        select(func.count()).select_from(SpecialInterval)
    )


async def test_replaces_them_and_tells_them_in_order(
    client: httpx2.AsyncClient, admin: httpx2.AsyncClient, session: AsyncSession
) -> None:
    shop = await add_shop(session)
    night = open_on("2027-01-07", ("22:00", "02:00"), ("10:00", "14:00"), takes_orders_ahead=False)
    await admin.put(f"/shop/{shop.id}/special-days", json=days(open_on("2026-12-25", ("10:00", "18:00")), SHORTER))

    response = await admin.put(f"/shop/{shop.id}/special-days", json=days(night, CLOSED, SHORTER))

    assert response.status_code == 200
    told = response.json()["special_days"]
    assert told == [
        SHORTER | {"is_closed": False, "takes_orders_ahead": True},
        {"date": "2027-01-01", "is_closed": True, "hours": [], "takes_orders_ahead": True, "note": ""},
        {
            "date": "2027-01-07",
            "is_closed": False,
            "hours": [{"opens_at": "10:00", "closes_at": "14:00"}, {"opens_at": "22:00", "closes_at": "02:00"}],
            "takes_orders_ahead": False,
            "note": "",
        },
    ]
    assert response.json()["updated_at"] == "2026-11-23T09:00:00.000000Z"
    for path in (f"/shop/{shop.id}", "/info", "/shops"):
        answer = (await client.get(path)).json()
        (seen,) = answer.get("shops") or answer.get("items") or [answer]
        assert seen["special_days"] == told


async def test_what_it_tells_can_be_written_again(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)
    await admin.put(f"/shop/{shop.id}/special-days", json=days(CLOSED, SHORTER))
    before = (await admin.get(f"/shop/{shop.id}")).json()["special_days"]

    response = await admin.put(f"/shop/{shop.id}/special-days", json={"special_days": before})

    assert (response.status_code, response.json()["special_days"]) == (200, before)


async def test_an_empty_list_gives_the_week_back(
    admin: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    shop = await add_shop(session)
    today = {"date": "2026-11-23", "is_closed": True}
    closed = await admin.put(f"/shop/{shop.id}/special-days", json=days(today))

    opened = await admin.put(f"/shop/{shop.id}/special-days", json=days())

    assert [each.json()["is_open"] for each in (closed, opened)] == [False, True]
    assert await stored(session) == ([], 0)


async def test_they_are_the_shop_s_hours_everywhere(
    client: httpx2.AsyncClient, admin: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    """The week says 08:00 to 22:00, the special day 10:00 to 18:00, in Moscow."""
    shop = await add_shop(session)
    await admin.put(f"/shop/{shop.id}/special-days", json=days(SHORTER, CLOSED))
    expected = {
        "2026-12-31T06:59:59": (False, "2026-12-31T07:00:00.000000Z", None),
        "2026-12-31T07:00:00": (True, None, "2026-12-31T15:00:00.000000Z"),
        "2026-12-31T15:00:00": (False, "2027-01-02T05:00:00.000000Z", None),
        "2027-01-01T12:00:00": (False, "2027-01-02T05:00:00.000000Z", None),
    }

    for at, (is_open, opens_at, closes_at) in expected.items():
        clock.now = clock.now.fromisoformat(f"{at}+00:00")
        seen = (await client.get(f"/shop/{shop.id}")).json()
        told = (await client.get("/info")).json()["shops"][0]
        listed = (await client.get("/shops", params={"open_now": str(is_open).lower()})).json()["items"][0]
        assert [(each["is_open"], each["opens_at"], each["closes_at"]) for each in (seen, told, listed)] == [
            (is_open, opens_at, closes_at)
        ] * 3
        other = (await client.get("/shops", params={"is_open": str(not is_open).lower()})).json()
        assert other["total"] == 0


@pytest.mark.parametrize("path", ["/info", "/shops", "/shop/{id}"])
async def test_an_answer_that_was_kept_is_not_taken_for_today_s(
    client: httpx2.AsyncClient, admin: httpx2.AsyncClient, session: AsyncSession, clock: Clock, path: str
) -> None:
    shop = await add_shop(session)
    path = path.format(id=shop.id)
    await admin.put(f"/shop/{shop.id}/special-days", json=days(open_on("2026-11-23", ("11:00", "12:30"))))
    clock.now = clock.now.replace(minute=29, second=59)  # 12:29:59 in Moscow
    etag = (await client.get(path)).headers["etag"]
    clock.advance(seconds=0.5)
    same = await client.get(path, headers={"If-None-Match": etag})

    clock.advance(seconds=0.5)
    changed = await client.get(path, headers={"If-None-Match": etag})

    assert (same.status_code, changed.status_code) == (304, 200)
    assert '"is_open":false' in changed.text


NO_SPECIAL_DAYS = [
    days({"date": "2026-12-31"}),
    days({"date": "2026-12-31", "is_closed": False}),
    days({"date": "2026-12-31", "is_closed": False, "hours": []}),
    days(SHORTER | {"is_closed": True}),
    days(SHORTER, SHORTER),
    days(SHORTER, {"date": "2026-12-31", "is_closed": True}),
    days(CLOSED | {"date": "2026-02-29"}),
    days(CLOSED | {"date": "31.12.2026"}),
    days(CLOSED | {"date": "20261231"}),
    days(CLOSED | {"date": "2026-12-31T00:00:00Z"}),
    days(CLOSED | {"date": "2026-12-31T00:00:00"}),
    days(CLOSED | {"date": "٢٠٢٦-12-31"}),
    days(CLOSED | {"date": "2026-12-31\n"}),
    days(CLOSED | {"date": "0001-01-01"}),
    days(CLOSED | {"date": "9999-12-31"}),
    days(CLOSED | {"date": 1798675200}),
    days(CLOSED | {"date": None}),
    days({"is_closed": True}),
    days(CLOSED | {"is_closed": "yes"}),
    days(CLOSED | {"is_closed": None}),
    days(SHORTER | {"hours": None}),
    days(SHORTER | {"takes_orders_ahead": None}),
    days(SHORTER | {"takes_orders_ahead": "no"}),
    days(SHORTER | {"note": None}),
    days(SHORTER | {"note": "х" * 201}),
    days(SHORTER | {"note": "nul \x00"}),
    days(SHORTER | {"note": "two\nlines"}),
    days(SHORTER | {"weekday": 3}),
    days(open_on("2026-12-31", ("08:00", "08:00"))),
    days(open_on("2026-12-31", ("8:00", "22:00"))),
    days(open_on("2026-12-31", ("08:00", "24:01"))),
    days(open_on("2026-12-31", ("24:00", "12:00"))),
    days(open_on("2026-12-31", (None, "22:00"))),
    days(open_on("2026-12-31", *((f"{n:02}:00", f"{n:02}:30") for n in range(11)))),
    days(*({"date": f"2027-{n // 28 + 1:02}-{n % 28 + 1:02}", "is_closed": True} for n in range(101))),
    days(None),
    days([]),
    {},
    {"special_days": None},
    {"special_days": {}},
    {"special_days": [], "hours": []},
    [],
]


async def test_refuses_what_are_no_special_days(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)
    await admin.put(f"/shop/{shop.id}/special-days", json=days(SHORTER, CLOSED))
    before = await stored(session)

    answers = [(str(body), await admin.put(f"/shop/{shop.id}/special-days", json=body)) for body in NO_SPECIAL_DAYS]

    assert [(body, answer.status_code) for body, answer in answers if answer.status_code != 422] == []
    assert await stored(session) == before


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (
            days(open_on("2026-12-31", ("08:00", "12:00"), ("11:00", "14:00"))),
            ["2026-12-31 08:00-12:00", "2026-12-31 11:00-14:00"],
        ),
        (
            days(open_on("2027-01-01", ("01:00", "05:00")), open_on("2026-12-31", ("22:00", "02:00"))),
            ["2026-12-31 22:00-02:00", "2027-01-01 01:00-05:00"],
        ),
    ],
)
async def test_refuses_special_days_that_overlap_and_names_them(
    admin: httpx2.AsyncClient, session: AsyncSession, body: dict[str, Any], named: list[str]
) -> None:
    shop = await add_shop(session)

    response = await admin.put(f"/shop/{shop.id}/special-days", json=body)

    assert (response.status_code, response.json()["code"]) == (422, "overlapping_hours")
    assert [name in response.json()["detail"] for name in named] == [True, True]
    assert await stored(session) == ([], 0)


async def test_a_manager_of_another_shop_and_a_barista_are_refused(log_in: LogIn, session: AsyncSession) -> None:
    shop, other = await add_shop(session), await add_shop(session)
    manager = await log_in("manager@example.com", role="manager", shop_ids=(other.id,))
    barista = await log_in("barista@example.com", role="barista", shop_ids=(shop.id,))

    answers = [await each.put(f"/shop/{shop.id}/special-days", json=days(CLOSED)) for each in (manager, barista)]
    own = await manager.put(f"/shop/{other.id}/special-days", json=days(CLOSED))

    assert [each.status_code for each in (*answers, own)] == [403, 403, 200]
    assert (await stored(session))[0] == [(date(2027, 1, 1), True, "")]


async def test_special_days_go_with_their_shop(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)
    await admin.put(f"/shop/{shop.id}/special-days", json=days(SHORTER, CLOSED))

    assert (await admin.delete(f"/shop/{shop.id}")).status_code == 204
    assert await stored(session) == ([], 0)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"special_days.date": "2026-12-31"}, {"Арбат", "Бета"}),
        ({"special_days.date__gte": "2027-01-01"}, {"Арбат"}),
        ({"special_days.is_closed": "true"}, {"Арбат"}),
        ({"special_days.date": "2026-12-31", "special_days.is_closed": "true"}, set()),
        ({"special_days.hours.closes_at__lte": "18:00"}, {"Арбат"}),
        ({"special_days.takes_orders_ahead": "false"}, {"Бета"}),
        ({"special_days.note__icontains": "наступающим"}, {"Арбат"}),
        ({"special_days__isnull": "true"}, {"Гамма"}),
        ({"search": "наступающим"}, {"Арбат"}),
    ],
)
async def test_lists_are_filtered_by_special_days(
    admin: httpx2.AsyncClient, session: AsyncSession, asked: dict[str, str], expected: set[str]
) -> None:
    arbat, beta, _ = [await add_shop(session, name=name) for name in ("Арбат", "Бета", "Гамма")]
    await admin.put(f"/shop/{arbat.id}/special-days", json=days(SHORTER, CLOSED))
    long_day = open_on("2026-12-31", ("08:00", "22:00"), takes_orders_ahead=False)
    await admin.put(f"/shop/{beta.id}/special-days", json=days(long_day))

    answer = await admin.get("/shops", params=asked)

    assert answer.status_code == 200, answer.text
    assert {shop["name"] for shop in answer.json()["items"]} == expected


@pytest.mark.parametrize("text", ["2026-02-30", "31.12.2026", "2026-12-31T00:00:00Z", "", "today"])
async def test_a_filter_by_date_refuses_what_is_no_date(client: httpx2.AsyncClient, text: str) -> None:
    response = await client.get("/shops", params={"special_days.date": text})

    assert (response.status_code, response.json()["code"]) == (422, "invalid_filter")
