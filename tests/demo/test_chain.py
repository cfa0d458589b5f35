"""What the demo chain offers."""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, get_args
from uuid import uuid4

import pytest
from PIL import Image
from pydantic import BaseModel, ValidationError

from crema.demo.chain import Chain, ModifierGroup, Nutrition, Product, load, picture_of
from crema.demo.pictures import Shape
from crema.menu import domain
from crema.menu.domain import (
    InvalidModifierGroupError,
    PricedGroup,
    PricedOption,
    PricedProduct,
    PricedSize,
    SizeNutrition,
    contents_of,
)
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


def figures(nutrition: Nutrition | None) -> domain.Nutrition | None:
    if nutrition is None:
        return None
    return domain.Nutrition(**{name: None if value is None else float(value) for name, value in nutrition})


def priced_group(group: ModifierGroup) -> PricedGroup:
    options = [
        PricedOption(
            uuid4(),
            option.name,
            option.price_delta,
            option.max_quantity,
            option.is_default,
            is_active=True,
            nutrition=figures(option.nutrition),
            size_nutrition=tuple(
                SizeNutrition(name, nutrition)
                for name, each in option.size_nutrition.items()
                if (nutrition := figures(each))
            ),
        )
        for option in group.options
    ]
    limits = (group.min_choices, group.max_choices, group.free_quantity)
    return PricedGroup(uuid4(), group.name, *limits, tuple(options))


def priced_product(product: Product, groups: list[PricedGroup]) -> PricedProduct:
    sizes = [
        PricedSize(uuid4(), size.name, size.volume_ml, size.price_delta, size.is_default, figures(size.nutrition))
        for size in product.sizes
    ]
    return PricedProduct(
        id=uuid4(),
        name=product.name,
        price=product.price,
        is_on_menu=True,
        preparation_seconds=0,
        sizes=tuple(sizes),
        modifier_groups=tuple(groups),
        nutrition=figures(product.nutrition),
    )


def one_of_each_shape() -> list[Product]:
    return list({product.picture.shape: product for product in load().products}.values())


def test_there_is_a_whole_menu() -> None:
    products = load().products

    assert len(products) >= 38
    assert len({product.name for product in products}) == len(products)
    assert sum("латте" in product.name.lower() for product in products) >= 5
    assert any(len(product.categories) > 1 for product in products)


def test_every_category_has_something_under_it() -> None:
    chain = load()
    used = {slug for product in chain.products for slug in product.categories}
    used |= {category.parent for category in chain.categories if category.parent}

    assert {category.slug for category in chain.categories} == used


def test_a_product_declares_the_allergens_of_its_defaults() -> None:
    groups = {group.slug: group for group in load().modifier_groups}

    for product in load().products:
        chosen = [option for link in product.modifier_groups for option in groups[link.group].options]
        assert {each for option in chosen if option.is_default for each in option.allergens} <= set(product.allergens)


def test_a_drink_s_nutrition_is_known_in_every_size_with_every_milk_and_syrup() -> None:
    """As customers see it: of the domain's rule, with one option exchanged or added at a time."""
    chain = load()
    groups = {group.slug: priced_group(group) for group in chain.modifier_groups}
    drinks = [product for product in chain.products if product.sizes]

    for drink in drinks:
        product = priced_product(drink, [groups[link.group] for link in drink.modifier_groups])
        for size in product.sizes:
            for group in product.modifier_groups:
                kept = [each.id for other in product.modifier_groups for each in other.options if each.is_default]
                for option in group.options:
                    others = {id_ for id_ in kept if group.max_choices > 1 or id_ not in {o.id for o in group.options}}
                    made = contents_of(product, size=size, quantities=dict.fromkeys({*others, option.id}, 1)).nutrition
                    assert made is not None, (drink.slug, size.name, option.name)
                    assert made.caffeine_mg is not None, (drink.slug, size.name, option.name)
    assert len(drinks) >= 25


def test_energy_agrees_with_what_gives_it() -> None:
    """Four kilocalories a gram of proteins and carbohydrates, nine a gram of fat; fibre and rounding left aside."""
    chain = load()
    of_options = [
        each
        for group in chain.modifier_groups
        for option in group.options
        for each in (option.nutrition, *option.size_nutrition.values())
    ]
    of_products = [product.nutrition for product in chain.products]
    of_sizes = [size.nutrition for product in chain.products for size in product.sizes]

    for each in filter(None, [*of_options, *of_products, *of_sizes]):
        energy = 4 * each.proteins_g + 9 * each.fats_g + 4 * each.carbohydrates_g
        assert abs(each.energy_kcal - energy) <= max(3, each.energy_kcal / 10), each


def test_shops_lie_in_two_zones_and_one_never_closes() -> None:
    shops = load().shops
    week = [(weekday, "00:00", "24:00") for weekday in range(7)]

    assert {shop.timezone for shop in shops} == {"Europe/Moscow", "Asia/Yekaterinburg"}
    assert [shop.slug for shop in shops if [(h.weekday, h.opens_at, h.closes_at) for h in shop.hours] == week]
    for shop in shops:
        check_week([interval(each.weekday, each.opens_at, each.closes_at) for each in shop.hours])
    assert [day.date for shop in shops for day in shop.special_days] == ["12-31", "01-01"]


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
