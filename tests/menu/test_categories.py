"""Categories of the menu."""

from uuid import uuid4

import httpx2
import pytest

from factories.menu import Json, make_category, make_product
from fixtures.app import Clock

pytestmark = pytest.mark.anyio


async def test_a_new_category_has_all_it_was_given(manager: httpx2.AsyncClient) -> None:
    parent = await make_category(manager, "Напитки")
    body = {
        "name": "Холодный кофе",
        "slug": "iced",
        "description": "Со льдом",
        "parent_id": parent["id"],
        "position": 7,
        "is_active": False,
    }

    response = await manager.post("/category", json=body)

    made = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/category/{made['id']}"
    assert made == body | {
        "id": made["id"],
        "is_on_menu": False,
        "schedule": [],
        "image": None,
        "created_at": "2026-11-23T09:00:00.000000Z",
        "updated_at": "2026-11-23T09:00:00.000000Z",
    }


async def test_the_location_leads_to_it(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    response = await manager.post("/category", json={"name": "Чай"})

    assert (await client.get(response.headers["location"])).json() == response.json()


async def test_a_slug_is_made_of_the_name(manager: httpx2.AsyncClient) -> None:
    made = [await make_category(manager, name) for name in ("Щедрый ёж", "Щедрый ёж", "Щедрый ёж!", "★")]

    assert [category["slug"] for category in made] == [
        "shchedryi-ezh",
        "shchedryi-ezh-2",
        "shchedryi-ezh-3",
        "item",
    ]


async def test_a_slug_is_taken_once(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    await make_category(manager, slug="coffee")

    response = await manager.post("/category", json={"name": "Другой кофе", "slug": "coffee"})

    assert response.status_code == 409
    assert response.json()["code"] == "slug_taken"
    assert (await client.get("/categories")).json()["total"] == 1


async def test_a_slug_can_not_be_changed_to_a_taken_one(manager: httpx2.AsyncClient) -> None:
    await make_category(manager, slug="coffee")
    tea = await make_category(manager, "Чай")

    response = await manager.patch(f"/category/{tea['id']}", json={"slug": "coffee"})

    assert response.json()["code"] == "slug_taken"
    assert (await manager.get(f"/category/{tea['id']}")).json() == tea


WRONG: list[Json] = [
    {"name": ""},
    {"name": "x" * 121},
    {"name": "a\u0000b"},
    {"slug": "Кофе"},
    {"slug": "-a"},
    {"position": -1},
    {"position": True},
    {"position": 2**31},
    {"is_active": "yes"},
    {"is_active": None},
    {"parent_id": "root"},
    {"description": "x" * 2001},
    {"id": "00000000-0000-7000-8000-000000000000"},
]


async def test_refuses_what_is_not_a_category(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    answers = {str(wrong): await manager.post("/category", json={"name": "Кофе"} | wrong) for wrong in WRONG}

    assert {wrong: answer.status_code for wrong, answer in answers.items()} == dict.fromkeys(answers, 422)
    assert (await client.get("/categories")).json()["total"] == 0


async def test_refuses_an_unknown_parent(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    response = await manager.post("/category", json={"name": "Кофе", "parent_id": str(uuid4())})

    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["body", "parent_id"]
    assert (await client.get("/categories")).json()["total"] == 0


async def test_replacing_sets_what_is_left_out_to_its_default(manager: httpx2.AsyncClient, clock: Clock) -> None:
    parent = await make_category(manager, "Напитки")
    made = await make_category(
        manager, description="Горячий", parent_id=parent["id"], position=5, slug="coffee", is_active=False
    )
    clock.advance(minutes=1)

    replaced = (await manager.put(f"/category/{made['id']}", json={"name": "Чай"})).json()

    assert replaced == made | {
        "name": "Чай",
        "description": "",
        "parent_id": None,
        "position": 0,
        "is_active": True,
        "is_on_menu": True,
        "updated_at": "2026-11-23T09:01:00.000000Z",
    }


async def test_changing_leaves_the_rest(manager: httpx2.AsyncClient, clock: Clock) -> None:
    made = await make_category(manager, description="Горячий", position=5)
    clock.advance(minutes=1)

    changed = (await manager.patch(f"/category/{made['id']}", json={"position": 6})).json()

    assert changed == made | {"position": 6, "updated_at": "2026-11-23T09:01:00.000000Z"}


async def test_nothing_becomes_null_by_a_change(manager: httpx2.AsyncClient) -> None:
    made = await make_category(manager)

    response = await manager.patch(f"/category/{made['id']}", json={"name": None})

    assert response.status_code == 422
    assert (await manager.get(f"/category/{made['id']}")).json() == made


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_a_category_never_stands_under_itself(manager: httpx2.AsyncClient, depth: int) -> None:
    line = [await make_category(manager)]
    for _ in range(depth):
        line.append(await make_category(manager, parent_id=line[-1]["id"]))

    response = await manager.patch(f"/category/{line[0]['id']}", json={"parent_id": line[-1]["id"]})

    assert response.status_code == 409
    assert response.json()["code"] == "category_cycle"
    assert (await manager.get(f"/category/{line[0]['id']}")).json() == line[0]


async def test_a_category_moves_to_another_branch(manager: httpx2.AsyncClient) -> None:
    left, right = await make_category(manager, "Левая"), await make_category(manager, "Правая")
    child = await make_category(manager, parent_id=left["id"])

    moved = (await manager.patch(f"/category/{child['id']}", json={"parent_id": right["id"]})).json()

    assert moved["parent_id"] == right["id"]


async def test_an_empty_category_is_deleted(manager: httpx2.AsyncClient) -> None:
    made = await make_category(manager)

    response = await manager.delete(f"/category/{made['id']}")

    assert response.status_code == 204
    assert (await manager.get(f"/category/{made['id']}")).status_code == 404


async def test_a_category_with_products_stays(manager: httpx2.AsyncClient) -> None:
    made = await make_category(manager)
    product = await make_product(manager, category_ids=[made["id"]])

    response = await manager.delete(f"/category/{made['id']}")

    assert response.status_code == 409
    assert response.json()["code"] == "category_not_empty"
    assert (await manager.get(f"/product/{product['id']}")).json()["categories"] == product["categories"]


async def test_a_category_with_categories_stays(manager: httpx2.AsyncClient) -> None:
    made = await make_category(manager)
    child = await make_category(manager, parent_id=made["id"])

    response = await manager.delete(f"/category/{made['id']}")

    assert response.json()["code"] == "category_not_empty"
    assert (await manager.get(f"/category/{child['id']}")).json() == child


async def test_force_deletes_the_category_and_keeps_its_products(manager: httpx2.AsyncClient) -> None:
    made, other = await make_category(manager), await make_category(manager, "Новинки")
    product = await make_product(manager, category_ids=[made["id"], other["id"]])

    response = await manager.delete(f"/category/{made['id']}?force=true")

    left = (await manager.get(f"/product/{product['id']}")).json()["categories"]
    assert response.status_code == 204
    assert [category["id"] for category in left] == [other["id"]]


async def test_force_moves_the_categories_under_it_up(manager: httpx2.AsyncClient) -> None:
    top = await make_category(manager)
    middle = await make_category(manager, parent_id=top["id"])
    bottom = await make_category(manager, parent_id=middle["id"])

    await manager.delete(f"/category/{middle['id']}?force=true")

    assert (await manager.get(f"/category/{bottom['id']}")).json()["parent_id"] == top["id"]


async def test_a_deleted_product_does_not_hold_its_category(manager: httpx2.AsyncClient) -> None:
    made = await make_category(manager)
    product = await make_product(manager, category_ids=[made["id"]])
    await manager.delete(f"/product/{product['id']}")

    response = await manager.delete(f"/category/{made['id']}")

    assert response.status_code == 204


async def test_the_public_does_not_see_an_inactive_category(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    hidden = await make_category(manager, is_active=False)

    answers = [await someone.get(f"/category/{hidden['id']}") for someone in (client, customer, manager)]
    totals = [(await someone.get("/categories")).json()["total"] for someone in (client, customer, manager)]

    assert [answer.status_code for answer in answers] == [404, 404, 200]
    assert totals == [0, 0, 1]


async def test_what_is_hidden_looks_like_what_does_not_exist(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    hidden = await make_category(manager, is_active=False)
    headers = {"X-Request-ID": "same"}

    answers = [await client.get(f"/category/{id_}", headers=headers) for id_ in (hidden["id"], uuid4())]

    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_only_editors_change_categories(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, method: str
) -> None:
    made = await make_category(manager)
    body = None if method == "DELETE" else {"name": "Чай"}

    answers = [await someone.request(method, f"/category/{made['id']}", json=body) for someone in (client, customer)]

    assert [answer.status_code for answer in answers] == [401, 403]
    assert (await manager.get(f"/category/{made['id']}")).json() == made


async def test_only_editors_add_categories(client: httpx2.AsyncClient, customer: httpx2.AsyncClient) -> None:
    answers = [await someone.post("/category", json={"name": "Чай"}) for someone in (client, customer)]

    assert [answer.status_code for answer in answers] == [401, 403]
    assert (await client.get("/categories")).json()["total"] == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_what_does_not_exist_is_not_found(manager: httpx2.AsyncClient, method: str) -> None:
    body = {"name": "Чай"} if method in ("PUT", "PATCH") else None

    response = await manager.request(method, f"/category/{uuid4()}", json=body)

    assert response.status_code == 404


async def test_an_unchanged_category_is_not_sent_again(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    made = await make_category(manager)
    first = await client.get(f"/category/{made['id']}")

    again = await client.get(f"/category/{made['id']}", headers={"If-None-Match": first.headers["etag"]})

    assert again.status_code == 304
    assert again.content == b""
    assert first.headers["cache-control"] == "public, max-age=0, must-revalidate"


async def test_a_changed_category_is_sent_again(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    made = await make_category(manager)
    first = await client.get(f"/category/{made['id']}")
    await manager.patch(f"/category/{made['id']}", json={"name": "Чай"})

    again = await client.get(f"/category/{made['id']}", headers={"If-None-Match": first.headers["etag"]})

    assert again.json()["name"] == "Чай"
