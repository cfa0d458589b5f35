"""A small chain with one of everything that routes name, and every kind of person who might ask for it."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import httpx2
from fastapi import FastAPI

from crema.accounts.domain import PERMISSIONS
from crema.accounts.models import Role, RolePermission
from crema.cart.models import Cart, CartItem
from crema.db.session import Sessions
from crema.media.deps import MediaState
from crema.menu.models import Category, Ingredient, ProductImage, Stop
from crema.menu.service import offers
from crema.notifications.models import Mail
from crema.support.models import Attachment, Conversation
from crema.web.state import DatabaseState, WebState, state_of
from factories.orders import make_latte, make_shop, place
from fixtures.app import connect
from fixtures.people import PersonMade, make_person

ACTORS: Final = (
    "nobody", "unverified", "customer", "other",
    "barista", "barista-far", "barista-none", "manager",
    "support", "support-near", "support-far", "support-none", "admin",
    *(f"only:{permission}" for permission in PERMISSIONS),
    "customer-cookie", "admin-cookie", "admin-forged",
)  # fmt: skip
"""`near` is the shop of the order and the conversation: `barista`, `manager` and everybody with `only:` one permission
work there. `-far` is tied to another shop, `-none` was tied to one that is gone. A `-cookie` is logged in by cookies
and proves that a page of ours asks; `-forged` has the cookies alone, as another site's page would."""


@dataclass
class World:
    """What the paths and bodies of requests speak of. `ids` are named as the parameters of paths are."""

    app: FastAPI
    ids: dict[str, UUID | str]
    people: dict[str, PersonMade]
    more: dict[str, str] = field(default_factory=dict)

    def path(self, template: str) -> str:
        return re.sub(r"{(\w+)}", lambda match: str(self.ids[match[1]]), template)

    def headers(self, actor: str) -> dict[str, str]:
        """Make the headers that say who asks."""
        name, _, how = actor.partition("-")
        if how not in {"cookie", "forged"}:
            return {"Authorization": f"Bearer {self.people[actor].token}"} if actor in self.people else {}
        cookies = state_of(self.app, WebState).cookies
        login = f"{cookies.full_name('access')}={self.people[name].token}"
        if how == "forged":
            return {"Cookie": login, "Origin": "https://evil.example"}
        secret = "s" * 43
        proof = {"Origin": "http://crema", "X-CSRF-Token": cookies.token_for(secret)}
        return {"Cookie": f"{login}; {cookies.full_name('csrf')}={secret}"} | proof

    def client(self, actor: str) -> httpx2.AsyncClient:
        client = connect(self.app)
        client.headers.update(self.headers(actor))
        return client


async def make_people(app: FastAPI, *, near: UUID, far: UUID) -> dict[str, PersonMade]:
    """Make every actor that has an account."""
    sessions: Sessions = state_of(app, DatabaseState).sessions
    mark = uuid4().hex[:8]
    async with sessions.begin() as session:
        roles = {code: Role(name=f"only {code} {mark}") for code in PERMISSIONS}
        session.add_all(roles.values())
        await session.flush()
        session.add_all(RolePermission(role_id=role.id, permission_code=code) for code, role in roles.items())
    wanted: dict[str, tuple[str, tuple[UUID, ...]]] = {
        "unverified": ("user", ()),
        "customer": ("user", ()),
        "other": ("user", ()),
        "barista": ("barista", (near,)),
        "barista-far": ("barista", (far,)),
        "barista-none": ("barista", ()),
        "manager": ("manager", (near,)),
        "support": ("support", ()),
        "support-near": ("support", (near,)),
        "support-far": ("support", (far,)),
        "support-none": ("support", ()),
        "admin": ("admin", ()),
    } | {f"only:{code}": (role.name, (near,)) for code, role in roles.items()}
    return {
        name: await make_person(
            app,
            email=f"{name.replace(':', '.')}.{mark}@example.com",
            role=role,
            shop_ids=shop_ids,
            is_tied=name.endswith("-none") or bool(shop_ids),
            is_verified=name != "unverified",
        )
        for name, (role, shop_ids) in wanted.items()
    }


def make_tea(now: datetime) -> Category:
    """Make a category with a picture."""
    category = Category(slug="tea", name="Чай", image_key="1" * 32, image_alt="Чай", image_created_at=now)
    category.image_width = category.image_height = 320
    category.image_widths = [320]
    return category


async def make_world(app: FastAPI, sessions: Sessions) -> World:
    near, far = await make_shop(sessions), await make_shop(sessions, slug="far")
    latte = await make_latte(sessions)
    people = await make_people(app, near=near, far=far)
    customer = people["customer"]
    async with connect(app, customer.token) as client:
        order = await place(client, latte.id, shop_id=str(near))
    async with sessions.begin() as session:
        category, ingredient, role = (
            make_tea(state_of(app, WebState).clock()),
            Ingredient(name="Какао"),
            Role(name="cleaner"),
        )
        image = ProductImage(product_id=latte.id, key="0" * 32, width=640, height=640, widths=[320, 640])
        cart = Cart(user_id=customer.id)
        conversation = Conversation(customer_id=customer.id, shop_id=near)
        mail = Mail(
            recipient="anna@example.com", template="order_ready", language="ru", context={"x": 1}, status="failed"
        )
        session.add_all([category, ingredient, role, image, cart, conversation, mail])
        await session.flush()
        attachment = Attachment(
            conversation_id=conversation.id,
            uploader_id=customer.id,
            key="chat/0.pdf",
            name="receipt.pdf",
            content_type="application/pdf",
            size=9,
        )
        item = CartItem(cart_id=cart.id, product_id=latte.id, size_id=latte.small, quantity=1, options=[])
        item.configuration = "x"
        stop = Stop(shop_id=near, ingredient_id=ingredient.id, created_by_id=people["barista"].id)
        session.add_all([attachment, item, stop])
        await session.flush()
        await offers.refresh(session, near)
        item.options = [{"option_id": str(latte.cow), "quantity": 1, "name": "Коровье", "group": "Молоко"}]
    await state_of(app, MediaState).store.put_async("chat/0.pdf", b"%PDF-1.7\n")
    ids: dict[str, UUID | str] = {
        "user_id": customer.id,
        "session_id": customer.session_id,
        "role_id": role.id,
        "mail_id": mail.id,
        "category_id": category.id,
        "product_id": latte.id,
        "image_id": image.id,
        "group_id": latte.milk_group,
        "ingredient_id": ingredient.id,
        "shop_id": near,
        "item_id": item.id,
        "order_id": order["id"],
        "line_id": order["lines"][0]["id"],
        "conversation_id": conversation.id,
        "attachment_id": attachment.id,
        "option_id": latte.vanilla,
        "stop_id": stop.id,
        "name": "0.webp",
    }
    return World(app, ids, people, {"size": str(latte.large), "oat": str(latte.oat), "cow": str(latte.cow)})
