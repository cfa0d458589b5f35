"""Parts of the menu, made over HTTP by someone who may."""

from io import BytesIO
from typing import Any

import httpx2
from PIL import Image

from factories.pictures import png

Json = dict[str, Any]
NUTRITION: Json = {"energy_kcal": 96.0, "proteins_g": 4.8, "fats_g": 5.1, "carbohydrates_g": 7.5, "caffeine_mg": 0.0}


async def make(client: httpx2.AsyncClient, path: str, body: Json) -> Json:
    response = await client.post(path, json=body)
    assert response.status_code == 201, response.text
    made: Json = response.json()
    return made


async def make_category(editor: httpx2.AsyncClient, name: str = "Кофе", **fields: Any) -> Json:
    return await make(editor, "/category", {"name": name} | fields)


async def make_product(editor: httpx2.AsyncClient, name: str = "Латте", price: str = "250.00", **fields: Any) -> Json:
    return await make(editor, "/product", {"name": name, "price": price} | fields)


async def make_ingredient(editor: httpx2.AsyncClient, name: str = "Молоко") -> Json:
    return await make(editor, "/ingredients", {"name": name})


async def make_group(editor: httpx2.AsyncClient, name: str = "Молоко", **fields: Any) -> Json:
    """Make a group of two options to choose at most one from, unless told otherwise."""
    options = [{"name": "Обычное", "is_default": True}, {"name": "Овсяное", "price_delta": "60.00"}]
    return await make(editor, "/modifier-group", {"name": name, "options": options} | fields)


async def upload(
    editor: httpx2.AsyncClient,
    product: Json,
    content: bytes | None = None,
    *,
    name: str = "latte.png",
    content_type: str = "image/png",
    **form: str,
) -> httpx2.Response:
    file = (name, png() if content is None else content, content_type)
    return await editor.post(f"/product/{product['id']}/images", files={"file": file}, data=form)


async def add_image(editor: httpx2.AsyncClient, product: Json, content: bytes | None = None, **form: str) -> Json:
    response = await upload(editor, product, content, **form)
    assert response.status_code == 201, response.text
    image: Json = response.json()
    return image


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind: str) -> bytes:
    first, *others = (Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue"))
    return encode(first, kind, save_all=True, append_images=others)


def decode(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))
