"""What GET gives PUT takes, of everything that can be replaced."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from crema.db.session import Sessions
from crema.schemas import Input
from factories.menu import NUTRITION, Json, add_image, make_category, make_group, make_ingredient, make_product
from factories.orders import make_latte, make_shop, place
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]
NOTHING = "00000000-0000-7000-8000-000000000000"


@dataclass
class Thing:
    """Something that a PUT replaces: who does, where it is read, and which part of that the PUT takes."""

    client: httpx2.AsyncClient
    put: str
    get: str
    only: str | None = None

    async def read(self) -> Json:
        answer = await self.client.get(self.get)
        assert answer.status_code == 200, answer.text
        document: Json = answer.json()
        return document if self.only is None else {self.only: document[self.only]}

    async def send(self, document: Json) -> httpx2.Response:
        return await self.client.put(self.put, json=document)


class ProductsOfCategory(Thing):
    """Read as a list of products."""

    async def read(self) -> Json:
        return {"product_ids": [each["id"] for each in (await self.client.get(self.get)).json()["items"]]}


Things = dict[str, Thing]


@pytest.fixture
async def things(log_in: LogIn, manager: httpx2.AsyncClient, admin: httpx2.AsyncClient, sessions: Sessions) -> Things:
    breakfast = {"weekdays": [0, 1], "from": "07:00", "to": "11:00", "starts_on": "2026-11-01", "ends_on": None}
    coffee, hidden = (
        await make_category(manager, schedule=[breakfast]),
        await make_category(manager, "Скоро", is_active=False),
    )
    milk = await make_ingredient(manager)
    oats = await make_ingredient(manager, "Овёс")
    option = {"name": "Овсяное", "price_delta": "60.00", "allergens": ["gluten"], "ingredient_ids": [oats["id"]]}
    option |= {"nutrition": NUTRITION, "size_nutrition": [{"size_name": "S", "nutrition": NUTRITION}]}
    group = await make_group(manager, options=[{"name": "Обычное", "is_default": True}, option])
    syrup = await make_group(manager, "Сироп", max_choices=2)
    product = await make_product(
        manager,
        category_ids=[coffee["id"], hidden["id"]],
        ingredient_ids=[milk["id"]],
        sizes=[
            {"name": "S", "volume_ml": 250, "nutrition": NUTRITION},
            {"name": "M", "price_delta": "40.00", "is_default": True},
        ],
        modifier_groups=[{"group_id": group["id"], "min_choices": 1}, {"group_id": syrup["id"]}],
        allergens=["milk"],
        nutrition={"energy_kcal": 150, "proteins_g": 8, "fats_g": 7.5, "carbohydrates_g": 12},
        schedule=[breakfast],
    )
    await add_image(manager, product, alt="Латте")
    shop_id = await make_shop(sessions)
    await admin.patch(f"/shop/{shop_id}", json={"latitude": 55.75, "longitude": 37.6, "email": "arbat@example.com"})
    night = {"date": "2026-12-31", "hours": [{"opens_at": "20:00", "closes_at": "03:00"}], "note": "С наступающим!"}
    closed = {"date": "2027-01-01", "is_closed": True, "takes_orders_ahead": False}
    await admin.put(f"/shop/{shop_id}/special-days", json={"special_days": [night, closed]})
    rush = {"weekday": 6, "from": "22:00", "to": "02:00", "seconds_per_slot": 600}
    await admin.put(f"/shop/{shop_id}/capacity", json={"seconds_per_slot": 1200, "exceptions": [rush]})
    role = (await admin.post("/role", json={"name": "trainee", "permissions": ["orders:read"]})).json()
    customer = await log_in("anna@example.com", name="Анна")
    latte = await make_latte(sessions)
    order = await place(customer, latte.id, shop_id=str(shop_id), comment="Погорячее")
    await customer.put("/cart/shop", json={"shop_id": str(shop_id)})
    paths = {
        "/category/{category_id}": (manager, f"/category/{coffee['id']}"),
        "/product/{product_id}": (manager, f"/product/{product['id']}"),
        "/modifier-group/{group_id}": (manager, f"/modifier-group/{group['id']}"),
        "/ingredient/{ingredient_id}": (manager, f"/ingredient/{milk['id']}"),
        "/shop/{shop_id}": (admin, f"/shop/{shop_id}"),
        "/shop/{shop_id}/capacity": (admin, f"/shop/{shop_id}/capacity"),
        "/role/{role_id}": (admin, f"/role/{role['id']}"),
        "/user/{user_id}": (customer, f"/user/{customer.person.id}"),
        "/order/{order_id}": (customer, f"/order/{order['id']}"),
    }
    order_path = f"/category/{coffee['id']}/products"
    return {
        **{route: Thing(client, path, path) for route, (client, path) in paths.items()},
        "/shop/{shop_id}/special-days": Thing(
            admin, f"/shop/{shop_id}/special-days", f"/shop/{shop_id}", only="special_days"
        ),
        "/shop/{shop_id}/hours": Thing(admin, f"/shop/{shop_id}/hours", f"/shop/{shop_id}", only="hours"),
        "/category/{category_id}/products": ProductsOfCategory(
            manager, order_path, f"/products?category_id={coffee['id']}"
        ),
        "/cart/shop": Thing(customer, "/cart/shop", "/cart", only="shop_id"),
    }


def routes_with_put(app: FastAPI) -> set[str]:
    return {path for path, item in app.openapi()["paths"].items() if "put" in item}


def without_update(document: Json) -> Json:
    return {name: value for name, value in document.items() if name != "updated_at"}


async def test_what_get_gives_put_takes_and_changes_nothing(app: FastAPI, things: Things, clock: Clock) -> None:
    assert set(things) == routes_with_put(app)
    for route, thing in things.items():
        before = await thing.read()
        clock.advance(seconds=5)

        answer = await thing.send(before)

        assert answer.status_code == 200, (route, answer.text)
        assert without_update(await thing.read()) == without_update(before), route


def altered(value: Any) -> Any:
    """Make another value."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        first = next(iter(value[0]))
        return [value[0] | {first: altered(value[0][first])}, *value[1:]]
    if isinstance(value, str):
        return "2020-01-01T00:00:00Z" if value.endswith("Z") else f"{value}x"
    return [*value, {"id": NOTHING}] if isinstance(value, list) else not value


FOLLOWS = {
    "/order/{order_id}": {
        *("history", "ready_estimate_at", "promised_at", "start_at", "payment", "is_asap", "customer", "number")
    },
    "/shop/{shop_id}": {"is_open", "opens_at", "closes_at", "status"},
    "/user/{user_id}": {"pending_email"},
    "/category/{category_id}": {"is_on_menu"},
    "/product/{product_id}": {"is_on_menu", "availability"},
}
"""Read-only fields that change by themselves, and so are taken as they come."""


async def test_the_same_put_twice_is_200_twice(things: Things, clock: Clock) -> None:
    for route, thing in things.items():
        document = await thing.read()
        for _ in range(2):
            clock.advance(seconds=5)
            answer = await thing.send(document)
            assert answer.status_code == 200, (route, answer.text)


async def test_a_read_only_field_that_differs_is_refused_by_its_name(app: FastAPI, things: Things) -> None:
    tried = 0
    schemas = app.openapi()["components"]["schemas"]
    for route, thing in things.items():
        body = app.openapi()["paths"][route]["put"]["requestBody"]["content"]["application/json"]["schema"]
        properties = schemas[body["$ref"].rsplit("/", 1)[1]]["properties"]
        for name in [name for name, schema in properties.items() if schema.get("readOnly")]:
            before = await thing.read()
            if name not in before or name in FOLLOWS.get(route, ()) or name == "updated_at":
                continue

            answer = await thing.send(before | {name: altered(before[name])})

            assert answer.status_code == 422, (route, name, answer.text)
            assert answer.json()["code"] == "read_only_field"
            assert [error["loc"] for error in answer.json()["errors"]] == [["body", name]], route
            assert await thing.read() == before
            tried += 1
    assert tried > 30


async def test_read_only_fields_inside_options_and_groups_are_compared_too(things: Things) -> None:
    group, product = things["/modifier-group/{group_id}"], things["/product/{product_id}"]
    changed_group = await group.read()
    changed_group["options"][1]["ingredients"] = []
    changed_product = await product.read()
    changed_product["modifier_groups"][0]["name"] = "Другое"

    of_group, of_product = await group.send(changed_group), await product.send(changed_product)

    assert [error["loc"] for error in of_group.json()["errors"]] == [["body", "options", 1, "ingredients"]]
    assert [error["loc"] for error in of_product.json()["errors"]] == [["body", "modifier_groups", 0, "name"]]


async def test_a_document_with_one_field_changed_changes_that_field(things: Things) -> None:
    for route, change in {
        "/category/{category_id}": {"name": "Кофе со льдом"},
        "/product/{product_id}": {"category_ids": [], "price": "270.00"},
        "/modifier-group/{group_id}": {"max_choices": 2},
        "/ingredient/{ingredient_id}": {"name": "Молоко 3,2 %"},
        "/shop/{shop_id}": {"address": "Арбат, 11"},
        "/role/{role_id}": {"description": "Смотрит."},
        "/user/{user_id}": {"name": "Анна Ивановна"},
        "/order/{order_id}": {"comment": "Похолоднее"},
    }.items():
        before = await things[route].read()

        answer = await things[route].send(before | change)

        assert answer.status_code == 200, (route, answer.text)
        after = await things[route].read()
        assert {name: after[name] for name in change if name != "category_ids"} == {
            name: value for name, value in change.items() if name != "category_ids"
        }
    assert (await things["/product/{product_id}"].read())["categories"] == []


async def test_limits_that_come_back_as_shown_stay_the_group_s(things: Things) -> None:
    product, group = things["/product/{product_id}"], things["/modifier-group/{group_id}"]
    shown = await product.read()
    await product.send(shown | {"modifier_groups": [*reversed(shown["modifier_groups"])]})

    await group.client.patch(group.put, json={"max_choices": 2})

    reordered = (await product.read())["modifier_groups"]
    assert [each["id"] for each in reordered] == [each["id"] for each in reversed(shown["modifier_groups"])]
    assert (reordered[1]["min_choices"], reordered[1]["max_choices"]) == (1, 2)


async def test_instants_come_back_as_browsers_keep_them(things: Things) -> None:
    product = things["/product/{product_id}"]
    shown = await product.read()

    answer = await product.send(shown | {"created_at": shown["created_at"].replace("Z", ".000+00:00")})

    assert answer.status_code == 200, answer.text


async def test_staff_and_the_customer_may_send_back_the_order_they_see(things: Things, log_in: LogIn) -> None:
    order = things["/order/{order_id}"]
    shown = await order.read()
    barista = await log_in("barista@example.com", role="barista", shop_ids=(UUID(shown["shop"]["id"]),))

    same = await barista.put(order.put, json=shown)
    accepted = await barista.put(order.put, json=shown | {"status": "accepted"})
    again = await order.send(await order.read())

    assert (same.status_code, accepted.status_code, again.status_code) == (200, 200, 200)
    assert again.json()["status"] == "accepted"
    assert len(again.json()["history"]) == 2


async def test_a6_only_a_whole_document_may_repeat_one_s_own_role(things: Things) -> None:
    user = things["/user/{user_id}"]

    answers = [
        await user.send({"name": "Анна", "role": "user"}),
        await user.send(await user.read() | {"role": "admin"}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(422, "forbidden_field")] * 2


async def test_patch_takes_no_read_only_fields(things: Things) -> None:
    category = things["/category/{category_id}"]

    answer = await category.client.patch(category.put, json=await category.read())

    assert answer.status_code == 422


def inputs(kind: type[Input] = Input) -> Iterator[type[Input]]:
    for below in kind.__subclasses__():
        yield below
        yield from inputs(below)


async def test_every_documented_default_sent_as_it_stands_is_right(app: FastAPI) -> None:
    tried = 0
    documented = app.openapi()["components"]["schemas"]
    for model in [model for model in inputs() if model.__name__ in documented]:
        schema = model.model_json_schema()
        defaults = {
            name: field["default"] for name, field in schema.get("properties", {}).items() if "default" in field
        }
        for example in schema.get("examples", []):
            assert isinstance(model.model_validate(defaults | example), BaseModel)
            tried += len(defaults)
    assert tried > 50


async def test_a_product_with_both_defaults_of_its_groups_is_taken(manager: httpx2.AsyncClient) -> None:
    group = await make_group(manager)
    both = {"name": "Раф", "price": "300", "modifier_group_ids": [group["id"]], "modifier_groups": []}

    empty = await manager.post("/product", json=both | {"modifier_group_ids": []})
    one = await manager.post("/product", json=both)
    two = await manager.post("/product", json=both | {"modifier_groups": [{"group_id": group["id"]}]})

    assert (empty.status_code, one.status_code, two.status_code) == (201, 201, 422)
    assert [each["id"] for each in one.json()["modifier_groups"]] == [group["id"]]
