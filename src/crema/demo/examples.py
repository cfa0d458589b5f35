"""Request bodies that can be sent unchanged to a fresh demo chain, by operation id.

An operation whose body must name something new each time, such as an order, isn't here: its schema has an example.
"""

from collections.abc import Mapping
from typing import Any, Final

from crema.demo.chain import load
from crema.demo.ids import id_of

CUSTOMER: Final = "anna@crema.example.com"
_PASSWORD: Final = load().demo_password
_SHOP: Final = str(id_of("shop", "tri-vokzala"))
"""It is always open."""
_COFFEE: Final = str(id_of("category", "coffee"))
_MILK: Final = str(id_of("modifier_group", "milk"))
_OAT_MILK: Final = str(id_of("modifier_group", "milk", 3))
_LATTE: Final = str(id_of("product", "latte"))
_LARGE: Final = str(id_of("product", "latte", 3))
_ESPRESSO: Final = str(id_of("product", "espresso"))
_LOGIN: Final = {"email": CUSTOMER, "password": _PASSWORD}
_CATEGORY: Final = {"name": "Лимонады", "slug": "lemonades", "description": "Холодные, со льдом", "position": 90}
_NUTRITION: Final = {"energy_kcal": 98, "proteins_g": 4.9, "fats_g": 5.1, "carbohydrates_g": 7.8}
_PRODUCT: Final = {
    "name": "Латте с халвой",
    "slug": "halva-latte-xl",
    "description": "Эспрессо, много молока и халва",
    "price": "320.00",
    "category_ids": [_COFFEE],
    "sizes": [
        {"name": "S", "volume_ml": 250, "is_default": True},
        {"name": "L", "volume_ml": 450, "price_delta": "90"},
    ],
    "modifier_group_ids": [_MILK],
    "allergens": ["milk"],
    "nutrition": _NUTRITION,
    "preparation_seconds": 120,
}
_GROUP: Final = {
    "name": "Посыпка",
    "max_choices": 2,
    "options": [{"name": "Корица"}, {"name": "Какао", "price_delta": "20.00", "max_quantity": 2}],
}
_ROLE: Final = {"name": "trainee", "description": "Sees orders, changes nothing.", "permissions": ["orders:read"]}
_SHOP_BODY: Final = {
    "name": "Арбат",
    "slug": "arbat",
    "address": "Москва, Арбат, 10",
    "timezone": "Europe/Moscow",
    "latitude": 55.751244,
    "longitude": 37.598306,
    "phone": "+74951234567",
    "email": "arbat@crema.example.com",
}

BODIES: Final[Mapping[str, Any]] = {
    "logInWithForm": {"username": CUSTOMER, "password": _PASSWORD},
    "authenticate": _LOGIN,
    "authenticateWithCookies": _LOGIN,
    "register": {"email": "maria@crema.example.com", "password": "flat white please", "name": "Мария"},
    "resendCode": {"email": "maria@crema.example.com"},
    "forgotPassword": {"email": CUSTOMER},
    "changePassword": {"old_password": _PASSWORD, "new_password": "flat white please"},
    "changeUser": {"name": "Анна Л."},
    "replaceUser": {"name": "Анна Лебедева", "phone": "+79161234567"},
    "logOut": {},
    "createRole": _ROLE,
    "replaceRole": _ROLE | {"name": "apprentice"},
    "changeRole": {"permissions": ["orders:read", "orders:write"]},
    "createCategory": _CATEGORY,
    "replaceCategory": _CATEGORY,
    "changeCategory": {"position": 20},
    "setProducts": {"product_ids": [_LATTE, _ESPRESSO]},
    "createIngredient": {"name": "Фундучное молоко"},
    "postIngredients": {"name": "Фундучное молоко"},
    "replaceIngredient": {"name": "Рисовое молоко"},
    "changeIngredient": {"name": "Рисовое молоко"},
    "createModifierGroup": _GROUP,
    "replaceModifierGroup": _GROUP,
    "changeModifierGroup": {"max_choices": 2},
    "createProduct": _PRODUCT,
    "replaceProduct": _PRODUCT,
    "changeProduct": {"price": "270.00"},
    "copyProduct": {"name": "Латте на кокосовом"},
    "changeImage": {"alt": "Латте в стакане", "position": 0},
    "changePrices": {"category_id": _COFFEE, "percent": "5.0", "round_to": "10.00", "dry_run": True},
    "importMenu": {
        "categories": [{"slug": "lemonades", "name": "Лимонады"}],
        "ingredients": [{"name": "Эспрессо"}],
        "modifier_groups": [{"name": "Посыпка", "max_choices": 1, "options": [{"name": "Корица"}]}],
        "products": [
            {
                "slug": "espresso-lemonade",
                "name": "Лимонад с эспрессо",
                "price": "290.00",
                "categories": [{"slug": "lemonades"}],
                "ingredients": ["Эспрессо"],
                "modifier_groups": [{"group": "Посыпка"}],
            }
        ],
    },
    "openShop": _SHOP_BODY,
    "replaceShop": _SHOP_BODY,
    "changeShop": {"phone": "+74957654321"},
    "setHours": {
        "hours": [
            {"weekday": 0, "opens_at": "08:00", "closes_at": "22:00"},
            {"weekday": 4, "opens_at": "08:00", "closes_at": "02:00"},
        ]
    },
    "setSpecialDays": {
        "special_days": [
            {"date": "2026-12-31", "hours": [{"opens_at": "10:00", "closes_at": "18:00"}], "note": "С наступающим!"},
            {"date": "2027-01-01", "is_closed": True},
        ]
    },
    "setCapacity": {
        "slot_minutes": 10,
        "seconds_per_slot": 1200,
        "exceptions": [{"weekday": 0, "from": "08:00", "to": "10:00", "seconds_per_slot": 2400}],
    },
    "addStop": {"kind": "ingredient", "target_id": str(id_of("ingredient", "oat-milk")), "note": "Привезут к обеду"},
    "changeProductOfShop": {"price": "270.00", "stock": 12},
    "changeOptionOfShop": {"price_delta": "0.00"},
    "changeStatus": {"state": "busy", "delay_minutes": 10},
    "addToCart": {
        "product_id": _LATTE,
        "size_id": _LARGE,
        "options": [{"option_id": _OAT_MILK}],
        "quantity": 2,
        "note": "Погорячее, пожалуйста",
    },
    "changeItem": {"quantity": 3},
    "chooseShop": {"shop_id": _SHOP},
    "quoteOrder": {
        "shop_id": _SHOP,
        "items": [{"product_id": _LATTE, "size_id": _LARGE, "options": [{"option_id": _OAT_MILK}]}],
    },
    "placeOrder": {
        "shop_id": _SHOP,
        "items": [{"product_id": _LATTE, "size_id": _LARGE, "options": [{"option_id": _OAT_MILK}]}],
        "comment": "Заберу через пять минут",
        "pickup_name": "Аня",
    },
    "changeOrder": {"status": "accepted"},
    "replaceOrder": {"pickup_at": None, "comment": "Без крышки", "items": [{"product_id": _ESPRESSO, "quantity": 2}]},
    "cancelOrder": {"reason": "Не успеваю"},
    "markLine": {"is_made": True},
    "openChat": {"shop_id": _SHOP},
    "changeChat": {"status": "pending"},
    "sendMessage": {"text": "Где мой латте?", "client_id": "phone-1"},
    "writeNote": {"text": "Звонила, ждёт возврата."},
    "readMessages": {"seq": 1},
    "writeFirst": {"customer_id": str(id_of("account", CUSTOMER)), "text": "Вы забыли у нас зонт."},
}
PARAMETERS: Final[Mapping[str, str]] = {
    "user_id": str(id_of("account", CUSTOMER)),
    "category_id": _COFFEE,
    "product_id": _LATTE,
    "group_id": _MILK,
    "option_id": _OAT_MILK,
    "ingredient_id": str(id_of("ingredient", "oat-milk")),
    "shop_id": _SHOP,
}
"""Ids of the demo chain for parameters of paths."""


def accounts_table() -> str:
    """Return a Markdown table of the accounts of the demo chain."""
    chain = load()
    rows = [f"| `{each.email}` | {each.role} | {', '.join(each.shops) or '—'} |" for each in chain.accounts]
    intro = (
        f"Demo accounts, all with the password `{chain.demo_password}`; an example of a body can be sent as it is:\n"
    )
    return "\n".join([intro, "| account | role | shops |", "|---|---|---|", *rows, ""])
