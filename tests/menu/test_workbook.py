"""The menu as a workbook: exported, edited in a spreadsheet, imported; the same document as the JSON."""

from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from io import BytesIO
from typing import Any, get_args

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from sqlalchemy import delete, func, select

from crema.accounts.deps import AccountsState
from crema.db.session import Sessions
from crema.demo.chain import load
from crema.demo.seed import seed
from crema.media.domain import WORKBOOK_QUOTA
from crema.media.service import workbook_reader, workbooks
from crema.media.service.workbooks import Number, Sheet, write
from crema.menu.deps import IMPORT_LIMIT
from crema.menu.domain import Allergen
from crema.menu.models import Category, Ingredient, MenuVersion, ModifierGroup, Product
from crema.menu.schemas import MenuDocument
from crema.menu.service.import_checks import InvalidMenuError
from crema.menu.service.workbook import SHEETS, read_menu, write_menu
from crema.web.state import state_of
from factories.menu import NUTRITION, Json, make_category, make_group, make_ingredient, make_product
from factories.workbooks import PRODUCT_PARTS, XLSX, edited, make_workbook, products
from fixtures.app import Clock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]


async def export(client: httpx2.AsyncClient) -> Json:
    document: Json = (await client.get("/menu/export")).json()
    return document


async def export_workbook(client: httpx2.AsyncClient) -> bytes:
    response = await client.get("/menu/export", params={"format": "xlsx"})
    assert response.status_code == 200, response.text
    return response.content


async def send(client: httpx2.AsyncClient, content: bytes, **parameters: str) -> httpx2.Response:
    return await client.post("/menu/import", files={"file": ("menu.xlsx", content, XLSX)}, params=parameters)


async def import_(client: httpx2.AsyncClient, content: bytes, **parameters: str) -> Json:
    response = await send(client, content, **parameters)
    assert response.status_code == 200, response.text
    imported: Json = response.json()
    return imported


async def problems(client: httpx2.AsyncClient, content: bytes) -> dict[tuple[Any, ...], str]:
    """Import what is wrong, twice; give the messages by place."""
    before = await export(client)
    answers = [await send(client, content, dry_run=dry_run) for dry_run in ("true", "false")]
    assert [(answer.status_code, answer.json().get("code")) for answer in answers] == [(422, "invalid_menu")] * 2
    first, second = [answer.json()["errors"] for answer in answers]
    assert first == second
    assert await export(client) == before
    assert all(error["loc"][0] == "body" for error in first)
    return {tuple(error["loc"][1:]): error["msg"] for error in first}


@pytest.fixture
async def latte(manager: httpx2.AsyncClient) -> Json:
    """A menu with one of everything, and with texts that a spreadsheet would compute."""
    drinks = await make_category(manager, "=Напитки()", slug="drinks", description="Первая строка\n+вторая")
    coffee = await make_category(manager, "Кофе", slug="coffee", parent_id=drinks["id"], is_active=False)
    espresso, milk = await make_ingredient(manager, "@Эспрессо"), await make_ingredient(manager, "-Молоко, 3,2 %")
    options = [
        {"name": "+Обычное", "is_default": True, "allergens": ["milk", "nuts"], "ingredient_ids": [milk["id"]]},
        {
            "name": "#REF!",
            "price_delta": "-60.10",
            "size_prices": [{"size_name": "L", "price_delta": "80.00"}, {"size_name": "350", "price_delta": "0"}],
            "max_quantity": 2,
            "nutrition": NUTRITION,
            "size_nutrition": [
                {"size_name": "L", "nutrition": NUTRITION | {"energy_kcal": 0, "caffeine_mg": None}},
                {"size_name": "350", "nutrition": NUTRITION | {"fats_g": 2 / 3, "caffeine_mg": 12.5}},
            ],
        },
    ]
    group = await make_group(manager, "Молоко", min_choices=1, options=options)
    other = await make_group(manager, "Молоко")  # groups may share a name
    product = await make_product(
        manager,
        slug="latte",
        price="250.10",
        category_ids=[drinks["id"], coffee["id"]],
        sizes=[
            {"name": "350", "nutrition": NUTRITION | {"caffeine_mg": None}},
            {"name": "L", "price_delta": "90.00", "is_default": True, "volume_ml": 450},
        ],
        modifier_groups=[{"group_id": other["id"], "max_choices": 2, "free_quantity": 0}, {"group_id": group["id"]}],
        ingredient_ids=[milk["id"], espresso["id"]],
        allergens=["milk"],
        allergens_always=[],
        nutrition={"energy_kcal": 150, "proteins_g": 0.1 + 0.2, "fats_g": 7.5, "carbohydrates_g": 1 / 3},
    )
    await make_product(manager, "1e5", "180.00", slug="7", is_active=False, allergens=["gluten"])
    response = await manager.put(f"/category/{drinks['id']}/products", json={"product_ids": [product["id"]]})
    assert response.status_code == 200
    return (await manager.get(f"/product/{product['id']}")).json()


# There and back.


@pytest.mark.usefixtures("latte")
async def test_what_was_exported_is_imported_and_changes_nothing(
    manager: httpx2.AsyncClient, sessions: Sessions
) -> None:
    document, content = await export(manager), await export_workbook(manager)
    async with sessions() as session:
        version = await session.scalar(select(MenuVersion.version))

    imported = await import_(manager, content)

    assert imported == {"dry_run": False, "changes": [], "unchanged": 8}
    assert await export(manager) == document
    async with sessions() as session:
        assert await session.scalar(select(MenuVersion.version)) == version


@pytest.mark.usefixtures("latte")
async def test_the_workbook_is_a_file_with_a_sheet_for_each_list_and_no_formula(manager: httpx2.AsyncClient) -> None:
    response = await manager.get("/menu/export", params={"format": "xlsx"})

    assert response.headers["content-type"] == XLSX
    assert response.headers["content-disposition"] == 'attachment; filename="menu.xlsx"'
    book = load_workbook(BytesIO(response.content))
    assert book.sheetnames == [sheet.name for sheet in SHEETS]
    assert {sheet.freeze_panes for sheet in book.worksheets} == {"A2"}
    cells = [cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s", "n", "b"}
    group = book["options"]["A3"].value
    assert [cell.value for cell in book["size_prices"][2]] == [group, "#REF!", "L", 80]
    assert [cell.value for cell in book["size_nutrition"][1]][2:] == ["size_name", *NUTRITION]
    assert [cell.value for cell in book["size_nutrition"][2]] == [group, "#REF!", "L", 0, 4.8, 5.1, 7.5, None]


@pytest.mark.usefixtures("latte")
async def test_saved_by_another_program_it_still_changes_nothing(manager: httpx2.AsyncClient) -> None:
    document, content = await export(manager), await export_workbook(manager)

    def type_again(book: Any) -> None:
        """Keep what spreadsheets call text as it is, but sheets in another order, with money as text."""
        book.move_sheet("products", -5)
        for row in book["products"].iter_rows(min_row=2):
            row[3].value = f"{row[3].value:.2f}"
        for sheet in book.worksheets:
            for row in sheet.iter_rows():
                for cell in row:
                    if isinstance(cell.value, str):
                        cell.data_type = "s"

    assert (await import_(manager, edited(content, type_again)))["changes"] == []
    assert await export(manager) == document


def without_ids(document: Json) -> Json:
    """Take out the ids, and what groups are called after them."""
    document = deepcopy(document)
    for group in document["modifier_groups"]:
        for part in (group, *group["options"]):
            del part["id"]
    for product in document["products"]:
        for size in product["sizes"]:
            del size["id"]
    return document


async def test_the_demo_chain_moves_into_an_empty_one(
    app: FastAPI, admin: httpx2.AsyncClient, sessions: Sessions, clock: Clock
) -> None:
    async with sessions.begin() as session:
        await seed(session, chain=load(), passwords=state_of(app, AccountsState).passwords, now=clock())
    document, content = await export(admin), await export_workbook(admin)
    sizes = [size for product in document["products"] for size in product["sizes"]]
    options = [option for group in document["modifier_groups"] for option in group["options"]]
    assert any(size["nutrition"] for size in sizes)
    assert any(option["nutrition"] for option in options)
    assert any(option["size_nutrition"] for option in options)
    assert (await import_(admin, content))["changes"] == []
    assert await export(admin) == document

    async with sessions.begin() as session:
        for model in (Product, ModifierGroup, Ingredient):
            await session.execute(delete(model))
        while await session.scalar(select(func.count()).select_from(Category)):
            parents = select(Category.parent_id).where(Category.parent_id.is_not(None))
            await session.execute(delete(Category).where(Category.id.not_in(parents)))
    assert await export(admin) == {"categories": [], "ingredients": [], "modifier_groups": [], "products": []}
    imported = await import_(admin, content)

    assert {change["action"] for change in imported["changes"]} == {"created"}
    assert len(imported["changes"]) == sum(map(len, document.values()))
    assert without_ids(await export(admin)) == without_ids(document)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20).map(str.strip)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=10)
MONEY = st.decimals(0, 9_999_999, places=2)
OPTIONAL_LIMIT = st.none() | st.integers(1, 50)
ALLERGENS = st.lists(st.sampled_from(get_args(Allergen)), unique=True, max_size=3)
AMOUNT = st.floats(0, 100_000)
FIGURES = st.fixed_dictionaries(
    {
        **dict.fromkeys(("energy_kcal", "proteins_g", "fats_g", "carbohydrates_g"), AMOUNT),
        "caffeine_mg": st.none() | AMOUNT,
    }
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "categories": st.lists(
            st.fixed_dictionaries({"slug": LINE, "name": LINE, "description": TEXT, "position": st.integers(0, 99)})
        ),
        "ingredients": st.lists(st.fixed_dictionaries({"name": LINE})),
        "modifier_groups": st.lists(
            st.fixed_dictionaries(
                {
                    "key": st.none() | LINE,
                    "name": LINE,
                    "options": st.lists(
                        st.fixed_dictionaries(
                            {
                                "name": LINE,
                                "price_delta": MONEY,
                                "is_default": st.booleans(),
                                "allergens": ALLERGENS,
                                "ingredients": st.lists(LINE.filter(str.strip), max_size=3),
                                "size_prices": st.lists(
                                    st.fixed_dictionaries({"size_name": LINE, "price_delta": MONEY}), max_size=3
                                ),
                                "nutrition": st.none() | FIGURES,
                                "size_nutrition": st.lists(
                                    st.fixed_dictionaries({"size_name": LINE, "nutrition": FIGURES}), max_size=3
                                ),
                            }
                        ),
                        unique_by=lambda option: option["name"],
                        max_size=3,
                    ),
                }
            ),
            unique_by=lambda group: group["key"] or group["name"],
            max_size=3,
        ),
        "products": st.lists(
            st.fixed_dictionaries(
                {
                    "slug": LINE,
                    "name": LINE,
                    "price": MONEY,
                    "allergens": ALLERGENS,
                    "allergens_always": st.none() | ALLERGENS,
                    "nutrition": st.none() | FIGURES,
                    "sizes": st.lists(
                        st.fixed_dictionaries(
                            {"name": LINE, "volume_ml": OPTIONAL_LIMIT, "nutrition": st.none() | FIGURES}
                        ),
                        max_size=3,
                    ),
                    "categories": st.lists(
                        st.fixed_dictionaries({"slug": LINE, "position": OPTIONAL_LIMIT}), max_size=3
                    ),
                    "modifier_groups": st.lists(
                        st.fixed_dictionaries(
                            {"group": LINE, "min_choices": OPTIONAL_LIMIT, "free_quantity": OPTIONAL_LIMIT}
                        ),
                        max_size=3,
                    ),
                }
            ),
            unique_by=lambda product: product["slug"],
            max_size=3,
        ),
    }
)


def constructed(model: Any, value: Any) -> Any:
    """Make the document without the limits of its schema, as the export does."""
    fields = {}
    for name, content in value.items():
        annotation = model.model_fields[name].annotation
        part = next((each for each in (*get_args(annotation), annotation) if hasattr(each, "model_fields")), None)
        if part is None or content is None:
            fields[name] = content
        elif isinstance(content, list):
            fields[name] = [constructed(part, each) for each in content]
        else:
            fields[name] = constructed(part, content)
    return model.model_construct(**fields)


def as_sheets(content: bytes) -> list[Sheet]:
    """Read what we wrote ourselves without the process, for speed."""
    return [*workbooks._parse_output(b"".join(workbook_reader.process(content, workbooks.LIMITS)))]


@settings(
    max_examples=30,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
@given(DOCUMENTS)
def test_any_document_comes_back(content: Json) -> None:
    document = constructed(MenuDocument, content)

    workbook = read_menu(as_sheets(write_menu(document)))

    assert workbook.problems == {}
    again = constructed(MenuDocument, workbook.content)
    assert comparable(again.model_dump(warnings=False)) == comparable(document.model_dump(warnings=False))


def comparable(value: Any) -> Any:
    """Compare amounts by what they are worth: JSON has them as texts."""
    match value:
        case dict():
            money = {name: Decimal(each) for name, each in value.items() if name in ("price", "price_delta")}
            return {name: comparable(each) for name, each in value.items()} | money
        case list():
            return [comparable(each) for each in value]
    return value


# Changed in a spreadsheet.


@pytest.mark.usefixtures("latte")
async def test_a_dry_run_tells_sheet_and_row_and_changes_nothing(manager: httpx2.AsyncClient) -> None:
    document = await export(manager)
    row = 2 + next(place for place, each in enumerate(document["products"]) if each["slug"] == "latte")

    def edit(book: Any) -> None:
        book["products"].cell(row, 4).value = 270.5
        book["ingredients"].append(["Корица"])

    content = edited(await export_workbook(manager), edit)
    tried = await import_(manager, content, dry_run="true")
    after = await export(manager)
    done = await import_(manager, content)

    assert after == document
    assert tried == done | {"dry_run": True}
    assert [(each["loc"], each["key"], each["action"]) for each in done["changes"]] == [
        (["ingredients", 4], "Корица", "created"),
        (["products", row], "latte", "updated"),
    ]
    assert done["changes"][1]["fields"] == ["price"]
    (latte,) = [each for each in (await export(manager))["products"] if each["slug"] == "latte"]
    assert latte["price"] == "270.50"


@pytest.mark.parametrize(
    ("price", "read"),
    [
        *((250, "250.00"), (250.1, "250.10"), (250.10000000000002, "250.10"), (0.1 + 0.2, "0.30"), (9999999.99, None)),
        *(("250.10", "250.10"), (" 250.1 ", "250.10"), (0, "0.00"), ("0", "0.00")),
    ],
)
async def test_a_price_is_read_exactly_as_a_number_or_as_text(
    manager: httpx2.AsyncClient, price: Any, read: str | None
) -> None:
    await import_(manager, make_workbook(products(("tea", "Чай", price))))

    assert (await export(manager))["products"][0]["price"] == (read or str(price))


@pytest.mark.parametrize("price", [250.123, "250.123", "250,10", -1, 1e15, 1e-7, "1e2", "дорого", True, 10_000_000])
async def test_any_other_price_is_refused(manager: httpx2.AsyncClient, price: Any) -> None:
    found = await problems(manager, make_workbook(products(("tea", "Чай", 100), ("mint-tea", "Чай с мятой", price))))

    assert [*found] == [("products", 3, "price")]


async def test_empty_rows_and_columns_between_are_skipped_and_rows_keep_their_numbers(
    manager: httpx2.AsyncClient,
) -> None:
    header = ("slug", None, "name", "price")
    rows = [(), ("tea", None, "Чай", 100), (None, None, " ", None), (), ("cocoa", None, "Какао", "x")]

    found = await problems(manager, make_workbook(products(*rows, header=header)))

    assert [*found] == [("products", 6, "price")]


async def test_numbers_are_taken_where_text_is_wanted_and_text_where_numbers_are(manager: httpx2.AsyncClient) -> None:
    header = (
        "Slug ",
        "name",
        "price",
        "position",
        "is_active",
        "energy_kcal",
        "proteins_g",
        "fats_g",
        "carbohydrates_g",
    )
    content = products(("7up", 7, 100, "3", "False", "12.5", 1, 0, 2), header=header)

    await import_(manager, make_workbook(content | {"sizes": [("product", "name"), ("7up", 350)]}))

    (product,) = (await export(manager))["products"]
    assert (product["name"], product["position"], product["is_active"]) == ("7", 3, False)
    assert (product["nutrition"]["energy_kcal"], product["sizes"][0]["name"]) == (12.5, "350")


@pytest.mark.usefixtures("latte")
async def test_figures_of_sizes_and_options_are_changed_and_cleared_caffeine_by_itself(
    manager: httpx2.AsyncClient,
) -> None:
    def edit(book: Any) -> None:
        options, sizes, by_size = (columns_of(book[name]) for name in ("options", "sizes", "size_nutrition"))
        for name in NUTRITION:
            book["sizes"].cell(2, sizes[name]).value = None
        book["options"].cell(3, options["caffeine_mg"]).value = None
        book["size_nutrition"].cell(2, by_size["caffeine_mg"]).value = 0
        book["size_nutrition"].cell(3, by_size["fats_g"]).value = "1.5"

    imported = await import_(manager, edited(await export_workbook(manager), edit))

    document = await export(manager)
    (latte,) = [each for each in document["products"] if each["slug"] == "latte"]
    (option,) = [
        option for group in document["modifier_groups"] for option in group["options"] if option["name"] == "#REF!"
    ]
    assert sorted(change["fields"] for change in imported["changes"]) == [["options"], ["sizes"]]
    assert [size["nutrition"] for size in latte["sizes"]] == [None, None]
    assert option["nutrition"] == NUTRITION | {"caffeine_mg": None}
    assert option["size_nutrition"] == [
        {"size_name": "L", "nutrition": NUTRITION | {"energy_kcal": 0.0}},
        {"size_name": "350", "nutrition": NUTRITION | {"fats_g": 1.5, "caffeine_mg": 12.5}},
    ]


def columns_of(sheet: Any) -> dict[str, int]:
    """Give the numbers of a sheet's columns by their names."""
    return {cell.value: cell.column for cell in sheet[1]}


# What is wrong is told by sheet and row.


async def test_all_that_is_wrong_is_told_at_once(manager: httpx2.AsyncClient) -> None:
    header = ("slug", "name", "price", "position", "is_active", "energy_kcal", "ingredients")
    sheets = products(
        ("tea", "Чай", 100, 1.5, "да", "много", "Мёд"),
        ("Чай", None, "=1+1", -1, True, 10, None),
        ("cocoa", "Какао", 100, 0, True, None, None),
        header=header,
    )
    sheets["sizes"] = [("product", "name", "volume_ml"), ("tea", "S", 0), ("coffee", "S", 1), (None, "S", 1)]
    sheets["modifier_groups"] = [("name",), ("Сироп",)]
    sheets["options"] = [("group", "name"), ("Сироп", "Ваниль"), ("Сироп", None)]
    sheets["size_prices"] = [("group", "option", "size_name", "price_delta"), ("Сироп", "Мята", "S", 1)]
    sheets["size_nutrition"] = [("group", "option")]

    found = await problems(manager, make_workbook(sheets))

    assert {*found} == {
        *(("products", 2, name) for name in ("position", "is_active", "energy_kcal")),
        *(("products", 3, name) for name in ("slug", "name", "price", "position")),
        *(("products", 3, name) for name in ("proteins_g", "fats_g", "carbohydrates_g")),
        *(("sizes", 2, "volume_ml"), ("sizes", 3, "product"), ("sizes", 4, "product")),
        *(("options", 3, "name"), ("size_prices", 2, "option")),
    }
    assert found["products", 3, "price"] == "is a formula: send its value"
    assert found["sizes", 3, "product"] == "the sheet products has no such row"


async def test_wrong_figures_are_told_by_sheet_row_and_column(manager: httpx2.AsyncClient) -> None:
    sheets = products(("tea", "Чай", 100))
    sheets["sizes"] = [("product", "name", *NUTRITION), ("tea", "S", 1, 2, 3, None, 0), ("tea", "M", -1, 2, 3, 4, "no")]
    sheets["modifier_groups"] = [("name",), ("Молоко",)]
    sheets["options"] = [
        ("group", "name", *NUTRITION),
        ("Молоко", "Коровье", None, 1, 1, 1, None),
        ("Молоко", "Овсяное", None, None, None, None, 5),
    ]
    sheets["size_prices"] = [("group", "option")]
    sheets["size_nutrition"] = [
        ("group", "option", "size_name", *NUTRITION),
        ("Молоко", "Коровье", "S", None, None, None, None, None),  # no figure at all
        ("Молоко", "Коровье", "L", 1, 1, 1, "=1", 1),
        ("Молоко", "Соевое", "L", 1, 1, 1, 1, 1),
    ]

    assert {*await problems(manager, make_workbook(sheets))} == {
        *(("sizes", 2, "carbohydrates_g"), ("sizes", 3, "energy_kcal"), ("sizes", 3, "caffeine_mg")),
        ("options", 2, "energy_kcal"),
        *(("options", 3, name) for name in ("energy_kcal", "proteins_g", "fats_g", "carbohydrates_g")),
        *(("size_nutrition", 2, "energy_kcal"), ("size_nutrition", 3, "carbohydrates_g")),
        ("size_nutrition", 4, "option"),
    }


async def test_figures_for_a_size_name_twice_are_refused(manager: httpx2.AsyncClient) -> None:
    sheets = {
        "modifier_groups": [("name",), ("Молоко",)],
        "options": [("group", "name"), ("Молоко", "Коровье")],
        "size_prices": [("group", "option")],
        "size_nutrition": [
            ("group", "option", "size_name", *NUTRITION),
            *[("Молоко", "Коровье", "L", 1, 1, 1, 1, 1)] * 2,
        ],
    }

    assert [loc[:2] for loc in await problems(manager, make_workbook(sheets))] == [("options", 2)]


async def test_contradictory_nutrition_is_told_by_the_row_of_the_default_size_of_every_product(
    manager: httpx2.AsyncClient,
) -> None:
    await make_product(manager, "Какао", slug="cocoa", sizes=[{"name": "S", "nutrition": NUTRITION}])
    figures = [*NUTRITION.values()]
    other = [None if name == "caffeine_mg" else amount for name, amount in NUTRITION.items()]
    header = ("slug", "name", "price", *NUTRITION)
    rows = [(slug, slug, 100, *figures) for slug in ("tea", "latte", "mint-tea")]
    sheets = products(*rows, ("cocoa", "Какао", 100, *other), header=header)
    sheets["sizes"] = [
        ("product", "name", "is_default", *NUTRITION),
        ("tea", "S", None, *other),  # the first is the default where none is marked
        ("latte", "S", None, *other),
        ("latte", "L", True, *other),
        ("mint-tea", "S", None, *other),
        ("mint-tea", "L", True, *figures),
    ]

    found = await problems(manager, make_workbook(sheets))

    message = "leave its nutrition out, or send the same as the product's."
    assert found == {
        ("sizes", 2): f"S: {message}",
        ("sizes", 4): f"L: {message}",
        ("products", 5): f"S: {message}",  # the size is the menu's, not the workbook's
    }


async def test_what_contradicts_the_menu_is_told_by_sheet_and_row(manager: httpx2.AsyncClient) -> None:
    header = ("slug", "name", "price", "ingredients")
    sheets = products(("tea", "Чай", 1, "Мёд\nЛёд"), ("tea", "Чай", 1, None), header=header)
    sheets["categories"] = [("slug", "name", "parent"), (), ("a", "A", "b")]
    sheets["product_categories"] = [("product", "category"), ("tea", "x")]
    sheets["product_modifier_groups"] = [("product", "group"), ("tea", "Сироп"), ("tea", "Сироп")]
    sheets["sizes"] = [("product", "name"), ("tea", "S"), ("tea", "S")]

    assert {*await problems(manager, make_workbook(sheets))} == {
        ("products", 3, "slug"),
        ("categories", 3, "parent"),
        ("product_categories", 2, "category"),
        ("product_modifier_groups", 2, "group"),
        ("product_modifier_groups", 3),
        ("product_modifier_groups", 3, "group"),
        ("sizes", 3),
        ("products", 2, "ingredients"),
    }


def put(value: Any, data_type: str | None = None, number_format: str = "General") -> Callable[[Any], None]:
    def edit(book: Any) -> None:
        cell = book["products"]["B2"]
        cell.value = value
        cell.data_type = data_type or cell.data_type
        cell.number_format = number_format

    return edit


TEA = products(("tea", "Чай", 100))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("=CONCATENATE(A2)"), "is a formula: send its value"),
        (put("#REF!", "e"), "is an error of the spreadsheet's"),
        (put(46_000, None, "yyyy-mm-dd"), "is a date: format the cell as text"),
        (put(True), "is TRUE or FALSE: send a text or a number"),
    ],
)
async def test_cells_that_are_no_text_are_refused_where_text_is_wanted(
    manager: httpx2.AsyncClient, edit: Callable[[Any], None], message: str
) -> None:
    assert await problems(manager, edited(make_workbook(TEA), edit)) == {("products", 2, "name"): message}


@pytest.mark.parametrize(
    ("sheets", "loc"),
    [
        ({"Лист1": [("slug",)]}, ()),
        (TEA | {"prices": [("slug",)]}, ("prices",)),
        (products(("tea", "Чай", 1, 1), header=("slug", "name", "price", "price")), ("products", 1, "price")),
        (products(("tea", "Чай", 1, 1), header=("slug", "name", "price", "cost")), ("products", 1, "cost")),
        (products(("tea", "Чай", 1, 1), header=("slug", "name", "price", None)), ("products", 1)),
        (products(("tea", "Чай", 1, 1), header=("slug", "name", None, "price")), ("products", 1)),
        (products(("tea", "Чай", 1), header=("slug", "name", 7)), ("products", 1, "7")),
        (products(("tea", "Чай", 1), header=("slug", "name", "=price")), ("products", 1, "?")),
        (TEA | {"products": [(), *TEA["products"]]}, ("products", 1)),
        (TEA | {"sizes": []}, ("sizes", 1)),
        ({"sizes": [("product", "name")]}, ("products",)),
        *(({name: rows for name, rows in TEA.items() if name != part}, (part,)) for part in PRODUCT_PARTS),
        ({"modifier_groups": [("name",)]}, ("options",)),
    ],
)
async def test_wrong_sheets_and_headers_are_told(manager: httpx2.AsyncClient, sheets: Json, loc: tuple[Any]) -> None:
    assert loc in await problems(manager, make_workbook(sheets))


async def test_merged_cells_are_refused(manager: httpx2.AsyncClient) -> None:
    content = edited(make_workbook(TEA), lambda book: book["products"].merge_cells("A2:A3"))

    assert await problems(manager, content) == {("products",): "has merged cells: unmerge them"}


async def test_of_a_thousand_faults_fifty_are_told(manager: httpx2.AsyncClient) -> None:
    content = make_workbook(products(*((f"p-{n}", "Чай", "x") for n in range(1000))))

    assert len(await problems(manager, content)) == 50


async def test_more_rows_than_a_document_may_have_are_refused(manager: httpx2.AsyncClient) -> None:
    content = make_workbook({"ingredients": [("name",), *((f"n-{n}",) for n in range(1001))]})

    assert [*await problems(manager, content)] == [("ingredients",)]


def test_rows_that_belong_to_the_same_row_cost_no_more_than_their_number() -> None:
    """Ten thousand faults are noted, each by itself."""
    rows = [(number, ["x", Number("1.5")]) for number in range(2, 10_002)]
    sheets = [Sheet("products", is_merged=False, rows=[(1, ["slug", "position"]), *rows])]

    with pytest.raises(InvalidMenuError):
        read_menu(sheets).document()


# Over HTTP.


async def test_u7_what_is_no_workbook_is_refused(manager: httpx2.AsyncClient) -> None:
    answers = [
        await send(manager, b"slug,name\ntea,\xd0\xa7"),
        await send(manager, make_workbook(TEA)[:-40]),
        await send(manager, make_workbook({"products": [("x",) * 101]})),
        await manager.post("/menu/import", files={"other": ("menu.xlsx", b"x", XLSX)}),
        await manager.post("/menu/import", files={"file": ("menu.xlsx", make_workbook(TEA))}, data={"dry_run": "true"}),
        await manager.post("/menu/import", content=make_workbook(TEA), headers={"Content-Type": XLSX}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (415, "unsupported_workbook"),
        (422, "workbook_broken"),
        (422, "workbook_too_large"),
        (422, "validation_error"),
        (422, "validation_error"),
        (422, "validation_error"),
    ]


async def test_u7_a_workbook_has_two_megabytes_and_no_more(manager: httpx2.AsyncClient) -> None:
    response = await send(manager, b"PK\x03\x04" + b"x" * IMPORT_LIMIT)

    assert response.status_code == 413


async def test_u4_workbooks_are_counted_before_they_are_read(manager: httpx2.AsyncClient) -> None:
    for _ in range(WORKBOOK_QUOTA.per_minute):
        assert (await send(manager, b"x")).status_code == 415

    body: list[int] = []

    async def unread() -> Any:
        body.append(1)
        yield b"x"

    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    response = await manager.post("/menu/import", content=unread(), headers=headers)

    assert (response.status_code, response.json()["code"]) == (429, "too_many_uploads")
    assert body == []
    assert (await manager.post("/menu/import", json={})).status_code == 200


async def test_only_who_edits_the_menu_exports_and_imports_workbooks(
    customer: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    content = write({"ingredients": (("name",), [("Мёд",)])})

    assert (await customer.get("/menu/export", params={"format": "xlsx"})).status_code == 403
    assert (await send(customer, content)).status_code == 403
    assert (await send(client, content)).status_code == 401


async def test_both_media_types_are_described(client: httpx2.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    exported = paths["/menu/export"]["get"]["responses"]["200"]["content"]
    imported = paths["/menu/import"]["post"]["requestBody"]["content"]

    assert exported[XLSX] == {"schema": {"type": "string", "format": "binary"}}
    assert [*exported] == ["application/json", XLSX]
    assert [*imported] == ["application/json", "multipart/form-data"]
    assert imported["multipart/form-data"]["schema"]["properties"]["file"]["format"] == "binary"
