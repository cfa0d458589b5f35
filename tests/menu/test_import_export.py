"""The whole menu as one document: exported, changed, imported; all of it or nothing."""

from copy import deepcopy
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from crema.db.session import Sessions
from crema.menu.models import Category, MenuVersion, Option, Product, Size
from crema.menu.routes.menu import IMPORT_LIMIT
from factories.menu import NUTRITION, Json, make_category, make_group, make_ingredient, make_product

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]


@pytest.fixture
async def latte(manager: httpx2.AsyncClient) -> Json:
    """A menu with one of everything; give its product."""
    drinks = await make_category(manager, "Напитки", slug="drinks")
    coffee = await make_category(manager, "Кофе", slug="coffee", parent_id=drinks["id"], is_active=False)
    espresso, milk = await make_ingredient(manager, "Эспрессо"), await make_ingredient(manager, "Молоко")
    options = [
        {"name": "Обычное", "is_default": True, "allergens": ["milk"], "ingredient_ids": [milk["id"]]},
        {
            "name": "Овсяное",
            "price_delta": "60.00",
            "size_prices": [{"size_name": "L", "price_delta": "80.00"}],
            "max_quantity": 2,
            "nutrition": NUTRITION,
            "size_nutrition": [{"size_name": "L", "nutrition": NUTRITION}],
        },
    ]
    group = await make_group(manager, "Молоко", min_choices=1, options=options)
    other = await make_group(manager, "Молоко")  # groups may share a name
    product = await make_product(
        manager,
        slug="latte",
        category_ids=[drinks["id"], coffee["id"]],
        sizes=[
            {"name": "S", "nutrition": NUTRITION},
            {"name": "L", "price_delta": "90.00", "is_default": True, "volume_ml": 450},
        ],
        modifier_groups=[{"group_id": other["id"], "max_choices": 2, "free_quantity": 1}, {"group_id": group["id"]}],
        ingredient_ids=[milk["id"], espresso["id"]],
        allergens=["milk"],
        allergens_always=[],
        nutrition={"energy_kcal": 150, "proteins_g": 8, "fats_g": 7.5, "carbohydrates_g": 12},
    )
    await make_product(manager, "Круассан", "180.00", slug="croissant", is_active=False)
    response = await manager.put(f"/category/{drinks['id']}/products", json={"product_ids": [product["id"]]})
    assert response.status_code == 200
    return (await manager.get(f"/product/{product['id']}")).json()


async def export(client: httpx2.AsyncClient) -> Json:
    response = await client.get("/menu/export")
    assert response.status_code == 200, response.text
    document: Json = response.json()
    return document


async def import_(client: httpx2.AsyncClient, document: Json, **parameters: str) -> Json:
    response = await client.post("/menu/import", json=document, params=parameters)
    assert response.status_code == 200, response.text
    imported: Json = response.json()
    return imported


async def everything(client: httpx2.AsyncClient, sessions: Sessions) -> Any:
    """Give all that the menu's lists show, and its version."""
    lists = [(await client.get(path)).json() for path in ("/products", "/categories", "/modifier-groups", "/menu")]
    async with sessions() as session:
        return lists, await session.scalar(select(MenuVersion.version))


@pytest.mark.usefixtures("latte")
async def test_what_was_exported_is_imported_and_changes_nothing(
    manager: httpx2.AsyncClient, sessions: Sessions
) -> None:
    document, before = await export(manager), await everything(manager, sessions)

    imported = await import_(manager, document)

    assert imported == {"dry_run": False, "changes": [], "unchanged": 8}
    assert await everything(manager, sessions) == before
    assert await export(manager) == document


async def test_another_chain_gets_the_same_menu(manager: httpx2.AsyncClient, sessions: Sessions, latte: Json) -> None:
    document = await export(manager)
    renamed = deepcopy(document)
    for rows in (renamed["categories"], renamed["products"]):
        for row in rows:
            row["slug"] += "-2"
    for category in renamed["categories"]:
        category["parent"] = category["parent"] and category["parent"] + "-2"
    for group in renamed["modifier_groups"]:
        group["id"], group["name"] = None, f"Сорт {group['key']}"
        for option in group["options"]:
            option["id"] = None
    for product in renamed["products"]:
        for place in product["categories"]:
            place["slug"] += "-2"
        for size in product["sizes"]:
            size["id"] = None

    imported = await import_(manager, renamed)

    assert {change["action"] for change in imported["changes"]} == {"created"}
    assert (len(imported["changes"]), imported["unchanged"]) == (6, 2)
    copy = next(row for row in (await manager.get("/products")).json()["items"] if row["slug"] == "latte-2")
    ids = {"id", "slug", "categories", "modifier_groups", "sizes", "created_at", "updated_at"}
    assert {name: copy[name] for name in copy.keys() - ids} == {name: latte[name] for name in latte.keys() - ids}
    assert [size["name"] for size in copy["sizes"]] == ["S", "L"]
    assert [group["max_choices"] for group in copy["modifier_groups"]] == [2, 1]
    assert sorted(each["slug"] for each in copy["categories"]) == ["coffee-2", "drinks-2"]
    places = {row["slug"]: row["categories"] for row in (await export(manager))["products"]}
    assert places["latte-2"] == [{"slug": "coffee-2", "position": None}, {"slug": "drinks-2", "position": 0}]


async def test_rows_are_changed_and_keep_their_ids_for_carts_and_orders(
    manager: httpx2.AsyncClient, sessions: Sessions, latte: Json
) -> None:
    document = await export(manager)
    product = next(row for row in document["products"] if row["slug"] == "latte")
    product["price"] = "270.00"
    product["sizes"][0]["name"] = "XS"
    product["sizes"][1].pop("id")
    group = next(row for row in document["modifier_groups"] if row["min_choices"] == 1)
    group["options"][1]["price_delta"] = "70.00"
    group["options"][1]["size_nutrition"][0]["nutrition"]["energy_kcal"] = 99

    imported = await import_(manager, document)

    changed = (await manager.get(f"/product/{latte['id']}")).json()
    assert sorted((change["key"], change["fields"]) for change in imported["changes"]) == sorted(
        [(group["key"], ["options"]), ("latte", ["price", "sizes"])]
    )
    assert changed["price"] == "270.00"
    assert [(size["id"], size["name"]) for size in changed["sizes"]] == [
        (latte["sizes"][0]["id"], "XS"),
        (latte["sizes"][1]["id"], "L"),
    ]
    assert [[option["id"] for option in each["options"]] for each in changed["modifier_groups"]] == [
        [option["id"] for option in each["options"]] for each in latte["modifier_groups"]
    ]
    oat = changed["modifier_groups"][1]["options"][1]
    assert (oat["price_delta"], oat["nutrition"]) == ("70.00", NUTRITION)
    assert oat["size_nutrition"] == [{"size_name": "L", "nutrition": NUTRITION | {"energy_kcal": 99.0}}]


async def test_only_the_nutrition_of_a_size_or_of_an_option_is_a_change_too(
    manager: httpx2.AsyncClient, latte: Json
) -> None:
    document = await export(manager)
    product = next(row for row in document["products"] if row["slug"] == "latte")
    group = next(row for row in document["modifier_groups"] if row["min_choices"] == 1)
    product["sizes"][0]["nutrition"] = None
    group["options"][0]["nutrition"] = {name: NUTRITION[name] for name in NUTRITION if name != "caffeine_mg"}

    imported = await import_(manager, document)

    assert sorted(change["fields"] for change in imported["changes"]) == [["options"], ["sizes"]]
    changed = (await manager.get(f"/product/{latte['id']}")).json()
    assert changed["sizes"][0]["nutrition"] is None
    milk = changed["modifier_groups"][1]["options"][0]
    assert milk["nutrition"] == NUTRITION | {"caffeine_mg": None}
    assert (await import_(manager, document))["changes"] == []


async def test_what_the_document_does_not_name_stays(
    manager: httpx2.AsyncClient, sessions: Sessions, latte: Json
) -> None:
    document = await export(manager)
    product = next(row for row in document["products"] if row["slug"] == "latte")
    del product["sizes"][1]
    group = next(row for row in document["modifier_groups"] if row["min_choices"] == 1)
    del group["options"][1]

    await import_(manager, {"products": [product], "modifier_groups": document["modifier_groups"]})

    async with sessions() as session:
        counts = [await session.scalar(select(func.count()).select_from(each)) for each in (Product, Category)]
        parts = [await session.scalar(select(func.count()).select_from(each)) for each in (Size, Option)]
    assert (counts, parts) == ([2, 2], [2, 4])
    assert (await manager.get(f"/product/{latte['id']}")).json()["sizes"] == latte["sizes"]


@pytest.mark.usefixtures("latte")
async def test_a_dry_run_says_the_same_and_changes_nothing(manager: httpx2.AsyncClient, sessions: Sessions) -> None:
    document, before = await export(manager), await everything(manager, sessions)
    document["products"][0]["price"] = "1.00"
    document["ingredients"].append({"name": "Корица"})
    document["categories"].append({"slug": "tea", "name": "Чай"})

    tried = await import_(manager, document, dry_run="true")
    after = await everything(manager, sessions)
    done = await import_(manager, document)

    assert after == before
    assert tried == done | {"dry_run": True}
    assert [(change["loc"], change["action"]) for change in done["changes"]] == [
        (["ingredients", 2], "created"),
        (["categories", 2], "created"),
        (["products", 0], "updated"),
    ]


async def test_what_is_there_is_exported_whatever_the_limits_are(
    manager: httpx2.AsyncClient, sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        session.add_all(Category(slug=f"c-{n}", name="\u202eКофе") for n in range(501))

    assert len((await export(manager))["categories"]) == 501


@pytest.mark.usefixtures("latte")
async def test_two_categories_change_places(manager: httpx2.AsyncClient) -> None:
    document = await export(manager)
    for row in document["categories"]:
        row["parent"] = "coffee" if row["slug"] == "drinks" else None

    await import_(manager, document)

    assert await export(manager) == document


OTHER_NUTRITION = NUTRITION | {"energy_kcal": 1.0}
PRODUCT = {"slug": "tea", "name": "Чай", "price": "100.00"}


@pytest.mark.parametrize(
    ("document", "locs"),
    [
        ({"products": [PRODUCT, PRODUCT]}, [["products", 1, "slug"]]),
        ({"products": [PRODUCT | {"categories": [{"slug": "x"}]}]}, [["products", 0, "categories", 0, "slug"]]),
        (
            {"products": [PRODUCT | {"ingredients": ["Лёд", "молоко", "МОЛОКО"]}]},
            [["products", 0, "ingredients", 2], ["products", 0, "ingredients", 0]],
        ),
        (
            {"products": [PRODUCT | {"modifier_groups": [{"group": "Молоко"}, {"group": "Сироп"}]}]},
            [["products", 0, "modifier_groups", 0, "group"], ["products", 0, "modifier_groups", 1, "group"]],
        ),
        ({"products": [PRODUCT | {"sizes": [{"name": "S"}, {"name": "S"}]}]}, [["products", 0, "sizes", 1]]),
        ({"categories": [{"slug": "a", "name": "A", "parent": "b"}]}, [["categories", 0, "parent"]]),
        (
            {
                "categories": [
                    {"slug": "a", "name": "A", "parent": "b"},
                    {"slug": "b", "name": "B", "parent": "a"},
                ]
            },
            [["categories", 0, "parent"], ["categories", 1, "parent"]],
        ),
        ({"categories": [{"slug": "drinks", "name": "A", "parent": "coffee"}]}, [["categories", 0, "parent"]]),
        ({"ingredients": [{"name": "Мёд"}, {"name": "мед"}]}, [["ingredients", 1, "name"]]),
        ({"modifier_groups": [{"name": "Молоко"}]}, [["modifier_groups", 0, "name"]]),
        ({"modifier_groups": [{"name": "Лёд", "min_choices": 1}]}, [["modifier_groups", 0]]),
        (
            {"modifier_groups": [{"name": "Лёд", "options": [{"name": "Да", "ingredients": ["Лёд"]}]}]},
            [["modifier_groups", 0, "options", 0, "ingredients", 0]],
        ),
        (
            {"products": [PRODUCT | {"allergens_always": ["milk"]}], "categories": [{"slug": "n", "name": "N"}]},
            [["products", 0]],
        ),
        ({"products": [PRODUCT | {"price": "-1"}]}, [["products", 0, "price"]]),
        (
            {
                "products": [
                    PRODUCT
                    | {
                        "nutrition": NUTRITION,
                        "sizes": [{"name": "M"}, {"name": "S", "is_default": True, "nutrition": OTHER_NUTRITION}],
                    }
                ]
            },
            [["products", 0, "sizes", 1]],
        ),
        (  # its default size, of which the document says nothing
            {"products": [PRODUCT | {"slug": "espresso", "nutrition": OTHER_NUTRITION}]},
            [["products", 0]],
        ),
        (
            {
                "modifier_groups": [{"name": "Лёд", "options": [{"name": "Да"}]}],
                "products": [PRODUCT | {"modifier_groups": [{"group": "Лёд", "min_choices": 2, "max_choices": 2}]}],
            },
            [["products", 0]],
        ),
    ],
)
@pytest.mark.usefixtures("latte")
async def test_a_wrong_row_is_named_and_nothing_is_imported(
    manager: httpx2.AsyncClient, sessions: Sessions, document: Json, locs: list[list[Any]]
) -> None:
    await make_product(manager, "Эспрессо", slug="espresso", sizes=[{"name": "S", "nutrition": NUTRITION}])
    before, exported = await everything(manager, sessions), await export(manager)

    responses = [
        await manager.post("/menu/import", json=document, params={"dry_run": dry_run}) for dry_run in ("true", "false")
    ]

    for response in responses:
        assert response.status_code == 422, response.text
        assert [error["loc"] for error in response.json()["errors"]] == [["body", *loc] for loc in locs]
    assert await everything(manager, sessions) == before
    assert await export(manager) == exported


async def test_a_menu_may_have_two_megabytes_and_no_more(manager: httpx2.AsyncClient) -> None:
    rows = [{"slug": f"c-{n}", "name": "Кофе", "description": "x" * 1900} for n in range(100)]
    assert (await import_(manager, {"categories": rows}, dry_run="true"))["changes"][99]["action"] == "created"

    response = await manager.post(
        "/menu/import", content=b" " * (IMPORT_LIMIT + 1), headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 413


async def test_only_who_edits_the_menu_exports_and_imports(
    customer: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    assert (await customer.get("/menu/export")).status_code == 403
    assert (await customer.post("/menu/import", json={})).status_code == 403
    assert (await client.get("/menu/export")).status_code == 401
