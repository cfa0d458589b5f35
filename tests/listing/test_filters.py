"""Every operator of every field against the same rule written in Python."""

from collections.abc import Callable
from datetime import timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Load, joinedload, selectinload

from crema.db.base import fold
from crema.db.listing import UnknownFilterError, paginate
from listing.things import NAMES, NOON, THINGS, TOPICS, Thing

pytestmark = pytest.mark.anyio

AUDIT = frozenset({"things:audit"})
OWN = {
    "id": ["00000000-0000-0000-0000-000000000001"],
    "owner_id": list(map(str, TOPICS)),
    "topic_id": list(map(str, TOPICS)),
}
SAMPLES = {
    **OWN,
    "name": [*NAMES, "ЁЛКА", "ел", "Лат", "те", "%b", "e", "й"],
    "note": [*NAMES, "ЁЛКА"],
    "secret": ["alpha", "Alpha", "lph"],
    "tag": ["новинка", "НОВИНКА", "sale%", "hit", "%"],
    "kind": ["drink", "еда"],
    "price": ["0", "99.9", "99.90", "250", "99999999999999.99"],
    "stock": ["-5", "0", "7", "32767", "40000", "-2147483648"],
    "rank": ["-1", "0", "40000"],
    "is_active": ["true", "FALSE"],
    "made_at": [
        (NOON + timedelta(microseconds=3)).isoformat(),
        "2026-11-23T12:00:00.000005Z",
        (NOON + timedelta(microseconds=7)).astimezone(timezone(timedelta(hours=3))).isoformat(),
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999z",
    ],
    "gone_at": ["2026-11-23 12:00:00Z", "2026-11-23T15:00:00.000001 03:00"],
}


def folded(value: str) -> str:
    return value.lower().replace("ё", "е")


RULES = {
    "eq": lambda value, wanted: value == wanted[0],
    "lt": lambda value, wanted: value < wanted[0],
    "lte": lambda value, wanted: value <= wanted[0],
    "gt": lambda value, wanted: value > wanted[0],
    "gte": lambda value, wanted: value >= wanted[0],
    "in": lambda value, wanted: value in wanted,
    "between": lambda value, wanted: wanted[0] <= value <= wanted[1],
    "contains": lambda value, wanted: wanted[0] in value,
    "startswith": lambda value, wanted: value.startswith(wanted[0]),
    "endswith": lambda value, wanted: value.endswith(wanted[0]),
    "icontains": lambda value, wanted: folded(wanted[0]) in folded(value),
    "istartswith": lambda value, wanted: folded(value).startswith(folded(wanted[0])),
    "iendswith": lambda value, wanted: folded(value).endswith(folded(wanted[0])),
}


def expected(thing: Thing, field: str, operator: str, wanted: list[object]) -> bool:
    match field:
        case "tag":
            values = [tag.word for tag in thing.tags]
        case "topic_id":
            values = [tag.topic_id for tag in thing.tags]
        case _:
            values = [value for value in [getattr(thing, field)] if value is not None]
    if operator == "isnull":
        return (not values) == wanted[0]
    if operator in {"ne", "not_in"}:
        return not any(RULES["eq" if operator == "ne" else "in"](value, wanted) for value in values)
    return any(RULES[operator](value, wanted) for value in values)


def operands(field: str, operator: str, things: list[Thing]) -> list[str]:
    samples = SAMPLES[field] + ([str(things[0].id)] if field == "id" else [])
    if operator == "isnull":
        return ["true", "false"]
    if operator == "between":
        return [f"{low},{high}" for low in samples for high in samples]
    if operator in {"in", "not_in"}:
        return [samples[0], ",".join(samples), f"{samples[-1]},{samples[0]}"]
    return samples


@pytest.mark.parametrize("name", THINGS.filters)
async def test_agrees_with_python(session: AsyncSession, things: list[Thing], name: str) -> None:
    field, operator = THINGS.filters[name]
    public = name.partition("__")[0]
    for value in operands(public, operator, things):
        query = THINGS.parse([(name, value), ("size", "100")], permissions=AUDIT)
        page = await paginate(session, select(Thing), query)

        # Of a pattern, what is looked for is the text as `eq` reads it.
        meant = list(field.read("eq" if operator.endswith(("contains", "with")) else operator, value))
        wanted = {t.id for t in things if expected(t, public, operator, meant)}
        assert {thing.id for thing in page.items} == wanted, (name, value)
        assert page.total == len(wanted)


async def test_f2_filters_narrow_together_and_within_what_is_visible(
    session: AsyncSession, things: list[Thing]
) -> None:
    query = THINGS.parse([("rank__gte", "0"), ("is_active", "true"), ("size", "100")])
    page = await paginate(session, select(Thing).where(Thing.kind == "food"), query)

    wanted = {t.id for t in things if t.rank >= 0 and t.is_active and t.kind == "food"}
    assert {thing.id for thing in page.items} == wanted
    assert 0 < page.total == len(wanted) < len(things)


@pytest.mark.parametrize(
    "words",
    ["ёлка", "ЕЛ 00", "латте МАКИАТО", "a%", "_b", "\\b", "b\\", "100% ел", "нет такого", "й\u043e", "и\u0306о"],
)
@pytest.mark.parametrize("fields", [["name"], ["note"], ["name", "note"]])
async def test_f5_every_word_is_found_somewhere(
    session: AsyncSession, things: list[Thing], words: str, fields: list[str]
) -> None:
    query = THINGS.parse([("search", words), ("search_fields", ",".join(fields)), ("size", "100")])
    page = await paginate(session, select(Thing), query)

    needles = [folded(word.replace("и\u0306", "й")) for word in words.split()]
    texts = {t.id: [folded(getattr(t, field) or "") for field in fields] for t in things}
    wanted = {id_ for id_, found in texts.items() if all(any(n in text for text in found) for n in needles)}
    assert {thing.id for thing in page.items} == wanted
    assert page.total == len(wanted)


async def test_f1_a_field_for_others_is_unknown_and_never_searched(session: AsyncSession, things: list[Thing]) -> None:
    for name in ("secret", "secret__startswith", "secret__in"):
        with pytest.raises(UnknownFilterError) as refusal:
            THINGS.parse([(name, "alpha")])
        assert not [known for known in refusal.value.extra["allowed"] if known.startswith("secret")]
    for permissions, total in [((), 0), (AUDIT, sum(t.secret == "alpha" for t in things))]:
        query = THINGS.parse([("search", "alpha")], permissions=permissions)
        assert (await paginate(session, select(Thing), query)).total == total


@pytest.mark.parametrize("load", [joinedload, selectinload])
async def test_loads_what_hangs_on_the_rows(
    session: AsyncSession, things: list[Thing], load: Callable[..., Load]
) -> None:
    statement = select(Thing).options(load(Thing.tags))
    page = await paginate(session, statement, THINGS.parse([("size", "7"), ("page", "2"), ("sort", "name,-price")]))

    assert len(page.items) == 7
    assert page.total == 60
    tags = {t.id: len(t.tags) for t in things}
    assert all(len(thing.tags) == tags[thing.id] for thing in page.items)


async def test_one_index_serves_every_operator_on_a_text(session: AsyncSession, things: list[Thing]) -> None:
    folded_name = fold(Thing.name).compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    gin = f"CREATE INDEX things_folded ON things USING gin (({str(folded_name).replace('things.', '')}) gin_trgm_ops)"
    await session.execute(text(gin))
    await session.execute(text("SET LOCAL enable_seqscan = off"))
    for operator in THINGS.fields["name"].operators:
        if operator in {"ne", "not_in"}:
            continue
        name = "name" if operator == "eq" else f"name__{operator}"
        query = THINGS.parse([(name, "латте")])
        statement = query.filter(select(Thing.id)).params(query.values)
        plain = statement.compile(dialect=postgresql.asyncpg.dialect(), compile_kwargs={"literal_binds": True})
        plan = (await (await session.connection()).exec_driver_sql(f"EXPLAIN {plain}")).scalars().all()
        assert any("things_folded" in line for line in plan), (operator, plan)
