"""The prices of many products at once: by a percentage or from a list, all or nothing."""

from decimal import Decimal
from uuid import uuid4

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession

from crema.menu.domain import changed_price
from factories.menu import Json, make_category, make_product
from fixtures.app import Clock
from menu.test_documents import rendered, stored

pytestmark = pytest.mark.anyio


async def price_of(client: httpx2.AsyncClient, product: Json) -> str:
    return str((await client.get(f"/product/{product['id']}")).json()["price"])


async def change(editor: httpx2.AsyncClient, *, dry_run: bool = False, **body: object) -> httpx2.Response:
    return await editor.post("/products/prices", json=body | {"dry_run": dry_run})


async def test_a_percentage_raises_every_price_and_the_documents(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient, session: AsyncSession
) -> None:
    latte, tea = await make_product(manager), await make_product(manager, "Чай", "99.90", is_active=False)

    answer = await change(manager, percent="5.0")

    assert answer.status_code == 200
    assert answer.json() == {
        "dry_run": False,
        "changed": 2,
        "products": [
            {"product_id": latte["id"], "name": "Латте", "price_before": "250.00", "price_after": "262.50"},
            {"product_id": tea["id"], "name": "Чай", "price_before": "99.90", "price_after": "104.90"},
        ],
    }
    assert (await price_of(client, latte), await price_of(manager, tea)) == ("262.50", "104.90")
    assert await stored(session) == await rendered(session)


async def test_a_dry_run_answers_the_same_and_changes_nothing(
    manager: httpx2.AsyncClient, session: AsyncSession
) -> None:
    latte = await make_product(manager)
    before, menu = await stored(session), (await manager.get("/menu")).headers["etag"]

    dry = await change(manager, percent="-10", round_to="10.00", dry_run=True)

    assert await stored(session) == before
    assert (await manager.get("/menu")).headers["etag"] == menu
    assert await price_of(manager, latte) == "250.00"
    done = await change(manager, percent="-10", round_to="10.00")
    assert done.json() == dry.json() | {"dry_run": False}
    assert await price_of(manager, latte) == "230.00"


async def test_what_a_dry_run_answers_can_be_sent_as_a_list_and_twice(manager: httpx2.AsyncClient) -> None:
    latte = await make_product(manager)
    dry = (await change(manager, percent="5", dry_run=True)).json()
    prices = [{"product_id": each["product_id"], "price": each["price_after"]} for each in dry["products"]]

    first, second = await change(manager, prices=prices), await change(manager, prices=prices)

    assert (first.json()["changed"], second.json()["changed"]) == (1, 0)
    assert await price_of(manager, latte) == "262.50"


async def test_a_category_means_all_under_it_and_nothing_else(manager: httpx2.AsyncClient) -> None:
    coffee = await make_category(manager)
    cold = await make_category(manager, "Холодный", parent_id=coffee["id"], is_active=False)
    latte = await make_product(manager, category_ids=[coffee["id"], cold["id"]])
    iced = await make_product(manager, "Айс", category_ids=[cold["id"]])
    tea = await make_product(manager, "Чай")

    answer = await change(manager, percent="100", category_id=coffee["id"])

    assert [each["product_id"] for each in answer.json()["products"]] == [iced["id"], latte["id"]]
    assert [await price_of(manager, each) for each in (latte, iced, tea)] == ["500.00", "500.00", "250.00"]


async def test_listed_products_come_in_the_order_of_the_list(manager: httpx2.AsyncClient) -> None:
    latte, tea, kept = [await make_product(manager, name) for name in ("Латте", "Чай", "Какао")]

    answer = await change(manager, percent="2", product_ids=[tea["id"], latte["id"]])

    assert [each["product_id"] for each in answer.json()["products"]] == [tea["id"], latte["id"]]
    assert await price_of(manager, kept) == "250.00"


async def test_a_price_that_stays_is_not_an_edit(manager: httpx2.AsyncClient, clock: Clock) -> None:
    latte = await make_product(manager)
    clock.advance(hours=1)

    answer = await change(manager, prices=[{"product_id": latte["id"], "price": "250.00"}])

    assert answer.json()["changed"] == 0
    assert (await manager.get(f"/product/{latte['id']}")).json() == latte


async def test_one_bad_row_of_a_list_changes_nothing_and_is_named(manager: httpx2.AsyncClient) -> None:
    latte, gone = await make_product(manager), await make_product(manager, "Чай")
    await manager.delete(f"/product/{gone['id']}")
    good = {"product_id": latte["id"], "price": "300.00"}
    rows = {
        "unknown": ({"product_id": str(uuid4()), "price": "1.00"}, "unknown_reference", "product_id"),
        "deleted": ({"product_id": gone["id"], "price": "1.00"}, "unknown_reference", "product_id"),
        "negative": ({"product_id": str(uuid4()), "price": "-1.00"}, "validation_error", "price"),
        "cents": ({"product_id": str(uuid4()), "price": "1.001"}, "validation_error", "price"),
        "no price": ({"product_id": str(uuid4())}, "validation_error", "price"),
    }
    for dry_run in (True, False):
        for name, (row, code, field) in rows.items():
            answer = await change(manager, prices=[good, row], dry_run=dry_run)

            assert answer.status_code == 422, name
            assert answer.json()["code"] == code, name
            assert [error["loc"] for error in answer.json()["errors"]] == [["body", "prices", 1, field]], name
    assert await price_of(manager, latte) == "250.00"


async def test_a_percentage_that_makes_one_price_too_high_changes_nothing(manager: httpx2.AsyncClient) -> None:
    latte, dear = await make_product(manager), await make_product(manager, "Кофемашина", "9999999.00")

    answer = await change(manager, percent="5", product_ids=[latte["id"], dear["id"]])

    assert (answer.status_code, answer.json()["code"]) == (422, "price_too_high")
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", "product_ids", 1]]
    assert await price_of(manager, latte) == "250.00"


REFUSED = {
    "nothing": {},
    "both": {"percent": "5", "prices": [{"product_id": str(uuid4()), "price": "1"}]},
    "category and products": {"percent": "5", "category_id": str(uuid4()), "product_ids": [str(uuid4())]},
    "rounded list": {"prices": [{"product_id": str(uuid4()), "price": "1"}], "round_to": "10"},
    "empty list": {"prices": []},
    "no products": {"percent": "5", "product_ids": []},
    "twice": {"prices": [{"product_id": "01a2074f-26f7-7216-8892-26d298d63ed0", "price": price} for price in "12"]},
    "more than all": {"percent": "-100.01"},
    "too many digits": {"percent": "1.005"},
    "exponent": {"percent": "1e3"},
    "not a number": {"percent": "NaN"},
    "round to nothing": {"percent": "5", "round_to": "0.00"},
    "unknown category": {"percent": "5", "category_id": str(uuid4())},
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
async def test_a_request_that_is_not_clear_is_refused(manager: httpx2.AsyncClient, body: Json) -> None:
    latte = await make_product(manager)

    assert (await change(manager, **body)).status_code == 422
    assert await price_of(manager, latte) == "250.00"


async def test_whether_it_is_a_dry_run_must_be_said(manager: httpx2.AsyncClient) -> None:
    latte = await make_product(manager)

    answer = await manager.post("/products/prices", json={"percent": "5"})

    assert [error["loc"] for error in answer.json()["errors"]] == [["body", "dry_run"]]
    assert await price_of(manager, latte) == "250.00"


@pytest.mark.parametrize(
    ("price", "percent", "round_to", "after"),
    [
        ("99.90", "5", None, "104.90"),  # 104.895
        ("0.10", "5", None, "0.11"),  # 0.105
        ("250", "5", "10", "260.00"),
        ("250", "6", "10", "270.00"),  # 265
        ("250", "-100", None, "0.00"),
        ("3", "0", "10", "0.00"),
        ("5", "0", "10", "10.00"),
    ],
)
def test_a_half_is_rounded_up(price: str, percent: str, round_to: str | None, after: str) -> None:
    step = None if round_to is None else Decimal(round_to)

    assert str(changed_price(Decimal(price), percent=Decimal(percent), round_to=step)) == after


MONEY = st.decimals("0.01", "9999999.99", places=2)


@given(MONEY, st.decimals(-100, 1000, places=2), MONEY)
def test_a_changed_price_is_the_nearest_multiple_and_never_below_zero(
    price: Decimal, percent: Decimal, step: Decimal
) -> None:
    after = changed_price(price, percent=percent, round_to=step)

    assert after >= 0
    assert after % step == 0
    assert abs(after - price * (100 + percent) / 100) <= step / 2
