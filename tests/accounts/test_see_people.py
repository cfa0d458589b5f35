"""GET /me, /user/{id} and /users: who sees whom."""

from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from crema.accounts.models import User
from factories.people import register, sign_up
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


async def listed(client: httpx2.AsyncClient, query: str = "") -> list[str]:
    answer = await client.get(f"/users?sort=email&{query}")
    assert answer.status_code == 200, answer.text
    return [user["email"].partition("@")[0] for user in answer.json()["items"]]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_me_is_who_is_logged_in(customer: httpx2.AsyncClient, method: str) -> None:
    answer = await customer.request(method, "/me")

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["email"] == "anna@example.com"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_me_is_nobody_without_a_token(client: httpx2.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/me")

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_tells_role_permissions_and_shops(log_in: LogIn, session: AsyncSession) -> None:
    barista = await log_in("barista@example.com", role="barista")

    user = (await barista.get("/me")).json()

    permissions = ["orders:read", "orders:write", "stock:write"]
    assert (user["role"], user["permissions"], user["shop_ids"]) == ("barista", permissions, [])


async def test_t13_the_unverified_have_to_verify_first(log_in: LogIn) -> None:
    unverified = await log_in("new@example.com", is_verified=False)

    answers = [await unverified.get(path) for path in ("/me", f"/user/{unverified.person.id}", "/sessions")]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "email_not_verified")}


async def test_a2_one_sees_oneself(customer: httpx2.AsyncClient) -> None:
    answer = await customer.get(f"/user/{customer.person.id}")

    assert answer.json() == (await customer.get("/me")).json()


@pytest.mark.parametrize("role", ["user", "barista", "manager", "support"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_a2_others_look_as_if_they_weren_t_there(
    log_in: LogIn, customer: httpx2.AsyncClient, method: str, role: str
) -> None:
    other = await log_in("other@example.com", role=role)
    body = {"json": {"name": "Мэллори", "role": "admin"}} if method in {"PUT", "PATCH"} else {}

    theirs, nobody_s = [
        await other.request(method, f"/user/{user_id}", **body) for user_id in (customer.person.id, uuid4())
    ]

    assert theirs.status_code == nobody_s.status_code == 404
    assert theirs.json() | {"request_id": ""} == nobody_s.json() | {"request_id": ""}
    assert (await customer.get("/me")).json()["name"] == "Анна"


async def test_a2_an_administrator_sees_anyone(admin: httpx2.AsyncClient, customer: httpx2.AsyncClient) -> None:
    answer = await admin.get(f"/user/{customer.person.id}")

    assert answer.json() == (await customer.get("/me")).json()


@pytest.mark.parametrize("role", ["user", "barista", "manager", "support"])
async def test_only_who_may_write_people_lists_them(log_in: LogIn, role: str) -> None:
    other = await log_in("other@example.com", role=role)

    assert (await other.get("/users")).status_code == 403


async def test_lists_everybody_with_the_list_language(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    await register(client, "new@example.com", name="Пётр")

    assert await listed(admin) == ["admin", "anna", "manager", "new"]
    assert await listed(admin, "role=manager") == ["manager"]
    assert await listed(admin, "role__in=manager,admin") == ["admin", "manager"]
    assert await listed(admin, "is_verified=false") == ["new"]
    assert await listed(admin, "search=петр") == ["new"]
    assert await listed(admin, "name__istartswith=ан") == ["anna"]
    assert await listed(admin, "email=anna@example.com") == ["anna"]
    assert await listed(admin, "phone__isnull=false") == []
    assert await listed(admin, f"id={customer.person.id}") == ["anna"]
    assert await listed(admin, "is_active=false") == []
    assert await listed(admin, "created_at__gt=2026-11-23T09:00:00Z") == []


async def test_sorts_by_name_the_nameless_first(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient
) -> None:
    answer = await admin.get("/users?sort=-name")

    assert [user["name"] for user in answer.json()["items"]] == ["Борис", "Анна", None]


async def test_pages_have_the_envelope(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient
) -> None:
    answer = await admin.get("/users?size=2&page=2&sort=email")

    page = answer.json()
    assert [user["email"] for user in page.pop("items")] == ["boris@example.com"]
    assert page == {"page": 2, "size": 2, "total": 3, "pages": 2, "total_at_least": None, "next_cursor": None}


async def test_a_cursor_walks_all_of_them(admin: httpx2.AsyncClient, session: AsyncSession) -> None:
    role_id = (await session.execute(User.__table__.select())).first().role_id  # type: ignore[union-attr]
    session.add_all(User(email=f"{n}@example.com", role_id=role_id) for n in range(7))
    await session.commit()
    seen, cursor = [], ""

    while cursor is not None:
        page = (await admin.get("/users", params={"sort": "name", "size": 3, "cursor": cursor})).json()
        seen += [user["id"] for user in page["items"]]
        cursor = page["next_cursor"]

    assert len(seen) == len(set(seen)) == 8


async def test_f1_no_undeclared_column_is_asked_about(admin: httpx2.AsyncClient) -> None:
    """Neither by its values nor by totals, also not a column that is added one day."""
    declared = {"id", "email", "name", "phone", "is_active", "created_at", "updated_at"}
    asked = [
        f"{column.key}{operator}"
        for column in User.__table__.columns
        if column.key not in declared
        for operator in ("", "__ne", "__startswith", "__isnull", "__gt", "__in")
    ]

    answers = {name: await admin.get("/users", params={name: "$"}) for name in asked}

    assert {name for name, answer in answers.items() if answer.json().get("code") != "unknown_filter"} == set()
    assert len(asked) >= 30


@pytest.mark.parametrize(
    "query",
    ["sort=password_hash", "sort=role_id", "sort=permissions", "search_fields=password_hash&search=argon", "x=1"],
)
async def test_refuses_what_is_not_declared(admin: httpx2.AsyncClient, query: str) -> None:
    assert (await admin.get(f"/users?{query}")).status_code == 422


async def test_a_page_costs_the_same_however_long(
    admin: httpx2.AsyncClient, session: AsyncSession, engine: AsyncEngine, clock: Clock
) -> None:
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    costs = []
    for count in (1, 10):
        role_id = (await session.execute(User.__table__.select())).first().role_id  # type: ignore[union-attr]
        session.add_all(User(email=f"{count}-{n}@example.com", role_id=role_id) for n in range(count))
        await session.commit()
        statements.clear()
        await admin.get("/users")
        costs.append(len([statement for statement in statements if statement.startswith("SELECT")]))
    event.remove(engine.sync_engine, "before_cursor_execute", note)

    assert costs[0] == costs[1] <= 4


async def test_a11_an_answer_holds_no_secret(
    admin: httpx2.AsyncClient, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    await sign_up(client, session, "boris@example.com")

    text = (await admin.get("/users")).text

    assert "argon2" not in text
    assert "hash" not in text
