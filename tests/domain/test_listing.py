"""Reading list parameters: whatever is sent, it is understood or refused by name."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select

from crema.core.errors import InvalidError
from crema.db.listing import (
    ColumnField,
    InvalidCursorError,
    InvalidFilterError,
    InvalidSortError,
    Listing,
    PageTooDeepError,
    UnknownFilterError,
)
from crema.db.listing.query import read_cursor, write_cursor
from listing.things import THINGS, Thing

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
STORED_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES_OF = {
    "id": st.uuids(),
    "name": STORED_TEXT,
    "kind": st.sampled_from(["drink", "food", "еда"]),
    "price": st.decimals(-(10**14), 10**14, allow_nan=False, allow_infinity=False, places=2),
    "rank": st.integers(-(2**63), 2**63 - 1),
    "is_active": st.booleans(),
    "made_at": st.datetimes(timezones=st.just(UTC)),
}


def refuse(*parameters: tuple[str, str], because: type[InvalidError], **kwargs: Any) -> InvalidError:
    with pytest.raises(because) as refusal:
        THINGS.parse(parameters, **kwargs)
    assert type(refusal.value) is because
    json.dumps([refusal.value.detail, refusal.value.extra], ensure_ascii=False).encode()
    return refusal.value


def forge(content: object) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@given(st.lists(st.tuples(st.sampled_from([*THINGS.parameters({"things:audit"})]) | ANY_TEXT, ANY_TEXT), max_size=4))
@example([("price", "١٢")])
@example([("made_at", "0001-01-01T00:00:00+14:00")])
@example([("made_at", "2026-02-30T00:00:00Z")])
@example([("made_at", "2026-11-23T09:30:00")])
@example([("id", "{12345678-1234-5678-1234-567812345678}")])
@example([("cursor", "W" * 4)])
@example([("cursor", urlsafe_b64encode(b"[" * 100_000).decode())])
@example([("rank", "9" * 5000)])
@example([("page", "9" * 5000)])
@example([("name", "\0")])
@example([("name__in", "a,\udc00")])
@example([("search", "\ud800\ud800")])
@example([("search", "ab"), ("search_fields", "")])
@example([("sort", "\ud800")])
@example([("\ud800", "")])
def test_anything_is_understood_or_refused(parameters: list[tuple[str, str]]) -> None:
    try:
        query = THINGS.parse(parameters, permissions={"things:audit"})
    except InvalidError as refusal:
        json.dumps([refusal.detail, refusal.extra], ensure_ascii=False).encode()
    else:
        query.page_statement(select(Thing)).compile()


@given(st.data(), st.lists(st.sampled_from(list(VALUES_OF)), min_size=1, max_size=3, unique=True))
def test_a_cursor_brings_back_exactly_what_it_was_given(data: st.DataObject, names: list[str]) -> None:
    sort = ",".join(data.draw(st.sampled_from(["", "-"])) + name for name in names)
    query = THINGS.parse([("sort", sort), ("cursor", "")])
    values = [data.draw(VALUES_OF[name]) for name in [*names, "id"]]

    cursor = write_cursor(sort, query.keys, values)

    assert read_cursor(cursor, sort, query.keys) == values
    assert THINGS.parse([("sort", sort), ("cursor", cursor)]).after == values
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&?")


def test_money_and_instants_survive_a_cursor_to_the_last_digit() -> None:
    instant = datetime(2026, 11, 23, 9, 30, 0, 123_457, tzinfo=timezone(timedelta(hours=3)))
    values = [Decimal("-1E+3"), Decimal("99999999999999.99"), instant]
    price, made_at = (THINGS.fields[name] for name in ("price", "made_at"))
    assert isinstance(price, ColumnField)
    assert isinstance(made_at, ColumnField)

    assert [f.load(f.dump(v)) for f, v in zip([price, price, made_at], values, strict=True)] == values


@given(STORED_TEXT | st.binary().map(lambda content: urlsafe_b64encode(content).decode()))
def test_f6_a_forged_cursor_is_refused(cursor: str) -> None:
    if cursor:
        assert refuse(("cursor", cursor), because=InvalidCursorError).extra["errors"][0]["loc"] == ["query", "cursor"]


GOOD_CURSOR = ["-made_at", "2026-11-23T09:30:00+00:00", "00000000-0000-0000-0000-000000000001"]


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        None,
        "-made_at",
        GOOD_CURSOR[:2],
        [*GOOD_CURSOR, "more"],
        ["made_at", *GOOD_CURSOR[1:]],
        ["-made_at", "2026-11-23T09:30:00", GOOD_CURSOR[2]],
        ["-made_at", GOOD_CURSOR[1], "1"],
        ["-made_at", GOOD_CURSOR[1], 1],
        ["-made_at", None, GOOD_CURSOR[2]],
        ["-made_at", float("nan"), GOOD_CURSOR[2]],
        [["-made_at"], *GOOD_CURSOR[1:]],
    ],
)
def test_f6_a_cursor_of_another_shape_is_refused(content: object) -> None:
    assert THINGS.parse([("cursor", forge(GOOD_CURSOR))]).after
    refuse(("cursor", forge(content)), because=InvalidCursorError)


@pytest.mark.parametrize("text", ["\0", "\ud800"])
def test_f6_a_cursor_can_not_smuggle_what_text_can_not_hold(text: str) -> None:
    cursor = forge(["name", text, GOOD_CURSOR[2]])
    refuse(("sort", "name"), ("cursor", cursor), because=InvalidCursorError)


@pytest.mark.parametrize(
    "name",
    [
        "password_hash", "name__like", "name__eq", "name__", "__ne", "name__icontains__ne", "price__contains", "id__lt",
        "is_active__in", "price__isnull", "kind__startswith", "Name", "limit", "where[name]", "owner.email", "",
        "owner", "owner.id", "owner.name__isnull__ne", "tags", "tags.marks", "tags.thing_id", "tags.marks.secret",
        "secret",
    ],
)  # fmt: skip
def test_an_unknown_parameter_is_refused_with_those_that_are_known(name: str) -> None:
    refusal = refuse((name, "x"), because=UnknownFilterError)

    assert refusal.code == "unknown_filter"
    allowed = refusal.extra["allowed"]
    assert {"name", "name__icontains", "stock__isnull", "sort", "page", "size", "cursor", "search"} < set(allowed)
    assert not [known for known in allowed if "secret" in known]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("price", text) for text in ("", "-1", "1.234", "1e2", "NaN", "Infinity", "1,5", " 1", "1_0", "+1", ".5")],
        *[("rank", text) for text in ("", "1.0", "2147483648", "-2147483649", "1e3", "0x1", "٣", "--1", " 1")],
        *[("is_active", text) for text in ("", "1", "yes", "null")],
        *[("id", text) for text in ("", "1", "0" * 32, "urn:uuid:00000000-0000-0000-0000-000000000001")],
        *[("made_at", text) for text in ("", "2026-11-3", "2026-02-30")],
        *[("made_at", text) for text in ("20261123T093000Z", "2026-11-23T09:30:60Z", "infinity")],
        *[("made_at", text) for text in ("2026-11-23T09:30:00", "2026-11-23T24:00:00Z", "2026-11-23T09:30:00+25:00")],
        *[("kind", text) for text in ("", "Drink", "drink,food")],
        ("name", "x" * 256),
        ("name", "a\0b"),
        ("price__between", "1"),
        ("price__between", "1,2,3"),
        ("price__between", "1,"),
        ("price__in", "1,x"),
        ("price__in", "1,"),
        ("price__in", ",".join("1" * 51)),
        ("stock__isnull", "maybe"),
        ("tags__isnull", ""),
        ("words__isnull", "1"),
        *[("weight", text) for text in ("", "x", "1e3", "NaN", "+1", "1,5")],
        *[("change", text) for text in ("", "--1", "-", "-1.234", "1e2")],
        *[("opens", text) for text in ("", "8:00", "08:60", "24:01", "0800")],
        *[("flags", text) for text in ("", "Red", "red,blue")],
        *[("tz", text) for text in ("", "Moscow", "europe/moscow", "../etc/passwd", "/etc/passwd", "\0", "UTC+3")],
        ("page", "0"),
        ("page", "-1"),
        ("page", "1.5"),
        ("page", str(2**31)),
        ("size", "0"),
        ("size", "101"),
        ("size", "1000000000"),
        ("search", ""),
        ("search", "  "),
        ("search", "x" * 65),
        ("search", "a b c d e f g h i"),
        ("search_fields", "name,price"),
        ("search_fields", "secret"),
        ("search_fields", ""),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_name(name: str, value: str) -> None:
    refusal = refuse((name, value), because=InvalidFilterError)

    assert refusal.code == "invalid_filter"
    assert [error["loc"] for error in refusal.extra["errors"]] == [["query", name]]
    assert set(refusal.extra["errors"][0]) == {"loc", "msg", "type"}


def test_every_bad_value_is_named_at_once() -> None:
    refusal = refuse(("price", "x"), ("rank", "y"), ("size", "z"), ("name", "ok"), because=InvalidFilterError)

    assert [error["loc"][1] for error in refusal.extra["errors"]] == ["price", "rank", "size"]


@pytest.mark.parametrize("name", ["price", "search", "search_fields", "sort", "page", "size", "cursor", "near"])
def test_f8_nothing_is_given_twice(name: str) -> None:
    refusal = refuse((name, "1"), (name, "1"), because=InvalidFilterError, extra_parameters=("near",))

    assert refusal.extra["errors"][0]["loc"] == ["query", name]


def test_f7_there_are_at_most_ten_filters() -> None:
    names = [name for name in THINGS.filters if name.startswith("price")] + ["rank__in", "stock__in", "rank__ne"]
    filters = [(name, "1,2" if name.endswith("between") else "1") for name in names]

    assert len(THINGS.parse(filters[:10]).conditions) == 10
    refuse(*filters[:11], because=InvalidFilterError)
    assert THINGS.parse([("price__in", ",".join("1" * 50))])


@pytest.mark.parametrize(
    "sort",
    ["", "-", "--name", "+name", "name,", "name,name", "name,-name", "owner", "secret", "Name", " name", "(select 1)",
     "name,price,rank,id", ",".join(["name"] * 1000), "tags", "tags.word", "flags", "words"],
)  # fmt: skip
def test_f3_a_bad_sort_is_refused_with_those_that_are_known(sort: str) -> None:
    refusal = refuse(("sort", sort), because=InvalidSortError)

    assert refusal.code == "invalid_sort"
    assert refusal.extra["allowed"] == [
        *("id", "name", "note", "kind", "price", "change", "weight", "stock", "rank", "is_active", "made_at"),
        *("gone_at", "opens", "owner_id", "owner.name", "owner.city"),
    ]
    assert refusal.extra["errors"][0]["loc"] == ["query", "sort"]


def test_a_permission_opens_its_fields() -> None:
    query = THINGS.parse([("sort", "secret"), ("secret__ne", "x")], permissions=["things:audit", "other"])

    assert query.sort == "secret"
    assert "secret__ne" in THINGS.parameters({"things:audit"})
    assert "secret__ne" not in THINGS.parameters({"other"})


@pytest.mark.parametrize(
    ("page", "size", "fine"), [(101, 100, True), (102, 100, False), (501, 20, True), (502, 20, False)]
)
def test_f6_pages_have_a_depth(page: int, size: int, fine: bool) -> None:  # noqa: FBT001
    parameters = [("page", str(page)), ("size", str(size))]
    if fine:
        assert THINGS.parse(parameters).offset == (page - 1) * size
    else:
        assert "cursor" in refuse(*parameters, because=PageTooDeepError).detail


def test_page_and_cursor_exclude_each_other() -> None:
    refuse(("page", "1"), ("cursor", ""), because=InvalidFilterError)


def test_the_defaults() -> None:
    query = THINGS.parse([("near", "55.7,37.6")], extra_parameters=("near", "open_now"))

    assert (query.page, query.size, query.sort, query.after, [*query.conditions]) == (1, 20, "-made_at", None, [])
    assert [key.descending for key in query.keys] == [True, True]
    assert THINGS.parse([("cursor", "")]).page is None


def declare(**changed: Any) -> Listing:
    whole: dict[str, Any] = {"name": "Thing", "fields": THINGS.fields, "default_sort": "name", "id_column": Thing.id}
    return Listing(**whole | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"default_sort": "flags"},
        {"default_sort": "secret"},
        {"default_sort": "nothing"},
        {"fields": {"page": THINGS.fields["rank"]}, "default_sort": "page"},
        {"fields": {"filter": THINGS.fields["rank"]}, "default_sort": "filter"},
    ],
)
def test_a_declaration_that_can_not_work_fails_at_once(changed: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError, InvalidSortError)):
        declare(**changed)
    assert declare()


def test_letters_in_two_parts_are_read_as_they_are_stored() -> None:
    assert THINGS.fields["name"].read("in", "и\u0306,е\u0308").operands == ["й", "ё"]


def test_a_plus_sign_that_was_not_encoded_is_one_all_the_same() -> None:
    field = THINGS.fields["made_at"]

    assert field.read("eq", "2026-11-23T12:30:00 03:00").operands == [datetime(2026, 11, 23, 9, 30, tzinfo=UTC)]
    assert THINGS.fields["id"].read("eq", "A" * 8 + "-0000-0000-0000-000000000001").operands == [
        UUID("aaaaaaaa-0000-0000-0000-000000000001")
    ]
