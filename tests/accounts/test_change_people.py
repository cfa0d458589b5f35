"""PUT and PATCH /user/{id}: what one writes of oneself, and what only administrators write."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import Permission, Role, RolePermission, StaffShop, User
from crema.db.session import Sessions
from factories.orders import make_shop
from factories.people import (
    PASSWORD,
    authenticate,
    bearer,
    last_code,
    mails_to,
    register,
    sign_in,
    sign_up,
    verify,
    wrong,
)
from fixtures.app import CHEAP, Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
NOBODY = "00000000-0000-7000-8000-000000000000"


async def patch(client: httpx2.AsyncClient, user_id: object, **fields: Any) -> httpx2.Response:
    return await client.patch(f"/user/{user_id}", json=fields)


async def row(session: AsyncSession, user_id: object) -> tuple[Any, ...]:
    columns = (User.email, User.name, User.phone, Role.name, User.is_active)
    return tuple((await session.execute(select(*columns).join(User.role).where(User.id == user_id))).one())


async def make_role(session: AsyncSession, name: str, *permissions: str) -> None:
    role = Role(name=name)
    role.permissions = list(await session.scalars(select(Permission).where(Permission.code.in_(permissions))))
    session.add(role)
    await session.commit()


async def test_one_changes_one_s_name_and_phone(customer: httpx2.AsyncClient, clock: Clock) -> None:
    clock.advance(minutes=1)

    answer = await patch(customer, customer.person.id, phone="+7 916 123-45-67")

    assert answer.status_code == 200
    user = answer.json()
    assert (user["name"], user["phone"]) == ("Анна", "+79161234567")
    assert user["updated_at"] == "2026-11-23T09:01:00.000000Z"


async def test_a_patch_with_null_empties(customer: httpx2.AsyncClient) -> None:
    assert (await patch(customer, customer.person.id, name=None)).json()["name"] is None


async def test_a_put_replaces_name_and_phone(customer: httpx2.AsyncClient) -> None:
    await patch(customer, customer.person.id, phone="+79161234567")

    answer = await customer.put(f"/user/{customer.person.id}", json={"name": "Аня"})

    user = answer.json()
    assert (user["name"], user["phone"], user["email"]) == ("Аня", None, "anna@example.com")


async def test_a_put_with_what_one_was_shown_changes_nothing(admin: httpx2.AsyncClient) -> None:
    shown = (await admin.get("/me")).json()
    written = {name: shown[name] for name in ("email", "name", "phone", "role", "is_active", "shop_ids")}

    answer = await admin.put(f"/user/{shown['id']}", json=written)

    assert answer.json() | {"updated_at": ""} == shown | {"updated_at": ""}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("role", ["user", "manager"])
@pytest.mark.parametrize("field", [{"role": "admin"}, {"role": "same"}, {"is_active": True}, {"shop_ids": []}], ids=str)
async def test_a6_nobody_promotes_themselves(
    log_in: LogIn, session: AsyncSession, method: str, role: str, field: dict[str, Any]
) -> None:
    """Not even to what they are."""
    one = await log_in("one@example.com", role=role)
    body = {"name": "Мэллори"} | ({"role": role} if field == {"role": "same"} else field)

    answer = await one.request(method, f"/user/{one.person.id}", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "forbidden_field")
    assert answer.json()["errors"][0]["loc"] == ["body", next(iter(field))]
    assert await row(session, one.person.id) == ("one@example.com", None, None, role, True)


@pytest.mark.parametrize(
    "body",
    [
        {"Role": "admin"}, {"roles": ["admin"]}, {"permissions": ["users:write"]}, {"is_verified": True},
        {"password": "flat white please"}, {"password_hash": "x"}, {"id": NOBODY}, {"email": None},
        {"email": "no address"}, {"name": ""}, {"name": "а\u0000"}, {"name": "Анна\nBcc: x"}, {"name": "x" * 121},
        {"phone": "12"}, {"name": 1}, {"is_active": "yes"}, {"is_active": None}, {"role": None}, {"shop_ids": None},
    ],
    ids=str,
)  # fmt: skip
async def test_refuses_what_can_t_be_written(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, session: AsyncSession, body: dict[str, Any]
) -> None:
    for client in (admin, customer):
        assert (await patch(client, customer.person.id, **body)).status_code == 422

    assert await row(session, customer.person.id) == ("anna@example.com", "Анна", None, "user", True)


async def test_a12_a_new_role_counts_at_the_next_request(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    assert (await customer.post("/category", json={"name": "Чай"})).status_code == 403

    answer = await patch(admin, customer.person.id, role="manager")
    await patch(admin, manager.person.id, role="user")

    assert answer.json()["role"] == "manager"
    assert "menu:write" in answer.json()["permissions"]
    assert (await customer.post("/category", json={"name": "Чай"})).status_code == 201
    assert (await manager.post("/category", json={"name": "Кофе"})).status_code == 403


async def test_an_unknown_role_is_refused(admin: httpx2.AsyncClient, customer: httpx2.AsyncClient) -> None:
    answer = await patch(admin, customer.person.id, role="emperor")

    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "role"])
    assert (await customer.get("/me")).json()["role"] == "user"


async def test_a12_blocking_counts_at_the_next_request_and_for_good(
    client: httpx2.AsyncClient, admin: httpx2.AsyncClient, session: AsyncSession
) -> None:
    tokens = await sign_in(client, session)
    user_id = tokens["user"]["id"]

    answer = await patch(admin, user_id, is_active=False)

    assert answer.json()["is_active"] is False
    assert (await client.get("/me", headers=bearer(tokens))).status_code == 401
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert (await client.post("/refresh", json=refresh)).status_code == 401
    assert (await authenticate(client)).status_code == 401
    await patch(admin, user_id, is_active=True)
    assert (await client.get("/me", headers=bearer(tokens))).status_code == 401
    assert (await authenticate(client)).status_code == 200


async def test_ties_staff_to_shops(
    admin: httpx2.AsyncClient, log_in: LogIn, sessions: Sessions, session: AsyncSession
) -> None:
    barista = await log_in("barista@example.com", role="barista")
    arbat, nevsky = str(await make_shop(sessions)), str(await make_shop(sessions, slug="nevsky"))
    await patch(admin, barista.person.id, shop_ids=[arbat])

    answer = await patch(admin, barista.person.id, shop_ids=[nevsky, arbat])

    assert answer.json()["shop_ids"] == sorted([arbat, nevsky])
    assert (await barista.get("/me")).json()["shop_ids"] == sorted([arbat, nevsky])
    assert (await patch(admin, barista.person.id, name="Барт")).json()["shop_ids"] == sorted([arbat, nevsky])
    assert (await patch(admin, barista.person.id, shop_ids=[])).json()["shop_ids"] == []


async def test_refuses_unknown_and_repeated_shops(
    admin: httpx2.AsyncClient, log_in: LogIn, sessions: Sessions, session: AsyncSession
) -> None:
    shop = await make_shop(sessions)
    barista = await log_in("barista@example.com", role="barista", shop_ids=(shop,))

    unknown = await patch(admin, barista.person.id, shop_ids=[str(uuid4())], name="Барт")
    repeated = await patch(admin, barista.person.id, shop_ids=[str(shop)] * 2)

    assert (unknown.status_code, unknown.json()["errors"][0]["loc"]) == (422, ["body", "shop_ids", 0])
    assert repeated.status_code == 422
    assert await session.scalar(select(StaffShop.shop_id)) == shop
    assert (await barista.get("/me")).json()["name"] is None


@pytest.mark.parametrize("change", [{"role": "user"}, {"is_active": False}])
async def test_a7_the_last_administrator_stays(
    admin: httpx2.AsyncClient, log_in: LogIn, session: AsyncSession, change: dict[str, Any]
) -> None:
    await log_in("unverified@example.com", role="admin", is_verified=False)
    blocked = await log_in("blocked@example.com", role="admin")
    await patch(admin, blocked.person.id, is_active=False)

    answer = await patch(admin, admin.person.id, **change)

    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    assert await row(session, admin.person.id) == ("admin@example.com", None, None, "admin", True)


async def test_the_last_but_one_administrator_may_go(admin: httpx2.AsyncClient, log_in: LogIn) -> None:
    other = await log_in("other@example.com", role="admin")

    assert (await patch(other, admin.person.id, role="user")).status_code == 200
    assert (await admin.get("/users")).status_code == 403
    assert (await patch(other, other.person.id, role="user")).status_code == 409


async def test_a6_a_people_editor_raises_nobody_above_themselves(log_in: LogIn, session: AsyncSession) -> None:
    await make_role(session, "personnel", "users:write")
    editor = await log_in("editor@example.com", role="personnel")
    customer = await log_in("anna@example.com")

    attempts = [
        await patch(editor, customer.person.id, role="admin"),
        await patch(editor, customer.person.id, role="barista"),
        await patch(editor, editor.person.id, role="admin"),
    ]

    assert [answer.status_code for answer in attempts] == [403] * 3
    assert (await patch(editor, customer.person.id, name="Аня", is_active=False)).status_code == 200
    assert (await patch(editor, customer.person.id, role="personnel")).status_code == 200


@pytest.mark.parametrize("role", ["admin", "manager"])
async def test_a_people_editor_does_not_touch_who_may_do_more(log_in: LogIn, session: AsyncSession, role: str) -> None:
    """With the e-mail address of a manager one would have the manager's password reset."""
    await make_role(session, "personnel", "users:write")
    editor = await log_in("editor@example.com", role="personnel")
    above = await log_in("above@example.com", role=role)
    before = await row(session, above.person.id)

    attempts = [
        await patch(editor, above.person.id, name="x"),
        await patch(editor, above.person.id, email="editor2@example.com"),
        await patch(editor, above.person.id, is_active=False),
        await patch(editor, above.person.id, role="user"),
        await editor.put(f"/user/{above.person.id}", json={}),
        await editor.delete(f"/user/{above.person.id}"),
    ]

    assert [answer.status_code for answer in attempts] == [403] * 6
    assert await row(session, above.person.id) == before
    assert await mails_to(session, "editor2@example.com") == []


async def test_a6_not_even_who_may_do_everything_touches_administrators(
    log_in: LogIn, admin: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await make_role(session, "deputy", *list(await session.scalars(select(Permission.code))))
    deputy = await log_in("deputy@example.com", role="deputy")

    assert (await patch(deputy, admin.person.id, is_active=False)).status_code == 403
    assert (await deputy.delete(f"/user/{admin.person.id}")).status_code == 403
    assert (await patch(deputy, deputy.person.id, role="admin")).status_code == 403
    assert (await admin.get("/me")).status_code == 200


async def test_a12_a_role_that_grows_counts_at_the_next_request(log_in: LogIn, session: AsyncSession) -> None:
    await make_role(session, "trainee")
    trainee = await log_in("trainee@example.com", role="trainee")
    assert (await trainee.get("/users")).status_code == 403

    role_id = await session.scalar(select(Role.id).where(Role.name == "trainee"))
    session.add(RolePermission(role_id=role_id, permission_code="users:write"))
    await session.commit()

    assert (await trainee.get("/users")).status_code == 200


async def test_t12_a_new_address_counts_once_it_is_verified(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    tokens = await sign_in(client, session, name="Анна")
    elsewhere = (await authenticate(client)).json()
    client.headers |= bearer(tokens)

    asked = await patch(client, tokens["user"]["id"], email="new@example.com", name="Аня", current_password=PASSWORD)

    assert asked.json()["pending_email"] == "new@example.com"
    assert (await client.get("/me")).json()["pending_email"] == "new@example.com"
    [word] = await mails_to(session, "anna@example.com", "email_change_asked")
    assert (word.context["name"], word.context["new_email"]) == ("Аня", "new@example.com")
    assert (asked.status_code, asked.json()["email"], asked.json()["name"]) == (200, "anna@example.com", "Аня")
    assert (await authenticate(client, "new@example.com")).status_code == 401
    [letter] = await mails_to(session, "new@example.com")
    assert letter.template == "email_change_code"
    told = {"asked_at": "2026-11-23T09:00:00+00:00", "network": "127.0.0.0/24", "device": ""}
    assert letter.context | {"code": "", "long_code": ""} == {"code": "", "long_code": "", "minutes": 15} | told

    confirmed = await verify(client, letter.context["code"], "new@example.com")

    assert (confirmed.status_code, confirmed.json()["email"]) == (200, "new@example.com")
    assert confirmed.json()["pending_email"] is None
    assert (await client.get("/me")).json()["email"] == "new@example.com"
    assert (await client.get("/me", headers=bearer(elsewhere))).status_code == 401, "the other logins end"
    again = await verify(client, letter.context["code"], "new@example.com")
    assert (again.status_code, again.json()) == (200, confirmed.json())
    assert (await authenticate(client, "new@example.com")).status_code == 200
    assert (await authenticate(client)).status_code == 401
    [notice] = await mails_to(session, "anna@example.com", "email_changed")
    assert notice.context == {"name": "Аня", "new_email": "new@example.com"}


async def test_the_code_for_a_new_address_is_worth_five_guesses(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    tokens = await sign_in(client, session)
    client.headers |= bearer(tokens)
    await patch(client, tokens["user"]["id"], email="new@example.com", current_password=PASSWORD)
    code = await last_code(session, "new@example.com", "email_change_code")
    for _ in range(5):
        await verify(client, wrong(code), "new@example.com")

    assert (await verify(client, code, "new@example.com")).status_code == 422
    assert (await client.get("/me")).json()["email"] == "anna@example.com"


async def test_t7_the_long_code_for_a_new_address_is_taken_however_often_strangers_have_guessed(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    tokens = await sign_in(client, session)
    client.headers |= bearer(tokens)
    await patch(client, tokens["user"]["id"], email="new@example.com", current_password=PASSWORD)
    [mail] = await mails_to(session, "new@example.com", "email_change_code")
    for _ in range(6):
        await verify(client, wrong(mail.context["code"]), "new@example.com")

    short = await verify(client, mail.context["code"], "new@example.com")
    false = await verify(client, "AAAA-AAAA-AAAA-AAAA", "new@example.com")
    long = await verify(client, mail.context["long_code"].lower(), "new@example.com")

    assert (short.status_code, "long code" in short.json()["detail"]) == (422, True)
    assert (false.status_code, false.json()["code"]) == (422, "invalid_code")
    assert (long.status_code, long.json()["email"]) == (200, "new@example.com")


async def test_the_own_address_again_is_no_change(customer: httpx2.AsyncClient, session: AsyncSession) -> None:
    assert (await patch(customer, customer.person.id, email="ANNA@example.com")).status_code == 200
    assert await mails_to(session, "ANNA@example.com") == []
    assert await mails_to(session) == []


@pytest.fixture
async def customer(log_in: LogIn) -> httpx2.AsyncClient:
    return await log_in("anna@example.com", name="Анна", password_hash=CHEAP.hash(PASSWORD))


@pytest.fixture
async def other_customer(log_in: LogIn) -> httpx2.AsyncClient:
    return await log_in("boris@example.com", name="Борис", password_hash=CHEAP.hash("the other's password"))


async def ask(
    client: httpx2.AsyncClient, email: str = "new@example.com", password: str = PASSWORD, **fields: Any
) -> httpx2.Response:
    """Ask for another address for oneself."""
    return await patch(client, client.person.id, email=email, current_password=password, **fields)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_t12_a_stolen_login_alone_changes_no_address(
    customer: httpx2.AsyncClient, session: AsyncSession, method: str
) -> None:
    path, body = f"/user/{customer.person.id}", {"email": "thief@example.com", "name": "Мэллори"}

    without = await customer.request(method, path, json=body)
    wrong = await customer.request(method, path, json=body | {"current_password": "wrong password"})

    assert (without.status_code, without.json()["code"]) == (422, "current_password_required")
    assert without.json()["errors"][0]["loc"] == ["body", "current_password"]
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    shown = (await customer.get("/me")).json()
    assert (shown["email"], shown["name"], shown["pending_email"]) == ("anna@example.com", "Анна", None)
    assert await mails_to(session, "thief@example.com") == []


async def test_t12_a_stolen_login_guesses_the_password_five_times_at_all_routes_together(
    customer: httpx2.AsyncClient,
) -> None:
    for _ in range(3):
        await ask(customer, password="wrong password")
    body = {"old_password": "wrong password", "new_password": "flat white please"}
    for _ in range(2):
        await customer.post("/password/change", json=body)

    assert (await ask(customer)).status_code == 429


async def test_changing_the_name_takes_no_password(customer: httpx2.AsyncClient) -> None:
    assert (await patch(customer, customer.person.id, name="Аня")).status_code == 200


async def test_a_change_of_address_can_be_withdrawn(
    customer: httpx2.AsyncClient, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await ask(customer)
    code = await last_code(session, "new@example.com", "email_change_code")

    answer = await customer.delete(f"/user/{customer.person.id}/email")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await customer.get("/me")).json()["pending_email"] is None
    assert (await verify(client, code, "new@example.com")).status_code == 422
    assert (await customer.get("/me")).json()["email"] == "anna@example.com"
    assert (await customer.delete(f"/user/{customer.person.id}/email")).status_code == 204


async def test_a_change_of_address_can_be_sent_again(
    customer: httpx2.AsyncClient, client: httpx2.AsyncClient, session: AsyncSession, clock: Clock
) -> None:
    path = f"/user/{customer.person.id}/email/resend"
    assert (await customer.post(path)).status_code == 404
    await ask(customer)
    clock.advance(hours=1)
    expired = await last_code(session, "new@example.com", "email_change_code")

    statuses = [(await customer.post(path)).status_code for _ in range(4)]

    assert statuses == [202] * 3 + [429]
    assert (await customer.get("/me")).json()["pending_email"] == "new@example.com"
    assert (await verify(client, expired, "new@example.com")).status_code == 422
    code = await last_code(session, "new@example.com", "email_change_code")
    assert (await verify(client, code, "new@example.com")).status_code == 200


async def test_another_address_takes_the_place_of_the_one_asked_for_before(
    customer: httpx2.AsyncClient, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await ask(customer)
    code = await last_code(session, "new@example.com", "email_change_code")

    await ask(customer, "newer@example.com")

    assert (await customer.get("/me")).json()["pending_email"] == "newer@example.com"
    assert (await verify(client, code, "new@example.com")).status_code == 422
    assert (await verify(client, code, "newer@example.com")).status_code == 422


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_somebody_elses_change_is_not_there(
    customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, session: AsyncSession, method: str
) -> None:
    await ask(customer)
    path = f"/user/{customer.person.id}/email" + ("/resend" if method == "POST" else "")

    assert (await other_customer.request(method, path)).status_code == 404
    assert (await customer.get("/me")).json()["pending_email"] == "new@example.com"
    assert len(await mails_to(session, "new@example.com")) == 1


async def test_a_registration_and_a_change_of_address_do_not_get_each_other_s_code(
    customer: httpx2.AsyncClient, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    """Somebody registers; a stranger with an account asks for that address; a code alone doesn't tell whose it is."""
    made = (await register(client, "new@example.com", password="of who registers")).json()
    await ask(customer)
    theirs = await last_code(session, "new@example.com", "email_change_code")

    alone = await verify(client, theirs, "new@example.com")
    mistaken = await verify(client, theirs, "new@example.com", registration_id=made["registration_id"])
    mine = await verify(
        client, await last_code(session, "new@example.com"), "new@example.com", password="of who registers"
    )

    assert [answer.status_code for answer in (alone, mistaken, mine)] == [409, 422, 200]
    assert (await customer.get("/me")).json()["email"] == "anna@example.com"


async def test_a_code_for_a_new_address_logs_in_with_the_password_only(
    customer: httpx2.AsyncClient, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    """It may have gone to a mistyped address, whose owner must not get in."""
    await ask(customer)
    body = {"email": "new@example.com", "code": await last_code(session, "new@example.com", "email_change_code")}

    alone = await client.post("/verification?login=true", json=body)
    proved = await client.post("/verification?login=true", json=body | {"password": PASSWORD})

    assert (alone.status_code, alone.json()["email"]) == (200, "new@example.com")
    assert "access_token" not in alone.json()
    assert proved.json()["user"] == alone.json()


async def test_m2_a_person_asks_for_five_addresses_a_day(customer: httpx2.AsyncClient, session: AsyncSession) -> None:
    statuses = [(await ask(customer, f"victim{number}@example.com")).status_code for number in range(6)]

    assert statuses == [200] * 5 + [429]


async def test_a_verified_address_can_t_be_had(
    customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, session: AsyncSession
) -> None:
    answer = await ask(customer, "Boris@example.com", name="x")

    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    assert (await row(session, customer.person.id))[1] == "Анна"


async def test_an_address_verified_meanwhile_can_t_be_had(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await ask(customer)
    code = await last_code(session, "new@example.com", "email_change_code")
    made = (await register(client, "new@example.com")).json()
    proof = {"registration_id": made["registration_id"]}
    await verify(client, await last_code(session, "new@example.com"), "new@example.com", **proof)

    answer = await verify(client, code, "new@example.com", password=PASSWORD)

    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    assert (await customer.get("/me")).json()["email"] == "anna@example.com"


async def test_nobody_s_claim_stands_in_the_way_of_who_owns_the_address(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, session: AsyncSession
) -> None:
    """Neither a registration that was never verified, nor someone else's wish for it."""
    await ask(customer)
    code = await last_code(session, "new@example.com", "email_change_code")
    await register(client, "new@example.com", name="Мэллори", password="mallory's password")
    await ask(other_customer, password="the other's password")

    assert (await verify(client, code, "new@example.com")).status_code == 409
    answer = await verify(client, code, "new@example.com", password=PASSWORD)

    assert (answer.status_code, answer.json()["id"]) == (200, str(customer.person.id))
    taken = select(User.id).where(User.email == "new@example.com")
    assert list(await session.scalars(taken)) == [customer.person.id]


async def test_the_old_address_resets_nothing_any_more(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    tokens = await sign_in(client, session)
    client.headers |= bearer(tokens)
    await client.post("/password/forgot", json={"email": "anna@example.com"})
    old = await last_code(session, template="password_reset")
    await patch(client, tokens["user"]["id"], email="new@example.com", current_password=PASSWORD)
    await verify(client, await last_code(session, "new@example.com", "email_change_code"), "new@example.com")

    body = {"code": old, "new_password": "flat white please"}
    for email in ("anna@example.com", "new@example.com"):
        assert (await client.post("/password/reset", json=body | {"email": email})).status_code == 422


async def test_m2_letters_to_a_new_address_are_counted(customer: httpx2.AsyncClient, session: AsyncSession) -> None:
    statuses = [(await ask(customer, "victim@example.com")).status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]
    assert len(await mails_to(session, "victim@example.com")) == 3


async def test_t12_an_administrator_s_change_of_address_needs_the_code_too(
    admin: httpx2.AsyncClient, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    user = await sign_up(client, session)
    await session.execute(update(User).where(User.email == "anna@example.com").values(language="ru"))
    await session.execute(update(User).where(User.email == "admin@example.com").values(password_hash=CHEAP.hash("own")))
    await session.commit()

    by_token_alone = await patch(admin, user["id"], email="new@example.com")
    asked = await patch(admin, user["id"], email="new@example.com", current_password="own")

    assert (by_token_alone.status_code, by_token_alone.json()["code"]) == (422, "current_password_required")

    assert asked.json()["email"] == "anna@example.com"
    [letter] = await mails_to(session, "new@example.com")
    assert letter.language == "ru"
