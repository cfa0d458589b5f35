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
from factories.orders import make_shop, make_simple_product, place
from factories.people import PASSWORD, authenticate, bearer, last_code, mails_to, register, sign_in, verify
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

    answer = await client.delete(f"/user/{user_id}", params={"force": "true"})

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


async def open_orders(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions, *statuses: str
) -> list[dict[str, Any]]:
    """Place an order for each of these statuses, and move it there."""
    product, shop = await make_simple_product(sessions), str(await make_shop(sessions))
    placed = []
    for status in statuses:
        order = await place(customer, product, shop_id=shop)
        for step in ("accepted", "preparing", "ready", "completed"):
            if order["status"] == status:
                break
            order = (await admin.patch(f"/order/{order['id']}", json={"status": step})).json()
        placed.append(order)
    return placed


async def test_orders_in_progress_refuse_the_deletion_and_are_listed(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions
) -> None:
    """Tried: account deleted with open orders: they stay `placed`, without a word."""
    placed, _ = await open_orders(customer, admin, sessions, "placed", "completed")

    for client in (customer, admin):
        refused = await client.delete(f"/user/{customer.person.id}")
        assert (refused.status_code, refused.json()["code"]) == (409, "open_orders")
        assert refused.json()["orders"] == [
            {"id": placed["id"], "number": placed["number"], "status": "placed", "shop_id": placed["shop"]["id"]}
        ]
    assert (await customer.get("/me")).json()["name"] == "Анна", "a refusal changes nothing"


async def test_with_force_orders_in_progress_are_cancelled_and_everybody_is_told(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions, session: AsyncSession
) -> None:
    orders = await open_orders(customer, admin, sessions, "placed", "accepted", "preparing", "ready", "completed")

    assert (await customer.delete(f"/user/{customer.person.id}", params={"force": "true"})).status_code == 204

    seen = [(await admin.get(f"/order/{order['id']}")).json() for order in orders]
    assert [order["status"] for order in seen] == ["cancelled"] * 3 + ["expired", "completed"]
    assert [order["history"][-1]["reason"] for order in seen[:4]] == ["The account was deleted."] * 4
    cancelled = await mails_to(session, "anna@example.com", "order_cancelled")
    assert {mail.context["number"] for mail in cancelled} == {order["number"] for order in orders[:3]}
    (expired,) = await mails_to(session, "anna@example.com", "order_expired")
    assert (expired.context["number"], expired.context["reason"]) == (orders[3]["number"], "The account was deleted.")


async def test_of_orders_cancelled_with_an_account_each_shop_hears_of_its_own_and_administrators_of_all(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions, session: AsyncSession
) -> None:
    """Tried: an account is deleted with `force`, and nobody at the bar gets a mail."""
    near = await make_shop(sessions, email="near@example.com")
    far = await make_shop(sessions, slug="far", email="far@example.com")
    product = await make_simple_product(sessions)
    waiting = await place(customer, product, shop_id=str(near), pickup_name="Кот Матроскин")
    ready = await place(customer, product, shop_id=str(near))
    elsewhere = await place(customer, product, shop_id=str(far))
    for status in ("accepted", "preparing", "ready"):
        await admin.patch(f"/order/{ready['id']}", json={"status": status})

    assert (await admin.delete(f"/user/{customer.person.id}", params={"force": "true"})).status_code == 204

    told = {
        address: [
            [(order["number"], order["name"], order["status"], order["shop"]) for order in mail.context["orders"]]
            for mail in await mails_to(session, address, "orders_closed_staff")
        ]
        for address in ("near@example.com", "far@example.com", "admin@example.com")
    }
    here = [
        (waiting["number"], "Кот Матроскин", "cancelled", "Crema arbat"),
        (ready["number"], "Анна", "expired", "Crema arbat"),
    ]
    there = [(elsewhere["number"], "Анна", "cancelled", "Crema far")]
    assert told == {"near@example.com": [here], "far@example.com": [there], "admin@example.com": [[*here, *there]]}


async def test_an_account_without_orders_in_progress_is_deleted_without_a_mail_to_staff(
    customer: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions, session: AsyncSession
) -> None:
    await open_orders(customer, admin, sessions, "completed")

    assert (await admin.delete(f"/user/{customer.person.id}", params={"force": "true"})).status_code == 204

    assert await mails_to(session, "admin@example.com", "orders_closed_staff") == []


async def test_a7_the_last_administrator_stays(admin: httpx2.AsyncClient, log_in: LogIn) -> None:
    refused = await admin.delete(f"/user/{admin.person.id}")

    assert (refused.status_code, refused.json()["code"]) == (409, "last_admin")
    assert (await admin.get("/me")).status_code == 200
    other = await log_in("other@example.com", role="admin")
    assert await delete(admin, admin.person.id) == 204
    assert await delete(other, other.person.id) == 409
