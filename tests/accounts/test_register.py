"""POST /registration: anyone may claim an address; only its owner gets further."""

import re
import unicodedata
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.deps import AccountsState
from crema.accounts.models import OneTimeCode, User
from crema.notifications.deps import MailState
from crema.notifications.models import Mail
from crema.settings import Settings
from crema.web.state import state_of
from factories.people import PASSWORD, authenticate, last_code, mails_to, register, sign_up, verify
from fixtures.app import CHEAP, Clock, change_state, connect
from fixtures.people import make_person

pytestmark = pytest.mark.anyio
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"


async def count_users(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(User)) or 0


async def test_answers_with_the_unverified_person(client: httpx2.AsyncClient) -> None:
    answer = await register(client, name="Анна", phone="8 916 123-45-67")

    assert answer.status_code == 201
    user = answer.json()
    assert answer.headers["Location"] == f"/user/{user.pop('id')}"
    assert len(user.pop("registration_id")) == 43
    assert user == {
        "email": "anna@example.com",
        "name": "Анна",
        "phone": "+79161234567",
        "role": "user",
        "permissions": [],
        "shop_ids": [],
        "is_verified": False,
        "is_active": True,
        "pending_email": None,
        "created_at": "2026-11-23T09:00:00.000000Z",
        "updated_at": "2026-11-23T09:00:00.000000Z",
    }


async def test_mails_a_code_in_the_language_asked_for(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    client.headers |= {"Accept-Language": "ru-RU, en;q=0.5", "User-Agent": FIREFOX}

    await register(client)

    [mail] = await mails_to(session)
    assert (mail.template, mail.language) == ("verification_code", "ru")
    told = {"asked_at": "2026-11-23T09:00:00+00:00", "network": "127.0.0.0/24", "device": "Firefox, Windows"}
    assert mail.context | {"code": "", "long_code": ""} == {"code": "", "long_code": "", "minutes": 15} | told
    assert re.fullmatch(r"\d{6}", mail.context["code"])


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("ru", "23 ноября в 09:00 UTC из сети 127.0.0.0/24 (Firefox, Windows)"),
        ("en", "23 November at 09:00 UTC, from the network 127.0.0.0/24 (Firefox, Windows)"),
    ],
)
async def test_a_mail_says_when_and_from_where_its_code_was_asked_for(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession, language: str, told: str
) -> None:
    client.headers |= {"Accept-Language": language, "User-Agent": FIREFOX}

    await register(client)

    [mail] = await mails_to(session)
    rendered = state_of(app, MailState).mail_renderer.render(
        template=mail.template, language=mail.language, context=mail.context
    )
    assert told in rendered.text


async def test_m2_nothing_of_what_a_stranger_writes_is_mailed(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    """Neither a name that is an advertisement, nor a device that is one."""
    client.headers["User-Agent"] = "Cheap loans at spam.example Firefox/9"

    await register(client, "stranger@example.com", name="Cheap loans at spam.example")

    [mail] = await mails_to(session, "stranger@example.com")
    rendered = state_of(app, MailState).mail_renderer.render(
        template=mail.template, language=mail.language, context=mail.context
    )
    assert "Firefox" in rendered.text
    assert "spam" not in str(mail.context) + rendered.subject + rendered.text + rendered.html


async def test_keeps_neither_the_code_nor_the_password(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    answer = await register(client)

    code = await last_code(session)
    kept = (await session.execute(select(OneTimeCode.__table__))).one()
    assert code not in " ".join(map(str, kept))
    assert PASSWORD not in " ".join(map(str, kept))
    assert kept.password_hash.startswith("$argon2id$")
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
    assert second.json()["registration_id"] != first.json()["registration_id"]
    assert await count_users(session) == 1
    assert len(await mails_to(session)) == 2


async def test_the_same_password_again_is_the_same_attempt(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    first = await register(client, name="Анна")

    second = await register(client, name="Аня")

    assert second.json()["registration_id"] == first.json()["registration_id"]
    assert (await verify(client, await last_code(session))).json()["name"] == "Аня"


async def test_who_registers_an_address_again_changes_nothing_of_it(
    client: httpx2.AsyncClient, admin: httpx2.AsyncClient, session: AsyncSession
) -> None:
    user_id = (await register(client, name="Анна", phone="+79161234567")).json()["id"]
    before = (await admin.get(f"/user/{user_id}")).json()

    await register(client, password="a stranger's password", name="Cheap loans")

    assert (await admin.get(f"/user/{user_id}")).json() == before
    assert await session.scalar(select(User.password_hash).where(User.id == UUID(user_id))) is None


@pytest.mark.parametrize("entered", [0, 1])
@pytest.mark.parametrize("proof", ["registration_id", "password"])
async def test_each_code_confirms_the_attempt_it_was_sent_for(
    client: httpx2.AsyncClient, session: AsyncSession, entered: int, proof: str
) -> None:
    """Nobody plants a password on someone else's address, neither earlier nor later."""
    attempts = [("Анна", "anna's own password"), ("Мэллори", "mallory's password")]
    made = [(await register(client, name=name, password=password)).json() for name, password in attempts]
    proofs = [{proof: attempts[n][1] if proof == "password" else made[n][proof]} for n in (0, 1)]
    codes = [mail.context["code"] for mail in await mails_to(session)]

    assert (await verify(client, codes[entered], **proofs[1 - entered])).json()["code"] == "invalid_code"
    answer = await verify(client, codes[entered], **proofs[entered])

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
        {"verified_at": "2026-11-23T09:00:00.000000Z"},
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


@pytest.mark.parametrize("password", ["seven77", "x" * 129, "password1", "QwertyUIOP", "e\u0301" * 4, "ﷺ" * 8])
async def test_t10_refuses_short_long_and_common_passwords(
    client: httpx2.AsyncClient, session: AsyncSession, password: str
) -> None:
    answer = await register(client, password=password)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "password"]
    assert password not in answer.text
    assert await count_users(session) == 0


@pytest.mark.parametrize(
    "password",
    [
        *("anna.petrova@example.com", "ANNA.Petrova@example.com", "anna.petrova", "Anna.Petrova", " anna.petrova "),
        *("Анна Петрова", "анна петрова", " " * 8, "aaaaaaaa", "aAaAaAaA", "\u200b" * 8),
    ],
)
async def test_t10_refuses_passwords_that_are_known_to_everybody(
    client: httpx2.AsyncClient, session: AsyncSession, password: str
) -> None:
    answer = await register(client, "anna.petrova@example.com", password=password, name="Анна Петрова")

    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    assert answer.json()["errors"][0]["loc"] == ["body", "password"]
    assert await count_users(session) == 0


async def test_a_tag_is_no_secret(client: httpx2.AsyncClient) -> None:
    assert (await register(client, "annapetrova+crema@example.com", password="annapetrova")).status_code == 422


async def test_a_password_is_the_same_in_any_width(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session, password="ｏａｔ ｍｉｌｋ １")

    assert (await authenticate(client, password="oat milk 1")).status_code == 200


async def test_a_long_password_may_come_in_pieces(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session, password="ёжий" * 32)

    answer = await authenticate(client, password=unicodedata.normalize("NFD", "ёжий" * 32))

    assert answer.status_code == 200


async def test_a_password_hashed_before_it_was_normalized_still_fits(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    old = "½ oat milk ﬁne"
    person = await make_person(app, email="anna@example.com", password_hash=CHEAP.hash(old))

    answers = [await authenticate(client, password=password) for password in (old, old, "1⁄2 oat milk fine")]

    assert [answer.status_code for answer in answers] == [200, 200, 401]
    assert answers[0].json()["user"]["id"] == str(person.id)


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
    assert len(await mails_to(session)) == 3
    clock.advance(hours=1)
    assert (await register(client)).status_code == 201


async def test_m2_sends_five_codes_a_day_to_an_address(client: httpx2.AsyncClient, clock: Clock) -> None:
    statuses = []
    for _ in range(6):
        clock.advance(hours=1, minutes=1)
        statuses.append((await register(client)).status_code)

    assert statuses == [201] * 5 + [429]


async def test_m2_a_stranger_uses_up_their_own_share_only(app: FastAPI, session: AsyncSession) -> None:
    async with connect(app, address="203.0.113.7") as stranger, connect(app, address="198.51.100.9") as owner:
        statuses = [(await register(stranger, password=f"a stranger's {n}")).status_code for n in range(4)]

        made = await register(owner)
        answer = await verify(owner, await last_code(session), registration_id=made.json()["registration_id"])

    assert statuses == [201] * 3 + [429]
    assert (made.status_code, answer.status_code) == (201, 200)


async def test_m2_many_networks_together_send_five_mails_in_a_code_s_life(app: FastAPI, session: AsyncSession) -> None:
    statuses = []
    for number in range(8):
        async with connect(app, address=f"203.0.{number}.7") as client:
            statuses.append((await register(client, password=f"of network {number}")).status_code)

    assert statuses == [201] * 5 + [429] * 3
    assert len(await mails_to(session)) == 5


async def test_m2_tags_are_one_mailbox(client: httpx2.AsyncClient) -> None:
    addresses = ["anna@example.com", "anna+1@example.com", "Anna+2@example.com", "anna+3@example.com"]

    assert [(await register(client, email)).status_code for email in addresses] == [201] * 3 + [429]


async def test_m2_one_network_registers_a_hundred_an_hour(app: FastAPI, settings: Settings) -> None:
    assert settings.registrations_per_network == state_of(app, AccountsState).registrations_per_network == 100


async def test_m2_130_registrations_from_one_network_in_a_minute_are_a_hundred_and_the_next_hour_takes_more(
    app: FastAPI, client: httpx2.AsyncClient, clock: Clock
) -> None:
    """Tried: 130 registrations from one network in a minute: all taken."""
    answers = [await register(client, f"person-{number}@example.com") for number in range(130)]
    async with connect(app, address="198.51.100.9") as elsewhere:
        other = await register(elsewhere, "elsewhere@example.com")
    clock.advance(hours=1)
    later = await register(client, "later@example.com")

    assert [answer.status_code for answer in answers] == [201] * 100 + [429] * 30
    assert {answer.json()["code"] for answer in answers[100:]} == {"too_many_attempts"}
    assert int(answers[100].headers["Retry-After"]) == 3600
    assert (other.status_code, later.status_code) == (201, 201)


async def test_m2_one_network_registers_only_so_many(app: FastAPI, client: httpx2.AsyncClient) -> None:
    change_state(app, AccountsState, registrations_per_network=2)

    statuses = [(await register(client, f"{name}@example.com")).status_code for name in "abc"]

    assert statuses == [201, 201, 429]
