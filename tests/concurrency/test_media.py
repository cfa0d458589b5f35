"""Uploads at once: what one person may send, counted by the database, and twins whose guard is off."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.models import Throttle
from crema.accounts.service import throttle
from crema.accounts.service.throttle import TooManyAttemptsError
from crema.media.domain import Quota
from crema.media.service.rendering import Renderer
from crema.support import deps, queries
from crema.support.models import Attachment
from crema.support.service.attachments import MAX_UNSENT
from crema.web.state import DatabaseState, state_of
from fixtures.app import connect
from fixtures.people import make_person

pytestmark = pytest.mark.anyio

IN_VAIN_SECONDS = 0.3
PDF = {"file": ("a.pdf", b"%PDF-1.7", "application/pdf")}


def meeting_a_rival(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Make a caller that has its answer wait until another has one too, or in vain where a guard keeps it out."""
    both = asyncio.Barrier(2)

    async def slow(*args: Any, **kwargs: Any) -> Any:
        answer = await function(*args, **kwargs)
        with suppress(TimeoutError):
            await asyncio.wait_for(both.wait(), IN_VAIN_SECONDS)
        return answer

    return slow


async def open_chat(client: httpx2.AsyncClient) -> str:
    chat_id: str = (await client.post("/chat")).json()["id"]
    return f"/chat/{chat_id}/attachments"


async def upload_two_with_a_quota_of_one(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(deps, "CHAT_QUOTA", Quota("chat", per_minute=1, bytes_per_day=10**9))
    person = await make_person(app, email="anna@example.com")
    async with connect(app, person.token) as client:
        path = await open_chat(client)
        answers = await asyncio.gather(*(client.post(path, files=PDF) for _ in range(2)))
    return sorted(answer.status_code for answer in answers)


async def test_u4_two_uploads_at_once_count_as_two(own_app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "count", meeting_a_rival(throttle.count))

    assert await upload_two_with_a_quota_of_one(own_app, monkeypatch) == [201, 429]


async def test_u4_read_first_and_written_then_two_uploads_count_as_one(
    own_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = meeting_a_rival(AsyncSession.scalar)

    async def unguarded(
        session: AsyncSession, *, key: str, limit: int, window: timedelta, now: datetime, cost: int = 1
    ) -> None:
        if (await hits(session, select(Throttle.hits).where(Throttle.key == key)) or 0) + cost > limit:
            raise TooManyAttemptsError(retry_after=1)
        await session.merge(Throttle(key=key, hits=cost, window_ends_at=now + window))
        with suppress(Exception):  # the second of two inserts
            await session.flush()
            return
        await session.rollback()

    monkeypatch.setattr(throttle, "count", unguarded)

    assert await upload_two_with_a_quota_of_one(own_app, monkeypatch) == [201, 201]


async def upload_two_for_one_place(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], int]:
    """Send the tenth and the eleventh unsent file at once to two conversations, as two server processes would."""

    staff = await make_person(app, email="support@example.com", role="support")
    customers = [await make_person(app, email=f"{name}@example.com") for name in ("anna", "boris")]
    paths = []
    for customer in customers:
        async with connect(app, customer.token) as client:
            paths.append(await open_chat(client))
    async with connect(app, staff.token) as client:
        for _ in range(MAX_UNSENT - 1):
            assert (await client.post(paths[0], files=PDF)).status_code == 201
        monkeypatch.setattr(Renderer, "slot", lambda *_: nullcontext())
        monkeypatch.setattr(queries, "count_unsent", meeting_a_rival(queries.count_unsent))
        answers = await asyncio.gather(*(client.post(path, files=PDF) for path in paths))
    async with state_of(app, DatabaseState).sessions() as session:
        kept = await session.scalar(select(func.count()).select_from(Attachment))
    return sorted(answer.status_code for answer in answers), kept


async def test_u4_two_files_never_exceed_what_may_wait(own_app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await upload_two_for_one_place(own_app, monkeypatch) == ([201, 409], MAX_UNSENT)


async def test_u4_without_the_person_s_lock_two_files_exceed_what_may_wait(
    own_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unlocked(_session: AsyncSession, _user_id: UUID) -> None:
        """Stand where the lock stood."""

    monkeypatch.setattr(accounts, "lock_user", unlocked)

    assert await upload_two_for_one_place(own_app, monkeypatch) == ([201, 201], MAX_UNSENT + 1)


async def test_u4_fifteen_pictures_at_once_leave_ten(own_app: FastAPI) -> None:
    person = await make_person(own_app, email="anna@example.com")
    async with connect(own_app, person.token) as client:
        path = await open_chat(client)

        async def upload() -> int:
            answer = await client.post(path, files=PDF)
            if answer.status_code != 503:
                return answer.status_code
            await asyncio.sleep(int(answer.headers["Retry-After"]))  # a loaded machine: the connections are all in use
            return await upload()

        statuses = await asyncio.gather(*(upload() for _ in range(15)))

    assert sorted(statuses) == [201] * MAX_UNSENT + [409] * 5
