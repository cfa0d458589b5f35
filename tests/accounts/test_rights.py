"""A3, A5, A6: nobody gets, gives or takes a right or a shop that they don't have; no shops never mean all shops."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import PERMISSIONS
from crema.accounts.models import Role, RolePermission, User
from crema.db.session import Sessions
from factories.orders import make_shop, make_simple_product, place
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


async def make_role(session: AsyncSession, name: str, *permissions: str) -> UUID:
    role = Role(name=name)
    session.add(role)
    await session.flush()
    session.add_all(RolePermission(role_id=role.id, permission_code=code) for code in permissions)
    await session.commit()
    return role.id


async def patch(client: httpx2.AsyncClient, person: httpx2.AsyncClient, **fields: Any) -> httpx2.Response:
    return await client.patch(f"/user/{person.person.id}", json=fields)


async def ties(client: httpx2.AsyncClient) -> list[str]:
    shop_ids: list[str] = (await client.get("/me")).json()["shop_ids"]
    return shop_ids


async def may(client: httpx2.AsyncClient) -> list[str]:
    permissions: list[str] = (await client.get("/me")).json()["permissions"]
    return permissions


@pytest.fixture
async def near(sessions: Sessions) -> UUID:
    return await make_shop(sessions)


@pytest.fixture
async def far(sessions: Sessions) -> UUID:
    return await make_shop(sessions, slug="far")


@pytest.fixture
async def foreign(sessions: Sessions, customer: httpx2.AsyncClient, far: UUID) -> list[str]:
    """Give the paths of an order and a conversation at the far shop."""
    order = await place(customer, await make_simple_product(sessions), shop_id=str(far))
    chat = (await customer.post("/chat", json={"order_id": order["id"]})).json()
    return [f"/order/{order['id']}", f"/chat/{chat['id']}"]


async def sees(client: httpx2.AsyncClient, paths: list[str]) -> list[int]:
    lists = [(await client.get(path)).json()["total"] for path in ("/orders", "/chats")]
    return [*lists, *[(await client.get(path)).status_code for path in paths]]


NOTHING = [0, 0, 404, 404]


async def test_a3_a5_a_list_of_shops_that_is_emptied_leaves_no_shop(
    admin: httpx2.AsyncClient, log_in: LogIn, near: UUID, foreign: list[str]
) -> None:
    support = await log_in("support@example.com", role="support", shop_ids=(near,))
    assert await sees(support, foreign) == NOTHING

    emptied = await patch(admin, support, shop_ids=[])

    assert emptied.json()["shop_ids"] == []
    assert "shops:all" not in emptied.json()["permissions"]
    assert await sees(support, foreign) == NOTHING


async def test_a3_a5_who_loses_their_only_shop_serves_none(
    admin: httpx2.AsyncClient, log_in: LogIn, near: UUID, foreign: list[str]
) -> None:
    support = await log_in("support@example.com", role="support", shop_ids=(near,))

    assert (await admin.delete(f"/shop/{near}")).status_code == 204

    assert await ties(support) == []
    assert await sees(support, foreign) == NOTHING


async def test_a3_a5_who_moves_no_orders_any_more_serves_no_shop_more(
    log_in: LogIn, session: AsyncSession, foreign: list[str]
) -> None:
    """Taking orders:write from a role that answers customers made it one of the whole chain."""
    own = await make_role(session, "clerk", "roles:write", "orders:read", "orders:write", "support:write")
    clerk = await log_in("clerk@example.com", role="clerk")

    changed = await clerk.patch(f"/role/{own}", json={"permissions": ["roles:write", "orders:read", "support:write"]})

    assert changed.status_code == 200
    assert await sees(clerk, foreign) == NOTHING


async def test_serving_the_whole_chain_is_given_and_taken(
    admin: httpx2.AsyncClient, log_in: LogIn, near: UUID, foreign: list[str]
) -> None:
    support = await log_in("support@example.com", role="support", shop_ids=(near,))

    given = await patch(admin, support, serves_all_shops=True)
    assert (given.json()["shop_ids"], "shops:all" in given.json()["permissions"]) == ([], True)
    assert await sees(support, foreign) == [1, 1, 200, 200]

    taken = await patch(admin, support, serves_all_shops=False)
    assert "shops:all" not in taken.json()["permissions"]
    assert await sees(support, foreign) == NOTHING


async def test_what_is_shown_and_sent_back_changes_nothing(
    admin: httpx2.AsyncClient, log_in: LogIn, foreign: list[str]
) -> None:
    support = await log_in("support@example.com", role="support")

    same = await patch(admin, support, shop_ids=[], role="support")

    assert "shops:all" in same.json()["permissions"]
    assert await sees(support, foreign) == [1, 1, 200, 200]


async def test_a_tie_outlives_a_change_of_role(admin: httpx2.AsyncClient, log_in: LogIn, near: UUID) -> None:
    barista = await log_in("barista@example.com", role="barista", shop_ids=(near,))
    await patch(admin, barista, shop_ids=[])

    await patch(admin, barista, role="support")

    assert "shops:all" not in await may(barista)


@pytest.mark.parametrize("role", ["user", "barista", "manager"])
async def test_the_whole_chain_takes_a_role_that_serves_it(
    admin: httpx2.AsyncClient, log_in: LogIn, near: UUID, role: str
) -> None:
    person = await log_in("person@example.com", role=role, shop_ids=(near,))

    refused = [
        await patch(admin, person, serves_all_shops=True),
        await patch(admin, person, serves_all_shops=True, role="support", shop_ids=[str(near)]),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(422, "not_of_the_chain")] * 2
    assert (await ties(person), (await person.get("/me")).json()["role"]) == ([str(near)], role)


async def test_who_serves_the_chain_runs_each_of_its_shops(
    log_in: LogIn, session: AsyncSession, near: UUID, far: UUID
) -> None:
    await make_role(session, "director", "shops:write", "shops:all")
    director = await log_in("director@example.com", role="director")
    tied = await log_in("tied@example.com", role="director", shop_ids=(near,))

    assert [(await director.patch(f"/shop/{shop}", json={})).status_code for shop in (near, far)] == [200, 200]
    assert [(await tied.patch(f"/shop/{shop}", json={})).status_code for shop in (near, far)] == [200, 403]


async def test_a6_nobody_ties_themselves_to_shops_they_don_t_serve(
    log_in: LogIn, session: AsyncSession, near: UUID, far: UUID
) -> None:
    await make_role(session, "personnel", "users:write", "orders:read")
    editor = await log_in("editor@example.com", role="personnel", shop_ids=(near,))

    refused = [
        await patch(editor, editor, shop_ids=[str(far)]),
        await patch(editor, editor, shop_ids=[str(near), str(far)]),
        await patch(editor, editor, shop_ids=[str(uuid4())]),
        await patch(editor, editor, role="personnel", shop_ids=[str(far)]),
        await editor.put(f"/user/{editor.person.id}", json={"shop_ids": [str(far)]}),
    ]

    assert [answer.status_code for answer in refused] == [403] * 5
    assert await ties(editor) == [str(near)]


async def test_a6_nobody_serves_the_chain_by_their_own_word(log_in: LogIn, session: AsyncSession, near: UUID) -> None:
    """Not even where the role has the right: the tie took it."""
    own = await make_role(session, "tied", "users:write", "roles:write", "shops:all")
    tied = await log_in("tied@example.com", role="tied", shop_ids=(near,))
    customer = await log_in("anna@example.com")

    refused = [
        await patch(tied, tied, serves_all_shops=True),
        await patch(tied, customer, role="tied"),
        await patch(tied, customer, role="tied", serves_all_shops=True),
        await tied.post("/role", json={"name": "x", "permissions": ["shops:all"]}),
        await tied.patch(f"/role/{own}", json={"description": "x"}),
    ]

    assert [answer.status_code for answer in refused] == [403] * 5
    assert await may(tied) == ["roles:write", "users:write"]


async def test_a6_nobody_gives_or_takes_shops_they_don_t_serve(
    log_in: LogIn, session: AsyncSession, near: UUID, far: UUID
) -> None:
    await make_role(session, "personnel", "users:write", "orders:read", "orders:write", "stock:write")
    editor = await log_in("editor@example.com", role="personnel", shop_ids=(near,))
    ours = await log_in("ours@example.com", role="barista", shop_ids=(near,))
    theirs = await log_in("theirs@example.com", role="barista", shop_ids=(far,))
    both = await log_in("both@example.com", role="barista", shop_ids=(near, far))

    refused = [
        await patch(editor, ours, shop_ids=[str(far)]),
        await patch(editor, theirs, shop_ids=[]),
        await patch(editor, theirs, shop_ids=[str(near)]),
        await patch(editor, both, shop_ids=[str(near)]),
    ]

    assert [answer.status_code for answer in refused] == [403] * 4
    assert [await ties(person) for person in (ours, theirs)] == [[str(near)], [str(far)]]
    assert (await patch(editor, ours, shop_ids=[])).json()["shop_ids"] == []
    assert (await patch(editor, ours, shop_ids=[str(near)])).json()["shop_ids"] == [str(near)]


@pytest.mark.parametrize("fields", [{"name": "x"}, {"email": "editor2@example.com"}, {"is_active": False}], ids=str)
async def test_a6_who_serves_another_shop_is_out_of_reach(
    log_in: LogIn, session: AsyncSession, near: UUID, far: UUID, fields: dict[str, Any]
) -> None:
    """With the e-mail address of another shop's barista one would have their password reset."""
    await make_role(session, "personnel", "users:write", "orders:read", "orders:write", "stock:write")
    editor = await log_in("editor@example.com", role="personnel", shop_ids=(near,))
    theirs = await log_in("theirs@example.com", role="barista", shop_ids=(far,))
    support = await log_in("support@example.com", role="support")

    assert [(await patch(editor, person, **fields)).status_code for person in (theirs, support)] == [403] * 2
    assert (await editor.delete(f"/user/{theirs.person.id}")).status_code == 403
    assert (await theirs.get("/me")).status_code == 200


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
async def test_a6_who_edits_roles_gives_themselves_nothing_they_have_not(
    log_in: LogIn, session: AsyncSession, permission: str
) -> None:
    own = await make_role(session, "clerk", "roles:write")
    clerk = await log_in("clerk@example.com", role="clerk")
    wanted = sorted({"roles:write", permission})

    answers = [
        await clerk.patch(f"/role/{own}", json={"permissions": wanted}),
        await clerk.put(f"/role/{own}", json={"name": "clerk", "permissions": wanted}),
        await clerk.post("/role", json={"name": "other", "permissions": wanted}),
    ]

    allowed = [200, 200, 201] if permission == "roles:write" else [403] * 3
    assert [answer.status_code for answer in answers] == allowed
    assert await may(clerk) == ["roles:write"]


async def test_a7_whom_the_last_administrator_rule_counts_is_whom_mails_reach(
    app: FastAPI, session: AsyncSession, log_in: LogIn, admin: httpx2.AsyncClient
) -> None:
    await log_in("unverified@example.com", role="admin", is_verified=False)
    blocked = await log_in("blocked@example.com", role="admin")
    await patch(admin, blocked, is_active=False)
    deleted = await log_in("deleted@example.com", role="admin")
    await admin.delete(f"/user/{deleted.person.id}")

    told = await session.scalar(select(queries.admin_recipients()))
    counted = await queries.lock_and_list_admins(session)

    emails = await session.scalars(select(User.email).where(User.id.in_(counted)))
    assert [address for address, _ in told] == [*emails] == ["admin@example.com"]
