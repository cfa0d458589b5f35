"""Allergens, ingredients and nutrition of what was configured: in carts, orders, mails, lists and on the board."""

from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from crema.notifications.models import Mail
from crema.notifications.service.rendering import Stationery
from crema.orders.models import OrderLine
from factories.menu import Json, make_group, make_ingredient, make_product
from factories.orders import make_shop
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
NUTRITION = {"energy_kcal": 150.0, "proteins_g": 8.0, "fats_g": 7.5, "carbohydrates_g": 12.0, "caffeine_mg": 130.0}


@dataclass
class Latte:
    product: Json
    group: Json
    coffee: Json
    milk: Json
    oats: Json

    def made_with(self, index: int) -> Json:
        option = self.group["options"][index]
        return {"product_id": self.product["id"], "options": [{"option_id": option["id"]}]}


@pytest.fixture
async def latte(manager: httpx2.AsyncClient) -> Latte:
    coffee, milk, oats = [await make_ingredient(manager, name) for name in ("Эспрессо", "Молоко", "Овёс")]
    cow = {"name": "Обычное", "is_default": True, "allergens": ["milk"], "ingredient_ids": [milk["id"]]}
    oat = {"name": "Овсяное", "allergens": ["gluten"], "ingredient_ids": [oats["id"]]}
    group = await make_group(manager, min_choices=1, options=[cow, oat])
    product = await make_product(
        manager,
        modifier_group_ids=[group["id"]],
        ingredient_ids=[coffee["id"], milk["id"]],
        allergens=["milk"],
        allergens_always=[],
        nutrition=NUTRITION,
    )
    return Latte(product, group, coffee, milk, oats)


async def test_the_cart_tells_what_the_drink_contains_as_configured(latte: Latte, customer: httpx2.AsyncClient) -> None:
    await customer.post("/cart", json=latte.made_with(0))
    await customer.post("/cart", json=latte.made_with(1))

    cow, oat = (await customer.get("/cart")).json()["items"]

    assert cow["contents"] == {
        "allergens": ["milk"],
        "ingredients": [latte.coffee, latte.milk],
        "nutrition": NUTRITION,
    }
    assert oat["contents"] == {"allergens": ["gluten"], "ingredients": [latte.coffee, latte.oats], "nutrition": None}


async def test_what_can_not_be_ordered_tells_no_contents(
    latte: Latte, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    await customer.post("/cart", json=latte.made_with(1))
    await manager.patch(f"/product/{latte.product['id']}", json={"is_active": False})

    assert (await customer.get("/cart")).json()["items"][0]["contents"] is None


async def order(customer: httpx2.AsyncClient, *items: Json) -> dict[str, Any]:
    answer = await customer.post("/order", json={"items": [*items]})
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    return placed


async def test_an_order_keeps_what_was_sold(
    latte: Latte, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    placed = await order(customer, latte.made_with(1))

    await manager.patch(f"/product/{latte.product['id']}", json={"allergens": ["milk", "nuts"], "ingredient_ids": []})

    (line,) = (await customer.get(f"/order/{placed['id']}")).json()["lines"]
    assert line == placed["lines"][0]
    assert line["contents"]["allergens"] == ["gluten"]
    assert line["contents"]["ingredients"] == [latte.coffee, latte.oats]


async def test_an_edited_order_tells_the_new_contents(
    latte: Latte, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    placed = await order(customer, latte.made_with(1))

    edited = await customer.patch(f"/order/{placed['id']}", json={"items": [latte.made_with(0)]})

    assert edited.json()["lines"][0]["contents"]["allergens"] == ["milk"]


async def test_lines_from_before_have_no_contents(
    latte: Latte, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    placed = await order(customer, latte.made_with(1))
    async with sessions.begin() as session:
        await session.execute(update(OrderLine).values(contents=None))

    assert (await customer.get(f"/order/{placed['id']}")).json()["lines"][0]["contents"] is None


@pytest.mark.parametrize(
    ("language", "words"),
    [("ru", "Аллергены: Латте (Овсяное) — глютен"), ("en", "Allergens: Латте (Овсяное) — gluten")],
)
async def test_the_staff_s_mail_names_the_allergens(
    latte: Latte, customer: httpx2.AsyncClient, sessions: Sessions, session: AsyncSession, language: str, words: str
) -> None:
    await make_shop(sessions, email="arbat@example.com")
    await order(customer, latte.made_with(1))

    mail = (await session.scalars(select(Mail).where(Mail.recipient == "arbat@example.com"))).one()

    stationery = Stationery(sender="Crema <noreply@example.com>", chain="Crema", link="https://example.com")
    assert words in stationery.render(template=mail.template, language=language, context=mail.context).text


async def test_a_mail_promised_before_the_contents_were_noted_is_still_written(
    latte: Latte, customer: httpx2.AsyncClient, sessions: Sessions, session: AsyncSession
) -> None:
    await make_shop(sessions, email="arbat@example.com")
    await order(customer, latte.made_with(1))
    mail = (await session.scalars(select(Mail).where(Mail.recipient == "arbat@example.com"))).one()
    lines = [{name: value for name, value in line.items() if name != "allergens"} for line in mail.context["lines"]]

    stationery = Stationery(sender="Crema <noreply@example.com>", chain="Crema", link="https://example.com")
    text = stationery.render(template=mail.template, language="ru", context=mail.context | {"lines": lines}).text

    assert "Аллергены" not in text


async def test_the_live_board_tells_the_contents(
    latte: Latte, customer: httpx2.AsyncClient, log_in: LogIn, sessions: Sessions
) -> None:
    shop_id = await make_shop(sessions)
    barista = await log_in("barista@example.com", role="barista", shop_ids=(shop_id,))
    await order(customer, latte.made_with(1))

    board = (await barista.get("/orders", params={"status": "placed"})).json()["items"]

    assert [line["contents"]["allergens"] for each in board for line in each["lines"]] == [["gluten"]]


async def test_a_list_finds_what_can_be_without_milk(
    latte: Latte, client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    await make_product(
        manager, "Раф", allergens=["milk"], allergens_always=["milk"], modifier_group_ids=[latte.group["id"]]
    )
    await make_product(manager, "Какао", allergens=["milk"], modifier_group_ids=[latte.group["id"]])
    await make_product(manager, "Чай")

    async def names(**parameters: str) -> list[str]:
        return [each["name"] for each in (await client.get("/products", params=parameters)).json()["items"]]

    assert await names(can_be_without="milk") == ["Латте", "Чай"]
    assert await names(can_be_without__ne="milk") == ["Какао", "Раф"]
    assert await names(can_be_without__in="milk,eggs") == ["Какао", "Латте", "Раф", "Чай"]
    assert await names(can_be_without="milk", search="латте") == ["Латте"]

    cow, oat = latte.group["options"]
    await manager.patch(f"/modifier-group/{latte.group['id']}", json={"options": [cow, oat | {"is_active": False}]})

    assert await names(can_be_without="milk") == ["Чай"]


async def test_an_unknown_allergen_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/products", params={"can_be_without": "wool"})).status_code == 422


async def test_what_stays_always_is_one_of_the_allergens(manager: httpx2.AsyncClient, latte: Latte) -> None:
    wrong = {"name": "Раф", "price": 300, "allergens": ["milk"], "allergens_always": ["nuts"]}

    answers = [
        await manager.post("/product", json=wrong),
        await manager.patch(f"/product/{latte.product['id']}", json={"allergens": [], "allergens_always": ["milk"]}),
        await manager.patch(f"/product/{latte.product['id']}", json={"allergens_always": None}),
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 200]
    assert answers[2].json()["allergens_always"] is None
