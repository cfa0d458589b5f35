"""Products as the cart and orders get them."""

from decimal import Decimal
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from crema.menu import queries
from crema.menu.domain import PricedGroup, PricedOption, PricedProduct, PricedSize
from crema.menu.models import ProductDocument
from factories.menu import Json, make_group, make_product
from fixtures.statements import recorded

pytestmark = pytest.mark.anyio


async def load(session: AsyncSession, product: Json) -> PricedProduct:
    id_ = UUID(product["id"])
    return (await queries.load_for_pricing(session, {id_}))[id_]


async def test_a_product_comes_with_all_its_price_depends_on(
    manager: httpx2.AsyncClient, session: AsyncSession
) -> None:
    milk = await make_group(
        manager,
        free_quantity=1,
        options=[
            {"name": "Овсяное", "price_delta": "60", "max_quantity": 3, "is_default": True},
            {"name": "Кокосовое", "is_active": False},
        ],
    )
    empty = await make_group(manager, "Пусто", options=[])
    product = await make_product(
        manager,
        price="250",
        preparation_seconds=120,
        sizes=[{"name": "S", "volume_ml": 250}, {"name": "M", "price_delta": "40", "is_default": True}],
        modifier_groups=[{"group_id": empty["id"]}, {"group_id": milk["id"], "min_choices": 1, "max_choices": 3}],
    )

    priced = await load(session, product)

    small, medium = product["sizes"]
    oat, coconut = milk["options"]
    assert priced == PricedProduct(
        id=UUID(product["id"]),
        name="Латте",
        price=Decimal(250),
        is_on_menu=True,
        preparation_seconds=120,
        sizes=(
            PricedSize(UUID(small["id"]), "S", 250, Decimal(0), is_default=False),
            PricedSize(UUID(medium["id"]), "M", None, Decimal(40), is_default=True),
        ),
        modifier_groups=(
            PricedGroup(UUID(empty["id"]), "Пусто", 0, 1, 0, ()),
            PricedGroup(
                UUID(milk["id"]),
                "Молоко",
                1,
                3,
                1,
                (
                    PricedOption(UUID(oat["id"]), "Овсяное", Decimal(60), 3, is_default=True, is_active=True),
                    PricedOption(UUID(coconut["id"]), "Кокосовое", Decimal(0), 1, is_default=False, is_active=False),
                ),
            ),
        ),
    )


async def test_what_is_off_the_menu_comes_marked(manager: httpx2.AsyncClient, session: AsyncSession) -> None:
    inactive, deleted = await make_product(manager, is_active=False), await make_product(manager)
    await manager.delete(f"/product/{deleted['id']}")

    found = [await load(session, product) for product in (inactive, deleted)]

    assert [(product.is_on_menu, product.is_archived) for product in found] == [(False, False), (False, True)]
    assert [product.name for product in found] == ["Латте", "Латте"]


async def test_prices_are_not_read_from_what_a_menu_shows(manager: httpx2.AsyncClient, session: AsyncSession) -> None:
    product = await make_product(manager, price="250")
    await session.execute(update(ProductDocument).values(public=b"{}", full=None))

    assert (await load(session, product)).price == Decimal(250)


async def test_unknown_products_are_absent(session: AsyncSession) -> None:
    assert await queries.load_for_pricing(session, {uuid4()}) == {}
    assert await queries.load_for_pricing(session, set()) == {}


async def test_any_number_of_products_costs_the_same(
    manager: httpx2.AsyncClient, session: AsyncSession, engine: AsyncEngine
) -> None:
    group = await make_group(manager)
    products = [await make_product(manager, sizes=[{"name": "S"}], modifier_group_ids=[group["id"]]) for _ in range(3)]
    ids = [UUID(product["id"]) for product in products]

    for wanted in (ids[:1], ids):
        with recorded(engine) as statements:
            found = await queries.load_for_pricing(session, wanted)
        assert [*found] == wanted
        assert len([statement for statement in statements if statement.startswith("SELECT")]) == 1
