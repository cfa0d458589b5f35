"""Every field a list of the menu declares is backed by an index: found in the plans on 100,000 rows."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Select, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from crema.db.listing import Listing, paginate
from crema.menu.models import Category, Ingredient, ModifierGroup, Product
from crema.menu.queries import CATEGORIES, INGREDIENTS, MODIFIER_GROUPS, PRODUCTS

pytestmark = pytest.mark.anyio

ROWS = 100_000
ID = "lpad(to_hex(n), 32, '0')::uuid"
NAME = "'Имя ' || md5(n::text)"
FILL = (
    f"""INSERT INTO products (id, slug, name, description, price, is_active, position, created_at, updated_at)
        SELECT {ID}, 'slug-' || n, {NAME}, 'О ' || md5((n + 1)::text), n % 5000, n % 500 <> 0, n % 5000,
               timestamptz '2026-01-01' + n * interval '1 minute', timestamptz '2026-01-01' + n * interval '1 minute'
        FROM generate_series(1, {ROWS}) n""",
    f"""INSERT INTO categories (id, slug, name, description, is_active, position, created_at, updated_at, parent_id)
        SELECT {ID}, 'slug-' || n, {NAME}, 'О ' || md5((n + 1)::text), n % 500 <> 0, n % 5000,
               timestamptz '2026-01-01' + n * interval '1 minute', timestamptz '2026-01-01' + n * interval '1 minute',
               CASE WHEN n > 1000 THEN lpad(to_hex(n % 1000 + 1), 32, '0')::uuid END
        FROM generate_series(1, {ROWS}) n""",
    f"INSERT INTO product_categories (product_id, category_id) SELECT id, id FROM products",
    f"""INSERT INTO modifier_groups (id, name, created_at, updated_at)
        SELECT {ID}, {NAME}, timestamptz '2026-01-01' + n * interval '1 minute',
               timestamptz '2026-01-01' + n * interval '1 minute'
        FROM generate_series(1, {ROWS}) n""",
    f"INSERT INTO ingredients (id, name) SELECT {ID}, {NAME} FROM generate_series(1, {ROWS}) n",
    "ANALYZE products, categories, product_categories, modifier_groups, ingredients",
)
LISTS: dict[str, tuple[Listing, Select[Any]]] = {
    "products": (PRODUCTS, select(Product).where(Product.archived_at.is_(None))),
    "categories": (CATEGORIES, select(Category)),
    "modifier_groups": (MODIFIER_GROUPS, select(ModifierGroup)),
    "ingredients": (INGREDIENTS, select(Ingredient)),
}
VALUES = {
    "id": "00000000-0000-0000-0000-000000000007",
    "category_id": "00000000-0000-0000-0000-000000000007",
    "parent_id": "00000000-0000-0000-0000-000000000007",
    "name": "латте",
    "slug": "slug-7",
    "price": "7",
    "position": "7",
    "is_active": "false",
    "created_at": "2026-01-01T00:07:00Z",
    "updated_at": "2026-01-01T00:07:00Z",
}
"""A value of each field that few rows have."""


@pytest.fixture(scope="module")
async def crowded(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Fill the lists, in a transaction that is rolled back."""
    async with engine.connect() as connection, connection.begin() as outer:
        await connection.execute(text("SET LOCAL statement_timeout = '60s'"))
        for statement in FILL:
            await connection.execute(text(statement))
        yield connection
        await outer.rollback()


class Caught(Exception):  # noqa: N818 - it is no error
    """Carries the statement that a page would run."""


async def plan(crowded: AsyncConnection, name: str, parameters: dict[str, str]) -> str:
    """Explain the statement that a page with these parameters runs."""
    listing, statement = LISTS[name]
    query = listing.parse(parameters.items(), permissions={"menu:write"})

    class Explaining(AsyncSession):
        async def execute(self, statement: Any, *_: Any, **__: Any) -> Any:
            raise Caught(statement)

    with pytest.raises(Caught) as caught:
        await paginate(Explaining(crowded), statement, query)
    compiled = caught.value.args[0].compile(
        dialect=postgresql.dialect(),
        compile_kwargs={"literal_binds": True},  # type: ignore[no-untyped-call]
    )
    rows = await crowded.exec_driver_sql(f"EXPLAIN {str(compiled).replace('%%', '%')}")
    return "\n".join(row[0] for row in rows)


FILTERS = [(name, field) for name, (listing, _) in LISTS.items() for field in listing.fields]
SORTS = [(name, sort) for name, (listing, _) in LISTS.items() for sort in [*listing.sort, listing.default_sort]]


async def test_every_filter_has_its_index(crowded: AsyncConnection) -> None:
    plans = {f"{name}.{field}": await plan(crowded, name, {field: VALUES[field]}) for name, field in FILTERS}

    assert {field: found for field, found in plans.items() if "Seq Scan" in found} == {}


async def test_every_order_has_its_index(crowded: AsyncConnection) -> None:
    plans = {f"{name} by {sort}": await plan(crowded, name, {"sort": sort}) for name, sort in SORTS}
    plans |= {
        f"{name} by -{sort}": await plan(crowded, name, {"sort": f"-{sort}"}) for name, sort in SORTS if "," not in sort
    }

    assert {order: found for order, found in plans.items() if "Seq Scan" in found} == {}


async def test_every_search_has_its_index(crowded: AsyncConnection) -> None:
    plans = {
        f"{name}.{column}": await plan(crowded, name, {"search": "латте", "search_fields": column})
        for name, (listing, _) in LISTS.items()
        for column in listing.search
    }
    plans |= {name: await plan(crowded, name, {"search": "латте"}) for name in LISTS}
    plans |= {
        f"{name} slug": await plan(crowded, name, {"slug__icontains": "латте"}) for name in ("products", "categories")
    }

    assert {search: found for search, found in plans.items() if "Seq Scan" in found} == {}
