"""POST /verification and its resend: six digits that are worth five guesses."""

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from crema.accounts.models import OneTimeCode, Throttle, User
from crema.accounts.service import codes, verification
from crema.accounts.service.codes import Codes
from factories.people import PASSWORD, authenticate, bearer, last_code, mails_to, register, sign_up, verify, wrong
from fixtures.app import Clock, connect

pytestmark = pytest.mark.anyio


def problem(answer: httpx2.Response) -> dict[str, object]:
    """Give all of a refusal but its request id."""
    return {name: value for name, value in answer.json().items() if name != "request_id"}


async def is_verified(session: AsyncSession) -> bool:
    return await session.scalar(select(User.verified_at)) is not None


async def resend(client: httpx2.AsyncClient, email: str = "anna@example.com", **proof: str) -> httpx2.Response:
    return await client.post("/verification/resend", json={"email": email, **proof})


async def test_the_code_verifies_the_person(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client, name="Анна")

    answer = await verify(client, await last_code(session), "ANNA@example.com")

    assert answer.status_code == 200
    assert answer.json()["is_verified"] is True
    assert (await authenticate(client)).status_code == 200


async def test_a_code_sent_twice_is_answered_alike_and_changes_nothing(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await register(client, name="Анна")
    code = await last_code(session)
    first = await verify(client, code)
    clock.advance(minutes=1)

    again = await verify(client, code)

    assert (again.status_code, again.json()) == (200, first.json())
    kept = (await session.execute(select(OneTimeCode.__table__))).one()
    assert (kept.name, kept.phone, kept.password_hash) == (None, None, None)


@pytest.mark.parametrize(
    "proof", [{"registration_id": "x" * 43}, {"registration_id": "x"}, {"password": "another one"}], ids=str
)
async def test_t7_a_spent_code_is_answered_for_its_own_attempt_only(
    client: httpx2.AsyncClient, session: AsyncSession, proof: dict[str, str]
) -> None:
    made = (await register(client)).json()
    code = await last_code(session)
    await verify(client, code)

    assert (await verify(client, code, **proof)).status_code == 422
    for right in ({"registration_id": made["registration_id"]}, {"password": PASSWORD}):
        assert (await verify(client, code, **right)).status_code == 200


async def test_t7_a_spent_code_is_good_for_nothing_later(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await register(client)
    code = await last_code(session)
    await verify(client, code)
    clock.advance(minutes=15)

    assert (await verify(client, code)).status_code == 422


async def test_a_stranger_s_registration_does_not_get_into_the_account_by_a_code_sent_again(
    app: FastAPI, session: AsyncSession
) -> None:
    """The victim registers, a stranger registers the same address, the victim has *a* code sent again and enters it."""
    async with connect(app, address="198.51.100.9") as victim, connect(app, address="203.0.113.7") as stranger:
        made = (await register(victim, name="Анна")).json()
        await register(stranger, password="a stranger's password", name="Мэллори")
        theirs = await last_code(session)
        await resend(victim)
        code = await last_code(session)

        by_code_alone = await verify(victim, code)
        answer = await verify(victim, code, registration_id=made["registration_id"])

        assert code != theirs, "a code sent again is of the first attempt"
        assert (by_code_alone.status_code, by_code_alone.json()["code"]) == (409, "several_registrations")
        assert "registration_id" in by_code_alone.json()["detail"]
        assert (answer.status_code, answer.json()["name"]) == (200, "Анна")
        assert (await authenticate(victim)).status_code == 200
        assert (await authenticate(stranger, password="a stranger's password")).status_code == 401
        assert (await verify(stranger, theirs)).status_code == 422


async def test_a_stranger_who_was_first_gets_nothing_by_a_code_sent_again(app: FastAPI, session: AsyncSession) -> None:
    async with connect(app, address="198.51.100.9") as victim, connect(app, address="203.0.113.7") as stranger:
        await register(stranger, password="a stranger's password")
        made = (await register(victim)).json()
        await resend(victim)
        theirs = await last_code(session)

        assert (await verify(victim, theirs)).status_code == 409
        assert (await verify(victim, theirs, registration_id=made["registration_id"])).status_code == 422
        assert (await verify(victim, theirs, password=PASSWORD)).status_code == 422
        await resend(victim, registration_id=made["registration_id"])
        answer = await verify(victim, await last_code(session), registration_id=made["registration_id"])

    assert answer.status_code == 200


@pytest.mark.parametrize("proof", ["registration_id", "password"])
async def test_a_code_is_sent_again_for_the_attempt_that_is_proved(
    client: httpx2.AsyncClient, session: AsyncSession, proof: str
) -> None:
    await register(client, password="a stranger's password")
    made = (await register(client)).json() | {"password": PASSWORD}
    mine = await last_code(session)

    await resend(client, **{proof: made[proof]})

    assert [mail.context["code"] for mail in await mails_to(session)][2:] == [mine]
    assert (await verify(client, mine, **{proof: made[proof]})).status_code == 200


@pytest.mark.parametrize("proof", [{"registration_id": "x" * 43}, {"password": "wrong password"}], ids=str)
async def test_a_wrong_proof_has_nothing_sent_and_does_not_say_so(
    client: httpx2.AsyncClient, session: AsyncSession, proof: dict[str, str]
) -> None:
    await register(client)

    answer = await resend(client, **proof)

    assert (answer.status_code, answer.json()) == (202, (await resend(client, "nobody@example.com")).json())
    assert len(await mails_to(session)) == 1


@pytest.mark.parametrize("proof", [{"registration_id": "x" * 43}, {"password": "wrong password"}], ids=str)
async def test_t7_a_wrong_proof_is_a_wrong_code_and_costs_a_try(
    client: httpx2.AsyncClient, session: AsyncSession, proof: dict[str, str]
) -> None:
    made = (await register(client)).json()
    code = await last_code(session)

    refused = [await verify(client, code, **proof) for _ in range(5)]

    over = problem(await verify(client, wrong(code)))
    assert [problem(answer) | {"detail": over["detail"]} for answer in refused] == [over] * 5
    assert (await verify(client, code, registration_id=made["registration_id"])).status_code == 422


async def test_a_verification_may_log_in(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client)
    body = {"email": "anna@example.com", "code": await last_code(session)}

    answer = await client.post("/verification?login=true", json=body)

    assert answer.json()["user"]["is_verified"] is True
    shown = await client.get("/me", headers=bearer(answer.json()))
    assert shown.json() == answer.json()["user"]
    assert (await client.post("/verification?login=true", json=body)).status_code == 200, "a double tap"


async def test_a_verification_may_log_in_with_cookies(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client)
    body = {"email": "anna@example.com", "code": await last_code(session)}
    token = (await client.get("/csrf")).json()["csrf_token"]
    page = {"Origin": "http://crema", "X-CSRF-Token": token}
    path = "/verification?login=true&mode=cookie"

    assert (await client.post(path, json=body)).json()["code"] == "csrf_failed"
    answer = await client.post(path, json=body, headers=page)

    assert answer.json().keys() == {"user"}
    assert (await client.get("/me")).json() == answer.json()["user"]


async def test_a_verification_logs_in_by_routes_with_one_answer_each(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await register(client)
    body = {"email": "anna@example.com", "code": await last_code(session)}
    token = (await client.get("/csrf")).json()["csrf_token"]

    tokens = await client.post("/verification/login", json=body)
    cookies = await client.post(
        "/verification/login/cookie", json=body, headers={"Origin": "http://crema", "X-CSRF-Token": token}
    )

    assert tokens.json()["user"]["is_verified"] is True
    assert (cookies.status_code, cookies.json().keys()) == (200, {"user"})
    assert (await client.get("/me")).json() == cookies.json()["user"]


async def test_t7_a_spent_code_logs_nobody_in_later_without_a_proof(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    made = (await register(client)).json()
    body = {"email": "anna@example.com", "code": await last_code(session)}
    await client.post("/verification?login=true", json=body)
    clock.advance(seconds=11)

    late = await client.post("/verification?login=true", json=body)
    proved = await client.post("/verification?login=true", json=body | {"registration_id": made["registration_id"]})

    assert (late.status_code, proved.status_code) == (422, 200)


async def test_t7_after_logging_out_a_spent_code_gives_no_login_not_even_within_seconds(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await register(client)
    body = {"email": "anna@example.com", "code": await last_code(session)}
    first = (await client.post("/verification?login=true", json=body)).json()
    await client.post("/logout", headers=bearer(first))

    again = await client.post("/verification?login=true", json=body)

    assert (again.status_code, again.json()["code"]) == (422, "invalid_code")
    assert (await client.post("/verification", json=body)).status_code == 200, "a double tap"


async def test_t7_the_long_code_is_taken_however_often_strangers_have_guessed(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await register(client)
    [mail] = await mails_to(session)
    for _ in range(6):
        await verify(client, wrong(mail.context["code"]))

    short = await verify(client, mail.context["code"])
    long = await verify(client, mail.context["long_code"].lower())

    assert (short.status_code, "long code" in short.json()["detail"]) == (422, True)
    assert long.status_code == 200


@pytest.mark.parametrize("typed", ["{} {}", " {}{}", "{}{}\t", "{}\u00a0{} ", "\n{} {}\n"])
async def test_a_code_is_taken_as_people_type_it(client: httpx2.AsyncClient, session: AsyncSession, typed: str) -> None:
    await register(client)
    code = await last_code(session)

    assert (await verify(client, typed.format(code[:3], code[3:]))).status_code == 200


async def test_t7_guesses_from_elsewhere_use_up_nothing_of_the_owner_s(app: FastAPI, session: AsyncSession) -> None:
    """However many networks guess, and however often, the right code passes from where it was asked for."""
    async with connect(app, address="198.51.100.9") as owner:
        await register(owner)
        code = await last_code(session)
        for number in range(12):
            async with connect(app, address=f"203.0.{number}.7") as stranger:
                for _ in range(6):
                    assert (await verify(stranger, wrong(code))).status_code == 422

        assert (await verify(owner, code)).status_code == 200


async def test_t7_strangers_guess_twenty_five_times_a_day_together(
    app: FastAPI, session: AsyncSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    matches = Codes.matches

    def note(self: Codes, row: OneTimeCode, code: str) -> bool:
        compared.append(code)
        return matches(self, row, code)

    async with connect(app, address="198.51.100.9") as owner:
        await register(owner)
    code = await last_code(session)
    monkeypatch.setattr(Codes, "matches", note)
    for number in range(12):
        clock.advance(minutes=1)
        async with connect(app, address=f"203.0.{number}.7") as stranger:
            for _ in range(6):
                await verify(stranger, wrong(code))
    async with connect(app, address="203.0.113.7") as stranger:
        assert (await verify(stranger, code)).status_code == 422

    assert len(compared) == 25


async def test_t7_the_other_network_of_the_owner_passes_while_one_stranger_guesses(
    app: FastAPI, session: AsyncSession
) -> None:
    async with connect(app, address="198.51.100.9") as phone:
        await register(phone)
    code = await last_code(session)
    async with connect(app, address="203.0.113.7") as stranger:
        for _ in range(20):
            await verify(stranger, wrong(code))

    async with connect(app, address="192.0.2.4") as laptop:
        assert (await verify(laptop, code)).status_code == 200


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


async def test_t7_a_guess_counts_whichever_attempt_it_is_at(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    made = [(await register(client, password=f"of attempt {n}")).json()["registration_id"] for n in range(3)]
    live = [mail.context["code"] for mail in await mails_to(session)]

    for number in range(5):
        await verify(client, wrong(*live), registration_id=made[number % 3])

    answers = [await verify(client, code, registration_id=id_) for code, id_ in zip(live, made, strict=True)]
    assert [answer.status_code for answer in answers] == [422] * 3


async def test_a_new_mail_gives_five_new_tries(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client)
    code = await last_code(session)
    for _ in range(6):
        await verify(client, wrong(code))

    await resend(client)

    assert await last_code(session) == code
    assert (await verify(client, code)).status_code == 200


async def test_t8_all_refusals_look_the_same(client: httpx2.AsyncClient, session: AsyncSession, clock: Clock) -> None:
    await sign_up(client, session, "verified@example.com")
    await register(client, "expired@example.com")
    clock.advance(minutes=16)
    await register(client)
    code = await last_code(session)

    answers = [
        await verify(client, wrong(code)),
        await verify(client, code, "nobody@example.com"),
        await verify(client, wrong(await last_code(session, "verified@example.com")), "verified@example.com"),
        await verify(client, await last_code(session, "expired@example.com"), "expired@example.com"),
    ]

    assert [problem(answer) for answer in answers] == [problem(answers[0])] * len(answers)


async def test_someone_else_s_code_is_wrong(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client)
    await register(client, "boris@example.com")

    answer = await verify(client, await last_code(session, "boris@example.com"))

    assert answer.status_code == 422


async def test_t7_a_network_that_guesses_is_slowed_down_and_a_right_code_passes(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(codes, "TRIES_PER_NETWORK", 3)
    monkeypatch.setattr(verification, "pause", wait)
    await register(client)
    for number in range(5):
        await verify(client, "111111", f"{number}@example.com")

    right = await verify(client, await last_code(session))
    refused = await verify(client, "111111", "last@example.com")

    assert waited == [0, 0, 0, 0, 5, 10]
    assert right.status_code == 200
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")


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
    assert await session.scalar(select(func.count()).where(Throttle.key.startswith("guess:"))) == 0


async def test_an_expired_code_is_sent_again_as_another(
    client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    await register(client)
    first = await last_code(session)
    clock.advance(minutes=15)

    await resend(client)

    assert (second := await last_code(session)) != first
    assert (await verify(client, first)).status_code == 422
    assert (await verify(client, second)).status_code == 200


async def test_a_live_code_is_sent_again_as_it_is(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await register(client, name="Анна")
    first = await last_code(session)

    answer = await resend(client)

    assert answer.status_code == 202
    assert await last_code(session) == first
    assert len(await mails_to(session)) == 2
    assert (await verify(client, first)).json()["name"] == "Анна"
    assert (await authenticate(client)).status_code == 200


async def test_t8_resending_tells_nothing_about_the_address(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    await sign_up(client, session, "verified@example.com")
    await register(client)

    answers = [await resend(client, f"{name}@example.com") for name in ("anna", "verified", "nobody")]

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await mails_to(session, "verified@example.com")) == 1
    assert await mails_to(session, "nobody@example.com") == []


@pytest.mark.parametrize("path", ["/verification/resend", "/password/forgot"])
async def test_t8_the_same_statements_run_for_known_and_unknown_addresses(
    app: FastAPI, engine: AsyncEngine, client: httpx2.AsyncClient, session: AsyncSession, path: str
) -> None:
    """So that the time they take tells nothing."""
    await sign_up(client, session, "verified@example.com")
    await register(client, "unverified@example.com")
    statements: dict[str, list[str]] = {}

    for name in ("verified", "unverified", "nobody"):
        email, ran = f"{name}@example.com", statements.setdefault(name, [])

        def note(_c: object, _x: object, statement: str, *_: object, ran: list[str] = ran) -> None:
            if "SAVEPOINT" not in statement:  # the tests' own
                ran.append(statement)

        event.listen(engine.sync_engine, "before_cursor_execute", note)
        await client.post(path, json={"email": email})
        event.remove(engine.sync_engine, "before_cursor_execute", note)

    assert len(statements["nobody"]) > 5
    assert statements["verified"] == statements["unverified"] == statements["nobody"]


async def test_m2_when_many_networks_have_used_up_the_mails_the_live_code_is_kept_valid(
    app: FastAPI, session: AsyncSession, clock: Clock
) -> None:
    async with connect(app, address="198.51.100.9") as owner:
        made = (await register(owner)).json()
        code = await last_code(session)
        for number in range(5):
            async with connect(app, address=f"203.0.{number}.7") as stranger:
                await resend(stranger)
        clock.advance(minutes=14)
        await resend(owner, registration_id=made["registration_id"])
        clock.advance(minutes=14)

        assert len(await mails_to(session)) == 5
        assert (await verify(owner, code)).status_code == 200


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
