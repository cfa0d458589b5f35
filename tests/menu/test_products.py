"""Products: what they are made of, how they change, and who sees them."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.menu.models import Product
from factories.menu import NUTRITION, Json, make_category, make_group, make_ingredient, make_product
from fixtures.app import Clock

pytestmark = pytest.mark.anyio


async def seen(client: httpx2.AsyncClient, product: Json) -> Json:
    response = await client.get(f"/product/{product['id']}")
    assert response.status_code == 200
    found: Json = response.json()
    return found


async def make_rich(manager: httpx2.AsyncClient) -> Json:
    """Make a product that has something in every field."""
    category, ingredient, group = (
        await make_category(manager),
        await make_ingredient(manager),
        await make_group(manager, free_quantity=1),
    )
    return await make_product(
        manager,
        slug="latte",
        description="Эспрессо\nи молоко",
        category_ids=[category["id"]],
        position=5,
        sizes=[{"name": "S", "volume_ml": 250}, {"name": "M", "volume_ml": 350, "price_delta": 40}],
        modifier_group_ids=[group["id"]],
        allergens=["milk", "nuts"],
        nutrition={"energy_kcal": 150, "proteins_g": 8.5, "fats_g": 7, "carbohydrates_g": 12, "caffeine_mg": 75},
        ingredient_ids=[ingredient["id"]],
        preparation_seconds=120,
        is_active=False,
    )


async def test_a_new_product_has_all_it_was_given(manager: httpx2.AsyncClient) -> None:
    category, ingredient = await make_category(manager), await make_ingredient(manager)
    group = await make_group(manager)
    body = {
        "name": "Латте",
        "price": 250,
        "slug": "latte",
        "description": "Эспрессо\nи молоко",
        "category_ids": [category["id"]],
        "position": 5,
        "sizes": [
            {"name": "S", "volume_ml": 250, "nutrition": NUTRITION},
            {"name": "M", "price_delta": "40.5", "is_default": True},
        ],
        "modifier_group_ids": [group["id"]],
        "allergens": ["milk"],
        "nutrition": {"energy_kcal": 150, "proteins_g": 8.5, "fats_g": 7, "carbohydrates_g": 12},
        "ingredient_ids": [ingredient["id"]],
        "preparation_seconds": 120,
    }

    response = await manager.post("/product", json=body)

    made = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/product/{made['id']}"
    assert made == {
        "id": made["id"],
        "slug": "latte",
        "name": "Латте",
        "description": "Эспрессо\nи молоко",
        "price": "250.00",
        "is_active": True,
        "is_on_menu": True,
        "position": 5,
        "categories": [{"id": category["id"], "slug": "kofe", "name": "Кофе"}],
        "sizes": [
            {
                "id": made["sizes"][0]["id"],
                "name": "S",
                "volume_ml": 250,
                "price_delta": "0.00",
                "is_default": False,
                "nutrition": NUTRITION,
            },
            {
                "id": made["sizes"][1]["id"],
                "name": "M",
                "volume_ml": None,
                "price_delta": "40.50",
                "is_default": True,
                "nutrition": None,
            },
        ],
        "modifier_groups": [
            {
                "id": group["id"],
                "name": "Молоко",
                "min_choices": 0,
                "max_choices": 1,
                "free_quantity": 0,
                "options": group["options"],
            }
        ],
        "images": [],
        "allergens": ["milk"],
        "allergens_always": None,
        "nutrition": {
            "energy_kcal": 150,
            "proteins_g": 8.5,
            "fats_g": 7,
            "carbohydrates_g": 12,
            "caffeine_mg": None,
        },
        "ingredients": [{"id": ingredient["id"], "name": "Молоко"}],
        "preparation_seconds": 120,
        "schedule": [],
        "availability": None,
        "created_at": "2026-11-23T09:00:00.000000Z",
        "updated_at": "2026-11-23T09:00:00.000000Z",
    }


async def test_everyone_sees_what_the_editor_made(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    made = await make_product(manager, sizes=[{"name": "S"}])

    assert [await seen(someone, made) for someone in (client, customer, manager)] == [made] * 3


async def test_slugs_are_made_of_names_and_kept(manager: httpx2.AsyncClient) -> None:
    first, second = await make_product(manager, "Флэт Уайт"), await make_product(manager, "Флэт Уайт")

    renamed = (await manager.patch(f"/product/{second['id']}", json={"name": "Раф"})).json()

    assert [first["slug"], second["slug"], renamed["slug"]] == ["flet-uait", "flet-uait-2", "flet-uait-2"]


async def test_a_slug_is_taken_once(manager: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    await make_product(manager, slug="latte")

    response = await manager.post("/product", json={"name": "Раф", "price": 300, "slug": "latte"})

    assert response.status_code == 409
    assert response.json()["code"] == "slug_taken"
    assert (await client.get("/products")).json()["total"] == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_slug_can_not_be_changed_to_a_taken_one(manager: httpx2.AsyncClient, method: str) -> None:
    await make_product(manager, slug="latte")
    other = await make_product(manager, "Раф")

    response = await manager.request(
        method, f"/product/{other['id']}", json={"name": "Раф", "price": 1, "slug": "latte"}
    )

    assert response.json()["code"] == "slug_taken"
    assert await seen(manager, other) == other


WRONG: list[tuple[Json, list[str | int]]] = [
    ({"name": "  "}, ["body", "name"]),
    ({"name": None}, ["body", "name"]),
    ({"price": -1}, ["body", "price"]),
    ({"price": "1.005"}, ["body", "price"]),
    ({"price": "1e3"}, ["body", "price"]),
    ({"price": True}, ["body", "price"]),
    ({"price": 10_000_000}, ["body", "price"]),
    ({"slug": "a b"}, ["body", "slug"]),
    ({"allergens": ["milk", "milk"]}, ["body", "allergens"]),
    ({"allergens": ["cats"]}, ["body", "allergens", 0]),
    ({"nutrition": {"energy_kcal": 1, "proteins_g": 1, "fats_g": 1}}, ["body", "nutrition", "carbohydrates_g"]),
    ({"preparation_seconds": 7201}, ["body", "preparation_seconds"]),
    ({"preparation_seconds": "90"}, ["body", "preparation_seconds"]),
    ({"preparation_seconds": 1.5}, ["body", "preparation_seconds"]),
    ({"position": 2**31}, ["body", "position"]),
    ({"sizes": [{"name": "S"}, {"name": "S"}]}, ["body", "sizes"]),
    ({"sizes": [{"name": "S", "is_default": True}, {"name": "M", "is_default": True}]}, ["body", "sizes"]),
    ({"sizes": [{"name": "S", "price_delta": "-1.001"}]}, ["body", "sizes", 0, "price_delta"]),
    ({"sizes": [{"name": "S", "volume_ml": 0}]}, ["body", "sizes", 0, "volume_ml"]),
    ({"sizes": [{"name": "S", "volume_ml": 2**31}]}, ["body", "sizes", 0, "volume_ml"]),
    ({"sizes": None}, ["body", "sizes"]),
    ({"images": []}, ["body", "images"]),
    ({"archived_at": None}, ["body", "archived_at"]),
    ({"modifier_group_ids": [str(uuid4())], "modifier_groups": [{"group_id": str(uuid4())}]}, ["body"]),
]


async def test_refuses_what_is_not_a_product_and_says_where(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    found = {}
    for wrong, _ in WRONG:
        response = await manager.post("/product", json={"name": "Латте", "price": "250.00"} | wrong)
        found[str(wrong)] = (response.status_code, [error["loc"] for error in response.json()["errors"]])

    assert found == {str(wrong): (422, [loc]) for wrong, loc in WRONG}
    assert (await client.get("/products")).json()["total"] == 0


OTHER_NUTRITION = NUTRITION | {"energy_kcal": 97}


async def test_the_default_size_has_the_product_s_nutrition_or_says_none(manager: httpx2.AsyncClient) -> None:
    """Two figures for one thing, in one request or with what is there, are refused: one of them would be wrong."""
    own = {"name": "S", "nutrition": NUTRITION}
    made = await make_product(manager, sizes=[own, {"name": "L"}], nutrition=NUTRITION)
    small, large = made["sizes"]
    path = f"/product/{made['id']}"

    refused = [
        await manager.post("/product", json={"name": "Раф", "price": 1, "sizes": [own], "nutrition": OTHER_NUTRITION}),
        await manager.put(path, json=made | {"nutrition": OTHER_NUTRITION}),
        await manager.patch(path, json={"nutrition": OTHER_NUTRITION}),
        await manager.patch(path, json={"sizes": [small | {"nutrition": OTHER_NUTRITION}, large]}),
        await manager.patch(
            path,
            json={"sizes": [small | {"is_default": False}, large | {"is_default": True, "nutrition": OTHER_NUTRITION}]},
        ),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(422, "contradictory_nutrition")] * 5
    assert [answer.json()["size"] for answer in refused] == ["S", "S", "S", "S", "L"]
    assert await seen(manager, made) == made

    both = {"nutrition": OTHER_NUTRITION, "sizes": [small | {"nutrition": None}, large]}
    changed = (await manager.patch(path, json=both)).json()
    assert (changed["nutrition"]["energy_kcal"], changed["sizes"][0]["nutrition"]) == (97.0, None)
    assert (await manager.patch(path, json={"nutrition": NUTRITION})).status_code == 200


async def test_refuses_nutrition_that_is_not_an_amount(manager: httpx2.AsyncClient) -> None:
    found = {}
    for amount in ("NaN", "Infinity", "-1", '"1"', "true", "1e309", "100001"):
        nutrition = f'{{"energy_kcal": {amount}, "proteins_g": 1, "fats_g": 1, "carbohydrates_g": 1}}'
        content = f'{{"name": "Латте", "price": 1, "nutrition": {nutrition}}}'
        response = await manager.post("/product", content=content, headers={"Content-Type": "application/json"})
        found[amount] = response.status_code

    assert found == dict.fromkeys(found, 422)


@pytest.mark.parametrize("field", ["category_ids", "ingredient_ids", "modifier_group_ids"])
async def test_unknown_ids_are_named_at_their_place(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient, field: str
) -> None:
    makers: dict[str, Any] = {
        "category_ids": make_category,
        "ingredient_ids": make_ingredient,
        "modifier_group_ids": make_group,
    }
    known = await makers[field](manager)

    response = await manager.post("/product", json={"name": "Латте", "price": 250, field: [known["id"], str(uuid4())]})

    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["errors"]] == [["body", field, 1]]
    assert (await client.get("/products")).json()["total"] == 0


@pytest.mark.parametrize("field", ["category_ids", "ingredient_ids", "modifier_group_ids"])
async def test_nothing_is_named_twice(manager: httpx2.AsyncClient, field: str) -> None:
    id_ = str(uuid4())

    response = await manager.post("/product", json={"name": "Латте", "price": 250, field: [id_, id_]})

    assert [error["loc"] for error in response.json()["errors"]] == [["body", field]]


async def test_a4_a_size_of_another_product_is_unknown(manager: httpx2.AsyncClient) -> None:
    other = await make_product(manager, sizes=[{"name": "S"}])
    made = await make_product(manager, sizes=[{"name": "S"}])

    response = await manager.patch(
        f"/product/{made['id']}", json={"sizes": [{"id": other["sizes"][0]["id"], "name": "XL"}]}
    )

    assert [error["loc"] for error in response.json()["errors"]] == [["body", "sizes", 0, "id"]]
    assert [await seen(manager, each) for each in (other, made)] == [other, made]


async def test_replacing_sets_what_is_left_out_to_its_default(manager: httpx2.AsyncClient, clock: Clock) -> None:
    rich = await make_rich(manager)
    clock.advance(minutes=1)

    replaced = (await manager.put(f"/product/{rich['id']}", json={"name": "Раф", "price": 300})).json()

    assert replaced == rich | {
        "name": "Раф",
        "price": "300.00",
        "description": "",
        "is_active": True,
        "is_on_menu": True,
        "position": 0,
        "categories": [],
        "sizes": [],
        "modifier_groups": [],
        "allergens": [],
        "nutrition": None,
        "ingredients": [],
        "preparation_seconds": 90,
        "schedule": [],
        "updated_at": "2026-11-23T09:01:00.000000Z",
    }


async def test_replacing_needs_what_creating_needs(manager: httpx2.AsyncClient) -> None:
    made = await make_product(manager)

    response = await manager.put(f"/product/{made['id']}", json={"name": "Раф"})

    assert response.status_code == 422
    assert await seen(manager, made) == made


CHANGES: list[tuple[Json, Json]] = [
    ({}, {}),
    ({"price": "270"}, {"price": "270.00"}),
    ({"is_active": True}, {"is_active": True, "is_on_menu": True}),
    ({"nutrition": None}, {"nutrition": None}),
    ({"allergens": []}, {"allergens": []}),
    ({"allergens_always": []}, {"allergens_always": []}),
    ({"category_ids": []}, {"categories": []}),
    ({"sizes": []}, {"sizes": []}),
    ({"modifier_group_ids": []}, {"modifier_groups": []}),
    ({"modifier_groups": []}, {"modifier_groups": []}),
    ({"ingredient_ids": []}, {"ingredients": []}),
    ({"slug": None}, {}),
]


async def test_changing_leaves_the_rest(manager: httpx2.AsyncClient, clock: Clock) -> None:
    rich = await make_rich(manager)
    expected, found = [], []

    for change, shown in CHANGES:
        clock.advance(minutes=1)
        rich |= shown | {"updated_at": f"{clock():%Y-%m-%dT%H:%M:%S.%fZ}"}
        expected.append(dict(rich))
        found.append((await manager.patch(f"/product/{rich['id']}", json=change)).json())

    assert found == expected


async def test_changing_keeps_the_sizes_that_are_named(manager: httpx2.AsyncClient) -> None:
    made = await make_product(manager, sizes=[{"name": "S"}, {"name": "M", "is_default": True}, {"name": "L"}])
    small, medium, _ = made["sizes"]

    changed = await manager.patch(
        f"/product/{made['id']}",
        json={"sizes": [{"name": "XL"}, {"id": medium["id"], "name": "S"}, {"id": small["id"], "name": "M"}]},
    )

    sizes = changed.json()["sizes"]
    assert [size["name"] for size in sizes] == ["XL", "S", "M"]
    assert [size["id"] for size in sizes[1:]] == [medium["id"], small["id"]]
    assert [size["is_default"] for size in sizes] == [True, False, False]


async def test_sizes_without_ids_replace_those_of_the_same_names(manager: httpx2.AsyncClient) -> None:
    made = await make_product(manager, sizes=[{"name": "S"}, {"name": "M"}])

    changed = await manager.patch(f"/product/{made['id']}", json={"sizes": [{"name": "M"}, {"name": "S"}]})

    sizes = changed.json()["sizes"]
    assert [size["name"] for size in sizes] == ["M", "S"]
    assert {size["id"] for size in sizes}.isdisjoint({size["id"] for size in made["sizes"]})


async def test_a_product_sets_limits_of_its_own(manager: httpx2.AsyncClient) -> None:
    milk, syrup = await make_group(manager), await make_group(manager, "Сироп", max_choices=2)

    made = await make_product(
        manager, modifier_groups=[{"group_id": syrup["id"], "min_choices": 1}, {"group_id": milk["id"]}]
    )

    groups = made["modifier_groups"]
    assert [group["id"] for group in groups] == [syrup["id"], milk["id"]]
    assert [(group["min_choices"], group["max_choices"]) for group in groups] == [(1, 2), (0, 1)]


@pytest.mark.parametrize("limits", [{"min_choices": 2}, {"min_choices": 3, "max_choices": 3}])
async def test_limits_nobody_can_keep_are_refused(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient, limits: Json
) -> None:
    group = await make_group(manager)

    response = await manager.post(
        "/product", json={"name": "Латте", "price": 1, "modifier_groups": [{"group_id": group["id"]} | limits]}
    )

    assert response.status_code == 422
    assert response.json()["code"] == "invalid_modifier_group"
    assert response.json()["group"] == "Молоко"
    assert (await client.get("/products")).json()["total"] == 0


async def test_a_deleted_product_is_gone_for_everyone(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    made = await make_product(manager)

    response = await manager.delete(f"/product/{made['id']}")

    assert response.status_code == 204
    for method, body in [("GET", None), ("PUT", {"name": "x", "price": 1}), ("PATCH", {"price": 1}), ("DELETE", None)]:
        assert (await manager.request(method, f"/product/{made['id']}", json=body)).status_code == 404
    assert [(await each.get("/products")).json()["total"] for each in (client, manager)] == [0, 0]


async def test_a_deleted_product_stays_for_orders_and_frees_its_slug(
    manager: httpx2.AsyncClient, session: AsyncSession
) -> None:
    made = await make_product(manager, slug="latte")

    await manager.delete(f"/product/{made['id']}")
    again = await make_product(manager, slug="latte")

    kept = await session.scalar(select(Product).where(Product.id == UUID(made["id"])))
    assert kept is not None
    assert kept.archived_at is not None
    assert again["slug"] == "latte"


async def test_the_public_does_not_see_an_inactive_product(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    hidden = await make_product(manager, is_active=False)

    answers = [await someone.get(f"/product/{hidden['id']}") for someone in (client, customer, manager)]
    totals = [(await someone.get("/products")).json()["total"] for someone in (client, customer, manager)]

    assert [answer.status_code for answer in answers] == [404, 404, 200]
    assert totals == [0, 0, 1]


async def test_what_is_hidden_looks_like_what_does_not_exist(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    hidden = await make_product(manager, is_active=False)
    headers = {"X-Request-ID": "same"}

    answers = [await client.get(f"/product/{id_}", headers=headers) for id_ in (hidden["id"], uuid4())]

    assert answers[0].content == answers[1].content


async def test_inside_a_product_the_public_sees_nothing_inactive(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    shown, hidden = await make_category(manager), await make_category(manager, "Тайна", is_active=False)
    group = await make_group(manager, options=[{"name": "Обычное"}, {"name": "Миндальное", "is_active": False}])
    made = await make_product(manager, category_ids=[shown["id"], hidden["id"]], modifier_group_ids=[group["id"]])

    for product in (await seen(client, made), (await client.get("/products")).json()["items"][0]):
        assert [category["name"] for category in product["categories"]] == ["Кофе"]
        assert [option["name"] for option in product["modifier_groups"][0]["options"]] == ["Обычное"]
    assert {category["name"] for category in made["categories"]} == {"Кофе", "Тайна"}
    assert len((await seen(manager, made))["modifier_groups"][0]["options"]) == 2


async def test_f1_the_public_can_not_ask_what_stands_in_a_hidden_category(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    hidden = await make_category(manager, is_active=False)
    await make_product(manager, category_ids=[hidden["id"]])

    totals = [
        (await someone.get("/products", params={"category_id": hidden["id"]})).json()["total"]
        for someone in (client, manager)
    ]

    assert totals == [0, 1]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_only_editors_write(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, method: str
) -> None:
    made = await make_product(manager)
    path = "/product" if method == "POST" else f"/product/{made['id']}"
    body = None if method == "DELETE" else {"name": "Раф", "price": 1}

    answers = [await someone.request(method, path, json=body) for someone in (client, customer)]

    assert [answer.status_code for answer in answers] == [401, 403]
    assert (await client.get("/products")).json()["items"] == [made]


async def test_t13_an_unverified_editor_is_like_the_public(log_in: Any, manager: httpx2.AsyncClient) -> None:
    unverified = await log_in("new@example.com", role="manager", is_verified=False)
    hidden = await make_product(manager, is_active=False)

    assert (await unverified.get(f"/product/{hidden['id']}")).status_code == 404
    assert (await unverified.patch(f"/product/{hidden['id']}", json={"price": 1})).status_code == 403


@pytest.mark.parametrize("path", ["/products", "/product/{id}"])
async def test_what_did_not_change_is_not_sent_again(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, path: str
) -> None:
    made = await make_product(manager)
    url = path.format(id=made["id"])
    first = await client.get(url)

    same = await client.get(url, headers={"If-None-Match": first.headers["etag"]})
    await manager.patch(f"/product/{made['id']}", json={"price": 1})
    other = await client.get(url, headers={"If-None-Match": first.headers["etag"]})

    assert (same.status_code, same.content) == (304, b"")
    assert other.status_code == 200


async def test_c7_what_editors_see_is_not_for_shared_caches(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    made = await make_product(manager)

    answers = [await someone.get(f"/product/{made['id']}") for someone in (client, manager)]

    assert [answer.headers["cache-control"].split(",")[0] for answer in answers] == ["public", "private"]
    assert all("Authorization" in answer.headers["vary"] for answer in answers)


async def test_a_list_s_tag_tells_apart_what_was_asked_who_asked_and_what_changed(
    manager: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    group = await make_group(manager)
    product = await make_product(manager, modifier_group_ids=[group["id"]])

    tags = [
        (await who.get(url)).headers["etag"]
        for who, url in ((client, "/products"), (client, "/products?page=1"), (manager, "/products"))
    ]
    same = await client.get("/products", headers={"If-None-Match": tags[0]})
    await manager.patch(f"/modifier-group/{group['id']}", json={"name": "Сиропы"})
    other = await client.get("/products", headers={"If-None-Match": tags[0]})

    assert len(set(tags)) == 3
    assert (same.status_code, same.content) == (304, b"")
    assert other.json()["items"][0]["modifier_groups"][0]["name"] == "Сиропы"
    assert product["id"] == other.json()["items"][0]["id"]
