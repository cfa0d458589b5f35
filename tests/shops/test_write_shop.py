"""Adding, replacing and changing shops, and who may."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.shops.models import Shop
from factories.shops import add_shop
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

ARBAT = {"name": "Арбат", "address": "Москва, Арбат, 10", "timezone": "Europe/Moscow"}
WRITABLE = ("slug", "name", "address", "timezone", "latitude", "longitude", "phone", "email", "is_active")


async def stored(session: AsyncSession, shop_id: UUID) -> tuple[Any, ...]:
    row = await session.execute(select(*(getattr(Shop, name) for name in WRITABLE)).where(Shop.id == shop_id))
    return tuple(row.one())


async def count(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Shop)) or 0


# POST


async def test_an_administrator_adds_a_shop(admin: httpx2.AsyncClient) -> None:
    written = ARBAT | {
        "slug": "old-arbat",
        "latitude": 55.7512444,
        "longitude": 37,
        "phone": "8 495 123-45-67",
        "email": "arbat@example.com",
        "is_active": False,
    }

    response = await admin.post("/shop", json=written)

    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == f"/shop/{made['id']}"
    assert response.headers["cache-control"] == "no-store"
    assert {name: made[name] for name in WRITABLE} == written | {
        "latitude": 55.751244,
        "longitude": 37.0,
        "phone": "+74951234567",
    }
    assert (made["hours"], made["is_open"], made["created_at"]) == ([], False, "2026-11-23T09:00:00.000000Z")
    assert (await admin.get(f"/shop/{made['id']}")).json() == made


@pytest.mark.parametrize(("name", "slug"), [("Чёрный кот №5", "chernyi-kot-no5"), ("Café Crème", "cafe-creme")])
async def test_the_slug_is_made_from_the_name(admin: httpx2.AsyncClient, name: str, slug: str) -> None:
    assert (await admin.post("/shop", json=ARBAT | {"name": name})).json()["slug"] == slug


async def test_a_name_of_signs_alone_gets_the_id_for_a_slug(admin: httpx2.AsyncClient) -> None:
    made = (await admin.post("/shop", json=ARBAT | {"name": "☕"})).json()

    assert made["slug"] == made["id"]


@pytest.mark.parametrize("fields", [{}, {"slug": "arbat", "name": "Другой"}])
async def test_refuses_a_slug_that_is_taken(
    admin: httpx2.AsyncClient, session: AsyncSession, fields: dict[str, str]
) -> None:
    await add_shop(session, slug="arbat")

    response = await admin.post("/shop", json=ARBAT | fields)

    assert (response.status_code, response.json()["code"]) == (409, "slug_taken")
    assert await count(session) == 1


BAD_FIELDS = [
    {"name": ""},
    {"name": " "},
    {"name": None},
    {"name": "x" * 121},
    {"name": "a\u0000b"},
    {"name": "a\nb"},
    {"address": "x" * 301},
    {"address": None},
    {"slug": "Арбат"},
    {"slug": "a--b"},
    {"slug": "x" * 81},
    {"timezone": "Moscow"},
    {"timezone": "europe/moscow"},
    {"timezone": "../etc/passwd"},
    {"timezone": "posix/Europe/Moscow"},
    {"timezone": ""},
    {"timezone": None},
    {"timezone": "+03:00"},
    {"latitude": 90.1, "longitude": 0},
    {"latitude": -90.0000001, "longitude": 0},
    {"latitude": 0, "longitude": 180.5},
    {"latitude": "55.7", "longitude": "37.6"},
    {"latitude": True, "longitude": 0},
    {"latitude": 1e308, "longitude": 0},
    {"phone": "12"},
    {"phone": ""},
    {"email": "nobody"},
    {"is_active": "true"},
    {"is_active": None},
    {"hours": []},
    {"id": "019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5"},
    {"created_at": "2026-11-23T09:00:00.000000Z"},
]


async def test_refuses_bad_fields(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)
    before = await stored(session, shop.id)

    answers = {
        str(fields): [
            (await admin.post("/shop", json=ARBAT | fields)).status_code,
            (await admin.put(f"/shop/{shop.id}", json=ARBAT | fields)).status_code,
            (await admin.patch(f"/shop/{shop.id}", json=fields)).status_code,
        ]
        for fields in BAD_FIELDS
    }

    assert {fields: statuses for fields, statuses in answers.items() if statuses != [422, 422, 422]} == {}
    assert await count(session) == 1
    assert await stored(session, shop.id) == before


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1" * 400])
async def test_refuses_degrees_that_are_no_numbers(admin: httpx2.AsyncClient, session: AsyncSession, text: str) -> None:
    body = f'{{"name": "A", "address": "B", "timezone": "UTC", "latitude": {text}, "longitude": 0}}'

    response = await admin.post("/shop", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 422
    assert await count(session) == 0


@pytest.mark.parametrize("half", ["latitude", "longitude"])
async def test_refuses_half_a_place(admin: httpx2.AsyncClient, session: AsyncSession, half: str) -> None:
    response = await admin.post("/shop", json=ARBAT | {half: 10})

    assert (response.status_code, response.json()["code"]) == (422, "incomplete_coordinates")
    assert await count(session) == 0


@pytest.mark.parametrize("missing", ["name", "address", "timezone"])
async def test_refuses_a_shop_that_lacks_something(
    admin: httpx2.AsyncClient, session: AsyncSession, missing: str
) -> None:
    shop = await add_shop(session)
    body = {name: value for name, value in ARBAT.items() if name != missing}

    answers = [await admin.post("/shop", json=body), await admin.put(f"/shop/{shop.id}", json=body)]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert await count(session) == 1


# PUT


async def test_put_replaces_everything_but_hours_and_slug(
    admin: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    shop = await add_shop(
        session, slug="kept", latitude="1", longitude="2", phone="+74951234567", email="a@example.com", is_active=False
    )
    before = (await admin.get(f"/shop/{shop.id}")).json()
    clock.advance(minutes=5)

    response = await admin.put(f"/shop/{shop.id}", json=ARBAT)

    assert response.status_code == 200
    assert response.json() == before | ARBAT | {
        "latitude": None,
        "longitude": None,
        "phone": None,
        "email": None,
        "is_active": True,
        "updated_at": "2026-11-23T09:05:00.000000Z",
    }
    assert (await admin.get(f"/shop/{shop.id}")).json() == response.json()


async def test_put_sets_a_slug_that_is_sent(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)

    assert (await admin.put(f"/shop/{shop.id}", json=ARBAT | {"slug": "new"})).json()["slug"] == "new"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_refuses_to_take_another_s_slug(admin: httpx2.AsyncClient, session: AsyncSession, method: str) -> None:
    await add_shop(session, slug="taken")
    shop = await add_shop(session, slug="mine", name="Моя")

    response = await admin.request(method, f"/shop/{shop.id}", json=ARBAT | {"slug": "taken"})

    assert (response.status_code, response.json()["code"]) == (409, "slug_taken")
    assert (await stored(session, shop.id))[:2] == ("mine", "Моя")


# PATCH


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "Новое"}, {"name": "Новое"}),
        ({"address": " Тверская, 1 "}, {"address": "Тверская, 1"}),
        ({"timezone": "Asia/Kathmandu"}, {"timezone": "Asia/Kathmandu"}),
        ({"slug": "new"}, {"slug": "new"}),
        ({"slug": None}, {}),
        ({"phone": None}, {"phone": None}),
        ({"email": "b@example.com"}, {"email": "b@example.com"}),
        ({"is_active": False}, {"is_active": False}),
        ({"latitude": 10.5}, {"latitude": 10.5}),
        ({"latitude": None, "longitude": None}, {"latitude": None, "longitude": None}),
        ({}, {}),
    ],
    ids=str,
)
async def test_patch_changes_only_what_is_sent(
    admin: httpx2.AsyncClient,
    session: AsyncSession,
    fields: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    shop = await add_shop(session, latitude="1", longitude="2", phone="+74951234567", email="a@example.com")
    before = (await admin.get(f"/shop/{shop.id}")).json()

    response = await admin.patch(f"/shop/{shop.id}", json=fields)

    assert response.status_code == 200
    changed = before | expected | {"updated_at": "2026-11-23T09:00:00.000000Z"}
    told = response.json()
    assert {name: told[name] for name in WRITABLE} == {name: changed[name] for name in WRITABLE}
    assert (told["hours"], told["updated_at"]) == (changed["hours"], changed["updated_at"])
    assert (await admin.get(f"/shop/{shop.id}")).json() == told


@pytest.mark.parametrize("place", [{}, {"latitude": "1", "longitude": "2"}])
async def test_patch_refuses_to_leave_half_a_place(
    admin: httpx2.AsyncClient, session: AsyncSession, place: dict[str, str]
) -> None:
    shop = await add_shop(session, **place)
    before = await stored(session, shop.id)

    response = await admin.patch(f"/shop/{shop.id}", json={"latitude": None if place else 5})

    assert (response.status_code, response.json()["code"]) == (422, "incomplete_coordinates")
    assert await stored(session, shop.id) == before


async def test_another_zone_moves_the_hours_along(client: httpx2.AsyncClient, admin: httpx2.AsyncClient) -> None:
    made = (await admin.post("/shop", json=ARBAT)).json()
    week = {"hours": [{"weekday": 0, "opens_at": "08:00", "closes_at": "22:00"}]}
    await admin.put(f"/shop/{made['id']}/hours", json=week)

    await admin.patch(f"/shop/{made['id']}", json={"timezone": "Asia/Kathmandu"})

    assert (await client.get(f"/shop/{made['id']}")).json()["closes_at"] == "2026-11-23T16:15:00.000000Z"


# Who may


async def test_a_manager_changes_the_shop_they_work_for(session: AsyncSession, log_in: LogIn) -> None:
    shop = await add_shop(session)
    manager = await log_in(role="manager", shop_ids=(shop.id,))

    answers = [
        await manager.put(f"/shop/{shop.id}", json=ARBAT),
        await manager.patch(f"/shop/{shop.id}", json={"name": "Новый Арбат"}),
        await manager.put(f"/shop/{shop.id}/hours", json={"hours": []}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("is_active", [True, False])
async def test_a_manager_changes_no_other_shop(
    session: AsyncSession, log_in: LogIn, *, is_tied: bool, is_active: bool
) -> None:
    mine = await add_shop(session)
    other = await add_shop(session, is_active=is_active)
    before = await stored(session, other.id)
    manager = await log_in(role="manager", shop_ids=(mine.id,) if is_tied else ())

    answers = [
        await manager.put(f"/shop/{other.id}", json=ARBAT),
        await manager.patch(f"/shop/{other.id}", json={"name": "Новый Арбат"}),
        await manager.put(f"/shop/{other.id}/hours", json={"hours": []}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert await stored(session, other.id) == before
    assert len((await manager.get(f"/shop/{other.id}")).json()["hours"]) == 7


async def test_a_manager_neither_adds_nor_deletes(session: AsyncSession, log_in: LogIn) -> None:
    shop = await add_shop(session)
    manager = await log_in(role="manager", shop_ids=(shop.id,))

    answers = [await manager.post("/shop", json=ARBAT), await manager.delete(f"/shop/{shop.id}")]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert await count(session) == 1


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("user", 403), ("barista", 403), ("support", 403)])
async def test_others_write_nothing(
    client: httpx2.AsyncClient, session: AsyncSession, log_in: LogIn, role: str | None, status: int
) -> None:
    shop = await add_shop(session)
    before = await stored(session, shop.id)
    asking = client if role is None else await log_in(role=role, shop_ids=(shop.id,))

    answers = [
        await asking.post("/shop", json=ARBAT),
        await asking.put(f"/shop/{shop.id}", json=ARBAT),
        await asking.patch(f"/shop/{shop.id}", json={"name": "Моё"}),
        await asking.delete(f"/shop/{shop.id}"),
        await asking.put(f"/shop/{shop.id}/hours", json={"hours": []}),
    ]

    assert [answer.status_code for answer in answers] == [status] * 5
    assert await count(session) == 1
    assert await stored(session, shop.id) == before


async def test_t13_an_unverified_manager_writes_nothing(session: AsyncSession, log_in: LogIn) -> None:
    shop = await add_shop(session)
    unverified = await log_in(role="manager", shop_ids=(shop.id,), is_verified=False)

    response = await unverified.patch(f"/shop/{shop.id}", json={"name": "Моё"})

    assert (response.status_code, response.json()["code"]) == (403, "email_not_verified")


@pytest.mark.parametrize("role", ["manager", "admin"])
async def test_what_is_not_there_is_not_found(log_in: LogIn, role: str) -> None:
    asking = await log_in(role=role)
    missing = uuid4()

    answers = [
        await asking.put(f"/shop/{missing}", json=ARBAT),
        await asking.patch(f"/shop/{missing}", json={"name": "Моё"}),
        await asking.put(f"/shop/{missing}/hours", json={"hours": []}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
