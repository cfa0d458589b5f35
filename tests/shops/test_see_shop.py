"""One shop as everybody sees it: how it stands at this moment, and who sees what is not active."""

from uuid import uuid4

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from factories.shops import ROUND_THE_CLOCK, add_shop
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


async def test_anyone_sees_a_shop_whole(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(
        session,
        slug="arbat",
        latitude="55.751244",
        longitude="37.598306",
        phone="+74951234567",
        email="arbat@crema.example.com",
        week=[(4, "20:00", "02:00"), (0, "08:00", "12:00"), (0, "13:00", "24:00")],
    )

    response = await client.get(f"/shop/{shop.id}")

    assert response.status_code == 200
    told = response.json()
    assert told.pop("created_at").endswith("Z")
    assert told.pop("updated_at").endswith("Z")
    assert told == {
        "id": str(shop.id),
        "slug": "arbat",
        "name": "Арбат",
        "address": "Арбат, 10",
        "latitude": 55.751244,
        "longitude": 37.598306,
        "phone": "+74951234567",
        "email": None,
        "timezone": "Europe/Moscow",
        "hours": [
            {"weekday": 0, "opens_at": "08:00", "closes_at": "12:00"},
            {"weekday": 0, "opens_at": "13:00", "closes_at": "24:00"},
            {"weekday": 4, "opens_at": "20:00", "closes_at": "02:00"},
        ],
        "special_days": [],
        "is_open": False,
        "opens_at": "2026-11-23T10:00:00.000000Z",
        "closes_at": None,
        "status": {"state": "open", "delay_minutes": None, "until": None},
        "is_active": True,
    }


async def test_the_till_s_mailbox_is_shown_to_those_who_edit_shops_alone(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, session: AsyncSession
) -> None:
    shop = await add_shop(session, email="arbat@crema.example.com")

    shown = [
        (
            (await someone.get(f"/shop/{shop.id}")).json()["email"],
            (await someone.get("/shops")).json()["items"][0]["email"],
            (await someone.get("/info")).json()["shops"][0]["email"],
        )
        for someone in (manager, client, customer, manager)
    ]

    assert shown[1:3] == [(None, None, None)] * 2
    assert shown[0] == shown[3] == ("arbat@crema.example.com", "arbat@crema.example.com", None)


async def test_an_open_shop_tells_when_it_closes(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)

    told = (await client.get(f"/shop/{shop.id}")).json()

    assert (told["is_open"], told["opens_at"], told["closes_at"]) == (True, None, "2026-11-23T19:00:00.000000Z")


async def test_a_shop_round_the_clock_tells_no_closing(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session, week=ROUND_THE_CLOCK)

    told = (await client.get(f"/shop/{shop.id}")).json()

    assert (told["is_open"], told["opens_at"], told["closes_at"]) == (True, None, None)


async def test_a_shop_without_hours_is_closed(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session, week=[])

    told = (await client.get(f"/shop/{shop.id}")).json()

    assert (told["is_open"], told["opens_at"], told["closes_at"], told["hours"]) == (False, None, None, [])


async def test_an_unchanged_answer_is_not_sent_twice(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)
    first = await client.get(f"/shop/{shop.id}")

    second = await client.get(f"/shop/{shop.id}", headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert (second.status_code, second.content) == (304, b"")


async def test_the_etag_changes_when_it_closes(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    shop = await add_shop(session)
    open_ = await client.get(f"/shop/{shop.id}")
    clock.advance(hours=10)

    closed = await client.get(f"/shop/{shop.id}", headers={"If-None-Match": open_.headers["etag"]})

    assert closed.status_code == 200
    assert closed.json()["is_open"] is False


@pytest.mark.parametrize("role", [None, "user", "barista", "support"])
async def test_an_inactive_shop_is_not_there(
    client: httpx2.AsyncClient, session: AsyncSession, log_in: LogIn, role: str | None
) -> None:
    shop = await add_shop(session, is_active=False)
    asking = client if role is None else await log_in(role=role)

    hidden = await asking.get(f"/shop/{shop.id}", headers={"X-Request-ID": "same"})
    missing = await asking.get(f"/shop/{uuid4()}", headers={"X-Request-ID": "same"})

    assert hidden.status_code == 404
    assert hidden.content == missing.content


@pytest.mark.parametrize("role", ["manager", "admin"])
async def test_who_edits_shops_sees_inactive_ones(session: AsyncSession, log_in: LogIn, role: str) -> None:
    shop = await add_shop(session, is_active=False)

    response = await (await log_in(role=role)).get(f"/shop/{shop.id}")

    assert response.json()["is_active"] is False
    assert response.headers["cache-control"].startswith("private")


async def test_the_unverified_are_the_public(session: AsyncSession, log_in: LogIn) -> None:
    shop = await add_shop(session, is_active=False)
    unverified = await log_in(role="manager", is_verified=False)

    assert (await unverified.get(f"/shop/{shop.id}")).status_code == 404


async def test_a_bad_token_is_refused(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    shop = await add_shop(session)

    response = await client.get(f"/shop/{shop.id}", headers={"Authorization": "Bearer nonsense"})

    assert response.status_code == 401


@pytest.mark.parametrize("path", ["/shop/42", "/shop/019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5?page=1"])
async def test_refuses_what_is_no_id_and_unknown_parameters(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 422
