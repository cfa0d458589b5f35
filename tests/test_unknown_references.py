"""An id in a body that nothing has is 422 `unknown_reference` with its place, in every route alike.

The ids come from the OpenAPI document: a new one needs a body here, or a reason why it is something else.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import delete

from crema.db.session import Sessions
from crema.menu.models import Size
from crema.menu.service import documents
from factories.orders import make_latte
from factories.world import World, make_world
from test_authorization import filled

pytestmark = pytest.mark.anyio

UNKNOWN: Final = "01a20000-0000-7000-8000-000000000000"
LINE: Final = {"product_id": "{product_id}", "size_id": "{size}", "options": [{"option_id": "{oat}"}]}
GROUP: Final = {"name": "Новое", "options": [{"name": "Да", "ingredient_ids": ["{ingredient_id}"]}]}
GROUP_AS_IT_IS: Final = {
    "name": "Молоко",
    "options": [{"id": "{cow}", "name": "Коровье", "ingredient_ids": ["{ingredient_id}"]}],
}
PRODUCT: Final = {"name": "Новое", "price": "310.00"}
LINKS: Final = (
    PRODUCT | {"category_ids": ["{category_id}"], "ingredient_ids": ["{ingredient_id}"]},
    PRODUCT | {"modifier_group_ids": ["{group_id}"]},
    PRODUCT | {"modifier_groups": [{"group_id": "{group_id}"}]},
)
SIZED: Final = PRODUCT | {"sizes": [{"id": "{size}", "name": "L"}]}

BODIES: Final[dict[str, tuple[str, tuple[Any, ...]]]] = {
    "POST /cart": ("customer", (LINE,)),
    "PUT /cart/shop": ("customer", ({"shop_id": "{shop_id}"},)),
    "PATCH /cart/{item_id}": ("customer", ({"size_id": "{size}", "options": [{"option_id": "{oat}"}]},)),
    "POST /quote": ("customer", ({"shop_id": "{shop_id}", "items": [LINE]},)),
    "POST /order": ("customer", ({"shop_id": "{shop_id}", "items": [LINE]},)),
    "PATCH /order/{order_id}": ("customer", ({"items": [LINE]},)),
    "PUT /order/{order_id}": ("customer", ({"items": [LINE]},)),
    "POST /chat": ("customer", ({"order_id": "{order_id}"}, {"shop_id": "{shop_id}"})),
    "PATCH /chat/{conversation_id}": ("admin", ({"assigned_to": "{assignee}"},)),
    "POST /chat/{conversation_id}/messages": (
        "customer",
        ({"client_id": "1", "text": "Чек", "attachment_id": "{attachment_id}"},),
    ),
    "POST /chats": ("admin", ({"customer_id": "{user_id}", "order_id": "{order_id}", "text": "Готово"},)),
    "POST /category": ("admin", ({"name": "Новое", "parent_id": "{category_id}"},)),
    "PUT /category/{category_id}": ("admin", ({"name": "Чай", "parent_id": "{category_id}"},)),
    "PATCH /category/{category_id}": ("admin", ({"parent_id": "{category_id}"},)),
    "PUT /category/{category_id}/products": ("admin", ({"product_ids": ["{product_id}"]},)),
    "POST /modifier-group": ("admin", (GROUP, GROUP_AS_IT_IS)),
    "PUT /modifier-group/{group_id}": ("admin", (GROUP_AS_IT_IS,)),
    "PATCH /modifier-group/{group_id}": ("admin", (GROUP_AS_IT_IS,)),
    "POST /product": ("admin", (SIZED, *LINKS)),
    "PUT /product/{product_id}": ("admin", (SIZED, *LINKS)),
    "PATCH /product/{product_id}": ("admin", (SIZED, *LINKS)),
    "POST /products/prices": (
        "admin",
        (
            {"dry_run": True, "percent": "5.0", "category_id": "{category_id}"},
            {"dry_run": True, "percent": "5.0", "product_ids": ["{product_id}"]},
            {"dry_run": True, "prices": [{"product_id": "{product_id}", "price": "310.00"}]},
        ),
    ),
    "POST /shop/{shop_id}/stop-list": ("admin", ({"kind": "product", "target_id": "{product_id}"},)),
    "PUT /user/{user_id}": ("admin", ({"name": "Анна", "role": "barista", "shop_ids": ["{shop_id}"]},)),
    "PATCH /user/{user_id}": ("admin", ({"role": "barista", "shop_ids": ["{shop_id}"]},)),
}
"""Route → who asks, and good bodies that have each of its ids."""
_BY_NAME: Final = "what another installation exported is known by its name where it isn't by its id, or is new"
NO_REFERENCES: Final = {
    "POST /menu/import modifier_groups.0.id": _BY_NAME,
    "POST /menu/import modifier_groups.0.options.0.id": _BY_NAME,
    "POST /menu/import products.0.sizes.0.id": _BY_NAME,
    "POST /orders/advance order_ids.0": "each order answers for itself: 200, and its own problem says not_found",
}


def ids_in(schema: Mapping[str, Any], schemas: Mapping[str, Any], place: tuple[str | int, ...]) -> Iterator[Any]:
    """Give the places of ids in a body; the first element stands for every one of a list."""
    if "$ref" in schema:
        yield from ids_in(schemas[schema["$ref"].rpartition("/")[2]], schemas, place)
    if schema.get("format") == "uuid":
        yield place
    for each in schema.get("anyOf", ()):
        yield from ids_in(each, schemas, place)
    if "items" in schema:
        yield from ids_in(schema["items"], schemas, (*place, 0))
    for name, each in schema.get("properties", {}).items():
        if not each.get("readOnly"):
            yield from ids_in(each, schemas, (*place, name))


def ids_of(app: FastAPI) -> dict[str, tuple[str, tuple[str | int, ...]]]:
    """Give every id in a body of the application, by a name for it: its route, and its place."""
    document = app.openapi()
    found = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for place in ids_in(content["schema"], document["components"]["schemas"], ()):
                    route = f"{method.upper()} {path}"
                    found[f"{route} {'.'.join(map(str, place))}"] = (route, place)
    return found


def body_with_unknown(bodies: tuple[Any, ...], place: tuple[str | int, ...]) -> Any:
    """Copy the first of the bodies that has something at this place, with the unknown id there instead."""
    for body in bodies:
        changed = copy.deepcopy(body)
        part = changed
        try:
            for step in place[:-1]:
                part = part[step]
            part[place[-1]]
        except KeyError:
            continue
        part[place[-1]] = UNKNOWN
        return changed
    return None


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    return await make_world(app, sessions)


async def test_an_unknown_id_in_a_body_is_refused_with_its_place_wherever_it_stands(app: FastAPI, world: World) -> None:
    answers = {}
    for name, (route, place) in ids_of(app).items():
        who, bodies = BODIES.get(route, ("admin", ()))
        body = body_with_unknown(bodies, place)
        if name in NO_REFERENCES:
            continue
        if body is None:
            answers[name] = "no body to try it with"
            continue
        method, _, path = route.partition(" ")
        async with world.client(who) as client:
            answer = await client.request(method, world.path(path), json=filled(body, world))
        problem = answer.json()
        locs = [error["loc"] for error in problem.get("errors", ())]
        if (answer.status_code, problem.get("code"), locs) != (422, "unknown_reference", [["body", *place]]):
            answers[name] = f"{answer.status_code} {problem.get('code')} {locs} {problem.get('detail')}"

    assert answers == {}, "\n".join(f"{name}: {answer}" for name, answer in answers.items())


async def test_every_exception_is_an_id_that_there_is(app: FastAPI) -> None:
    assert NO_REFERENCES.keys() <= ids_of(app).keys()


async def test_an_id_of_another_product_is_as_unknown_as_one_of_none(world: World, sessions: Sessions) -> None:
    other = await make_latte(sessions)
    async with world.client("customer") as client:
        for body, loc in (
            ({"size_id": str(other.small)}, ["size_id"]),
            (
                {"options": [{"option_id": str(world.more["oat"])}, {"option_id": str(other.oat)}]},
                ["options", 1, "option_id"],
            ),
        ):
            item = {"product_id": str(world.ids["product_id"])} | body
            to_cart = await client.post("/cart", json=item)
            to_order = await client.post("/order", json={"shop_id": str(world.ids["shop_id"]), "items": [item]})
            for answer, place in ((to_cart, loc), (to_order, ["items", 0, *loc])):
                assert (answer.status_code, answer.json()["code"]) == (422, "unknown_reference")
                assert [error["loc"] for error in answer.json()["errors"]] == [["body", *place]]


async def test_what_the_cart_holds_and_is_gone_is_never_the_client_s_fault(world: World, sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(delete(Size).where(Size.product_id == world.ids["product_id"]))
        await documents.refresh(session, [UUID(str(world.ids["product_id"]))])

    async with world.client("customer") as client:
        answer = await client.post("/order", json={"shop_id": str(world.ids["shop_id"])})

    assert (answer.status_code, answer.json()["problems"][0]["code"]) == (409, "size_not_offered")
