"""Every field a list declares is backed by an index: found in the plans on 30,000 rows, or CREMA_PLAN_ROWS."""

import os
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Select, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from crema.accounts.domain import BUILTIN_ROLES, PERMISSIONS, Actor
from crema.accounts.models import Role, User
from crema.accounts.queries import ROLES, USERS
from crema.db.listing import InstantField, Listing, MoneyField, paginate
from crema.menu.models import Category, Ingredient, ModifierGroup, Product
from crema.menu.queries import CATEGORIES, INGREDIENTS, MODIFIER_GROUPS, PRODUCTS
from crema.orders.models import Order
from crema.orders.queries import ORDERS
from crema.shops.models import Shop
from crema.shops.queries import SHOPS
from crema.support.models import Conversation, Message
from crema.support.queries import CONVERSATIONS, MESSAGES, reader_values, visible_to
from fixtures.database import execute_long

pytestmark = pytest.mark.anyio

ROWS = int(os.environ.get("CREMA_PLAN_ROWS", "30000"))
FILL = (
    # Who may, leaves out the checks of a million references: the rows are made to fit.
    """SELECT set_config('session_replication_role', 'replica', true) FROM pg_roles
       WHERE rolname = current_user AND rolsuper""",
    f"""CREATE TEMPORARY TABLE numbers AS
       SELECT n, lpad(to_hex(n), 32, '0')::uuid AS id, 'Имя ' || n AS name, 'О ' || n % 1000 AS about,
              n % 5000 AS few, n % 500 <> 0 AS most, timestamptz '2026-01-01' + n * interval '1 minute' AS moment
       FROM generate_series(1, {ROWS}) n""",  # noqa: S608 - a number
    """INSERT INTO products (id, slug, name, description, price, is_active, position, allergens, created_at,
                             updated_at)
       SELECT id, 'slug-' || n, name, about, few, most, few,
              CASE WHEN n % 5000 = 7 THEN '{milk}'::text[] ELSE '{eggs}' END, moment, moment FROM numbers""",
    """INSERT INTO categories (id, slug, name, description, is_active, is_on_menu, position, created_at, updated_at,
                               parent_id)
       SELECT id, 'slug-' || n, name, about, most, most, few, moment, moment,
              CASE WHEN n > 1000 THEN lpad(to_hex(n % 1000 + 1), 32, '0')::uuid END
       FROM numbers""",
    """INSERT INTO product_documents (product_id, shape, public, can_be_without)
       SELECT id, 'x', 'x', CASE WHEN n % 5000 = 7 THEN '{milk}'::text[] ELSE '{eggs}' END FROM numbers""",
    "INSERT INTO product_categories (product_id, category_id) SELECT id, id FROM numbers",
    "INSERT INTO modifier_groups (id, name, created_at, updated_at) SELECT id, name, moment, moment FROM numbers",
    "INSERT INTO product_modifier_groups (product_id, group_id) SELECT id, id FROM numbers",
    "INSERT INTO options (id, group_id, name) SELECT id, id, name FROM numbers",
    "INSERT INTO ingredients (id, name) SELECT id, name FROM numbers",
    "INSERT INTO product_ingredients (product_id, ingredient_id) SELECT id, id FROM numbers",
    "INSERT INTO option_ingredients (option_id, ingredient_id) SELECT id, id FROM numbers",
    "INSERT INTO sizes (id, product_id, name, volume_ml) SELECT id, id, name, few + 1 FROM numbers",
    """INSERT INTO product_images (id, product_id, key, alt, width, height, widths)
       SELECT id, id, name, name, 1, 1, '{}' FROM numbers""",
    """INSERT INTO roles (id, name, name_skeleton, description, is_builtin, created_at, updated_at)
       SELECT id, name, name, about, NOT most, moment, moment FROM numbers""",
    """INSERT INTO users (id, email, name, phone, role_id, is_active, verified_at, created_at, updated_at)
       SELECT id, n || '@example.com', name, '+7' || n, id, most, CASE WHEN most THEN moment END, moment, moment
       FROM numbers""",
    """INSERT INTO shops (id, slug, name, address, timezone, is_active, created_at, updated_at)
       SELECT id, 'slug-' || n, name, about, 'Zone/' || few, most, moment, moment FROM numbers""",
    """INSERT INTO special_days (id, shop_id, date, note)
       SELECT id, id, date '2026-01-01' + n % 100, about FROM numbers""",
    "INSERT INTO staff_shops (user_id, shop_id) SELECT id, id FROM numbers",
    """INSERT INTO orders (id, number, business_date, status, shop_id, source, user_id, customer_name, pickup_at,
                           ready_estimate_at, start_at, comment, payment_status, subtotal, total, currency, created_at,
                           updated_at)
       SELECT id, 'A-' || n, moment, CASE WHEN most THEN 'completed' ELSE 'placed' END, id,
              CASE WHEN most THEN 'app' ELSE 'counter' END, CASE WHEN most THEN id END,
              CASE WHEN NOT most THEN name END, moment, moment, moment, about,
              CASE WHEN most THEN 'paid' ELSE 'pending' END, few, few, 'RUB', moment, moment FROM numbers""",
    """INSERT INTO order_lines (id, order_id, position, product_id, name, options, quantity, unit_price, total)
       SELECT id, id, 0, id, name, '[]', 1, 0, 0 FROM numbers""",
    """INSERT INTO order_events (id, order_id, status, actor_role, reason)
       SELECT id, id, 'placed', 'user', CASE WHEN n % 100 = 0 THEN about END FROM numbers""",
    """INSERT INTO conversations (id, customer_id, shop_id, order_id, assigned_to_id, status, waiting_since,
                                  last_message_at, created_at, updated_at)
       SELECT id, id, id, id, id, CASE WHEN most THEN 'resolved' ELSE 'open' END, CASE WHEN n % 2 = 0 THEN moment END,
              moment, moment, moment FROM numbers""",
    """INSERT INTO messages (id, conversation_id, seq, client_id, author_id, author_role, is_from_customer, text,
                             created_at)
       SELECT id, lpad('7', 32, '0')::uuid, n, n, id, 'user', most, about, moment FROM numbers""",
    """INSERT INTO messages (id, conversation_id, seq, client_id, author_id, author_role, is_from_customer, text,
                             created_at)
       SELECT gen_random_uuid(), id, 100000 + n, 'x' || n, id, 'user', most, about, moment FROM numbers""",
    """INSERT INTO notes (id, conversation_id, author_id, author_role, shop_id, text, created_at)
       SELECT id, id, id, 'support', id, about, moment FROM numbers""",
)
TABLES = (
    "products, product_documents, categories, product_categories, modifier_groups, product_modifier_groups, options, "
    "ingredients, product_ingredients, option_ingredients, sizes, product_images, roles, users, shops, orders, "
    "order_lines, order_events, conversations, messages, notes, staff_shops, special_days"
)
READER = reader_values(Actor(UUID(int=7), UUID(int=7), "support", frozenset(PERMISSIONS), frozenset({UUID(int=7)})))
LISTS: dict[str, tuple[Listing, Select[Any]]] = {
    "products": (PRODUCTS, select(Product).where(Product.archived_at.is_(None))),
    "categories": (CATEGORIES, select(Category)),
    "modifier_groups": (MODIFIER_GROUPS, select(ModifierGroup)),
    "ingredients": (INGREDIENTS, select(Ingredient)),
    "roles": (ROLES, select(Role)),
    "users": (USERS, select(User).join(User.role).where(User.deleted_at.is_(None))),
    "shops": (SHOPS, select(Shop)),
    "orders": (ORDERS, select(Order)),
    "conversations": (CONVERSATIONS, select(Conversation)),
    "messages": (MESSAGES, select(Message).where(Message.conversation_id == UUID(int=7))),
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
    "is_on_menu": "false",
    "is_hidden": "true",
    "can_be_without": "milk",
    "created_at": "2026-01-01T00:07:00Z",
    "updated_at": "2026-01-01T00:07:00Z",
    "description": "О 7",
    "is_builtin": "true",
    "email": "7@example.com",
    "phone": "+79161234567",
    "role": "Имя 7",
    "is_verified": "false",
    "address": "О 7",
    "timezone": "Europe/Moscow",
    "number": "A-007",
    "status": "placed",
    "conversations.status": "open",
    "shop_id": "00000000-0000-0000-0000-000000000007",
    "user_id": "00000000-0000-0000-0000-000000000007",
    "pickup_at": "2026-01-01T00:07:00Z",
    "ready_estimate_at": "2026-01-01T00:07:00Z",
    "promised_at": "2026-01-01T00:07:00Z",
    "start_at": "2026-01-01T00:07:00Z",
    "total": "7",
    "comment": "О 7",
    "payment_status": "pending",
    "source": "counter",
    "customer_id": "00000000-0000-0000-0000-000000000007",
    "order_id": "00000000-0000-0000-0000-000000000007",
    "assigned_to": "00000000-0000-0000-0000-000000000007",
    "waiting_since": "2026-01-01T00:08:00Z",
    "last_message_at": "2026-01-01T00:07:00Z",
    "seq": "7",
}
VALUES |= {
    "categories.id": VALUES["id"],
    "categories.name": "Имя 7",
    "categories.slug": "slug-7",
    "sizes.id": VALUES["id"],
    "sizes.name": "Имя 7",
    "sizes.volume_ml": "7",
    "modifier_groups.id": VALUES["id"],
    "modifier_groups.name": "Имя 7",
    "ingredients.id": VALUES["id"],
    "ingredients.name": "Имя 7",
    "allergens": "milk",
    "shop.id": VALUES["id"],
    "customer.id": VALUES["id"],
    "payment.status": "pending",
    "customer_name": "Имя 500",
    "pickup_name": "Анна",
    "customer.name": "Имя 7",
    "customer.phone": "+79161234567",
    "lines.id": VALUES["id"],
    "lines.product_id": VALUES["id"],
    "lines.name": "Имя 7",
    "special_days.note": "О 7",
}
COLUMNS = {
    "is_hidden": "ix_orders_hidden",
    "is_verified": "ix_users_unverified",
    "role": "name",
    "assigned_to": "assigned_to_id",
    "category_id": "parent_id",
    "shop.id": "shop_id",
    "customer.id": "customer_id",
    "payment.status": "payment_status",
    "promised_at": "ready_estimate_at",
    "customer_name": "ix_orders_customer_name",
    "orders.customer.id": "user_id",
}
"""What a field is called in the plan, where that is another name: a partial index is its own condition.

PostgreSQL can't know how many categories stand under one, so only these are sure to be looked up.
"""
SLUGGED = ("products", "categories")
SMALL = {"role_permissions", "one_time_codes"}
"""Tables of what is shown with each row, which have few here: they may be read whole."""


INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE tablename = ANY (string_to_array(:tables, ', '))
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)
"""


@pytest.fixture(scope="module")
async def crowded(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Fill the lists, in a transaction that is rolled back. Indexes are built afterwards: that is much faster."""
    async with engine.connect() as connection, connection.begin() as outer:
        indexes = (await connection.execute(text(INDEXES), {"tables": TABLES})).all()
        for statement in (
            "SET LOCAL statement_timeout = '600s'",
            f"DROP INDEX {', '.join(name for name, _ in indexes)}",
            *FILL,
            *(definition for _, definition in indexes),
            f"ANALYZE {TABLES}",
        ):
            await execute_long(connection, statement)
        yield connection
        await outer.rollback()


class Caught(Exception):  # noqa: N818 - it is no error
    """Carries the statement that a page would run."""


async def plan(crowded: AsyncConnection, name: str, parameters: dict[str, str]) -> str:
    """Explain the statement that a page with these parameters runs."""
    listing, statement = LISTS[name]
    query = listing.parse(parameters.items(), permissions=PERMISSIONS)

    class Explaining(AsyncSession):
        async def execute(self, statement: Any, values: Any = None, **_: Any) -> Any:
            raise Caught(statement.params(values))

    with pytest.raises(Caught) as caught:
        await paginate(Explaining(crowded), statement, query, **(READER if name == "conversations" else {}))
    compiled = caught.value.args[0].compile(
        dialect=postgresql.dialect(),
        compile_kwargs={"literal_binds": True},  # type: ignore[no-untyped-call]
    )
    rows = await crowded.exec_driver_sql(f"EXPLAIN {str(compiled).replace('%%', '%')}")
    return "\n".join(row[0] for row in rows)


FILTERS = [(name, field) for name, (listing, _) in LISTS.items() for field, of in listing.fields.items() if of.indexed]


def ordered(listing: Listing) -> list[str]:
    """Name the fields whose index gives their order too: those of moments, amounts and names."""
    return [
        name
        for name, field in listing.sort.items()
        if isinstance(field, InstantField | MoneyField) and not field.nullable and listing.fields[name].indexed
    ] + ["name"] * ("name" in listing.sort and listing.fields["name"].indexed)


SORTS = [
    (name, sort) for name, (listing, _) in LISTS.items() for each in ordered(listing) for sort in (each, f"-{each}")
] + [(name, listing.default_sort) for name, (listing, _) in LISTS.items()]


def is_looked_up(plan: str, column: str) -> bool:
    """Tell whether an index found the rows by this column, not merely gave them in some order."""
    return any(column in line and ("Index Cond" in line or column.startswith("ix_")) for line in plan.splitlines())


async def test_every_filter_has_its_index(crowded: AsyncConnection) -> None:
    plans = {
        f"{name}.{field}": (field, await plan(crowded, name, {field: VALUES.get(f"{name}.{field}") or VALUES[field]}))
        for name, field in FILTERS
    }

    assert len(plans) >= 90
    assert {
        where: found
        for where, (field, found) in plans.items()
        if not is_looked_up(found, COLUMNS.get(where) or COLUMNS.get(field, field.rpartition(".")[2]))
    } == {}


async def test_every_order_has_its_index(crowded: AsyncConnection) -> None:
    plans = {f"{name} by {sort}": await plan(crowded, name, {"sort": sort}) for name, sort in SORTS}

    # An incremental sort only breaks ties.
    unordered = re.compile(rf"Seq Scan on (?!{'|'.join(SMALL)})|(?<!Incremental )Sort  \(")
    assert {order: found for order, found in plans.items() if unordered.search(found)} == {}


async def test_f5_a_search_through_a_whole_answer_is_looked_up(crowded: AsyncConnection) -> None:
    plans = {
        name: await plan(crowded, name, {"search": "латте"}) for name, (listing, _) in LISTS.items() if listing.search
    }
    plans |= {f"{name} by slug": await plan(crowded, name, {"slug__icontains": "latte"}) for name in SLUGGED}

    assert len(plans) == len(LISTS) + len(SLUGGED)
    # None of these messages has an attachment.
    assert "Bitmap Index Scan on ix_messages_text_trgm" in plans.pop("messages")
    read_whole = {where: set(re.findall(r"Seq Scan on (\w+)", found)) - SMALL for where, found in plans.items()}
    assert {where: tables for where, tables in read_whole.items() if tables} == {}


async def test_a_search_through_60000_messages_reads_no_table_whole_but_the_conversations(
    crowded: AsyncConnection,
) -> None:
    found = await plan(crowded, "conversations", {"search": "латте"})

    assert "ix_messages_text_trgm" in found
    assert "ix_notes_text_trgm" in found
    assert re.findall(r"Seq Scan on (messages|notes|users)", found) == []


async def test_a_customer_s_search_reads_their_own_messages_only(
    crowded: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = UUID(int=8)
    customer = Actor(me, me, "user", permissions=frozenset(), shop_ids=frozenset())
    monkeypatch.setitem(LISTS, "conversations", (CONVERSATIONS, select(Conversation).where(visible_to(customer))))

    found = await plan(crowded, "conversations", {"search": "ла", "search_fields": "messages.text"})

    assert re.search(r"Index Scan using \S*messages_conversation_id", found), found
    assert "Seq Scan on messages" not in found


async def test_what_staff_of_a_shop_may_follow_is_found_by_index(
    crowded: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = UUID(int=7)
    manager = Actor(me, me, "manager", permissions=BUILTIN_ROLES["manager"][1], shop_ids=frozenset({me}))
    monkeypatch.setitem(LISTS, "conversations", (CONVERSATIONS, select(Conversation).where(visible_to(manager))))

    plans = [
        await plan(crowded, "conversations", parameters)
        for parameters in ({}, {"sort": "waiting_since"}, {"sort": "waiting_since", "assigned_to__isnull": "true"})
    ]

    assert [found for found in plans if "BitmapOr" not in found or "Seq Scan on conversations" in found] == []
