"""What the demo chain offers."""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, get_args

import pytest
from PIL import Image
from pydantic import BaseModel, ValidationError

from crema.demo.chain import Chain, Product, load, picture_of
from crema.demo.pictures import Shape
from crema.menu.domain import InvalidModifierGroupError
from crema.shops.domain import check_week, interval

MIXED = re.compile(r"[a-z][а-яё]|[а-яё][a-z]", re.IGNORECASE)


def texts(content: object) -> Iterator[str]:
    if isinstance(content, BaseModel):
        content = dict(content)
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from texts(value)
    elif isinstance(content, tuple):
        for item in content:
            yield from texts(item)


def one_of_each_shape() -> list[Product]:
    return list({product.picture.shape: product for product in load().products}.values())


def test_there_is_a_whole_menu() -> None:
    products = load().products

    assert len(products) >= 38
    assert len({product.name for product in products}) == len(products)
    assert sum("латте" in product.name.lower() for product in products) >= 5
    assert any(len(product.categories) > 1 for product in products)


def test_every_heading_has_something_under_it() -> None:
    chain = load()
    used = {slug for product in chain.products for slug in product.categories}
    used |= {category.parent for category in chain.categories if category.parent}

    assert {category.slug for category in chain.categories} == used


def test_a_product_declares_the_allergens_of_its_defaults() -> None:
    groups = {group.slug: group for group in load().modifier_groups}

    for product in load().products:
        chosen = [option for link in product.modifier_groups for option in groups[link.group].options]
        assert {each for option in chosen if option.is_default for each in option.allergens} <= set(product.allergens)


def test_shops_lie_in_two_zones_and_one_never_closes() -> None:
    shops = load().shops
    week = [(weekday, "00:00", "24:00") for weekday in range(7)]

    assert {shop.timezone for shop in shops} == {"Europe/Moscow", "Asia/Yekaterinburg"}
    assert [shop.slug for shop in shops if [(h.weekday, h.opens_at, h.closes_at) for h in shop.hours] == week]
    for shop in shops:
        check_week([interval(each.weekday, each.opens_at, each.closes_at) for each in shop.hours])


def test_there_is_someone_of_every_role() -> None:
    accounts = load().accounts

    assert sorted(each.role for each in accounts) == [
        "admin", "barista", "barista", "manager", "support", "user", "user",
    ]  # fmt: skip
    assert len({each.shops for each in accounts if each.role == "barista"}) == 2


def test_no_word_mixes_alphabets() -> None:
    assert [text for text in texts(load()) if MIXED.search(text)] == []


def test_every_shape_is_on_the_menu() -> None:
    assert {product.picture.shape for product in load().products} == set(get_args(Shape))


@pytest.mark.parametrize("product", one_of_each_shape(), ids=lambda product: product.picture.shape)
def test_a_picture_is_a_large_png(product: Product) -> None:
    content = picture_of(product)

    with Image.open(BytesIO(content)) as image:
        assert image.format == "PNG"
        assert min(image.size) >= 800
        assert len(image.convert("P").getcolors() or []) > 8


def test_a_picture_is_the_same_each_time() -> None:
    product = load().products[0]

    assert picture_of(product) == picture_of(product)


@pytest.mark.parametrize(
    ("where", "change", "said"),
    [
        ("products", {"ingredients": ("moonlight",)}, "moonlight"),
        ("accounts", {"shops": ("atlantis",)}, "atlantis"),
        ("categories", {"parent": "nowhere"}, "nowhere"),
        ("modifier_groups", {"min_choices": 2, "max_choices": 1}, "min_choices"),
    ],
)
def test_a_slip_is_told(where: str, change: dict[str, Any], said: str) -> None:
    written = load().model_dump()
    written[where] = ({**written[where][0], **change}, *written[where][1:])

    with pytest.raises((ValidationError, InvalidModifierGroupError), match=said):
        Chain.model_validate(written)
