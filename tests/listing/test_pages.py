"""Pages and cursors: every order agrees with Python's, and a walk loses nothing while others write."""

from functools import cmp_to_key
from typing import Any

import anyio
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.listing import Listing, ListQuery, UuidField, paginate
from crema.db.session import Sessions
from listing.things import OWNERS, THINGS, Thing, all_pairs, create_table, make_things, store

pytestmark = pytest.mark.anyio

SORTS = [*all_pairs(["name", "price", "made_at"]), "id", "-id", "-rank,is_active,-kind", "kind,-rank,made_at", "name"]
SORTS += [
    "stock",
    "-stock",
    "-note,weight",
    "owner.city,-owner.name",
    "-owner.name,stock",
    "gone_at,-owner.city",
    "opens",
]


def value(thing: Thing, name: str) -> Any:
    if name.startswith("owner."):
        found = OWNERS[thing.owner_id][name.removeprefix("owner.")] if thing.owner_id else None
    else:
        found = getattr(thing, name)
    return found.lower().replace("ё", "е") if isinstance(found, str) else found


def in_order(things: list[Thing], sort: str) -> list[Thing]:
    keys = [(part.removeprefix("-"), part.startswith("-")) for part in sort.split(",")]
    keys.append(("id", keys[-1][1]))

    def compare(a: Thing, b: Thing) -> int:
        for name, descending in keys:
            one, other = value(a, name), value(b, name)
            if one is None or other is None:  # comes last, whichever way the order goes
                if one is not other:
                    return 1 if one is None else -1
            elif one != other:
                return -1 if (one < other) != descending else 1
        return 0

    return sorted(things, key=cmp_to_key(compare))


async def walk(session: AsyncSession, sort: str, size: int, cursor: str = "") -> list[Thing]:
    seen: list[Thing] = []
    while True:
        query = THINGS.parse([("cursor", cursor), ("sort", sort), ("size", str(size))])
        page = await paginate(session, select(Thing), query)
        assert (page.page, page.total, page.pages) == (None, None, None)
        seen.extend(page.items)
        if page.next_cursor is None:
            return seen
        assert len(page.items) == size
        cursor = page.next_cursor


@pytest.mark.parametrize("sort", SORTS)
async def test_order_agrees_with_python_by_page_and_by_cursor(
    session: AsyncSession, things: list[Thing], sort: str
) -> None:
    wanted = [thing.id for thing in in_order(things, sort)]
    by_page = []
    for number in range(1, 6):
        query = THINGS.parse([("page", str(number)), ("sort", sort), ("size", "13")])
        page = await paginate(session, select(Thing), query)
        assert (page.page, page.total, page.pages) == (number, 60, 5)
        by_page += page.items

    assert [thing.id for thing in by_page] == wanted
    assert [thing.id for thing in await walk(session, sort, 13)] == wanted
    assert [thing.id for thing in await walk(session, sort, 30)] == wanted  # the last page is exactly full


async def test_a_page_can_be_left_by_cursor(session: AsyncSession, things: list[Thing]) -> None:
    page = await paginate(session, select(Thing), THINGS.parse([("page", "2"), ("size", "10"), ("sort", "-price")]))
    rest = await walk(session, "-price", 10, page.next_cursor)

    assert [t.id for t in [*page.items, *rest]] == [t.id for t in in_order(things, "-price")][10:]


@pytest.mark.parametrize(
    ("parameters", "shown", "total", "pages"),
    [
        ([("page", "7"), ("size", "10")], 0, 60, 6),
        ([("page", "6"), ("size", "10")], 10, 60, 6),
        ([("name", "нет")], 0, 0, 0),
        ([("name", "нет"), ("page", "2")], 0, 0, 0),
    ],
)
async def test_totals_at_the_edges(
    session: AsyncSession, things: list[Thing], parameters: list[tuple[str, str]], shown: int, total: int, pages: int
) -> None:
    page = await paginate(session, select(Thing), THINGS.parse(parameters))

    assert (len(page.items), page.total, page.pages, page.next_cursor) == (shown, total, pages, None)


async def test_an_order_of_the_statement_gives_way(session: AsyncSession, things: list[Thing]) -> None:
    query: ListQuery = THINGS.parse([("sort", "name")])
    page = await paginate(session, select(Thing).order_by(Thing.price), query)

    assert [t.id for t in page.items] == [t.id for t in in_order(things, "name")][:20]


async def test_a_list_may_sort_by_what_it_does_not_filter_by(session: AsyncSession, things: list[Thing]) -> None:
    hidden = Listing(
        name="Hidden", fields={}, sort={"owner": UuidField(Thing.id)}, default_sort="-owner", id_column=Thing.id
    )
    page = await paginate(session, select(Thing), hidden.parse([]))

    assert [t.id for t in page.items] == [t.id for t in in_order(things, "-id")][:20]


@pytest.mark.parametrize("sort", ["name", "-made_at", "price,-name"])
async def test_f6_a_walk_during_inserts_repeats_and_loses_nothing(own_sessions: Sessions, sort: str) -> None:
    async with own_sessions.begin() as session:
        await create_table(await session.connection())
        old = make_things(300)
        await store(session, old)
    inserted = 0
    done = anyio.Event()

    async def insert(seed: int) -> None:
        nonlocal inserted
        for number in range(200):
            async with own_sessions.begin() as session:
                await store(session, make_things(3, seed=seed + number))
            inserted += 3
            if done.is_set():
                return

    async with anyio.create_task_group() as others:
        others.start_soon(insert, 1000)
        others.start_soon(insert, 2000)
        async with own_sessions() as session:
            seen: list[Thing] = []
            cursor: str | None = ""
            while cursor is not None:
                query = THINGS.parse([("cursor", cursor), ("sort", sort), ("size", "10")])
                page = await paginate(session, select(Thing), query)
                await session.commit()
                seen.extend(page.items)
                cursor = page.next_cursor
        done.set()

    ids = [thing.id for thing in seen]
    assert inserted > 0
    assert len(ids) == len(set(ids))
    assert {thing.id for thing in old} <= set(ids)
