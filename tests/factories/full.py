"""A chain where every field of every list has a value, for tests that walk through all of them."""

from datetime import timedelta
from typing import Any

import httpx2
from fastapi import FastAPI
from sqlalchemy import select, update

from crema.accounts.models import OneTimeCode, Session, User
from crema.db.session import Sessions
from crema.menu.service import documents
from crema.notifications.models import Mail
from crema.shops.models import Shop
from crema.support.models import Attachment, Note
from crema.web.state import WebState, state_of
from factories.menu import add_image, make_category, make_group, make_ingredient, make_product
from factories.pictures import png
from factories.world import World

Json = dict[str, Any]
FIGURES = {"energy_kcal": 80, "proteins_g": 8, "fats_g": 7.5, "carbohydrates_g": 12, "caffeine_mg": 63}


async def fill(world: World, sessions: Sessions) -> None:
    """Fill what `make_world` made, and make more, partly by its people over HTTP."""
    async with world.client("admin") as admin, world.client("customer") as customer:
        products = await _fill_menu(admin)
        await _fill_orders(admin, customer, products, str(world.ids["shop_id"]))
        await _fill_offers(admin, products, f"/shop/{world.ids['shop_id']}")
        await _fill_history(admin, customer, f"/order/{world.ids['order_id']}")
        await _fill_chats(admin, customer, world)
        await _fill_shop(admin, f"/shop/{world.ids['shop_id']}")
    await _fill_rows(world.app, world, sessions)


async def _fill_menu(admin: httpx2.AsyncClient) -> list[Json]:
    parent = await make_category(admin, "Напитки", description="Горячие и холодные", position=3)
    child = await make_category(admin, "Кофе", slug="kofe", parent_id=parent["id"], is_active=True)
    picture = {"file": ("coffee.png", png(), "image/png")}
    (await admin.post(f"/category/{child['id']}/image", files=picture, data={"alt": "Зёрна"})).raise_for_status()
    await make_category(admin, "Закрытое", is_active=False)
    milk, coconut = await make_ingredient(admin, "Молоко"), await make_ingredient(admin, "Кокосовое молоко")
    options = [
        {
            "name": "Коровье",
            "is_default": True,
            "allergens": ["milk"],
            "ingredient_ids": [milk["id"]],
            "nutrition": FIGURES | {"energy_kcal": 60},
        },
        {
            "name": "Кокосовое",
            "price_delta": "60.00",
            "size_prices": [{"size_name": "L", "price_delta": "70.00"}],
            "nutrition": FIGURES,
            "size_nutrition": [{"size_name": "L", "nutrition": FIGURES | {"energy_kcal": 90}}],
            "max_quantity": 2,
            "ingredient_ids": [coconut["id"]],
        },
        {"name": "Своё", "price_delta": "-20.00", "is_active": False},
    ]
    group = await make_group(admin, "Молоко", options=options, min_choices=1, max_choices=2, free_quantity=1)
    whole = {
        "description": "Эспрессо и молоко",
        "category_ids": [child["id"]],
        "sizes": [
            {"name": "S", "volume_ml": 250, "is_default": True},
            {"name": "L", "volume_ml": 400, "price_delta": "90.00", "nutrition": FIGURES},
            {"name": "Без объёма"},
        ],
        "modifier_group_ids": [group["id"]],
        "allergens": ["milk", "nuts"],
        "allergens_always": ["nuts"],
        "nutrition": FIGURES | {"energy_kcal": 150},
        "ingredient_ids": [milk["id"]],
        "preparation_seconds": 60,
        "position": 2,
    }
    cappuccino = await make_product(admin, "Капучино", "280.00", **whole)
    await add_image(admin, cappuccino, alt="Чашка капучино")
    croissant = await make_product(admin, "Круассан", "180.00", is_active=True, position=5)
    await make_product(admin, "Снятое", "10.00", is_active=False)
    return [cappuccino, croissant]


async def _fill_orders(
    admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, products: list[Json], shop: str
) -> None:
    cappuccino, croissant = products
    large = next(size["id"] for size in cappuccino["sizes"] if size["name"] == "L")
    coconut = next(o["id"] for o in cappuccino["modifier_groups"][0]["options"] if o["name"] == "Кокосовое")
    line = {
        "product_id": cappuccino["id"],
        "size_id": large,
        "options": [{"option_id": coconut, "quantity": 2}],
        "quantity": 2,
        "note": "погорячее",
    }
    body = {"shop_id": shop, "items": [line], "comment": "у окна", "pickup_name": "Аня"}
    edited = await _made(customer, "/order", body)
    (await customer.patch(f"/order/{edited['id']}", json={"comment": "у двери"})).raise_for_status()
    (await admin.patch(f"/order/{edited['id']}", json={"status": "accepted"})).raise_for_status()
    made = f"/order/{edited['id']}/line/{edited['lines'][0]['id']}"
    (await admin.patch(made, json={"is_made": True})).raise_for_status()
    hours = (await admin.get(f"/shop/{shop}")).json()
    later = hours["closes_at"] or "2026-11-24T09:00:00Z"
    plain = {"shop_id": shop, "items": [{"product_id": croissant["id"]}]}
    cancelled = await _made(customer, "/order", plain | {"pickup_at": later})
    (await customer.post(f"/order/{cancelled['id']}/cancel", json={"reason": "передумала"})).raise_for_status()
    await _made(admin, "/order", plain | {"source": "counter", "customer_name": "Глеб"})
    hidden = await _made(admin, "/order", plain)
    (await admin.delete(f"/order/{hidden['id']}")).raise_for_status()


async def _fill_offers(admin: httpx2.AsyncClient, products: list[Json], shop: str) -> None:
    cappuccino, croissant = products
    options = cappuccino["modifier_groups"][0]["options"]
    (await admin.patch(f"{shop}/product/{croissant['id']}", json={"price": "190", "stock": 9})).raise_for_status()
    free = {"price_delta": "0", "is_sold": False}
    (await admin.patch(f"{shop}/option/{options[-1]['id']}", json=free)).raise_for_status()
    until = {"until": "2026-11-23T20:00:00Z", "note": "Привезут вечером"}
    await _made(admin, f"{shop}/stop-list", {"kind": "option", "target_id": options[-1]["id"]} | until)
    await _made(admin, f"{shop}/stop-list", {"kind": "product", "target_id": croissant["id"]})


async def _fill_history(admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, order: str) -> None:
    """Make one order's history hold a change, a move and a reason: it is a list of its own."""
    (await customer.patch(order, json={"comment": "без крышки"})).raise_for_status()
    (await admin.patch(order, json={"status": "accepted"})).raise_for_status()
    (await admin.post(f"{order}/cancel", json={"reason": "закончилось молоко"})).raise_for_status()


async def _fill_shop(admin: httpx2.AsyncClient, shop: str) -> None:
    night = {"date": "2026-12-31", "hours": [{"opens_at": "20:00", "closes_at": "02:30"}], "note": "С наступающим!"}
    closed = {"date": "2027-01-01", "is_closed": True, "takes_orders_ahead": False, "note": "Отдыхаем"}
    (await admin.put(f"{shop}/special-days", json={"special_days": [night, closed]})).raise_for_status()
    busy = {"state": "busy", "delay_minutes": 15, "until": "2099-01-01T00:00:00Z"}
    (await admin.patch(f"{shop}/status", json=busy)).raise_for_status()


async def _made(client: httpx2.AsyncClient, path: str, body: Json) -> Json:
    response = await client.post(path, json=body)
    assert response.status_code == 201, response.text
    made: Json = response.json()
    return made


async def _fill_chats(admin: httpx2.AsyncClient, customer: httpx2.AsyncClient, world: World) -> None:
    chat = f"/chat/{world.ids['conversation_id']}"
    await _made(customer, f"{chat}/messages", {"text": "Где мой капучино?", "client_id": "phone-1"})
    await _made(admin, f"{chat}/messages", {"text": "Уже готов", "client_id": "till-1"})
    picture = {"file": ("cup.png", png(), "image/png")}
    uploaded = await customer.post(f"{chat}/attachments", files=picture)
    assert uploaded.status_code == 201, uploaded.text
    sent = {"text": "Вот он", "attachment_id": uploaded.json()["id"], "client_id": "phone-2"}
    await _made(customer, f"{chat}/messages", sent)
    await _made(admin, f"{chat}/notes", {"text": "Постоянный гость"})
    order = (await customer.get("/orders")).json()["items"][0]["id"]
    (await customer.post("/chat", json={"order_id": order})).raise_for_status()
    (await admin.patch(chat, json={"assigned_to": str(world.people["support"].id)})).raise_for_status()
    async with world.client("other") as other:
        await other.post("/chat", json={})


async def _fill_rows(app: FastAPI, world: World, sessions: Sessions) -> None:
    """Write what takes time, other networks or a failing mail server to come about."""
    now = state_of(app, WebState).clock()
    async with sessions.begin() as session:
        shop = await session.get_one(Shop, world.ids["shop_id"])
        shop.latitude, shop.longitude, shop.phone, shop.email = 55.751244, 37.598306, "+74951234567", "till@example.com"  # type: ignore[assignment]
        people = {name: await session.get_one(User, person.id) for name, person in world.people.items()}
        people["customer"].name, people["customer"].phone = "Анна", "+79161234567"
        people["support"].name, people["admin"].name = "Софья", "Олег"
        session.add(
            OneTimeCode(
                user_id=people["customer"].id,
                purpose="email_change",
                nonce=b"x",
                new_email="new@example.com",
                created_at=now,
                expires_at=now + timedelta(hours=1),
            )
        )
        login = {"user_agent": "Firefox on Linux", "network": "198.51.100.0/24"}
        await session.execute(update(Session).where(Session.user_id == people["admin"].id).values(login))
        mails = [
            Mail(recipient="anna@example.com", template="order_ready", language="ru", context={}, status="sent",
                 sent_at=now),
            Mail(recipient="boris@example.com", template="order_placed", language="en", context={}, tries=3,
                 last_error="451 try later", next_try_at=now),
            Mail(recipient="vera@example.com", template="order_placed", language="en", context={}, status="failed",
                 failed_at=now),
        ]  # fmt: skip
        session.add_all(mails)
        await documents.rebuild(session)  # of a product whose picture was written as a row
        pdf = (await session.scalars(select(Attachment).where(Attachment.content_type == "application/pdf"))).first()
        assert pdf is not None
        session.add(
            Note(conversation_id=pdf.conversation_id, author_id=people["support"].id, author_role="support", text="Ещё")
        )
