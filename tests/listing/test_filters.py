"""Every operator of every field against the same rule written in Python."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Load, joinedload, selectinload

from crema.db.base import case_folded
from crema.db.listing import InstantField, UnknownFilterError, paginate
from listing.things import NAMES, NOON, OWNERS, THINGS, TOPICS, Thing

pytestmark = pytest.mark.anyio

AUDIT = frozenset({"things:audit"})
SAMPLES = {
    "id": ["00000000-0000-0000-0000-000000000001"],
    "owner_id": list(map(str, TOPICS)),
    "owner.name": ["Хозяин 1", "хозяин 2", "нет", "озя"],
    "owner.city": ["Тверь", "тве"],
    "tags.topic_id": list(map(str, TOPICS)),
    "tags.word": ["новинка", "НОВИНКА", "sale%", "hit", "%"],
    "tags.marks.level": ["0", "2", "7"],
    "tags.marks.text": [*NAMES, "ЁЛКА"],
    "words": ["новинка", "hit", "it"],
    "name": [*NAMES, "ЁЛКА", "ел", "Лат", "те", "%b", "e", "й"],
    "note": [*NAMES, "ЁЛКА"],
    "secret": ["alpha", "Alpha", "lph"],
    "kind": ["drink", "еда"],
    "price": ["0", "99.9", "99.90", "250", "99999999999999.99"],
    "change": ["-20", "-20.00", "0", "15.5"],
    "weight": ["-0.5", "7.125", "7.5", "100"],
    "stock": ["-5", "0", "7", "32767", "40000", "-2147483648"],
    "rank": ["-1", "0", "40000"],
    "is_active": ["true", "FALSE"],
    "opens": ["00:00", "08:15", "24:00"],
    "flags": ["red", "blue"],
    "json_flags": ["red", "green"],
    "made_at": [
        (NOON + timedelta(microseconds=3)).isoformat(),
        "2026-11-23T12:00:00.000005Z",
        (NOON + timedelta(microseconds=7)).astimezone(timezone(timedelta(hours=3))).isoformat(),
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999z",
        "2026-11-23",
        "2026-11-24",
    ],
    "gone_at": ["2026-11-23 12:00:00Z", "2026-11-23T15:00:00.000001 03:00", "2026-11-23", "2026-11-24"],
}


def folded(value: str) -> str:
    return value.lower().replace("ё", "е")


RULES: dict[str, Callable[[Any, Any], bool]] = {
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
ZONES = {"UTC": UTC, "Europe/Moscow": ZoneInfo("Europe/Moscow")}


def days(operator: str, value: str, zone: str) -> Callable[[datetime], bool] | None:
    """Write the rule of dates by dates: what day an instant is on there. None where no date is asked for."""
    texts = value.split(",")
    if not any(len(text) == 10 for text in texts):
        return None

    def rule(instant: datetime) -> bool:
        def sides(text: str) -> tuple[Any, Any]:
            if len(text) == 10:
                return instant.astimezone(ZONES[zone]).date(), date.fromisoformat(text)
            return instant, datetime.fromisoformat(text.replace(" 03", "+03").upper())

        if operator == "between":
            since, until = map(sides, texts)
            return bool(since[0] >= since[1] and until[0] <= until[1])
        return any(RULES["eq" if operator == "in" else operator](one, [other]) for one, other in map(sides, texts))

    return rule


def elements(thing: Thing, path: str) -> list[Any]:
    """Give the values at a path: one, or those of all elements of the list it goes through."""
    match path.split("."):
        case ["owner", name]:
            return [OWNERS[thing.owner_id][name]] if thing.owner_id else [None]
        case ["tags", "marks", name]:
            return [getattr(mark, name) for tag in thing.tags for mark in tag.marks]
        case ["tags", name]:
            return [getattr(tag, name) for tag in thing.tags]
        case ["words"]:
            return [tag.word for tag in thing.tags]
        case [("flags" | "json_flags") as name]:
            return [*(getattr(thing, name) or [])]
    return [getattr(thing, path)]


LISTS_OF_VALUES = {"tags", "tags.marks", "words", "flags", "json_flags"}


def expected(thing: Thing, path: str, operator: str, rule: Callable[[Any], bool]) -> bool:
    if operator == "isnull" and path == "tags":
        return rule(not thing.tags)
    if operator == "isnull" and path == "tags.marks":  # of one tag
        return any(rule(not tag.marks) for tag in thing.tags)
    values = elements(thing, path)
    if operator == "isnull":
        return rule(not values) if path in LISTS_OF_VALUES else any(rule(value is None) for value in values)
    matches = [value is not None and rule(value) for value in values]
    return not any(matches) if operator in {"ne", "not_in"} else any(matches)


def operands(field: str, operator: str, things: list[Thing]) -> list[str]:
    if operator == "isnull":
        return ["true", "false"]
    samples = SAMPLES[field] + ([str(things[0].id)] if field == "id" else [])
    if operator == "between":
        return [f"{low},{high}" for low in samples for high in samples]
    if operator in {"in", "not_in"}:
        return [samples[0], ",".join(samples), f"{samples[-1]},{samples[0]}"]
    return samples


def rule_of(name: str, value: str, zone: str = "UTC") -> tuple[str, str, Callable[[Any], bool]]:
    """Split a parameter into its path, its operator and what is asked of one value."""
    leaf, operator = THINGS.filters[name]
    path = name.partition("__")[0]
    positive = {"ne": "eq", "not_in": "in"}.get(operator, operator)
    if operator == "isnull":
        return path, operator, lambda is_missing: is_missing == (value == "true")
    if isinstance(leaf.field, InstantField) and (rule := days(positive, value, zone)):
        return path, operator, rule
    # Of a pattern, what is looked for is the text as `eq` reads it.
    meant = leaf.field.read("eq" if operator.endswith(("contains", "with")) else operator, value).operands
    return path, operator, lambda found: RULES[positive](found, meant)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("name", THINGS.filters)
async def test_agrees_with_python(session: AsyncSession, things: list[Thing], name: str, zone: str) -> None:
    if zone != "UTC" and not isinstance(THINGS.filters[name].field, InstantField):
        return
    for value in operands(name.partition("__")[0], THINGS.filters[name].operator, things):
        query = THINGS.parse([(name, value), ("size", "100"), ("tz", zone)], permissions=AUDIT)
        page = await paginate(session, select(Thing), query)

        path, operator, rule = rule_of(name, value, zone)
        wanted = {thing.id for thing in things if expected(thing, path, operator, rule)}
        assert {thing.id for thing in page.items} == wanted, (name, value)
        assert page.total == len(wanted)


def of_one_element(thing: Thing, asked: list[tuple[str, str, Callable[[Any], bool]]]) -> bool:
    """Look for one tag, and one mark of it, of which all that is asked of tags and marks is so."""
    asked = [each for each in asked if each[1] not in {"ne", "not_in"} and each[0].startswith("tags.")]
    if not asked:
        return True

    def holds(path: str, values: Any) -> bool:
        name = path.rpartition(".")[2]
        return all(
            rule(getattr(values, name) is None)
            if operator == "isnull"
            else getattr(values, name) is not None and rule(getattr(values, name))
            for each, operator, rule in asked
            if each == path
        )

    of_marks = sorted({each for each, operator, _ in asked if each.startswith("tags.marks.")})
    of_tags = sorted({each for each, *_ in asked} & {"tags.word", "tags.topic_id"})
    presence = [rule for each, operator, rule in asked if each == "tags.marks"]
    return any(
        all(holds(path, tag) for path in of_tags)
        and all(rule(not tag.marks) for rule in presence)
        and (not of_marks or any(all(holds(path, mark) for path in of_marks) for mark in tag.marks))
        for tag in thing.tags
    )


async def test_filters_below_one_list_speak_of_one_element(session: AsyncSession, things: list[Thing]) -> None:
    pick = Random(11)  # noqa: S311 - the same questions every time
    names = [name for name in THINGS.filters if name.startswith("tags")]
    found = 0
    for _ in range(300):
        given = {name: pick.choice(operands(name.partition("__")[0], THINGS.filters[name].operator, things))
                 for name in pick.sample(names, pick.randint(2, 4))}  # fmt: skip
        page = await paginate(session, select(Thing), THINGS.parse([*given.items(), ("size", "100")]))

        asked = [rule_of(name, value) for name, value in given.items()]
        wanted = {
            thing.id
            for thing in things
            if of_one_element(thing, asked)
            and all(expected(thing, *each) for each in asked if each[1] in {"ne", "not_in"} or each[0] == "tags")
        }
        assert {thing.id for thing in page.items} == wanted, given
        found += bool(wanted)
    assert found > 50


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
@pytest.mark.parametrize(
    "fields", [["name"], ["note"], ["name", "note"], ["owner.name"], ["name", "tags.word", "tags.marks.text"]]
)
async def test_f5_every_word_is_found_somewhere(
    session: AsyncSession, things: list[Thing], words: str, fields: list[str]
) -> None:
    query = THINGS.parse([("search", words), ("search_fields", ",".join(fields)), ("size", "100")])
    page = await paginate(session, select(Thing), query)

    needles = [folded(word.replace("и\u0306", "й")) for word in words.split()]
    texts = {t.id: [folded(text or "") for field in fields for text in elements(t, field)] for t in things}
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
    folded_name = case_folded(Thing.name).compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
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
