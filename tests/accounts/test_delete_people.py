"""DELETE /user/{id}: personal data goes, orders stay."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import OneTimeCode, Session, StaffShop, User
from crema.cart.models import Cart
from crema.db.idempotency import IdempotencyRecord
from crema.db.session import Sessions
from crema.orders.models import Order
from factories.orders import make_shop, make_simple_product
from factories.people import PASSWORD, authenticate, bearer, last_code, register, sign_in, verify
from fixtures.app import CHEAP
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


async def count(session: AsyncSession, table: type[Any]) -> int:
    return await session.scalar(select(func.count()).select_from(table)) or 0


async def delete(client: httpx2.AsyncClient, user_id: object) -> int:
    return (await client.delete(f"/user/{user_id}")).status_code


async def test_erases_what_is_personal_and_keeps_the_orders(
    client: httpx2.AsyncClient, session: AsyncSession, sessions: Sessions, admin: httpx2.AsyncClient
) -> None:
    tokens = await sign_in(client, session, name="Анна", phone="+79161234567")
    user_id = tokens["user"]["id"]
    client.headers |= bearer(tokens)
    product = {"product_id": str(await make_simple_product(sessions))}
    shop = str(await make_shop(sessions))
    placed = await client.post(
        "/order", json={"shop_id": shop, "items": [product]}, headers={"Idempotency-Key": "morning"}
    )
    await client.post("/cart", json=product | {"note": "для Анны"})

    answer = await client.delete(f"/user/{user_id}")

    assert (answer.status_code, answer.content) == (204, b"")
    columns = (User.email, User.name, User.phone, User.password_hash)
    left = (await session.execute(select(*columns, User.deleted_at).where(User.deleted_at.is_not(None)))).one()
    assert tuple(left[:4]) == (None,) * 4
    assert [await count(session, table) for table in (Order, Cart, IdempotencyRecord, OneTimeCode)] == [1, 0, 0, 0]
    order = (await admin.get(f"/order/{placed.json()['id']}")).json()
    assert order["user_id"] == user_id


async def test_a12_who_was_deleted_is_nowhere(
    client: httpx2.AsyncClient, session: AsyncSession, admin: httpx2.AsyncClient
) -> None:
    tokens = await sign_in(client, session)
    user_id = tokens["user"]["id"]

    assert await delete(admin, user_id) == 204

    assert (await client.get("/me", headers=bearer(tokens))).status_code == 401
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert (await client.post("/refresh", json=refresh)).status_code == 401
    assert (await authenticate(client)).status_code == 401
    statuses = [
        (await admin.request(method, f"/user/{user_id}", **body)).status_code
        for method, body in (("GET", {}), ("PUT", {"json": {}}), ("PATCH", {"json": {"name": "x"}}), ("DELETE", {}))
    ]
    assert statuses == [404] * 4
    assert (await admin.get("/users")).json()["total"] == 1
    assert await session.scalar(select(func.count()).select_from(Session).where(Session.ended_at.is_(None))) == 1


async def test_the_address_is_free_again(
    client: httpx2.AsyncClient, session: AsyncSession, admin: httpx2.AsyncClient
) -> None:
    tokens = await sign_in(client, session)
    await delete(admin, tokens["user"]["id"])

    again = await sign_in(client, session)

    assert again["user"]["id"] != tokens["user"]["id"]


async def test_codes_die_with_their_person(client: httpx2.AsyncClient, session: AsyncSession, log_in: LogIn) -> None:
    customer = await log_in("anna@example.com", password_hash=CHEAP.hash(PASSWORD))
    await client.post("/password/forgot", json={"email": "anna@example.com"})
    wish = {"email": "new@example.com", "current_password": PASSWORD}
    assert (await customer.patch(f"/user/{customer.person.id}", json=wish)).status_code == 200
    code = await last_code(session, "new@example.com", "email_change_code")
    await delete(customer, customer.person.id)

    assert (await verify(client, code, "new@example.com")).status_code == 422
    assert await count(session, OneTimeCode) == 0


async def test_the_unverified_go_without_a_trace(
    client: httpx2.AsyncClient, session: AsyncSession, admin: httpx2.AsyncClient
) -> None:
    user = (await register(client)).json()

    assert await delete(admin, user["id"]) == 204

    assert list(await session.scalars(select(User.id))) == [admin.person.id]
    assert await count(session, OneTimeCode) == 0


async def test_staff_leave_their_shops_and_their_role(
    admin: httpx2.AsyncClient, log_in: LogIn, sessions: Sessions, session: AsyncSession
) -> None:
    """A role that only deleted people had can be deleted."""
    role = (await admin.post("/role", json={"name": "trainee", "permissions": []})).json()
    trainee = await log_in("trainee@example.com", role="trainee", shop_ids=(await make_shop(sessions),))

    await delete(admin, trainee.person.id)

    assert await count(session, StaffShop) == 0
    assert (await admin.delete(f"/role/{role['id']}")).status_code == 204


async def test_a7_the_last_administrator_stays(admin: httpx2.AsyncClient, log_in: LogIn) -> None:
    refused = await admin.delete(f"/user/{admin.person.id}")

    assert (refused.status_code, refused.json()["code"]) == (409, "last_admin")
    assert (await admin.get("/me")).status_code == 200
    other = await log_in("other@example.com", role="admin")
    assert await delete(admin, admin.person.id) == 204
    assert await delete(other, other.person.id) == 409
