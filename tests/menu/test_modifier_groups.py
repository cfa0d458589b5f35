"""Modifier groups and their options."""

from uuid import uuid4

import httpx2
import pytest

from factories.menu import NUTRITION, Json, make_group, make_ingredient, make_product
from fixtures.app import Clock

pytestmark = pytest.mark.anyio
NOTHING = "00000000-0000-7000-8000-000000000000"


async def seen(manager: httpx2.AsyncClient, group: Json) -> Json:
    found: Json = (await manager.get(f"/modifier-group/{group['id']}")).json()
    return found


async def test_a_new_group_has_all_it_was_given(manager: httpx2.AsyncClient) -> None:
    oats = await make_ingredient(manager, "Овёс")
    body = {
        "name": "Сироп",
        "min_choices": 1,
        "max_choices": 4,
        "free_quantity": 1,
        "options": [
            {
                "name": "Ваниль",
                "price_delta": "40",
                "size_prices": [{"size_name": "L", "price_delta": 60}],
                "max_quantity": 4,
                "is_default": True,
                "nutrition": NUTRITION,
                "size_nutrition": [{"size_name": "L", "nutrition": NUTRITION | {"energy_kcal": 186}}],
            },
            {"name": "Овсяный", "is_active": False, "allergens": ["gluten"], "ingredient_ids": [oats["id"]]},
        ],
    }

    response = await manager.post("/modifier-group", json=body)

    made = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/modifier-group/{made['id']}"
    assert made == {
        "id": made["id"],
        "name": "Сироп",
        "min_choices": 1,
        "max_choices": 4,
        "free_quantity": 1,
        "options": [
            {
                "id": made["options"][0]["id"],
                "name": "Ваниль",
                "price_delta": "40.00",
                "size_prices": [{"size_name": "L", "price_delta": "60.00"}],
                "max_quantity": 4,
                "is_default": True,
                "is_active": True,
                "allergens": [],
                "nutrition": NUTRITION,
                "size_nutrition": [{"size_name": "L", "nutrition": NUTRITION | {"energy_kcal": 186.0}}],
                "ingredients": [],
                "availability": None,
            },
            {
                "id": made["options"][1]["id"],
                "name": "Овсяный",
                "price_delta": "0.00",
                "size_prices": [],
                "max_quantity": 1,
                "is_default": False,
                "is_active": False,
                "allergens": ["gluten"],
                "nutrition": None,
                "size_nutrition": [],
                "ingredients": [oats],
                "availability": None,
            },
        ],
        "created_at": "2026-11-23T09:00:00.000000Z",
        "updated_at": "2026-11-23T09:00:00.000000Z",
    }
    assert await seen(manager, made) == made


BROKEN: list[Json] = [
    {"min_choices": 2, "max_choices": 1},
    {"min_choices": 1, "options": []},
    {"min_choices": 1, "options": [{"name": "Овсяное", "is_active": False}]},
    {"min_choices": 3, "max_choices": 3, "options": [{"name": "Овсяное", "max_quantity": 2}]},
    {"options": [{"name": "Обычное", "is_default": True}, {"name": "Овсяное", "is_default": True}]},
]


async def test_a_group_nobody_can_choose_from_is_refused_by_its_name(manager: httpx2.AsyncClient) -> None:
    answers = [await manager.post("/modifier-group", json={"name": "Молоко"} | broken) for broken in BROKEN]

    assert {answer.status_code for answer in answers} == {422}
    assert {answer.json()["code"] for answer in answers} == {"invalid_modifier_group"}
    assert {answer.json()["group"] for answer in answers} == {"Молоко"}
    assert (await manager.get("/modifier-groups")).json()["total"] == 0


WRONG: list[Json] = [
    {"max_choices": 0},
    {"max_choices": 51},
    {"min_choices": -1},
    {"min_choices": "1"},
    {"max_choices": True},
    {"free_quantity": 1.5},
    {"free_quantity": 51},
    {"options": [{"name": "Овсяное", "max_quantity": 0}]},
    {"options": [{"name": "Овсяное", "max_quantity": 21}]},
    {"options": [{"name": "Овсяное", "max_quantity": 10**9}]},
    {"options": [{"name": "Овсяное", "price_delta": "-1.001"}]},
    {"options": [{"name": "Овсяное", "allergens": ["cats"]}]},
    {"options": [{"name": "Овсяное"}, {"name": "Овсяное"}]},
    {"options": [{"name": "Овсяное", "id": NOTHING}]},
    {"options": [{"name": "Овсяное", "ingredient_ids": [NOTHING]}]},
    {"options": [{"name": "Овсяное", "price": 1}]},
]


async def test_refuses_what_is_not_a_group(manager: httpx2.AsyncClient) -> None:
    answers = {str(wrong): await manager.post("/modifier-group", json={"name": "Молоко"} | wrong) for wrong in WRONG}

    assert {wrong: answer.status_code for wrong, answer in answers.items()} == dict.fromkeys(answers, 422)
    assert (await manager.get("/modifier-groups")).json()["total"] == 0


async def test_replacing_keeps_the_options_that_are_named(manager: httpx2.AsyncClient, clock: Clock) -> None:
    made = await make_group(manager, max_choices=2, free_quantity=1)
    plain, oat = made["options"]
    clock.advance(minutes=1)

    response = await manager.put(
        f"/modifier-group/{made['id']}",
        json={"name": "Основа", "options": [{"name": "Кокосовое"}, {"id": oat["id"], "name": "Овсяное+"}]},
    )

    replaced = response.json()
    assert [option["name"] for option in replaced["options"]] == ["Кокосовое", "Овсяное+"]
    assert replaced["options"][1] == oat | {"name": "Овсяное+", "price_delta": "0.00"}
    assert plain["id"] not in {option["id"] for option in replaced["options"]}
    assert [replaced[name] for name in ("name", "max_choices", "free_quantity", "updated_at")] == [
        "Основа",
        1,
        0,
        "2026-11-23T09:01:00.000000Z",
    ]


async def test_changing_leaves_the_rest(manager: httpx2.AsyncClient, clock: Clock) -> None:
    made = await make_group(manager)
    clock.advance(minutes=1)

    response = await manager.patch(f"/modifier-group/{made['id']}", json={"max_choices": 2})

    assert response.json() == made | {"max_choices": 2, "updated_at": "2026-11-23T09:01:00.000000Z"}


@pytest.mark.parametrize(
    "change",
    [
        {"min_choices": 3},
        {"options": [], "min_choices": 1},
        {"options": [{"id": NOTHING, "name": "x"}]},
    ],
)
async def test_a_refused_change_changes_nothing(manager: httpx2.AsyncClient, change: Json) -> None:
    made = await make_group(manager)

    response = await manager.patch(f"/modifier-group/{made['id']}", json=change)

    assert response.status_code == 422
    assert await seen(manager, made) == made


async def test_a4_an_option_of_another_group_is_unknown(manager: httpx2.AsyncClient) -> None:
    made, other = await make_group(manager), await make_group(manager, "Сироп")

    response = await manager.patch(
        f"/modifier-group/{made['id']}", json={"options": [{"id": other["options"][0]["id"], "name": "Моё"}]}
    )

    assert [error["loc"] for error in response.json()["errors"]] == [["body", "options", 0, "id"]]
    assert [await seen(manager, each) for each in (made, other)] == [made, other]


async def test_a_change_that_breaks_a_products_own_limits_is_refused(manager: httpx2.AsyncClient) -> None:
    made = await make_group(manager)
    await make_product(manager, modifier_groups=[{"group_id": made["id"], "min_choices": 2, "max_choices": 2}])

    response = await manager.patch(
        f"/modifier-group/{made['id']}", json={"options": [{"name": "Обычное", "max_quantity": 1}]}
    )

    assert response.status_code == 422
    assert response.json()["group"] == "Молоко"
    assert await seen(manager, made) == made


async def test_a_deleted_products_limits_do_not_count(manager: httpx2.AsyncClient) -> None:
    made = await make_group(manager)
    product = await make_product(
        manager, modifier_groups=[{"group_id": made["id"], "min_choices": 2, "max_choices": 2}]
    )
    await manager.delete(f"/product/{product['id']}")

    response = await manager.patch(f"/modifier-group/{made['id']}", json={"options": [{"name": "Обычное"}]})

    assert response.status_code == 200


async def test_a_group_that_products_offer_stays(manager: httpx2.AsyncClient) -> None:
    made = await make_group(manager)
    product = await make_product(manager, modifier_group_ids=[made["id"]])

    response = await manager.delete(f"/modifier-group/{made['id']}")

    assert (response.status_code, response.json()["code"]) == (409, "modifier_group_in_use")
    assert [each["id"] for each in (await manager.get(f"/product/{product['id']}")).json()["modifier_groups"]] == [
        made["id"]
    ]


async def test_a_deleted_product_does_not_hold_its_groups(manager: httpx2.AsyncClient) -> None:
    made = await make_group(manager)
    product = await make_product(manager, modifier_group_ids=[made["id"]])
    await manager.delete(f"/product/{product['id']}")

    assert (await manager.delete(f"/modifier-group/{made['id']}")).status_code == 204


async def test_with_force_products_lose_a_deleted_group(manager: httpx2.AsyncClient) -> None:
    made = await make_group(manager)
    product = await make_product(manager, modifier_group_ids=[made["id"]])

    response = await manager.delete(f"/modifier-group/{made['id']}", params={"force": True})

    assert response.status_code == 204
    assert (await manager.get(f"/modifier-group/{made['id']}")).status_code == 404
    assert (await manager.get(f"/product/{product['id']}")).json()["modifier_groups"] == []


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_what_does_not_exist_is_not_found(manager: httpx2.AsyncClient, method: str) -> None:
    body = {"name": "Молоко"} if method in ("PUT", "PATCH") else None

    response = await manager.request(method, f"/modifier-group/{uuid4()}", json=body)

    assert response.status_code == 404


async def test_groups_by_themselves_are_for_editors(
    client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    made = await make_group(manager)
    path = f"/modifier-group/{made['id']}"
    requests = [
        ("GET", "/modifier-groups", None),
        ("GET", path, None),
        ("POST", "/modifier-group", {"name": "Сироп"}),
        ("PUT", path, {"name": "Сироп"}),
        ("PATCH", path, {"name": "Сироп"}),
        ("DELETE", path, None),
    ]

    answers = [
        [(await someone.request(method, where, json=body)).status_code for method, where, body in requests]
        for someone in (client, customer)
    ]

    assert answers == [[401] * 6, [403] * 6]
    assert (await manager.get("/modifier-groups")).json()["items"] == [made]
