"""One engine: whatever shops have run out of, and whenever it is, menu, product, availability, cart and order agree."""

import os
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import httpx2
import pytest

from crema.db.session import Sessions
from factories.menu import make_category, make_group, make_ingredient, make_product
from factories.orders import make_shop
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
WORLDS = int(os.environ.get("CREMA_RANDOM_SHOPS", "4"))
OPEN_ALWAYS = (0, 1440)


@dataclass
class Chain:
    """What random shops may differ in."""

    products: list[Json]
    ingredients: list[Json]

    @property
    def options(self) -> list[Json]:
        groups = {group["id"]: group for product in self.products for group in product["modifier_groups"]}
        return [option for group in groups.values() for option in group["options"]]


async def make_chain(manager: httpx2.AsyncClient, random: Random) -> Chain:
    milk, oats, coffee = [await make_ingredient(manager, name) for name in ("Молоко", "Овёс", "Кофе")]
    options = [
        {"name": "Коровье", "is_default": True, "ingredient_ids": [milk["id"]]},
        {"name": "Овсяное", "price_delta": "60", "ingredient_ids": [oats["id"]]},
    ]
    milks = await make_group(manager, options=options, min_choices=1)
    syrup = await make_group(manager, "Сироп", options=[{"name": "Ваниль", "is_default": True, "price_delta": "40"}])
    category = await make_category(manager, schedule=random_schedule(random))
    places = {"category_ids": random.choice([[], [category["id"]]])}
    made = [
        await make_product(
            manager,
            modifier_group_ids=[milks["id"], syrup["id"]],
            ingredient_ids=[coffee["id"], milk["id"]],
            schedule=random_schedule(random),
            **places,
        ),
        await make_product(manager, "Круассан", "180.00", schedule=random_schedule(random), **places),
        await make_product(manager, "Кофе", "150.00", modifier_group_ids=[syrup["id"]], ingredient_ids=[coffee["id"]]),
    ]
    return Chain(made, [milk, oats, coffee])


def random_schedule(random: Random) -> list[Json]:
    begin, length = random.randrange(24), random.randrange(1, 24)
    window = {
        "weekdays": sorted(random.sample(range(7), random.randrange(1, 8))),
        "from": f"{begin:02}:00",
        "to": f"{(begin + length) % 24:02}:30",
        "starts_on": random.choice([None, "2026-11-20", "2026-11-25"]),
        "ends_on": random.choice([None, "2026-11-26"]),
    }
    return random.choice([[], [window]])


async def differ(staff: httpx2.AsyncClient, shop_id: UUID, chain: Chain, clock: Clock, random: Random) -> None:
    """Give a shop prices, stops and stocks of its own."""
    for product in chain.products:
        own = {"price": random.choice([None, "0", "199"]), "is_sold": random.random() < 0.8}
        own["stock"] = random.choice([None, None, 0, 2])
        (await staff.patch(f"/shop/{shop_id}/product/{product['id']}", json=own)).raise_for_status()
    for option in chain.options:
        own = {"price_delta": random.choice([None, "0", "35"]), "is_sold": random.random() < 0.8}
        (await staff.patch(f"/shop/{shop_id}/option/{option['id']}", json=own)).raise_for_status()
    targets = [
        *(("ingredient", each) for each in chain.ingredients),
        *(("option", each) for each in chain.options),
        *(("product", each) for each in chain.products),
    ]
    for kind, target in random.sample(targets, 2):
        until = random.choice([None, (clock.now + timedelta(hours=random.randrange(1, 30))).isoformat()])
        body = {"kind": kind, "target_id": target["id"], "until": until}
        (await staff.post(f"/shop/{shop_id}/stop-list", json=body)).raise_for_status()


Reasons = set[tuple[str, str | None]]


def reasons(told: list[Json]) -> Reasons:
    return {(each["code"], each["until"]) for each in told}


def expected(shown: Json) -> tuple[Reasons, Decimal]:
    """What a product in its default configuration lacks, and what it costs, as the menu shows it."""
    defaults = [each for group in shown["modifier_groups"] for each in group["options"] if each["is_default"]]
    lacking = reasons(shown["availability"]["reasons"])
    for option in defaults:
        lacking |= reasons(option["availability"]["reasons"])
    return lacking, sum((Decimal(each["price_delta"]) for each in defaults), Decimal(shown["price"]))


async def compare(client: httpx2.AsyncClient, customer: httpx2.AsyncClient, shop_id: UUID, product_id: str) -> None:
    menu = (await client.get(f"/menu?shop_id={shop_id}")).json()
    everything = menu["products"] + [each for category in menu["categories"] for each in category["products"]]
    shown = next(each for each in everything if each["id"] == product_id)
    lacking, price = expected(shown)

    listed = (await client.get(f"/products?shop_id={shop_id}&id={product_id}")).json()["items"]
    alone = (await client.get(f"/product/{product_id}?shop_id={shop_id}")).json()
    asked = (await client.get(f"/product/{product_id}/availability?shop_id={shop_id}")).json()
    assert listed == [alone] == [shown]
    assert asked == shown["availability"]

    added = (await customer.post("/cart", json={"product_id": product_id})).json()
    in_cart = added["items"][0] if "items" in added else added
    ordered = await customer.post("/order", json={"shop_id": str(shop_id), "items": [{"product_id": product_id}]})
    answer = ordered.json()
    if lacking:
        assert ordered.status_code == 409, answer
        assert reasons(in_cart["problems"]) == reasons(answer["problems"]) == lacking
    else:
        assert ordered.status_code == 201, answer
        assert (in_cart["problems"], in_cart["is_available"]) == ([], True)
        assert Decimal(in_cart["unit_price"]) == Decimal(answer["total"]) == price
        await customer.post(f"/order/{answer['id']}/cancel")
    await customer.delete("/cart")


@pytest.mark.parametrize("seed", range(WORLDS))
async def test_menu_product_availability_cart_and_order_never_disagree(
    client: httpx2.AsyncClient,
    manager: httpx2.AsyncClient,
    admin: httpx2.AsyncClient,
    log_in: LogIn,
    sessions: Sessions,
    clock: Clock,
    seed: int,
) -> None:
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    chain = await make_chain(manager, random)
    zones = random.sample(["Europe/Moscow", "Asia/Vladivostok", "Europe/Kaliningrad"], 2)
    shops = [
        await make_shop(sessions, slug=f"shop-{n}", timezone=zone, hours=OPEN_ALWAYS) for n, zone in enumerate(zones)
    ]
    for shop_id in shops:
        await differ(admin, shop_id, chain, clock, random)
    for step in range(4):
        customer = await log_in(f"customer{step}@example.com")
        for shop_id in shops:
            await customer.put("/cart/shop", json={"shop_id": str(shop_id)})
            for product in chain.products:
                await compare(client, customer, shop_id, product["id"])
        clock.advance(minutes=random.randrange(1, 900))
