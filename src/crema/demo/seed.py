"""Seeding the demo chain, through the services that routes use. Objects that exist already are not changed."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import date, datetime, timedelta
from tempfile import TemporaryFile
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import ADMIN, PERMISSIONS, Actor
from crema.accounts.models import User
from crema.accounts.service.passwords import Passwords
from crema.accounts.service.people import make_person
from crema.db import jobs
from crema.db.base import Base, ids_from
from crema.db.session import Sessions, commit_now
from crema.demo.chain import Chain, Nutrition, picture_of
from crema.demo.chain import Product as DemoProduct
from crema.demo.chain import Shop as DemoShop
from crema.demo.ids import Kind, id_of, ids_of
from crema.media.service import MediaService
from crema.menu.models import Category, Ingredient, ModifierGroup, Product, ProductImage
from crema.menu.schemas import (
    CategoryIn,
    IngredientIn,
    ModifierGroupIn,
    NutritionIn,
    OptionIn,
    ProductGroupIn,
    ProductIn,
    ShopProductPatch,
    SizeIn,
    SizeNutritionIn,
    StopIn,
    WindowIn,
)
from crema.menu.service.categories import create_category
from crema.menu.service.images import add_image
from crema.menu.service.ingredients import create_ingredient
from crema.menu.service.modifier_groups import create_modifier_group
from crema.menu.service.offers import add_stop, change_product
from crema.menu.service.products import create_product
from crema.shops.domain import SpecialDay, day_interval, interval
from crema.shops.models import Shop
from crema.shops.schemas import ReplaceCapacity, ShopIn
from crema.shops.service import Closing, create_shop, set_capacity, set_hours, set_special_days

PAINT: Final = "demo.paint"
SEEDER: Final = Actor(uuid4(), uuid4(), ADMIN, frozenset(PERMISSIONS), frozenset())
"""The actor of all changes: an administrator who doesn't exist in the database."""


async def seed(session: AsyncSession, *, chain: Chain, passwords: Passwords, now: datetime) -> None:
    """Add what is missing of the demo chain. Pictures take long, so the worker draws them afterwards."""
    before = await _load_map(session, Shop.slug, Shop.id)
    shops = await _seed_shops(session, chain, now)
    categories = await _seed_categories(session, chain, now)
    ingredients = await _seed_ingredients(session, chain)
    groups = await _seed_groups(session, chain, ingredients, now)
    known = await _load_map(session, Product.slug, Product.id)
    for product in chain.products:
        if product.slug not in known:
            product_in = _product(product, categories, ingredients, groups)
            with await _fixed_ids(session, Product, "product", product.slug):
                await create_product(session, product_in=product_in, now=now)
    await _seed_offers(session, {shops[shop.slug]: shop for shop in chain.shops if shop.slug not in before}, now)
    await session.execute(select(jobs.defer(PAINT, queue="housekeeping", arguments=func.jsonb_build_object())))
    password_hash = await passwords.hash(chain.demo_password)
    for account in chain.accounts:
        with await _fixed_ids(session, User, "account", account.email):
            await make_person(
                session,
                email=account.email,
                password_hash=password_hash,
                role=account.role,
                now=now,
                name=account.name,
                language=account.language,
                shop_ids=tuple(shops[slug] for slug in account.shops),
            )


async def paint(sessions: Sessions, *, chain: Chain, media: MediaService, now: datetime) -> None:
    """Draw and add a picture for every demo product without one, each in a transaction of its own."""
    for product in chain.products:
        async with sessions() as session:
            product_id = await session.scalar(
                select(Product.id).where(
                    Product.slug == product.slug,
                    Product.archived_at.is_(None),
                    ~exists().where(ProductImage.product_id == Product.id),
                )
            )
            if product_id is None:
                continue
            await commit_now(session)  # drawing takes long, too
            content = await asyncio.to_thread(picture_of, product)
            with TemporaryFile() as file:
                file.write(content)
                await add_image(
                    session,
                    media,
                    product_id=product_id,
                    person_id=SEEDER.user_id,
                    file=file,
                    alt=product.name,
                    now=now,
                )
            await commit_now(session)


async def _fixed_ids(session: AsyncSession, model: type[Base], kind: Kind, slug: str) -> AbstractContextManager[None]:
    """Return a context in which new rows get the ids of `demo.ids`.

    If a deleted account or an archived product still has the first of these ids, new rows get random ids.
    """
    is_taken = await session.get(model, id_of(kind, slug)) is not None
    return nullcontext() if is_taken else ids_from(ids_of(kind, slug))


async def _load_map(session: AsyncSession, key: Any, value: Any) -> dict[str, UUID]:
    return {row[0]: row[1] for row in await session.execute(select(key, value))}


async def _seed_shops(session: AsyncSession, chain: Chain, now: datetime) -> dict[str, UUID]:
    known = await _load_map(session, Shop.slug, Shop.id)
    for shop in chain.shops:
        if shop.slug in known:
            continue
        shop_in = ShopIn(
            name=shop.name,
            slug=shop.slug,
            address=shop.address,
            timezone=shop.timezone,
            latitude=shop.latitude,
            longitude=shop.longitude,
            phone=shop.phone,
            email=shop.email,
        )
        week = [interval(each.weekday, each.opens_at, each.closes_at) for each in shop.hours]
        closing = Closing(before=(), force=False)
        with await _fixed_ids(session, Shop, "shop", shop.slug):
            created = await create_shop(session, actor=SEEDER, shop_in=shop_in, now=now)
            await set_hours(session, actor=SEEDER, shop_id=created.id, intervals=week, closing=closing, now=now)
            days = _next_special_days(shop, now.date())
            await set_special_days(
                session, actor=SEEDER, shop_id=created.id, special_days=days, closing=closing, now=now
            )
            capacity_in = ReplaceCapacity(seconds_per_slot=shop.seconds_per_slot)
            await set_capacity(session, actor=SEEDER, shop_id=created.id, capacity_in=capacity_in, now=now)
        known[shop.slug] = created.id
    return known


def _next_special_days(shop: DemoShop, today: date) -> list[SpecialDay]:
    """Return the shop's special days, each on its next date."""
    days = []
    for each in shop.special_days:
        this_year, next_year = (date.fromisoformat(f"{today.year + n}-{each.date}") for n in (0, 1))
        hours = tuple(day_interval(period.opens_at, period.closes_at) for period in each.hours)
        next_date = this_year if this_year >= today else next_year
        days.append(SpecialDay(next_date, hours, takes_orders_ahead=each.takes_orders_ahead, note=each.note))
    return days


async def _seed_offers(session: AsyncSession, created: Mapping[UUID, DemoShop], now: datetime) -> None:
    """Add the prices and stop-lists of shops that were just created."""
    products = await _load_map(session, Product.slug, Product.id)
    for shop_id, shop in created.items():
        for each in shop.prices:
            changes = ShopProductPatch(price=each.price)
            await change_product(session, shop_id=shop_id, product_id=products[each.product], changes=changes, now=now)
        for stopped in shop.stops:
            until = now + timedelta(hours=stopped.hours)
            stop_in = StopIn(kind="product", target_id=products[stopped.product], until=until, note=stopped.note)
            await add_stop(session, shop_id=shop_id, stop_in=stop_in, person_id=None, now=now)


async def _seed_categories(session: AsyncSession, chain: Chain, now: datetime) -> dict[str, UUID]:
    known = await _load_map(session, Category.slug, Category.id)
    for category in chain.categories:
        if category.slug in known:
            continue
        category_in = CategoryIn(
            name=category.name,
            slug=category.slug,
            description=category.description,
            parent_id=known[category.parent] if category.parent else None,
            position=category.position,
            schedule=[WindowIn.model_validate(each.model_dump()) for each in category.schedule],
        )
        with await _fixed_ids(session, Category, "category", category.slug):
            known[category.slug] = (await create_category(session, category_in=category_in, now=now)).id
    return known


async def _seed_ingredients(session: AsyncSession, chain: Chain) -> dict[str, UUID]:
    by_name = await _load_map(session, Ingredient.name, Ingredient.id)
    for ingredient in chain.ingredients:
        if ingredient.name not in by_name:
            with await _fixed_ids(session, Ingredient, "ingredient", ingredient.slug):
                created = await create_ingredient(session, ingredient_in=IngredientIn(name=ingredient.name))
            by_name[ingredient.name] = created.id
    return {ingredient.slug: by_name[ingredient.name] for ingredient in chain.ingredients}


async def _seed_groups(
    session: AsyncSession, chain: Chain, ingredients: Mapping[str, UUID], now: datetime
) -> dict[str, UUID]:
    by_name = await _load_map(session, ModifierGroup.name, ModifierGroup.id)
    for group in chain.modifier_groups:
        if group.name in by_name:
            continue
        group_in = ModifierGroupIn(
            name=group.name,
            min_choices=group.min_choices,
            max_choices=group.max_choices,
            free_quantity=group.free_quantity,
            options=[
                OptionIn(
                    name=option.name,
                    price_delta=option.price_delta,
                    max_quantity=option.max_quantity,
                    is_default=option.is_default,
                    allergens=list(option.allergens),
                    nutrition=_nutrition(option.nutrition) if option.nutrition else None,
                    size_nutrition=[
                        SizeNutritionIn(size_name=name, nutrition=_nutrition(each))
                        for name, each in option.size_nutrition.items()
                    ],
                    ingredient_ids=[ingredients[slug] for slug in option.ingredients],
                )
                for option in group.options
            ],
        )
        with await _fixed_ids(session, ModifierGroup, "modifier_group", group.slug):
            by_name[group.name] = (await create_modifier_group(session, group_in=group_in, now=now)).id
    return {group.slug: by_name[group.name] for group in chain.modifier_groups}


def _nutrition(nutrition: Nutrition) -> NutritionIn:
    return NutritionIn(**{name: float(value) for name, value in nutrition if value is not None})


def _product(
    product: DemoProduct,
    categories: Mapping[str, UUID],
    ingredients: Mapping[str, UUID],
    groups: Mapping[str, UUID],
) -> ProductIn:
    return ProductIn(
        name=product.name,
        slug=product.slug,
        description=product.description,
        price=product.price,
        category_ids=[categories[slug] for slug in product.categories],
        position=product.position,
        sizes=[
            SizeIn(
                name=size.name,
                volume_ml=size.volume_ml,
                price_delta=size.price_delta,
                is_default=size.is_default,
                nutrition=_nutrition(size.nutrition) if size.nutrition else None,
            )
            for size in product.sizes
        ],
        modifier_groups=[
            ProductGroupIn(group_id=groups[link.group], min_choices=link.min_choices, max_choices=link.max_choices)
            for link in product.modifier_groups
        ],
        allergens=list(product.allergens),
        allergens_always=None if product.allergens_always is None else list(product.allergens_always),
        nutrition=_nutrition(product.nutrition),
        ingredient_ids=[ingredients[slug] for slug in product.ingredients],
        preparation_seconds=product.preparation_seconds,
    )
