"""Options that cost otherwise in a size, deltas below zero, free quantities by product: one price everywhere."""

import random
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from crema.db.session import Sessions
from factories.menu import Json, make_group, make_product
from factories.orders import make_shop

pytestmark = pytest.mark.anyio


async def make_drink(manager: httpx2.AsyncClient, option: Json, *, free: int | None = None, **fields: Any) -> Json:
    """Make a drink at 250 in S and L (+90) with a group of one option, up to five pieces."""
    group = await make_group(
        manager, "Добавки", max_choices=5, options=[{"name": "Ваниль", "max_quantity": 5} | option]
    )
    return await make_product(
        manager,
        sizes=[{"name": "S"}, {"name": "L", "price_delta": "90.00"}],
        modifier_groups=[{"group_id": group["id"], "free_quantity": free}],
        **fields,
    )


def choice(drink: Json, size: str, quantity: int = 1) -> Json:
    return {
        "product_id": drink["id"],
        "size_id": next(each["id"] for each in drink["sizes"] if each["name"] == size),
        "options": [{"option_id": drink["modifier_groups"][0]["options"][0]["id"], "quantity": quantity}],
    }


async def put_into_cart(customer: httpx2.AsyncClient, body: Json) -> Json:
    answer = await customer.post("/cart", json=body)
    assert answer.status_code == 201, answer.text
    item: Json = answer.json()["items"][-1]
    return item


SYRUP = {"price_delta": "40.00", "size_prices": [{"size_name": "L", "price_delta": "60.00"}]}


async def test_a_syrup_costs_more_in_a_large_one(manager: httpx2.AsyncClient, customer: httpx2.AsyncClient) -> None:
    drink = await make_drink(manager, SYRUP)

    small = await put_into_cart(customer, choice(drink, "S", 2))
    large = await put_into_cart(customer, choice(drink, "L", 2))

    assert (small["unit_price"], large["unit_price"]) == ("330.00", "460.00")
    assert [large["options"][0][name] for name in ("price_delta", "price")] == ["60.00", "120.00"]


async def test_another_size_of_a_cart_s_line_prices_its_options_anew(
    manager: httpx2.AsyncClient, customer: httpx2.AsyncClient
) -> None:
    drink = await make_drink(manager, SYRUP)
    item = await put_into_cart(customer, choice(drink, "S"))

    answer = await customer.patch(f"/cart/{item['id']}", json={"size_id": choice(drink, "L")["size_id"]})

    assert answer.json()["items"][0]["unit_price"] == "400.00"


async def test_a_name_that_no_size_of_the_product_has_changes_nothing(
    manager: httpx2.AsyncClient, customer: httpx2.AsyncClient
) -> None:
    drink = await make_drink(manager, SYRUP | {"size_prices": [{"size_name": "l", "price_delta": "60.00"}]})

    assert (await put_into_cart(customer, choice(drink, "L")))["unit_price"] == "380.00"


async def test_the_same_size_twice_is_refused(manager: httpx2.AsyncClient) -> None:
    prices = [{"size_name": "L", "price_delta": "1"}, {"size_name": " L", "price_delta": "2"}]

    answer = await manager.post(
        "/modifier-group", json={"name": "x", "options": [{"name": "y", "size_prices": prices}]}
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "options", 0, "size_prices"]


async def test_own_cup_takes_its_price_off_and_never_below_zero(
    manager: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    shop_id = await make_shop(sessions)
    drink = await make_drink(manager, {"name": "Своя кружка", "price_delta": "-100.00"})

    prices = [(await put_into_cart(customer, choice(drink, "S", n)))["unit_price"] for n in (1, 2, 3, 5)]

    assert prices == ["150.00", "50.00", "0.00", "0.00"]
    order = await customer.post("/order", json={"shop_id": str(shop_id)})
    assert order.status_code == 201, order.text
    assert [line["unit_price"] for line in order.json()["lines"]] == prices
    assert order.json()["lines"][0]["options"][0]["price"] == "-100.00"
    assert order.json()["total"] == "200.00"


async def test_a_free_quantity_does_not_take_a_discount_away(
    manager: httpx2.AsyncClient, customer: httpx2.AsyncClient
) -> None:
    drink = await make_drink(manager, {"price_delta": "-20.00"}, free=1)

    assert (await put_into_cart(customer, choice(drink, "S", 2)))["unit_price"] == "210.00"


async def test_a_smaller_size_may_be_cheaper_than_the_product(
    manager: httpx2.AsyncClient, customer: httpx2.AsyncClient
) -> None:
    drink = await make_product(manager, sizes=[{"name": "S", "price_delta": "-50.00"}, {"name": "M"}])

    assert drink["sizes"][0]["price_delta"] == "-50.00"
    assert (await put_into_cart(customer, {"product_id": drink["id"]}))["unit_price"] == "200.00"


@pytest.mark.parametrize("amount", ["-10000000.00", "-1.001", "--1", "+1", "-", "-1e3", "NaN", True])
async def test_what_is_no_difference_of_prices_is_refused(manager: httpx2.AsyncClient, amount: object) -> None:
    group = {"name": "x", "options": [{"name": "y", "price_delta": amount}]}

    assert (await manager.post("/modifier-group", json=group)).status_code == 422


async def test_a_product_s_own_free_quantity_overrides_the_group_s(
    manager: httpx2.AsyncClient, customer: httpx2.AsyncClient
) -> None:
    group = await make_group(
        manager,
        "Сироп",
        max_choices=5,
        free_quantity=1,
        options=[{"name": "в", "price_delta": "40", "max_quantity": 5}],
    )
    drinks = [
        await make_product(manager, modifier_groups=[{"group_id": group["id"], "free_quantity": free}])
        for free in (None, 0, 3)
    ]

    options = [{"option_id": group["options"][0]["id"], "quantity": 3}]
    prices = [
        (await put_into_cart(customer, {"product_id": drink["id"], "options": options}))["unit_price"]
        for drink in drinks
    ]

    assert [drink["modifier_groups"][0]["free_quantity"] for drink in drinks] == [1, 0, 3]
    assert prices == ["330.00", "370.00", "250.00"]


async def test_the_group_s_free_quantity_stays_the_group_s_after_get_and_put(manager: httpx2.AsyncClient) -> None:
    group = await make_group(manager, free_quantity=1)
    follows = await make_product(manager, modifier_groups=[{"group_id": group["id"]}])
    own = await make_product(manager, "Раф", modifier_groups=[{"group_id": group["id"], "free_quantity": 3}])
    for product in (follows, own):
        assert (await manager.put(f"/product/{product['id']}", json=product)).status_code == 200

    await manager.patch(f"/modifier-group/{group['id']}", json={"free_quantity": 2})
    copy = await manager.post(f"/product/{own['id']}/copy")

    shown = [(await manager.get(f"/product/{each['id']}")).json() for each in (follows, own, copy.json())]
    assert [each["modifier_groups"][0]["free_quantity"] for each in shown] == [2, 3, 3]


@pytest.mark.parametrize("free", [-1, 51, 1.5, "1"])
async def test_a_free_quantity_that_cannot_be_is_refused(manager: httpx2.AsyncClient, free: object) -> None:
    group = await make_group(manager)

    link = {"group_id": group["id"], "free_quantity": free}
    answer = await manager.post("/product", json={"name": "x", "price": "1", "modifier_groups": [link]})

    assert answer.json()["errors"][0]["loc"] == ["body", "modifier_groups", 0, "free_quantity"]


def from_the_menu(drink: Json, size: str, quantities: dict[str, int]) -> Decimal:
    """Price a choice as a front end would, from the document that the menu shows."""
    chosen = next(each for each in drink["sizes"] if each["name"] == size)
    price = Decimal(drink["price"]) + Decimal(chosen["price_delta"])
    for group in drink["modifier_groups"]:
        pieces = []
        for option in group["options"]:
            by_size = {each["size_name"]: each["price_delta"] for each in option["size_prices"]}
            delta = Decimal(by_size.get(size, option["price_delta"]))
            pieces += [delta] * quantities.get(option["id"], 0)
        rising = sorted(delta for delta in pieces if delta >= 0)
        price += sum(delta for delta in pieces if delta < 0) + sum(rising[group["free_quantity"] :])
    return max(price, Decimal(0))


@pytest.mark.parametrize("seed", range(3))
async def test_menu_cart_and_order_agree_on_every_price(
    manager: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - to choose prices
    shop_id = await make_shop(sessions)

    def delta() -> str:
        return f"{chance.randint(-15000, 9000) / 100:.2f}"

    def option(name: str) -> Json:
        sizes = chance.sample("SML", chance.randint(0, 3))
        by_size = [{"size_name": each, "price_delta": delta()} for each in sizes]
        return {"name": name, "price_delta": delta(), "max_quantity": 5, "size_prices": by_size}

    groups = [
        await make_group(
            manager, name, max_choices=50, free_quantity=chance.randint(0, 3), options=[*map(option, "abc")]
        )
        for name in ("Сироп", "Посыпка")
    ]
    drink = await make_product(
        manager,
        price="120.00",
        sizes=[{"name": name, "price_delta": delta()} for name in "SML"],
        modifier_groups=[{"group_id": each["id"], "free_quantity": chance.choice([None, 0, 2, 5])} for each in groups],
    )
    expected = []
    for size in "SML" * 4:
        options = [each for group in drink["modifier_groups"] for each in group["options"]]
        picked = {each["id"]: chance.randint(1, 5) for each in chance.sample(options, chance.randint(0, 5))}
        body = choice(drink, size) | {
            "note": str(len(expected)),
            "options": [{"option_id": id_, "quantity": quantity} for id_, quantity in picked.items()],
        }
        assert (await customer.post("/cart", json=body)).status_code == 201
        expected.append(f"{from_the_menu(drink, size, picked):.2f}")

    cart = (await customer.get("/cart")).json()
    order = await customer.post("/order", json={"shop_id": str(shop_id), "expected_total": cart["total"]})

    assert [item["unit_price"] for item in cart["items"]] == expected
    assert order.status_code == 201, order.text
    assert [line["unit_price"] for line in order.json()["lines"]] == expected
    assert order.json()["total"] == cart["total"]
