"""POST /registration: anyone may claim an address; only its owner gets further."""

import re
import unicodedata
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import OneTimeCode, User
from crema.accounts.service import registration
from crema.notifications.models import Mail
from factories.people import PASSWORD, authenticate, last_code, mails_to, register, sign_up, verify
from fixtures.app import Clock

pytestmark = pytest.mark.anyio


async def count_users(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(User)) or 0


async def test_answers_with_the_unverified_person(client: httpx2.AsyncClient) -> None:
    answer = await register(client, name="Анна", phone="8 916 123-45-67")

    assert answer.status_code == 201
    user = answer.json()
    assert answer.headers["Location"] == f"/user/{user.pop('id')}"
    assert user == {
        "email": "anna@example.com",
        "name": "Анна",
        "phone": "+79161234567",
        "role": "user",
        "permissions": [],
        "shop_ids": [],
        "is_verified": False,
        "is_active": True,
        "created_at": "2026-11-23T09:00:00Z",
        "updated_at": "2026-11-23T09:00:00Z",
    }


async def test_mails_a_code_in_the_language_asked_for(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    client.headers["Accept-Language"] = "ru-RU, en;q=0.5"

    await register(client, name="Анна")

    [mail] = await mails_to(session)
    assert (mail.template, mail.language) == ("verification_code", "ru")
    assert mail.context | {"code": ""} == {"code": "", "minutes": 15, "name": "Анна"}
    assert re.fullmatch(r"\d{6}", mail.context["code"])


async def test_keeps_neither_the_code_nor_the_password(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    answer = await register(client)

    code = await last_code(session)
    columns = (OneTimeCode.code_hash, OneTimeCode.password_hash, User.password_hash)
    kept = (await session.execute(select(*columns).join(User, User.id == OneTimeCode.user_id))).one()
    assert code.encode() not in kept[0]
    assert PASSWORD not in kept[1] + kept[2]
    assert kept[1].startswith("$argon2id$")
    assert "hash" not in answer.text
    assert code not in answer.text


@pytest.mark.parametrize("email", ["anna@example.com", "Anna@Example.COM"])
async def test_t11_refuses_a_verified_address_in_any_case(
    client: httpx2.AsyncClient, session: AsyncSession, email: str
) -> None:
    await sign_up(client, session)

    answer = await register(client, email, password="another password")

    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    assert len(await mails_to(session)) == 1
    assert (await authenticate(client)).status_code == 200


async def test_an_unverified_address_registers_again_without_a_second_row(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    first = await register(client, name="Анна")

    second = await register(client, "ANNA@example.com", password="flat white please", name="Аня")

    assert second.status_code == 201
    assert second.json()["id"] == first.json()["id"]
    assert second.json()["name"] == "Аня"
    assert await count_users(session) == 1
    assert len(await mails_to(session)) == 2


@pytest.mark.parametrize("entered", [0, 1])
async def test_each_code_confirms_the_attempt_it_was_sent_for(
    client: httpx2.AsyncClient, session: AsyncSession, entered: int
) -> None:
    """Nobody plants a password on someone else's address, neither earlier nor later."""
    attempts = [("Анна", "anna's own password"), ("Мэллори", "mallory's password")]
    for name, password in attempts:
        await register(client, name=name, password=password)
    codes = [mail.context["code"] for mail in await mails_to(session)]

    answer = await verify(client, codes[entered])

    assert answer.json()["name"] == attempts[entered][0]
    assert (await authenticate(client, password=attempts[entered][1])).status_code == 200
    assert (await authenticate(client, password=attempts[1 - entered][1])).status_code == 401


@pytest.mark.parametrize(
    "extra",
    [
        {"role": "admin"},
        {"Role": "admin"},
        {"roles": ["admin"]},
        {"role_id": str(UUID(int=1))},
        {"permissions": ["users:write"]},
        {"shop_ids": []},
        {"serves_all_shops": True},
        {"is_verified": True},
        {"is_active": True},
        {"verified_at": "2026-11-23T09:00:00Z"},
        {"user": {"role": "admin"}},
    ],
    ids=lambda extra: next(iter(extra)),
)
async def test_a6_refuses_what_is_given_and_not_taken(
    client: httpx2.AsyncClient, session: AsyncSession, extra: dict[str, Any]
) -> None:
    answer = await register(client, **extra)

    assert answer.status_code == 422
    assert await count_users(session) == 0


@pytest.mark.parametrize(
    "content",
    [
        b'{"email": "anna@example.com", "password": "oat milk please", "role": "user", "role": "admin"}',
        b"email=anna@example.com&password=oat+milk+please&role=admin",
        b"[]",
        b'{"email": "anna@example.com", "password": "oat milk please\\ud800"}',
        b'{"email": "anna@example.com", "password": "oat milk \\u0000please"}',
        b'{"email": "anna@example.com", "password": "oat milk please", "name": "\\u0000"}',
        b'{"email": "anna@example.com", "password": NaN}',
    ],
)
async def test_refuses_odd_bodies(client: httpx2.AsyncClient, session: AsyncSession, content: bytes) -> None:
    answer = await client.post("/registration", content=content, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert await count_users(session) == 0


@pytest.mark.parametrize(
    "email", ["anna", "a@x.org\n", "a@x.org\r\nBcc: b@x.org", "a\x00@x.org", "a@x", f"{'a' * 250}@x.org", "a@b@x.org"]
)
async def test_t11_refuses_what_is_no_address(client: httpx2.AsyncClient, session: AsyncSession, email: str) -> None:
    answer = await register(client, email)

    assert answer.status_code == 422
    assert await session.scalar(select(func.count()).select_from(Mail)) == 0


@pytest.mark.parametrize("password", ["seven77", "x" * 129, "password1", "QwertyUIOP"])
async def test_t10_refuses_short_long_and_common_passwords(
    client: httpx2.AsyncClient, session: AsyncSession, password: str
) -> None:
    answer = await register(client, password=password)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "password"]
    assert password not in answer.text
    assert await count_users(session) == 0


async def test_a_long_password_counts_to_its_last_letter(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    password = "кофе" * 31 + "айва"
    await sign_up(client, session, password=password)

    assert (await authenticate(client, password=password[:-1] + "у")).status_code == 401
    assert (await authenticate(client, password=password)).status_code == 200


async def test_a_password_is_the_same_from_every_keyboard(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    composed = unicodedata.normalize("NFC", "чёрный кофе й")
    await sign_up(client, session, password=composed)

    answer = await authenticate(client, password=unicodedata.normalize("NFD", composed))

    assert answer.status_code == 200


async def test_m2_sends_three_codes_an_hour_to_an_address_and_then_says_so(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    for name in "абв":
        assert (await register(client, name=name)).status_code == 201

    refused = await register(client, "Anna@example.com", name="г")

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
    assert refused.headers["Retry-After"] == "3600"
    assert await session.scalar(select(User.name)) == "в"
    assert len(await mails_to(session)) == 3
    clock.advance(hours=1)
    assert (await register(client)).status_code == 201


async def test_m2_sends_five_codes_a_day_to_an_address(client: httpx2.AsyncClient, clock: Clock) -> None:
    statuses = []
    for _ in range(6):
        clock.advance(hours=1, minutes=1)
        statuses.append((await register(client)).status_code)

    assert statuses == [201] * 5 + [429]


async def test_m2_one_network_registers_only_so_many(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "REGISTRATIONS_AN_HOUR", 2)

    statuses = [(await register(client, f"{name}@example.com")).status_code for name in "abc"]

    assert statuses == [201, 201, 429]
