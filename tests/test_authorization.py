"""Every route × every kind of actor, against the table in authorization.txt; a route that isn't there fails."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from crema.accounts.models import Role
from crema.cart.models import Cart, CartItem
from crema.db.session import Sessions
from crema.menu.models import Category, Ingredient, ProductImage
from crema.orders.hub import Feed
from crema.orders.schemas import SnapshotFrame
from crema.support.models import Attachment, Conversation
from factories.orders import make_latte, make_shop, place
from factories.pictures import png
from fixtures.app import connect
from fixtures.people import make_person

pytestmark = pytest.mark.anyio

ACTORS = ("nobody", "unverified", "customer", "other", "barista", "far", "manager", "support", "admin")
TABLE = {
    f"{row[0]} {row[1]}": dict(zip(ACTORS, map(int, row[2:]), strict=True))
    for line in (Path(__file__).parent / "authorization.txt").read_text().splitlines()
    if (row := line.split()) and not line.startswith("#")
}
UNDOCUMENTED = {
    "GET /",
    "GET /docs",
    "GET /docs/live",
    "GET /asyncapi.json",
    "GET /redoc",
    "GET /mailbox",
    "GET /.well-known/security.txt",
}
"""Pages for people, which are public and hold nothing personal, but for /mailbox, which only development has."""


def routes_of(app: FastAPI) -> set[str]:
    documented = {
        f"{method.upper()} {path}"
        for path, item in app.openapi()["paths"].items()
        for method in item
        if method in {"get", "post", "put", "patch", "delete"}
    }
    hidden = {
        f"{method} {route.path}"
        for route in app.routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD" and not getattr(route, "include_in_schema", False)
    }
    return documented | (hidden - {"GET /openapi.json"})


async def test_a1_the_table_names_every_route_and_no_other(app: FastAPI) -> None:
    assert routes_of(app) - UNDOCUMENTED == set(TABLE)


@dataclass
class World:
    """What the paths and bodies of the table speak of."""

    ids: dict[str, UUID | str]
    tokens: dict[str, str | None]

    def path(self, template: str) -> str:
        return re.sub(r"{(\w+)}", lambda match: str(self.ids[match[1]]), template)

    def request(self, route: str) -> dict[str, Any]:
        """Make a request that anyone who may would succeed with, or that only lacks a right secret."""
        product, shop = str(self.ids["product_id"]), str(self.ids["shop_id"])
        bodies: dict[str, Any] = {
            "POST /registration": {"email": "new@example.com", "password": "oat milk please"},
            "POST /verification": {"email": "new@example.com", "code": "000000"},
            "POST /verification/resend": {"email": "new@example.com"},
            "POST /authentication": {"email": "new@example.com", "password": "oat milk please"},
            "PUT /user/{user_id}": {"name": "Анна", "phone": None},
            "PATCH /user/{user_id}": {"name": "Анна"},
            "POST /password/forgot": {"email": "new@example.com"},
            "POST /password/reset": {
                "email": "new@example.com",
                "code": "000000",
                "new_password": "oat milk please",
            },
            "POST /password/change": {"old_password": "not my password", "new_password": "oat milk please"},
            "POST /role": {"name": "trainee", "permissions": ["orders:read"]},
            "PUT /role/{role_id}": {"name": "cleaner", "permissions": []},
            "PATCH /role/{role_id}": {"description": "x"},
            "POST /refresh": {"refresh_token": "x" * 43},
            "POST /category": {"name": "Чай"},
            "PUT /category/{category_id}": {"name": "Чай"},
            "PATCH /category/{category_id}": {"position": 3},
            "PUT /category/{category_id}/products": {"product_ids": [product]},
            "POST /product": {"name": "Раф", "price": "300.00"},
            "PUT /product/{product_id}": {"name": "Раф", "price": "300.00"},
            "PATCH /product/{product_id}": {"price": "310.00"},
            "PATCH /product/{product_id}/image/{image_id}": {"alt": "Латте"},
            "POST /modifier-group": {"name": "Лёд", "min_choices": 0, "max_choices": 1, "options": [{"name": "Да"}]},
            "PUT /modifier-group/{group_id}": {
                "name": "Лёд",
                "min_choices": 0,
                "max_choices": 1,
                "options": [{"name": "Да"}],
            },
            "PATCH /modifier-group/{group_id}": {"name": "Лёд"},
            "POST /ingredients": {"name": "Мёд"},
            "PUT /ingredient/{ingredient_id}": {"name": "Мёд"},
            "PATCH /ingredient/{ingredient_id}": {"name": "Мёд"},
            "POST /shop": {"name": "Новая", "address": "Улица, 1", "timezone": "Europe/Moscow"},
            "PUT /shop/{shop_id}": {"name": "Новая", "address": "Улица, 1", "timezone": "Europe/Moscow"},
            "PATCH /shop/{shop_id}": {"address": "Улица, 2"},
            "PUT /shop/{shop_id}/hours": {"hours": []},
            "POST /cart": {"product_id": product},
            "PATCH /cart/{item_id}": {"quantity": 2},
            "PUT /cart/shop": {"shop_id": shop},
            "POST /order": {"shop_id": shop, "items": [{"product_id": product}]},
            "PUT /order/{order_id}": {"status": "accepted"},
            "PATCH /order/{order_id}": {"status": "accepted"},
            "POST /order/{order_id}/cancel": {},
            "POST /chat": {},
            "PATCH /chat/{conversation_id}": {"status": "pending"},
            "POST /chat/{conversation_id}/messages": {"text": "Где мой латте?"},
            "POST /chat/{conversation_id}/read": {"seq": 1},
            "POST /chat/{conversation_id}/notes": {"text": "Звонила."},
        }
        if route == "POST /access":
            return {"data": {"username": "new@example.com", "password": "oat milk please"}}
        if route == "POST /product/{product_id}/images":
            return {"files": {"file": ("latte.png", png(), "image/png")}}
        if route == "POST /chat/{conversation_id}/attachments":
            return {"files": {"file": ("receipt.pdf", b"%PDF-1.7\n", "application/pdf")}}
        return {"json": bodies[route]} if route in bodies else {}


@pytest.fixture
async def world(app: FastAPI, sessions: Sessions) -> World:
    near, far = await make_shop(sessions), await make_shop(sessions, slug="far")
    latte = await make_latte(sessions)
    people = {
        "unverified": await make_person(app, email="unverified@example.com", is_verified=False),
        "customer": await make_person(app, email="anna@example.com"),
        "other": await make_person(app, email="boris@example.com"),
        "barista": await make_person(app, email="barista@example.com", role="barista", shop_ids=(near,)),
        "far": await make_person(app, email="far@example.com", role="barista", shop_ids=(far,)),
        "manager": await make_person(app, email="manager@example.com", role="manager", shop_ids=(near,)),
        "support": await make_person(app, email="support@example.com", role="support"),
        "admin": await make_person(app, email="admin@example.com", role="admin"),
    }
    customer = people["customer"]
    async with connect(app, customer.token) as client:
        order = await place(client, latte.id, shop_id=str(near))
    async with sessions.begin() as session:
        category, ingredient = Category(slug="tea", name="Чай"), Ingredient(name="Какао")
        role = Role(name="cleaner")
        image = ProductImage(product_id=latte.id, key="0" * 32, width=640, height=640, widths=[320, 640])
        cart = Cart(user_id=customer.id)
        conversation = Conversation(customer_id=customer.id, shop_id=near)
        session.add_all([category, ingredient, role, image, cart, conversation])
        await session.flush()
        attachment = Attachment(
            conversation_id=conversation.id,
            uploader_id=customer.id,
            key="chat/0.pdf",
            name="receipt.pdf",
            content_type="application/pdf",
            size=9,
        )
        session.add(attachment)
        await session.flush()
    await app.state.media.put_async("chat/0.pdf", b"%PDF-1.7\n")
    async with sessions.begin() as session:
        item = CartItem(cart_id=cart.id, product_id=latte.id, size_id=latte.small, quantity=1, options=[])
        item.configuration = "x"
        session.add(item)
        await session.flush()
        item.options = [{"option_id": str(latte.cow), "quantity": 1, "name": "Коровье", "group": "Молоко"}]
    ids: dict[str, UUID | str] = {
        "user_id": customer.id,
        "session_id": customer.session_id,
        "role_id": role.id,
        "category_id": category.id,
        "product_id": latte.id,
        "image_id": image.id,
        "group_id": latte.milk_group,
        "ingredient_id": ingredient.id,
        "shop_id": near,
        "item_id": item.id,
        "order_id": order["id"],
        "conversation_id": conversation.id,
        "attachment_id": attachment.id,
        "name": "0.webp",
    }
    return World(ids, {"nobody": None} | {name: person.token for name, person in people.items()})


@pytest.fixture
def connection(sessions: Sessions) -> AsyncConnection:
    connection = sessions.kw["bind"]
    assert isinstance(connection, AsyncConnection)
    return connection


@pytest.fixture
def finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the live feed end after its snapshot."""

    async def frames(self: Feed, *, now: datetime) -> AsyncIterator[SnapshotFrame]:
        yield await self._snapshot()

    monkeypatch.setattr(Feed, "frames", frames)


@pytest.mark.usefixtures("finite")
@pytest.mark.parametrize("route", TABLE)
async def test_a1_each_actor_gets_the_status_of_the_table(
    app: FastAPI, world: World, connection: AsyncConnection, route: str
) -> None:
    method, template = route.split()
    statuses, refusals = {}, set()

    for actor in ACTORS:
        async with connect(app, world.tokens[actor]) as client:
            before = await connection.begin_nested()
            response = await client.request(method, world.path(template), **world.request(route))
            await before.rollback()
        statuses[actor] = response.status_code
        if response.status_code == 404:
            refusals.add(response.json()["detail"])

    assert statuses == TABLE[route]
    assert len(refusals) <= 1, "someone else's must read like what doesn't exist"


async def test_a11_no_answer_shape_holds_a_secret(app: FastAPI) -> None:
    schemas: dict[str, Any] = app.openapi()["components"]["schemas"]
    secret = re.compile(r"hash|secret|^code$|^password$", re.IGNORECASE)
    inputs = {name for name in schemas if not name.endswith("Out")}

    leaks = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        if name not in inputs
        for field in schema.get("properties", {})
        if secret.search(field) and name not in {"PermissionOut", "ItemProblemOut"}
    ]

    assert leaks == []
