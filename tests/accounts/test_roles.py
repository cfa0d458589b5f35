"""Roles and permissions."""

import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import PERMISSIONS
from crema.accounts.models import Role
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
JSON = {"Content-Type": "application/json"}
TRAINEE = {"name": "trainee", "description": "Sees orders, changes nothing.", "permissions": ["orders:read"]}


async def make(admin: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await admin.post("/role", json=TRAINEE | fields)
    assert answer.status_code == 201, answer.text
    role: dict[str, Any] = answer.json()
    return role


async def find(admin: httpx2.AsyncClient, name: str) -> dict[str, Any]:
    [role] = (await admin.get("/roles", params={"name": name})).json()["items"]
    found: dict[str, Any] = role
    return found


async def test_creates_a_role(admin: httpx2.AsyncClient) -> None:
    answer = await admin.post("/role", json=TRAINEE | {"permissions": ["orders:write", "orders:read"]})

    assert answer.status_code == 201
    role = answer.json()
    assert answer.headers["Location"] == f"/role/{role['id']}"
    assert role["permissions"] == ["orders:read", "orders:write"]
    assert (role["name"], role["description"], role["is_builtin"]) == ("trainee", TRAINEE["description"], False)
    assert (await admin.get(answer.headers["Location"])).json() == role


@pytest.mark.parametrize("role", ["user", "barista", "support", "manager"])
async def test_roles_are_for_administrators(log_in: LogIn, admin: httpx2.AsyncClient, role: str) -> None:
    other = await log_in("other@example.com", role=role)
    path = f"/role/{(await make(admin))['id']}"

    answers = [
        await other.get("/roles"),
        await other.get("/permissions"),
        await other.get(path),
        await other.post("/role", json=TRAINEE),
        await other.put(path, json=TRAINEE),
        await other.patch(path, json={"permissions": []}),
        await other.delete(path),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert (await find(admin, "trainee"))["permissions"] == ["orders:read"]


async def test_lists_the_built_in_roles(admin: httpx2.AsyncClient) -> None:
    page = (await admin.get("/roles?is_builtin=true")).json()

    assert [role["name"] for role in page["items"]] == ["admin", "barista", "manager", "support", "user"]
    assert page["items"][0]["permissions"] == sorted(PERMISSIONS)
    assert [r["name"] for r in (await admin.get("/roles?search=shops")).json()["items"]] == ["barista", "manager"]


async def test_lists_permissions(admin: httpx2.AsyncClient) -> None:
    page = (await admin.get("/permissions")).json()

    assert {item["code"]: item["description"] for item in page["items"]} == PERMISSIONS


@pytest.mark.parametrize(
    "fields",
    [
        {"permissions": ["coffee:drink"]}, {"permissions": ["orders:read"] * 2}, {"permissions": "orders:read"},
        {"permissions": None}, {"permissions": ["\u0000"]}, {"name": ""}, {"name": "x" * 61}, {"name": None},
        {"name": "a\u0000"}, {"is_builtin": True}, {"description": None},
    ],
    ids=str,
)  # fmt: skip
async def test_refuses_what_is_no_role(admin: httpx2.AsyncClient, fields: dict[str, Any]) -> None:
    path = f"/role/{(await make(admin))['id']}"

    answers = [
        await admin.post("/role", json=TRAINEE | {"name": "other"} | fields),
        await admin.put(path, json=TRAINEE | fields),
        await admin.patch(path, json=fields),
    ]

    assert [answer.status_code for answer in answers] == [422] * 3
    assert (await admin.get("/roles")).json()["total"] == 6
    assert (await find(admin, "trainee"))["permissions"] == ["orders:read"]


async def test_a_name_is_taken_once(admin: httpx2.AsyncClient) -> None:
    role = await make(admin)

    created = await admin.post("/role", json=TRAINEE | {"name": "barista"})
    renamed = await admin.patch(f"/role/{role['id']}", json={"name": "barista"})

    assert [(answer.status_code, answer.json()["code"]) for answer in (created, renamed)] == [(409, "role_exists")] * 2
    assert (await admin.get(f"/role/{role['id']}")).json() == role


async def test_replaces_a_role(admin: httpx2.AsyncClient) -> None:
    role = await make(admin)

    answer = await admin.put(f"/role/{role['id']}", json={"name": "стажёр"})

    changed = answer.json()
    assert (changed["name"], changed["description"], changed["permissions"]) == ("стажёр", "", [])
    assert changed["id"] == role["id"]


async def test_changes_only_what_is_sent(admin: httpx2.AsyncClient, clock: Clock) -> None:
    role = await make(admin)
    clock.advance(minutes=1)

    answer = await admin.patch(f"/role/{role['id']}", json={"permissions": ["menu:write"]})

    assert answer.json() == role | {"permissions": ["menu:write"], "updated_at": "2026-11-23T09:01:00.000000Z"}


async def test_a12_what_a_role_allows_counts_at_the_next_request(admin: httpx2.AsyncClient, log_in: LogIn) -> None:
    role = await make(admin)
    trainee = await log_in("trainee@example.com", role="trainee")
    assert (await trainee.post("/category", json={"name": "Чай"})).status_code == 403

    await admin.patch(f"/role/{role['id']}", json={"permissions": ["menu:write"]})
    assert (await trainee.post("/category", json={"name": "Чай"})).status_code == 201

    await admin.patch(f"/role/{role['id']}", json={"permissions": []})
    assert (await trainee.post("/category", json={"name": "Кофе"})).status_code == 403


@pytest.mark.parametrize("name", ["user", "barista", "support", "manager", "admin"])
async def test_built_in_roles_keep_their_names_and_stay(admin: httpx2.AsyncClient, name: str) -> None:
    role = await find(admin, name)
    path = f"/role/{role['id']}"

    answers = [
        await admin.patch(path, json={"name": "other"}),
        await admin.put(path, json=TRAINEE),
        await admin.delete(path),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(409, "builtin_role")}
    assert (await admin.get(path)).json() == role


async def test_administrators_keep_every_right(admin: httpx2.AsyncClient) -> None:
    role = await find(admin, "admin")

    refused = await admin.patch(f"/role/{role['id']}", json={"permissions": ["roles:write"]})
    same = await admin.patch(f"/role/{role['id']}", json={"permissions": role["permissions"], "description": "Всё."})

    assert (refused.status_code, refused.json()["code"]) == (409, "builtin_role")
    assert same.json()["description"] == "Всё."


async def test_other_built_in_roles_may_allow_more(admin: httpx2.AsyncClient, customer: httpx2.AsyncClient) -> None:
    role = await find(admin, "user")

    answer = await admin.patch(f"/role/{role['id']}", json={"permissions": ["menu:write"]})

    assert answer.json()["permissions"] == ["menu:write"]
    assert (await customer.post("/category", json={"name": "Чай"})).status_code == 201


async def test_a_role_somebody_has_stays(admin: httpx2.AsyncClient, log_in: LogIn) -> None:
    role = await make(admin)
    trainee = await log_in("trainee@example.com", role="trainee")

    refused = await admin.delete(f"/role/{role['id']}")

    assert (refused.status_code, refused.json()["code"]) == (409, "role_in_use")
    await admin.patch(f"/user/{trainee.person.id}", json={"role": "user"})
    assert (await admin.delete(f"/role/{role['id']}")).status_code == 204
    assert (await admin.get(f"/role/{role['id']}")).status_code == 404


async def test_an_unknown_role_is_not_there(admin: httpx2.AsyncClient) -> None:
    path = f"/role/{uuid4()}"

    answers = [
        await admin.get(path),
        await admin.put(path, json=TRAINEE),
        await admin.patch(path, json={}),
        await admin.delete(path),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4


async def test_a6_nobody_grants_what_they_don_t_have(
    admin: httpx2.AsyncClient, log_in: LogIn, session: AsyncSession
) -> None:
    own = await make(admin, name="clerk", permissions=["roles:write", "orders:read"])
    other = await make(admin, permissions=["menu:write"])
    clerk = await log_in("clerk@example.com", role="clerk")

    refused = [
        await clerk.post("/role", json={"name": "x", "permissions": ["users:write"]}),
        await clerk.patch(f"/role/{own['id']}", json={"permissions": ["roles:write", "users:write"]}),
        await clerk.patch(f"/role/{other['id']}", json={"permissions": []}),
        await clerk.delete(f"/role/{other['id']}"),
    ]

    assert [answer.status_code for answer in refused] == [403] * 4
    assert (await clerk.get("/me")).json()["permissions"] == ["orders:read", "roles:write"]
    assert (await clerk.post("/role", json={"name": "x", "permissions": ["orders:read"]})).status_code == 201


LOOK_ALIKES = [
    "Admin", "ADMIN", "admin\u200b", "\u2060admin", "adm\u00adin", "ad\ufe0fmin", "ａｄｍｉｎ", "𝐚𝐝𝐦𝐢𝐧", " admin ",
    "аdmin", "аԁмin", "ΑDΜΙΝ", "admın", "ᴀᴅᴍɪɴ", "ⓐⓓⓜⓘⓝ", "bаristа", "Suρροrt", "mаnаger", "uѕеr", "USЕR",
]  # fmt: skip


@pytest.mark.parametrize("name", LOOK_ALIKES, ids=ascii)
async def test_u6_a_role_that_reads_like_a_built_in_one(admin: httpx2.AsyncClient, name: str) -> None:
    other = await make(admin)

    made = await admin.post("/role", json=TRAINEE | {"name": name})
    renamed = await admin.patch(f"/role/{other['id']}", json={"name": name})

    assert (made.status_code, made.json()["code"]) == (409, "role_exists")
    assert (renamed.status_code, renamed.json()["code"]) == (409, "role_exists")
    assert (await admin.get(f"/role/{other['id']}")).json()["name"] == "trainee"


async def test_a_role_is_renamed_to_another_spelling_of_its_own_name(admin: httpx2.AsyncClient) -> None:
    role = await make(admin, name="старший бариста")

    assert (await admin.post("/role", json=TRAINEE | {"name": "Старший  Бариста"})).status_code == 409
    renamed = await admin.patch(f"/role/{role['id']}", json={"name": "Старший бариста"})
    assert renamed.json()["name"] == "Старший бариста"
    assert (await admin.post("/role", json=TRAINEE | {"name": "старший бариста"})).status_code == 409
    assert (await admin.post("/role", json=TRAINEE | {"name": "старший повар"})).status_code == 201


async def test_u6_the_database_itself_keeps_look_alikes_out(session: AsyncSession) -> None:
    session.add(Role(name="Аdmin"))

    with pytest.raises(IntegrityError, match="uq_roles_name_skeleton"):
        await session.flush()


@pytest.mark.parametrize("role", ["\x00", "\ud800", "admin\u202e", "x" * 61], ids=ascii)
async def test_a_role_that_can_t_be_a_role_is_refused(admin: httpx2.AsyncClient, log_in: LogIn, role: str) -> None:
    await log_in("other@example.com")
    [other] = (await admin.get("/users", params={"email": "other@example.com"})).json()["items"]

    answer = await admin.patch(f"/user/{other['id']}", content=json.dumps({"role": role}).encode(), headers=JSON)

    assert answer.status_code == 422
