"""Lists of the menu: what each may be asked, in what order it comes, and what that costs."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from crema.db.driver import READ_SETTINGS, SEARCH_SETTINGS, PoolReader, open_pool
from crema.web.state import DatabaseState
from factories.menu import (
    Json,
    add_image,
    make_category,
    make_group,
    make_ingredient,
    make_product,
)
from fixtures.app import Clock, change_state, connect
from fixtures.statements import recorded

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]


async def names(client: httpx2.AsyncClient, path: str, **parameters: Any) -> list[str]:
    response = await client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return [item["name"] for item in response.json()["items"]]


@pytest.fixture
async def menu(manager: httpx2.AsyncClient, clock: Clock) -> Json:
    """Make two categories and, a minute apart, four products."""
    coffee = await make_category(manager, "Кофе")
    tea = await make_category(manager, "Чай", parent_id=coffee["id"], description="Чёрный и зелёный")
    for fields in (
        {"name": "Латте", "price": "250.00", "position": 1, "description": "С молоком"},
        {"name": "Ёжик", "price": "90.50", "position": 2, "category_ids": [coffee["id"], tea["id"]]},
        {"name": "Жасмин", "price": "200.00", "position": 1, "category_ids": [tea["id"]]},
        {"name": "Еловый", "price": "300.00", "position": 0, "is_active": False},
    ):
        await make_product(manager, **fields)
        clock.advance(minutes=1)
    return {"coffee": coffee["id"], "tea": tea["id"]}


async def test_products_come_by_position_and_name(menu: Json, client: httpx2.AsyncClient) -> None:
    assert await names(client, "/products") == ["Жасмин", "Латте", "Ёжик"]


ASKED: list[tuple[dict[str, str], list[str]]] = [
    ({"name": "Латте"}, ["Латте"]),
    ({"name__icontains": "ЕЖ"}, ["Ёжик"]),
    ({"name__istartswith": "ё"}, ["Ёжик"]),
    ({"slug": "latte"}, ["Латте"]),
    ({"price__gte": "200", "price__lt": "250"}, ["Жасмин"]),
    ({"price__between": "90.5,200"}, ["Жасмин", "Ёжик"]),
    ({"position": "1"}, ["Жасмин", "Латте"]),
    ({"position__in": "0,2"}, ["Ёжик"]),
    ({"created_at__gt": "2026-11-23T09:00:30.000000Z"}, ["Жасмин", "Ёжик"]),
    ({"updated_at__lte": "2026-11-23T09:00:00.000000Z"}, ["Латте"]),
    ({"search": "молок"}, ["Латте"]),
    ({"search": "молок", "search_fields": "name"}, []),
    ({"sort": "-price"}, ["Латте", "Жасмин", "Ёжик"]),
    ({"sort": "name"}, ["Ёжик", "Жасмин", "Латте"]),
    ({"sort": "-position,-created_at"}, ["Ёжик", "Жасмин", "Латте"]),
    ({"sort": "updated_at", "size": "1", "page": "2"}, ["Ёжик"]),
]


async def test_products_are_found_by_what_they_show(menu: Json, client: httpx2.AsyncClient) -> None:
    found = [(parameters, await names(client, "/products", **parameters)) for parameters, _ in ASKED]

    assert found == ASKED


async def test_products_are_found_by_category(menu: Json, client: httpx2.AsyncClient) -> None:
    both = f"{menu['coffee']},{menu['tea']}"

    assert await names(client, "/products", category_id=menu["coffee"]) == ["Жасмин", "Ёжик"]
    assert await names(client, "/products", category_id__in=both) == ["Жасмин", "Ёжик"]
    assert await names(client, "/products", category_id__ne=menu["coffee"]) == ["Латте"]
    assert await names(client, "/products", category_id__not_in=both) == ["Латте"]


async def test_editors_filter_by_what_only_they_see(menu: Json, manager: httpx2.AsyncClient) -> None:
    assert await names(manager, "/products", is_active="false") == ["Еловый"]
    assert await names(manager, "/products", sort="name") == ["Ёжик", "Еловый", "Жасмин", "Латте"]


@pytest.mark.parametrize("path", ["/products", "/categories"])
async def test_f1_the_public_may_ask_for_what_is_hidden_and_finds_none(
    menu: Json, client: httpx2.AsyncClient, customer: httpx2.AsyncClient, path: str
) -> None:
    for someone in (client, customer):
        shown = await names(someone, path)
        for hidden in ({"is_active": "false"}, {"is_on_menu": "false"}, {"is_active__ne": "true"}):
            assert await names(someone, path, **hidden) == []
        assert await names(someone, path, is_active="true") == shown


async def test_one_text_of_a_product_finds_what_each_of_its_texts_finds(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    """A search of the whole answer looks through one stored text; one of `search_fields` looks through the tables."""
    milk = await make_ingredient(manager, "Молоко 3,2 %")
    group = await make_group(
        manager, "Сироп", options=[{"name": "Солёная карамель"}, {"name": "Ёлка", "is_active": False}]
    )
    seasonal = await make_category(manager, "Сезонное")
    await make_product(
        manager,
        "Латте",
        category_ids=[seasonal["id"]],
        modifier_group_ids=[group["id"]],
        ingredient_ids=[milk["id"]],
        sizes=[{"name": "L_1"}],
        description="Эспрессо\nи молоко",
    )
    await make_product(manager, "Чай", description="100% листья")
    fields = (
        "name", "description", "categories.name", "sizes.name", "modifier_groups.name", "modifier_groups.options.name",
        "modifier_groups.options.ingredients.name", "images.alt", "ingredients.name",
    )  # fmt: skip
    found = {}
    for word in (
        "молок",
        "3,2",
        "%",
        "l_1",
        "L_",
        "ЕЛКА",
        "карамел",
        "и",
        "ттеэ",
        "сезон",
        "сироп",
        "чай 100",
        "солёная кар",
    ):
        for who, person in (("public", client), ("manager", manager)):
            each = await names(person, "/products", search=word, search_fields=",".join(fields))
            found[who, word] = await names(person, "/products", search=word)
            assert found[who, word] == each, (who, word)

    assert found["public", "ЕЛКА"] == []
    assert found["manager", "ЕЛКА"] == ["Латте"]
    assert found["public", "чай 100"] == ["Чай"]
    assert found["public", "ттеэ"] == [], "no word stands across two texts"

    await manager.patch(f"/ingredient/{milk['id']}", json={"name": "Сливки"})

    assert (await names(client, "/products", search="сливки"), await names(client, "/products", search="3,2")) == (
        ["Латте"],
        [],
    )


async def test_f1_the_public_can_not_ask_about_hidden_parts(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    hidden = await make_category(manager, "Тайное", is_active=False)
    shown = await make_category(manager, "Явное")
    group = await make_group(
        manager, "Молоко", options=[{"name": "Обычное"}, {"name": "Секретное", "is_active": False}]
    )
    await make_product(
        manager, category_ids=[hidden["id"], shown["id"]], modifier_group_ids=[group["id"]], sizes=[{"name": "L"}]
    )
    secret = (
        {"categories.name": "Тайное"},
        {"categories.id": hidden["id"]},
        {"categories.slug": hidden["slug"]},
        {"search": "тайное"},
        {"search": "секрет"},
        {"search": "секрет", "search_fields": "modifier_groups.options.name"},
        {"modifier_groups.options.name__startswith": "Сек"},
        {"modifier_groups.options.is_active": "false"},
    )

    assert await names(client, "/products", **{"modifier_groups.options.name": "Обычное", "sizes.name": "L"}) == [
        "Латте"
    ]
    assert await names(client, "/products", search="явное обычное") == ["Латте"]
    for asked in secret:
        assert await names(client, "/products", **asked) == [], asked
        assert await names(manager, "/products", **asked) == ["Латте"], asked


async def test_what_is_not_declared_does_not_exist(client: httpx2.AsyncClient) -> None:
    undeclared = (
        "archived_at",
        "category_id__gt",
        "key",
        "images.urls",
        "images.key",
        "price__icontains",
        "sizes.position",
    )

    answers = [await client.get("/products", params={parameter: "1"}) for parameter in undeclared]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(422, "unknown_filter")}


async def test_a_cursor_walks_all_products(menu: Json, client: httpx2.AsyncClient) -> None:
    found, cursor = [], ""
    while cursor is not None:
        page = (await client.get("/products", params={"cursor": cursor, "size": 1})).json()
        found += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert found == ["Жасмин", "Латте", "Ёжик"]


async def test_categories_are_found_by_what_they_show(menu: Json, client: httpx2.AsyncClient) -> None:
    assert await names(client, "/categories") == ["Кофе", "Чай"]
    assert await names(client, "/categories", parent_id=menu["coffee"]) == ["Чай"]
    assert await names(client, "/categories", parent_id__isnull="true") == ["Кофе"]
    assert await names(client, "/categories", slug__contains="ha") == ["Чай"]
    assert await names(client, "/categories", search="ЧЕРНЫЙ") == ["Чай"]
    assert await names(client, "/categories", sort="-name") == ["Чай", "Кофе"]


async def test_ingredients_are_found_by_name(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    for name in ("Мёд", "Молоко", "Лёд"):
        await make_ingredient(manager, name)

    assert await names(client, "/ingredients") == ["Лёд", "Мёд", "Молоко"]
    assert await names(client, "/ingredients", name__iendswith="ед") == ["Лёд", "Мёд"]
    assert await names(client, "/ingredients", search="моло", sort="-name") == ["Молоко"]


async def test_modifier_groups_are_found_by_name(manager: httpx2.AsyncClient) -> None:
    for name in ("Сироп", "Молоко"):
        await make_group(manager, name)

    assert await names(manager, "/modifier-groups") == ["Молоко", "Сироп"]
    assert await names(manager, "/modifier-groups", search="сир") == ["Сироп"]


async def fill(manager: httpx2.AsyncClient, count: int) -> None:
    """Make things that have something in every part."""
    for number in range(count):
        category = await make_category(manager, f"Кофе {number}")
        ingredient = await make_ingredient(manager, f"Молоко {number}")
        options = [{"name": f"Овсяное {part}", "ingredient_ids": [ingredient["id"]]} for part in range(number + 1)]
        group = await make_group(manager, f"Группа {number}", options=options)
        product = await make_product(
            manager,
            f"Латте {number}",
            category_ids=[category["id"]],
            ingredient_ids=[ingredient["id"]],
            modifier_group_ids=[group["id"]],
            sizes=[{"name": "S"}, {"name": "M"}],
        )
        await add_image(manager, product)


async def test_a_page_costs_the_same_whatever_is_on_it(manager: httpx2.AsyncClient, engine: AsyncEngine) -> None:
    await fill(manager, 4)
    costs: dict[str, list[int]] = {}

    for path in ("/products", "/categories", "/modifier-groups", "/ingredients"):
        for size in (1, 3):
            with recorded(engine) as statements:
                page = (await manager.get(path, params={"size": size})).json()
            costs.setdefault(path, []).append(sum(statement.startswith("SELECT") for statement in statements))
            assert len(page["items"]) == size

    # One of each is to know who asks, others are the page and the total.
    assert costs == {
        "/products": [2, 2],
        "/categories": [2, 2],
        "/modifier-groups": [5, 5],
        "/ingredients": [2, 2],
    }


async def test_a_search_is_planned_once_for_all_words(own_app: FastAPI, database_url: str) -> None:
    plans = (
        "SELECT sum(generic_plans)::int, sum(custom_plans)::int FROM pg_prepared_statements"
        " WHERE statement LIKE '%FROM products%' AND statement NOT LIKE '%pg_prepared%'"
    )
    async with (
        open_pool(database_url, size=1, settings=READ_SETTINGS) as reading,
        open_pool(database_url, size=1, settings=SEARCH_SETTINGS) as searching,
        connect(own_app) as client,
    ):
        change_state(own_app, DatabaseState, reader=PoolReader(reading, searching=searching))
        for word in ("латте", "раф", "чай"):
            assert await names(client, "/products", search=word) == []
        assert await names(client, "/products", price__lte="100") == []

        assert [tuple(row) for row in await PoolReader(searching).fetch(plans)] == [(3, 0)]
        assert [tuple(row) for row in await PoolReader(reading).fetch(plans)] == [(0, 1)]


@pytest.mark.parametrize("asked", [{}, {"price__gte": "0"}, {"search": "е"}])
async def test_products_past_the_last_that_is_counted_are_at_least_one_more(
    menu: Json, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    monkeypatch.setattr("crema.db.listing.query.MAX_TOTAL", 1)
    response = await client.get("/products", params={"size": "1", **asked})

    body = response.json()
    assert (body["total"], body["pages"], body["total_at_least"]) == (None, None, 2)
    assert body["next_cursor"]


async def test_a_wrong_order_is_told_what_would_be_right(client: httpx2.AsyncClient) -> None:
    (fault,) = (await client.get("/products", params={"sort": "colour"})).json()["errors"]

    assert fault["loc"] == ["query", "sort"]
    assert "name, slug, description, price" in fault["msg"]
    assert "such as position,name" in fault["msg"]
