"""What staff change leaves a row that stands with the change, and that nobody takes away."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.audit import AuditEvent
from crema.db.session import Sessions
from factories.menu import NUTRITION, make_group
from factories.orders import make_shop, make_simple_product, place
from factories.people import PASSWORD, sign_up
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


async def events(sessions: Sessions) -> list[AuditEvent]:
    async with sessions() as session:
        found = select(AuditEvent).where(AuditEvent.action.contains("/")).order_by(AuditEvent.id)
        return list(await session.scalars(found))


async def test_s11_a_price_set_to_nothing_and_set_back_leaves_two_rows(
    log_in: LogIn, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    shop_id = await make_shop(sessions)
    manager = await log_in("manager@example.com", role="manager", shop_ids=(shop_id,))
    tea = await make_simple_product(sessions)

    free = await manager.patch(f"/product/{tea}", json={"price": "0.00", "description": "Позвоните +79161234567"})
    await place(customer, tea)
    await manager.patch(f"/product/{tea}", json={"price": "250.00"})

    first, second = await events(sessions)
    assert (first.action, first.subject) == ("PATCH /product/{product_id}", {"product_id": str(tea)})
    assert first.details == {"fields": ["description", "price"], "values": {"price": "0.00"}}, "no text is kept"
    assert second.details["values"] == {"price": "250.00"}
    assert (first.actor_role, first.request_id) == ("manager", free.headers["X-Request-ID"])
    assert first.network


async def test_s11_an_administrator_who_hides_a_paid_order_leaves_a_row(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    order = await place(customer, await make_simple_product(sessions))

    await admin.delete(f"/order/{order['id']}")

    assert [(event.action, event.subject) for event in await events(sessions)] == [
        ("DELETE /order/{order_id}", {"order_id": order["id"]})
    ]


async def test_s11_what_staff_create_is_named_by_its_path(admin: httpx2.AsyncClient, sessions: Sessions) -> None:
    made = await admin.post("/ingredients", json={"name": "Oat milk"})

    [event] = await events(sessions)
    assert event.action == "POST /ingredients"
    assert event.details["created"] == f"/ingredient/{made.json()['id']}"


async def test_s11_an_order_taken_at_the_counter_leaves_one_row_whatever_is_repeated(
    log_in: LogIn, sessions: Sessions
) -> None:
    shop_id = await make_shop(sessions)
    barista = await log_in("barista@example.com", role="barista", shop_ids=(shop_id,))
    tea = await make_simple_product(sessions)
    body = {"source": "counter", "customer_name": "Пётр", "items": [{"product_id": str(tea), "quantity": 1}]}

    first, again = [await barista.post("/order", json=body, headers={"Idempotency-Key": "cup"}) for _ in range(2)]

    assert (first.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    [event] = await events(sessions)
    assert (event.action, event.actor_id) == ("POST /order", barista.person.id)
    assert event.details["created"] == f"/order/{first.json()['id']}"
    assert event.details["values"]["items"] == [{"product_id": str(tea), "quantity": 1}]
    assert "Пётр" not in str(event.details)


async def test_s11_the_nutrition_of_an_option_is_kept_as_it_was_set(
    admin: httpx2.AsyncClient, sessions: Sessions
) -> None:
    option = {"name": "Овсяное", "nutrition": NUTRITION, "size_nutrition": [{"size_name": "L", "nutrition": NUTRITION}]}

    await make_group(admin, options=[option])

    [event] = await events(sessions)
    kept = {name: value for name, value in option.items() if name != "name"}
    assert event.details["values"] == {"options": [kept]}


async def test_s11_the_right_to_serve_all_shops_is_kept_as_it_was_given(
    admin: httpx2.AsyncClient, log_in: LogIn, sessions: Sessions
) -> None:
    support = await log_in("support@example.com", role="support", shop_ids=(await make_shop(sessions),))

    for serves_all_shops in (True, False):
        body = {"serves_all_shops": serves_all_shops}
        assert (await admin.patch(f"/user/{support.person.id}", json=body)).status_code == 200

    assert [event.details["values"] for event in await events(sessions)] == [
        {"serves_all_shops": True},
        {"serves_all_shops": False},
    ]


async def test_s11_a_shop_taken_off_the_list_leaves_a_row(admin: httpx2.AsyncClient, sessions: Sessions) -> None:
    shop_id = await make_shop(sessions)

    assert (await admin.patch(f"/shop/{shop_id}", json={"is_active": False})).status_code == 200

    [event] = await events(sessions)
    assert (event.action, event.subject) == ("PATCH /shop/{shop_id}", {"shop_id": str(shop_id)})
    assert event.details["values"] == {"is_active": False}


@pytest.mark.parametrize(
    ("body", "status"), [({"price": "-1"}, 422), ({"price": "0.00", "category_ids": [str(UUID(int=1))]}, 422)]
)
async def test_s11_a_refused_change_leaves_no_row(
    admin: httpx2.AsyncClient, sessions: Sessions, body: dict[str, Any], status: int
) -> None:
    tea = await make_simple_product(sessions)

    assert (await admin.patch(f"/product/{tea}", json=body)).status_code == status

    assert await events(sessions) == []


async def test_s11_what_customers_do_and_what_staff_read_leaves_no_row(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    order = await place(customer, await make_simple_product(sessions))
    await customer.patch(f"/order/{order['id']}", json={"comment": "x"})
    await admin.get("/orders")

    assert await events(sessions) == []


async def test_s11_logins_that_fail_by_the_hundred_leave_a_row_each_and_so_do_those_that_succeed(
    client: httpx2.AsyncClient, session: AsyncSession, sessions: Sessions
) -> None:
    anna = "anna@example.com"
    await sign_up(client, session, anna)
    for email, password in ((anna, "wrong password"), ("nobody@example.com", "wrong password"), (anna, PASSWORD)):
        answer = await client.post("/authentication", json={"email": email, "password": password})
    logged_in = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    changed = {"old_password": PASSWORD, "new_password": "flat white please"}
    await client.post("/password/change", json=changed, headers=logged_in)
    await client.post("/logout", headers=logged_in)

    async with sessions() as reading:
        found = list(await reading.scalars(select(AuditEvent).order_by(AuditEvent.id)))
    person = answer.json()["user"]["id"]
    assert [(event.action, event.subject["user_id"], event.details.get("reason")) for event in found] == [
        ("login_failed", person, None),
        ("login_failed", None, None),
        ("login", person, None),
        ("password_changed", person, None),
        ("logins_ended", person, "logout"),
    ]
    assert all(event.network and event.request_id for event in found)
    assert not [event for event in found if anna in str(event.details) + str(event.subject)], "no address is kept"


async def test_s11_a_role_that_is_changed_and_a_person_who_gets_one_leave_rows(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    role = (await admin.post("/role", json={"name": "trainee", "permissions": ["orders:read"]})).json()
    person = (await customer.get("/me")).json()["id"]
    await admin.patch(f"/user/{person}", json={"role": "trainee", "name": "Анна Иванова"})

    first, second = await events(sessions)
    assert (first.action, first.details["values"]) == ("POST /role", {"permissions": ["orders:read"]})
    assert (second.action, second.subject) == ("PATCH /user/{user_id}", {"user_id": person})
    assert second.details == {"fields": ["name", "role"], "values": {"role": "trainee"}}, "no name is kept"
    assert role["name"] not in str(first.subject)
