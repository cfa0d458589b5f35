"""Forgotten, reset and changed passwords."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import OneTimeCode, User
from crema.notifications.deps import MailState
from crema.web.state import state_of
from factories.people import authenticate, bearer, last_code, mails_to, register, sign_in, sign_up, verify, wrong
from fixtures.app import Clock, connect

pytestmark = pytest.mark.anyio
NEW = "flat white please"


async def forgot(client: httpx2.AsyncClient, email: str = "anna@example.com") -> httpx2.Response:
    return await client.post("/password/forgot", json={"email": email})


async def reset(
    client: httpx2.AsyncClient, code: str, email: str = "anna@example.com", password: str = NEW
) -> httpx2.Response:
    return await client.post("/password/reset", json={"email": email, "code": code, "new_password": password})


async def change(client: httpx2.AsyncClient, tokens: dict[str, Any], old: str, new: str = NEW) -> httpx2.Response:
    body = {"old_password": old, "new_password": new}
    return await client.post("/password/change", json=body, headers=bearer(tokens))


async def me(client: httpx2.AsyncClient, tokens: dict[str, Any]) -> int:
    return (await client.get("/me", headers=bearer(tokens))).status_code


async def refreshed(client: httpx2.AsyncClient, tokens: dict[str, Any]) -> int:
    return (await client.post("/refresh", json={"refresh_token": tokens["refresh_token"]})).status_code


async def test_t8_forgetting_tells_nothing_about_the_address(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session, name="Анна")
    await register(client, "unverified@example.com")
    await sign_up(client, session, "blocked@example.com")
    await session.execute(update(User).where(User.email == "blocked@example.com").values(is_active=False))
    await session.commit()

    answers = [await forgot(client, f"{name}@example.com") for name in ("anna", "unverified", "blocked", "nobody")]

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    letters = {
        name: len(await mails_to(session, f"{name}@example.com", "password_reset"))
        for name in ("anna", "unverified", "blocked", "nobody")
    }
    assert letters == {"anna": 1, "unverified": 0, "blocked": 0, "nobody": 0}


async def test_t6_a_code_sets_a_new_password_and_ends_every_login(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    phone = await sign_in(client, session, name="Анна")
    laptop = (await authenticate(client)).json()
    await forgot(client, "ANNA@example.com")

    answer = await reset(client, await last_code(session, template="password_reset"))

    assert (answer.status_code, answer.content) == (204, b"")
    assert [await me(client, tokens) for tokens in (phone, laptop)] == [401, 401]
    assert [await refreshed(client, tokens) for tokens in (phone, laptop)] == [401, 401]
    assert (await authenticate(client)).status_code == 401
    assert (await authenticate(client, password=NEW)).status_code == 200
    [letter] = await mails_to(session, template="password_changed")
    assert letter.context == {"name": "Анна"}


async def test_t7_the_long_code_of_a_reset_is_taken_however_often_strangers_have_guessed(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    tokens = await sign_in(client, session)
    await forgot(client)
    [mail] = await mails_to(session, template="password_reset")
    for _ in range(6):
        await reset(client, wrong(mail.context["code"]))

    short = await reset(client, mail.context["code"])
    false = await reset(client, "AAAA-AAAA-AAAA-AAAA")
    long = await reset(client, f" {mail.context['long_code'].lower().replace('-', ' ')} ")

    assert (short.status_code, "long code" in short.json()["detail"]) == (422, True)
    assert (false.status_code, false.json()["code"]) == (422, "invalid_code")
    assert long.status_code == 204
    assert await me(client, tokens) == 401
    assert (await authenticate(client, password=NEW)).status_code == 200


async def test_a_reset_code_is_good_once(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session)
    await forgot(client)
    code = await last_code(session, template="password_reset")
    await reset(client, code)

    assert (await reset(client, code)).status_code == 204, "a double tap"
    assert len(await mails_to(session, template="password_changed")) == 1
    again = await reset(client, code, password="another password")

    assert (again.status_code, again.json()["code"]) == (422, "invalid_code")
    assert (await authenticate(client, password=NEW)).status_code == 200


async def test_t7_a_reset_code_is_worth_five_guesses(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session)
    await forgot(client)
    code = await last_code(session, template="password_reset")
    for _ in range(5):
        await reset(client, wrong(code))

    assert (await reset(client, code)).status_code == 422
    assert (await authenticate(client)).status_code == 200


async def test_t7_a_stranger_s_asking_and_guessing_uses_up_nothing_of_the_owner_s(
    app: FastAPI, session: AsyncSession
) -> None:
    """A stranger asks three times for a new password and guesses five codes; the owner recovers."""
    async with connect(app, address="198.51.100.9") as owner, connect(app, address="203.0.113.7") as stranger:
        await sign_up(owner, session)
        for _ in range(4):
            await forgot(stranger)
        code = await last_code(session, template="password_reset")
        for _ in range(6):
            await reset(stranger, wrong(code))

        before = len(await mails_to(session, template="password_reset"))
        await forgot(owner)

        assert (before, len(await mails_to(session, template="password_reset"))) == (3, 4)
        assert (await reset(stranger, code)).status_code == 422
        assert (await reset(owner, code)).status_code == 204


async def test_m2_many_networks_together_get_five_mails_in_a_code_s_life_ten_a_day_and_then_one_an_hour(
    app: FastAPI, session: AsyncSession, clock: Clock
) -> None:
    async with connect(app) as client:
        await sign_up(client, session)
    sent = []
    for number in range(30):
        async with connect(app, address=f"203.0.{number}.7") as stranger:
            await forgot(stranger)
        sent.append(len(await mails_to(session, template="password_reset")))
        clock.advance(minutes=2)

    assert sent[4:8] == [5] * 4
    assert sent[12:15] == [10] * 3
    assert sent[-1] == 11


async def test_m2_when_the_mails_are_used_up_the_last_code_mailed_is_kept_valid(
    app: FastAPI, session: AsyncSession, clock: Clock
) -> None:
    async with connect(app, address="198.51.100.9") as owner:
        await sign_up(owner, session)
        for number in range(5):
            async with connect(app, address=f"203.0.{number}.7") as stranger:
                await forgot(stranger)
        code = await last_code(session, template="password_reset")
        clock.advance(minutes=14)
        await forgot(owner)
        clock.advance(minutes=14)

        assert (await reset(owner, code)).status_code == 204


@pytest.mark.parametrize("password", ["anna@example.com", "анна петрова", "zzzzzzzz", "password1"])
@pytest.mark.parametrize("way", ["reset", "change"])
async def test_t10_a_new_password_is_none_that_everybody_knows(
    client: httpx2.AsyncClient, session: AsyncSession, password: str, way: str
) -> None:
    tokens = await sign_in(client, session, name="Анна Петрова")
    await forgot(client)
    code = await last_code(session, template="password_reset")

    for _ in range(6):
        answer = await (
            reset(client, code, password=password)
            if way == "reset"
            else change(client, tokens, "oat milk please", password)
        )

    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    assert answer.json()["errors"][0]["loc"] == ["body", "new_password"]
    assert (await reset(client, code)).status_code == 204


async def test_a_reset_mail_says_when_and_from_where(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await sign_up(client, session, name="Анна")

    await forgot(client)

    [mail] = await mails_to(session, template="password_reset")
    rendered = state_of(app, MailState).mail_renderer.render(
        template=mail.template, language="en", context=mail.context
    )
    assert "on 23 November at 09:00 UTC, from the network 127.0.0.0/24 (an unknown device)" in rendered.text


async def test_a_reset_code_lives_a_quarter_of_an_hour(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await sign_up(client, session)
    await forgot(client)
    clock.advance(minutes=15)

    assert (await reset(client, await last_code(session, template="password_reset"))).status_code == 422


async def test_t3_codes_of_one_kind_are_no_good_for_another(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client, "boris@example.com")
    assert (await reset(client, await last_code(session, "boris@example.com"), "boris@example.com")).status_code == 422
    tokens = await sign_in(client, session)
    await forgot(client)
    code = await last_code(session, template="password_reset")

    assert (await verify(client, code)).status_code == 422
    assert (await client.post("/refresh", json={"refresh_token": code})).status_code == 401
    assert await me(client, tokens) == 200


async def test_m2_three_letters_an_hour_and_then_silence(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await sign_up(client, session)

    statuses = {(await forgot(client)).status_code for _ in range(6)}

    assert statuses == {202}
    assert len(await mails_to(session, template="password_reset")) == 3
    clock.advance(hours=1)
    await forgot(client)
    assert len(await mails_to(session, template="password_reset")) == 4


async def test_t6_the_old_password_sets_a_new_one_and_ends_every_other_login(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    here = await sign_in(client, session)
    there = (await authenticate(client)).json()

    answer = await change(client, here, "oat milk please")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await me(client, here), await me(client, there)) == (200, 401)
    assert (await refreshed(client, here), await refreshed(client, there)) == (200, 401)
    assert (await authenticate(client, password=NEW)).status_code == 200
    assert len(await mails_to(session, template="password_changed")) == 1


async def test_t12_a_wrong_old_password_changes_nothing(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    here = await sign_in(client, session)
    there = (await authenticate(client)).json()

    answer = await change(client, here, "wrong password")

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert (await me(client, here), await me(client, there)) == (200, 200)
    assert (await authenticate(client)).status_code == 200
    assert await mails_to(session, template="password_changed") == []


async def test_t12_a_stolen_login_guesses_the_old_password_five_times(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    tokens = await sign_in(client, session)
    for _ in range(5):
        await change(client, tokens, "wrong password")

    assert (await change(client, tokens, "oat milk please")).status_code == 429


@pytest.mark.parametrize("way", ["reset", "change"])
async def test_t6_a_new_password_voids_what_a_thief_had_under_way(
    client: httpx2.AsyncClient, session: AsyncSession, way: str
) -> None:
    """A change of address asked for from a stolen login must not be confirmed after the owner locked it out."""
    tokens = await sign_in(client, session)
    owner = tokens["user"]["id"]
    wish = {"email": "thief@example.com", "current_password": "oat milk please"}
    await client.patch(f"/user/{owner}", json=wish, headers=bearer(tokens))
    await forgot(client)
    if way == "reset":
        await reset(client, await last_code(session, template="password_reset"))
    else:
        await change(client, tokens, "oat milk please")

    code = await last_code(session, "thief@example.com", "email_change_code")
    assert (await verify(client, code, "thief@example.com")).status_code == 422
    assert await session.scalar(select(User.email)) == "anna@example.com"
    unspent = select(func.count()).select_from(OneTimeCode).where(OneTimeCode.spent_at.is_(None))
    assert await session.scalar(unspent) == 0
