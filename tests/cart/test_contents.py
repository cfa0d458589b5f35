"""Allergens, ingredients and nutrition of what was configured: in carts, orders, mails, lists and on the board."""

from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import Sessions
from crema.notifications.models import Mail
from crema.notifications.service.rendering import MailRenderer
from crema.orders.models import OrderLine
from factories.menu import Json, make_group, make_ingredient, make_product
from factories.orders import make_shop
from factories.people import consume_events
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio


def figures(energy: float, proteins: float, fats: float, carbohydrates: float, caffeine: float | None = 0) -> Json:
    names = ("energy_kcal", "proteins_g", "fats_g", "carbohydrates_g", "caffeine_mg")
    return dict(zip(names, (energy, proteins, fats, carbohydrates, caffeine), strict=True))


NUTRITION = figures(101, 5, 5.2, 8.3, 65)
LARGE_NUTRITION = figures(191, 9.5, 10, 15.4, 65)
COW_MILK, MORE_COW_MILK = figures(96, 4.8, 5.1, 7.5), figures(186, 9.3, 9.9, 14.6)
OAT_MILK, MORE_OAT_MILK = figures(94, 1.6, 4.8, 10.6), figures(183, 3.1, 9.3, 20.5)
SYRUP = figures(31, 0, 0, 7.7)
WITH_OATS = figures(99, 1.8, 4.9, 11.4, 65)
LARGE_WITH_OATS_AND_SYRUP = figures(250, 3.3, 9.4, 36.7, 65)


@dataclass
class Latte:
    product: Json
    group: Json
    syrup: Json
    coffee: Json
    milk: Json
    oats: Json

    def made_with(self, index: int, *, size: int = 0, syrup: int = 0) -> Json:
        choices = [{"option_id": self.group["options"][index]["id"]}]
        if syrup:
            choices.append({"option_id": self.syrup["options"][0]["id"], "quantity": syrup})
        return {"product_id": self.product["id"], "size_id": self.product["sizes"][size]["id"], "options": choices}


@pytest.fixture
async def latte(manager: httpx2.AsyncClient) -> Latte:
    coffee, milk, oats = [await make_ingredient(manager, name) for name in ("Эспрессо", "Молоко", "Овёс")]
    cow = {"name": "Обычное", "is_default": True, "allergens": ["milk"], "ingredient_ids": [milk["id"]]}
    oat = {"name": "Овсяное", "allergens": ["gluten"], "ingredient_ids": [oats["id"]]}
    cow |= {"nutrition": COW_MILK, "size_nutrition": [{"size_name": "L", "nutrition": MORE_COW_MILK}]}
    oat |= {"nutrition": OAT_MILK, "size_nutrition": [{"size_name": "L", "nutrition": MORE_OAT_MILK}]}
    group = await make_group(manager, min_choices=1, options=[cow, oat])
    vanilla = {"name": "Ваниль", "max_quantity": 3, "nutrition": SYRUP}
    syrup = await make_group(manager, "Сироп", max_choices=3, options=[vanilla])
    product = await make_product(
        manager,
        sizes=[{"name": "S", "is_default": True}, {"name": "L", "nutrition": LARGE_NUTRITION}, {"name": "XL"}],
        modifier_group_ids=[group["id"], syrup["id"]],
        ingredient_ids=[coffee["id"], milk["id"]],
        allergens=["milk"],
        allergens_always=[],
        nutrition=NUTRITION,
    )
    return Latte(product, group, syrup, coffee, milk, oats)


async def test_the_cart_tells_what_the_drink_contains_as_configured(latte: Latte, customer: httpx2.AsyncClient) -> None:
    await customer.post("/cart", json=latte.made_with(0))
    await customer.post("/cart", json=latte.made_with(1))

    cow, oat = (await customer.get("/cart")).json()["items"]

    assert cow["contents"] == {
        "allergens": ["milk"],
        "ingredients": [latte.coffee, latte.milk],
        "nutrition": NUTRITION,
    }
    assert oat["contents"] == {
        "allergens": ["gluten"],
        "ingredients": [latte.coffee, latte.oats],
        "nutrition": WITH_OATS,
    }


async def test_each_size_and_piece_counts_and_what_the_menu_does_not_say_is_unknown(
    latte: Latte, customer: httpx2.AsyncClient
) -> None:
    await customer.post("/cart", json=latte.made_with(1, size=1, syrup=2) | {"quantity": 3})
    await customer.post("/cart", json=latte.made_with(0, size=1))
    await customer.post("/cart", json=latte.made_with(0, size=2))

    told = [item["contents"]["nutrition"] for item in (await customer.get("/cart")).json()["items"]]

    assert told == [LARGE_WITH_OATS_AND_SYRUP, LARGE_NUTRITION, None]


async def test_the_menu_s_next_figures_count_in_the_cart_at_once(
    latte: Latte, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    await customer.post("/cart", json=latte.made_with(1))
    cow, oat = latte.group["options"]

    async def told() -> Any:
        return (await customer.get("/cart")).json()["items"][0]["contents"]["nutrition"]

    await manager.patch(
        f"/modifier-group/{latte.group['id']}", json={"options": [cow, oat | {"nutrition": figures(100, 2, 5, 11)}]}
    )
    assert await told() == figures(105, 2.2, 5.1, 11.8, 65)

    await manager.patch(f"/modifier-group/{latte.group['id']}", json={"options": [cow, oat | {"nutrition": None}]})
    assert await told() is None


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


async def test_an_order_keeps_the_nutrition_that_was_sold_and_a_reorder_has_today_s(
    latte: Latte, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    placed = await order(customer, latte.made_with(1, size=1, syrup=2))

    cow, oat = latte.group["options"]
    dearer = {"size_nutrition": [{"size_name": "L", "nutrition": figures(193, 3.1, 9.3, 20.5)}]}
    await manager.patch(f"/modifier-group/{latte.group['id']}", json={"options": [cow, oat | dearer]})

    (line,) = (await customer.get(f"/order/{placed['id']}")).json()["lines"]
    (listed,) = (await customer.get("/orders")).json()["items"]
    again = (await customer.post(f"/order/{placed['id']}/reorder")).json()
    assert line["contents"]["nutrition"] == LARGE_WITH_OATS_AND_SYRUP
    assert listed["lines"] == placed["lines"] == [line]
    nutrition = again["cart"]["items"][0]["contents"]["nutrition"]
    assert nutrition == LARGE_WITH_OATS_AND_SYRUP | {"energy_kcal": 260.0}


async def test_an_edited_order_tells_the_new_contents(
    latte: Latte, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    placed = await order(customer, latte.made_with(1))

    edited = await customer.patch(f"/order/{placed['id']}", json={"items": [latte.made_with(0)]})

    contents = edited.json()["lines"][0]["contents"]
    assert (contents["allergens"], contents["nutrition"]) == (["milk"], NUTRITION)


async def test_lines_from_before_have_no_contents(
    latte: Latte, customer: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_shop(sessions)
    placed = await order(customer, latte.made_with(1))
    async with sessions.begin() as session:
        await session.execute(update(OrderLine).values(contents=None))

    assert (await customer.get(f"/order/{placed['id']}")).json()["lines"][0]["contents"] is None


MAIL_RENDERER = MailRenderer(sender="Crema <noreply@example.com>", chain="Crema", link="https://example.com")
RUSSIAN = [
    "Состав: Латте (L, Овсяное, Ваниль ×2)",
    "Ингредиенты: Эспрессо, Овёс",
    "Аллергены: глютен",
    "Пищевая ценность порции: 250 ккал, белки 3,3 г, жиры 9,4 г, углеводы 36,7 г, кофеин 65 мг",
]
ENGLISH = [
    "Contents: Латте (L, Овсяное, Ваниль ×2)",
    "Ingredients: Эспрессо, Овёс",
    "Allergens: gluten",
    "Nutrition per item: 250 kcal, 3.3 g proteins, 9.4 g fats, 36.7 g carbohydrates, 65 mg caffeine",
]


async def staff_mail(session: AsyncSession, template: str = "order_placed_staff") -> Mail:
    await consume_events(session)
    wanted = select(Mail).where(Mail.recipient == "arbat@example.com", Mail.template == template)
    return (await session.scalars(wanted)).one()


@pytest.mark.parametrize(("language", "words"), [("ru", RUSSIAN), ("en", ENGLISH)])
async def test_the_staff_s_mails_tell_the_contents_of_each_line(
    latte: Latte, customer: httpx2.AsyncClient, sessions: Sessions, session: AsyncSession, language: str, words: Any
) -> None:
    await make_shop(sessions, email="arbat@example.com")
    note = "Состав: вода\n\nAllergens: none"
    placed = await order(customer, latte.made_with(0), latte.made_with(1, size=1, syrup=2) | {"note": "Горячее"})
    await customer.patch(f"/order/{placed['id']}", json={"comment": note})

    for template in ("order_placed_staff", "order_edited_staff"):
        mail = await staff_mail(session, template)
        rendered = MAIL_RENDERER.render(template=mail.template, language=language, context=mail.context)
        assert "\n\n" + "\n".join(words) + "\n\n" in rendered.text
        assert f'<p style="margin:0 0 16px">{"<br>".join(words)}</p>' in rendered.html
    assert "> Состав: вода\n> Allergens: none" in rendered.text, "what the customer wrote stays set apart"
    assert "Состав: вода<br>Allergens: none</blockquote>" in rendered.html


async def test_the_staff_s_mail_leaves_out_what_the_menu_does_not_say(
    latte: Latte, customer: httpx2.AsyncClient, sessions: Sessions, session: AsyncSession
) -> None:
    await make_shop(sessions, email="arbat@example.com")
    await order(customer, latte.made_with(1, size=2))

    mail = await staff_mail(session)

    text = MAIL_RENDERER.render(template=mail.template, language="en", context=mail.context).text
    assert "Allergens: gluten" in text
    assert "Nutrition" not in text


async def test_a_mail_promised_before_the_contents_were_noted_is_still_written(
    latte: Latte, customer: httpx2.AsyncClient, sessions: Sessions, session: AsyncSession
) -> None:
    await make_shop(sessions, email="arbat@example.com")
    await order(customer, latte.made_with(1))
    mail = await staff_mail(session)
    noted = {"allergens", "ingredients", "nutrition"}
    lines = [{name: value for name, value in line.items() if name not in noted} for line in mail.context["lines"]]

    text = MAIL_RENDERER.render(template=mail.template, language="ru", context=mail.context | {"lines": lines}).text

    assert "Итого" in text
    assert "Состав" not in text


async def test_the_staff_s_list_tells_the_contents(
    latte: Latte, customer: httpx2.AsyncClient, log_in: LogIn, sessions: Sessions
) -> None:
    shop_id = await make_shop(sessions)
    barista = await log_in("barista@example.com", role="barista", shop_ids=(shop_id,))
    await order(customer, latte.made_with(1))

    board = (await barista.get("/orders", params={"status": "placed"})).json()["items"]

    (contents,) = [line["contents"] for each in board for line in each["lines"]]
    assert contents == {
        "allergens": ["gluten"],
        "ingredients": [latte.coffee, latte.oats],
        "nutrition": WITH_OATS,
    }


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
