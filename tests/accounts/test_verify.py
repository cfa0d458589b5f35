"""POST /verification and its resend: six digits that are worth five guesses."""

import httpx2
import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import OneTimeCode, User
from crema.accounts.service import codes
from factories.people import PASSWORD, authenticate, last_code, mails_to, register, sign_up, verify, wrong
from fixtures.app import Clock

pytestmark = pytest.mark.anyio


def problem(answer: httpx2.Response) -> dict[str, object]:
    """Give all of a refusal but its request id."""
    return {name: value for name, value in answer.json().items() if name != "request_id"}


async def is_verified(session: AsyncSession) -> bool:
    return await session.scalar(select(User.verified_at)) is not None


async def resend(client: httpx2.AsyncClient, email: str = "anna@example.com") -> httpx2.Response:
    return await client.post("/verification/resend", json={"email": email})


async def test_the_code_verifies_the_person(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client, name="Анна")

    answer = await verify(client, await last_code(session), "ANNA@example.com")

    assert answer.status_code == 200
    assert answer.json()["is_verified"] is True
    assert (await authenticate(client)).status_code == 200


async def test_t7_a_code_is_good_once_and_leaves_nothing(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client)
    code = await last_code(session)
    await verify(client, code)

    again = await verify(client, code)

    assert (again.status_code, again.json()["code"]) == (422, "invalid_code")
    assert await session.scalar(select(func.count()).select_from(OneTimeCode)) == 0


async def test_t7_a_code_lives_a_quarter_of_an_hour(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await register(client)
    clock.advance(minutes=15)

    late = await verify(client, await last_code(session))

    assert late.status_code == 422
    assert not await is_verified(session)


async def test_t7_the_sixth_guess_is_wrong_even_when_it_is_right(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await register(client)
    code = await last_code(session)
    for _ in range(5):
        assert (await verify(client, wrong(code))).status_code == 422

    right = await verify(client, code)

    assert right.status_code == 422
    assert not await is_verified(session)


async def test_the_fifth_guess_may_be_right(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client)
    code = await last_code(session)
    for _ in range(4):
        await verify(client, wrong(code))

    assert (await verify(client, code)).status_code == 200


async def test_a_guess_counts_on_every_live_code(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    for _ in range(3):
        await register(client)
    live = [mail.context["code"] for mail in await mails_to(session)]

    for _ in range(5):
        await verify(client, wrong(*live))

    assert [(await verify(client, code)).status_code for code in live] == [422] * 3


async def test_t8_all_refusals_look_the_same(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    await sign_up(client, session, "verified@example.com")
    used = await last_code(session, "verified@example.com")
    await register(client, "expired@example.com")
    clock.advance(minutes=16)
    await register(client)
    code = await last_code(session)

    answers = [
        await verify(client, wrong(code)),
        await verify(client, code, "nobody@example.com"),
        await verify(client, used, "verified@example.com"),
        await verify(client, await last_code(session, "expired@example.com"), "expired@example.com"),
    ]

    assert [problem(answer) for answer in answers] == [problem(answers[0])] * 4


async def test_someone_else_s_code_is_wrong(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client)
    await register(client, "boris@example.com")

    answer = await verify(client, await last_code(session, "boris@example.com"))

    assert answer.status_code == 422


async def test_one_network_guesses_only_so_often(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "TRIES_PER_NETWORK", 3)
    await register(client)
    for number in range(3):
        await verify(client, "111111", f"{number}@example.com")

    refused = await verify(client, await last_code(session))

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "900")
    assert not await is_verified(session)
    clock.advance(minutes=15)
    await register(client)
    assert (await verify(client, await last_code(session))).status_code == 200


async def test_a_right_code_is_no_guess(
    client: httpx2.AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "TRIES_PER_NETWORK", 1)

    for name in "abc":
        await sign_up(client, session, f"{name}@example.com")


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "１２３４５６", "", 123456, None])
async def test_refuses_what_is_no_code(client: httpx2.AsyncClient, session: AsyncSession, code: object) -> None:
    await register(client)

    answer = await client.post("/verification", json={"email": "anna@example.com", "code": code})

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert await session.scalar(select(OneTimeCode.tries)) == 0


async def test_resends_a_code_for_the_latest_attempt(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client, name="Анна")
    first = await last_code(session)

    answer = await resend(client)

    assert answer.status_code == 202
    second = await last_code(session)
    assert len(await mails_to(session)) == 2
    assert (await verify(client, second)).json()["name"] == "Анна"
    assert (await authenticate(client)).status_code == 200
    assert (await verify(client, first)).status_code == 422


async def test_t8_resending_tells_nothing_about_the_address(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session, "verified@example.com")
    await register(client)

    answers = [await resend(client, f"{name}@example.com") for name in ("anna", "verified", "nobody")]

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await mails_to(session, "verified@example.com")) == 1
    assert await mails_to(session, "nobody@example.com") == []


async def test_resends_silently_stop_after_three_letters_in_an_hour(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await register(client)

    answers = [await resend(client, email) for email in ("anna@example.com", "ANNA@example.com") * 3]

    assert {answer.status_code for answer in answers} == {202}
    assert len(await mails_to(session)) == 3
    clock.advance(hours=1)
    await resend(client)
    assert len(await mails_to(session)) == 4


async def test_a_code_of_someone_cleaned_away_is_wrong(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client)
    code = await last_code(session)
    await session.execute(delete(User))
    await session.commit()

    assert (await verify(client, code)).status_code == 422
    assert (await client.post("/registration", json={"email": "anna@example.com", "password": PASSWORD})).is_success
