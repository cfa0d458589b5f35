"""Managers who write at the same moment."""

import asyncio
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crema.db.session import Sessions
from crema.shops import queries
from crema.shops.models import Shop, SpecialDay
from factories.shops import add_shop
from fixtures.app import clients
from fixtures.people import make_person

pytestmark = pytest.mark.anyio

WHOLE = [selectinload(Shop.opening_intervals), selectinload(Shop.special_days).selectinload(SpecialDay.hours)]
DAYS = [{"special_days": [{"date": f"2026-12-{n + 1:02}", "is_closed": True}]} for n in range(7)]
WEEKS = [{"hours": [{"weekday": n % 7, "opens_at": "08:00", "closes_at": "22:00"}]} for n in range(7)]


LISTS = pytest.mark.parametrize(
    ("path", "name", "bodies"), [("hours", "hours", WEEKS), ("special-days", "special_days", DAYS)]
)


async def write_at_once(
    app: FastAPI, sessions: Sessions, *, path: str, name: str, bodies: list[dict[str, Any]]
) -> tuple[list[httpx2.Response], list[Any]]:
    async with sessions() as session:
        shop = await add_shop(session, week=[])
    admin = await make_person(app, email="admin@example.com", role="admin")
    async with clients(app, *[admin.token] * len(bodies)) as admins:
        answers = await asyncio.gather(
            *(one.put(f"/shop/{shop.id}/{path}", json=body) for one, body in zip(admins, bodies, strict=True))
        )
        left = (await admins[0].get(f"/shop/{shop.id}")).json()[name]
    return answers, left


@LISTS
async def test_one_whole_list_stands(
    own_app: FastAPI, own_sessions: Sessions, path: str, name: str, bodies: list[dict[str, Any]]
) -> None:
    answers, left = await write_at_once(own_app, own_sessions, path=path, name=name, bodies=bodies)

    assert [answer.status_code for answer in answers] == [200] * len(bodies)
    (first,) = left
    assert [body for body in bodies if body[name][0].items() <= first.items()] != []


@LISTS
async def test_without_the_lock_lists_would_mix(
    own_app: FastAPI,
    own_sessions: Sessions,
    path: str,
    name: str,
    bodies: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The twin."""

    everyone_has_read = asyncio.Barrier(len(bodies))

    async def unlocked(session: AsyncSession, shop_id: UUID) -> Shop:
        shop = await session.get_one(Shop, shop_id, options=WHOLE)
        await everyone_has_read.wait()
        return shop

    monkeypatch.setattr(queries, "get_shop_for_update", unlocked)

    _, left = await write_at_once(own_app, own_sessions, path=path, name=name, bodies=bodies)

    assert len(left) == len(bodies)


async def test_one_of_many_gets_a_slug(own_app: FastAPI, own_sessions: Sessions) -> None:
    admin = await make_person(own_app, email="admin@example.com", role="admin")
    body = {"name": "Арбат", "address": "Арбат, 10", "timezone": "Europe/Moscow"}

    async with clients(own_app, *[admin.token] * 8) as admins:
        answers = await asyncio.gather(*(one.post("/shop", json=body) for one in admins))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
