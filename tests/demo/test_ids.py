"""The demo chain's ids are the same in every database."""

from datetime import UTC, datetime

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import User
from crema.accounts.service.passwords import Passwords
from crema.db.base import new_id
from crema.demo.chain import load
from crema.demo.ids import id_of
from crema.demo.seed import seed
from crema.menu.models import Category, Ingredient, ModifierGroup, Option, Product, Size
from crema.shops.models import Shop
from fixtures.app import CHEAP

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


async def test_what_the_demo_chain_names_has_the_id_of_its_name(session: AsyncSession) -> None:
    chain = load()
    await seed(session, chain=chain, passwords=Passwords(CHEAP), now=NOW)

    async def ids(column: object, id_: object) -> dict[str, object]:
        return {row[0]: row[1] for row in await session.execute(select(column, id_))}

    assert await ids(Product.slug, Product.id) == {each.slug: id_of("product", each.slug) for each in chain.products}
    assert await ids(Category.slug, Category.id) == {
        each.slug: id_of("category", each.slug) for each in chain.categories
    }
    assert await ids(Shop.slug, Shop.id) == {each.slug: id_of("shop", each.slug) for each in chain.shops}
    assert await ids(Ingredient.name, Ingredient.id) == {
        each.name: id_of("ingredient", each.slug) for each in chain.ingredients
    }
    assert await ids(ModifierGroup.name, ModifierGroup.id) == {
        each.name: id_of("modifier_group", each.slug) for each in chain.modifier_groups
    }
    assert await ids(User.email, User.id) == {each.email: id_of("account", each.email) for each in chain.accounts}
    for product in chain.products:
        sizes = select(Size.name, Size.id).where(Size.product_id == id_of("product", product.slug))
        assert {row[0]: row[1] for row in await session.execute(sizes)} == {
            size.name: id_of("product", product.slug, place) for place, size in enumerate(product.sizes, 1)
        }
    for group in chain.modifier_groups:
        options = select(Option.name, Option.id).where(Option.group_id == id_of("modifier_group", group.slug))
        assert {row[0]: row[1] for row in await session.execute(options)} == {
            option.name: id_of("modifier_group", group.slug, place) for place, option in enumerate(group.options, 1)
        }
    assert new_id().int >> 80 > id_of("shop", "nikitskaya").int >> 80, "afterwards ids tell the time again"


async def test_what_was_deleted_is_made_again_beside_what_is_left_of_it(
    admin: httpx2.AsyncClient, session: AsyncSession
) -> None:
    again = {"chain": load(), "passwords": Passwords(CHEAP), "now": NOW}
    await seed(session, **again)
    await session.commit()
    anna, latte = id_of("account", "anna@crema.example.com"), id_of("product", load().products[0].slug)
    for path in (f"/user/{anna}", f"/product/{latte}"):
        deleted = await admin.delete(path)
        assert deleted.status_code == 204, deleted.text

    await seed(session, **again)

    found = await session.scalars(select(User.id).where(User.email == "anna@crema.example.com"))
    assert anna not in found.all()


def test_ids_look_like_all_others() -> None:
    ids = {id_of("product", "latte", place) for place in range(100)}

    assert len(ids) == 100
    assert {each.version for each in ids} == {7}
    assert {each.variant for each in ids} == {new_id().variant}
