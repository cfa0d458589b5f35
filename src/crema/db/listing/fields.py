"""The kinds of fields: which operators each has, how its values are read from text, and the SQL they become.

Values are bound with the kind's own type, wide enough for every value it reads: bound with the column's, a
number past SMALLINT or NUMERIC(16, 2) would fail inside the database instead of matching nothing.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, SQLColumnExpression
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from crema.db.base import case_folded
from crema.schemas import Email, Phone, Slug

MAX_IN: Final = 50
MAX_TEXT: Final = 255
INT4: Final = 2**31
_INT8: Final = 2**63

_EQUALITY: Final = ("eq", "ne", "in", "not_in")
_ORDER: Final = ("eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "between")
_PATTERNS: Final = {"contains": "%{}%", "startswith": "{}%", "endswith": "%{}"}
COMPLEMENTS: Final = {"ne": "eq", "not_in": "in", "not_within": "within"}
"""Negating operators, and what they negate."""

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_QUOTED: Final = re.compile(r'"((?:[^"]|"")*+)" *+(,|$)')
_PUNCTUATION: Final = str.maketrans("", "", " ()-.\u00a0\u2010\u2011\u2013")
"""What people put between the digits of a telephone number."""
_PART_OF_PHONE: Final = re.compile(r"\+?[0-9]{1,15}", re.ASCII)
_PART_OF_SLUG: Final = re.compile(r"[a-z0-9-]*", re.ASCII)
_ACE: Final = re.compile(r"xn--[a-z0-9-]*", re.ASCII | re.IGNORECASE)
_INTEGER: Final = re.compile(r"-?\d{1,19}", re.ASCII)
_MONEY: Final = re.compile(r"\d{1,14}(\.\d{1,2})?", re.ASCII)
_DECIMAL: Final = re.compile(r"-?\d{1,30}(\.\d{1,30})?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME_OF_DAY: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00", re.ASCII)
_INSTANT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+ -]\d\d:[0-5]\d)", re.ASCII | re.IGNORECASE
)

_MICROSECOND: Final = timedelta(microseconds=1)

Column = SQLColumnExpression[Any]
Parameter = ColumnElement[Any]
"""A bound parameter: its value is given when the statement runs."""


def reject_unstorable(text: str) -> str:
    """Return the text, or raise ValueError for what PostgreSQL can't store: NUL and lone surrogates."""
    if _UNSTORABLE.search(text):
        raise ValueError("holds a character that can't be stored")
    return text


def integer(text: str, minimum: int, maximum: int) -> int:
    """Return the whole number that a text holds; ValueError if it is none of the range."""
    if not _INTEGER.fullmatch(text) or not minimum <= int(text) <= maximum:
        raise ValueError(f"is not a whole number from {minimum} to {maximum}")
    return int(text)


def items(text: str) -> list[str]:
    """Return the values of a comma-separated list. An item in double quotes may hold commas, and quotes written twice.

    Spaces around items that aren't quoted stay: fields drop them, but for telephones, where one may be a plus sign.
    """
    found: list[str] = []
    comma = ","
    while comma:
        if len(found) == MAX_IN:
            raise ValueError(f"takes at most {MAX_IN} values")
        if text.lstrip(" ").startswith('"'):
            text = text.lstrip(" ")
            match = _QUOTED.match(text)
            item, comma, text = (match[1].replace('""', '"'), match[2], text[match.end() :]) if match else ('"', "", "")
            is_stray = match is None
        else:
            item, comma, text = text.partition(",")
            is_stray = '"' in item
        if is_stray:
            raise ValueError('has a stray quote: quote whole items, and double a quote inside one, "like ""this"""')
        found.append(item)
    return found


def _two(text: str) -> list[str]:
    values = items(text)
    if len(values) != 2:  # noqa: PLR2004
        raise ValueError("takes two values with a comma between them")
    return values


def like_pattern(word: str) -> str:
    """Return the LIKE pattern that matches a text with this word anywhere in it."""
    return f"%{_escaped(word)}%"


def like_folded(column: Column, pattern: Parameter) -> ColumnElement[bool]:
    """Return the predicate that a column matches a pattern, whatever the case, with е for ё."""
    return case_folded(column).like(case_folded(pattern))


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)  # the backslash is LIKE's own default escape


def _sensitive(operator: str) -> str:
    """Return the operator that does the same and tells upper from lower case."""
    return operator.removeprefix("i") if operator.removeprefix("i") in _PATTERNS else operator


def is_true(operand: Parameter) -> bool:
    """Return whether an operand is SQL's true."""
    return isinstance(operand, sa.True_)


def json_part(document: Any, *path: str) -> ColumnElement[Any]:
    """Return the value at a path in a JSON document."""
    for name in path:
        document = document.op("->", return_type=postgresql.JSONB())(_member(name))
    found: ColumnElement[Any] = document
    return found


def json_text(document: Any, *path: str) -> ColumnElement[str]:
    """Return the value at a path in a JSON document, as text."""
    *outer, name = path
    return json_part(document, *outer).op("->>", return_type=sa.Text())(_member(name))


def json_elements(array: Column, name: str) -> sa.TableValuedAlias:
    """Return the elements of a JSON array as rows with a `value`; what is no array has none."""
    only_arrays = sa.case((sa.func.jsonb_typeof(array) == "array", array))
    return sa.func.jsonb_array_elements(only_arrays).table_valued("value", name=name, joins_implicitly=True)


def _member(name: str) -> Parameter:
    # The same name wherever the statement has it: SQLAlchemy then binds it once.
    return sa.bindparam(f"json_{name}", name, type_=sa.Text())


def boolean(text: str) -> bool:
    """Return the truth value that a text holds; ValueError if it is neither true nor false."""
    if text.lower() not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text.lower() == "true"


class Comparison(NamedTuple):
    """What a query parameter asks for: an operator of its field, and the operands."""

    operator: str
    operands: Sequence[Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Field(ABC):
    """Something a list can be filtered by. Whoever lacks its `permission` is told that it doesn't exist.

    `indexed`: an index finds rows by it however many there are; a test checks the plans.
    """

    nullable: bool = False
    permission: str | None = None
    indexed: bool = False
    example: Any = None

    @property
    @abstractmethod
    def operators(self) -> tuple[str, ...]:
        """The operators, in the order in which they are documented."""

    @property
    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of one value, with an example."""

    @abstractmethod
    def read(self, operator: str, text: str, *, zone: tzinfo = UTC) -> Comparison:
        """Return the operands of an operator; ValueError says what is wrong, without repeating the text.

        Dates are days in `zone`.
        """

    @abstractmethod
    def bind(self, name: str) -> Parameter:
        """Return the bound parameter that stands for an operand."""

    @abstractmethod
    def condition(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        """Return the predicate. A missing value differs from every value: `ne` matches all that `eq` doesn't.

        The operand of `isnull` is no parameter but SQL's true or false itself.
        """


@dataclass(frozen=True, eq=False)
class ColumnField(Field):
    """A column, or any expression over the rows of the statement. Lists can be sorted by it."""

    column: Column

    sql_type: ClassVar[TypeEngine[Any]]
    kind_operators: ClassVar[tuple[str, ...]] = _EQUALITY

    sorts: ClassVar[bool] = True

    @property
    def operators(self) -> tuple[str, ...]:
        return (*self.kind_operators, "isnull") if self.nullable else self.kind_operators

    @property
    def sort_key(self) -> Column:
        """The expression that rows are sorted by."""
        return self.column

    @staticmethod
    def positive(operator: str) -> str | None:
        """Return the operator that this one negates, if it negates one."""
        return COMPLEMENTS.get(operator)

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Return a value as clients write it; ValueError as in `read`."""

    def parse_item(self, text: str) -> Any:
        """Return one value of a list; ValueError as in `read`."""
        return self.parse(text.strip(" "))

    def dump(self, value: Any) -> str:
        """Return a value of the sort key as text for a cursor, without loss."""
        return str(value)

    def load(self, text: str) -> Any:
        """Return the value that `dump` wrote; ValueError if `dump` can't have written it."""
        return self.parse(text)

    def bind(self, name: str) -> Parameter:
        return sa.bindparam(name, type_=self.sql_type)

    def read(self, operator: str, text: str, *, zone: tzinfo = UTC) -> Comparison:
        del zone
        match operator:
            case "isnull":
                return Comparison(operator, [boolean(text)])
            case "in" | "not_in":
                return Comparison(operator, [self.parse_item(value) for value in items(text)])
            case "between":
                return Comparison(operator, [self.parse_item(value) for value in _two(text)])
        return Comparison(operator, [self.parse(text)])

    def condition(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        if operator in COMPLEMENTS:
            return self.match(COMPLEMENTS[operator], operands).is_not(sa.true())
        if operator == "isnull":
            return self.column.is_(None) if is_true(operands[0]) else self.column.is_not(None)
        return self.match(operator, operands)

    def match(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        """Return the predicate of an operator that negates nothing."""
        match operator:
            case "lt":
                return self.column < operands[0]
            case "lte":
                return self.column <= operands[0]
            case "gt":
                return self.column > operands[0]
            case "gte":
                return self.column >= operands[0]
            case "between":
                return self.column.between(operands[0], operands[1])
        return self.column.in_(operands)  # eq is an IN of one, which PostgreSQL makes an = again


@dataclass(frozen=True, eq=False, kw_only=True)
class TextField(ColumnField):
    """Text. It is compared and sorted case-folded: `case_folded(column)` is the expression to index.

    `of` is the type that the text has on input. A whole value is read as that, and so is found however it is written,
    or is refused; parts of values, for `contains` and its like, are any text. `searched`: people read it, and so
    `search` looks through it.
    """

    of: Any = None
    searched: bool = True
    example: Any = "латте"

    sql_type: ClassVar[TypeEngine[Any]] = sa.Text()
    kind_operators: ClassVar[tuple[str, ...]] = (
        *_EQUALITY,
        *(prefix + name for name in _PATTERNS for prefix in ("", "i")),
    )

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": MAX_TEXT, "examples": [self.example]}

    def parse(self, text: str) -> str:
        text = self._as_stored(text)
        return text if self._input is None else self._read_as_input(text)

    @cached_property
    def _input(self) -> TypeAdapter[str] | None:
        return None if self.of is None else TypeAdapter(self.of)

    def _read_as_input(self, text: str) -> str:
        assert self._input is not None
        try:
            return self._input.validate_python(text)
        except ValueError:
            raise ValueError(f"is nothing that this field can hold, such as {self.example}") from None

    def parse_part(self, operator: str, text: str) -> str:
        """Read a part of a value, which `operator` looks for; ValueError for what is part of no value."""
        del operator
        return self._as_stored(text)

    def _as_stored(self, text: str) -> str:
        if len(text) > MAX_TEXT:
            raise ValueError(f"is longer than {MAX_TEXT} characters")
        return unicodedata.normalize("NFC", self.load(text))

    def load(self, text: str) -> str:
        return reject_unstorable(text)

    @property
    def sort_key(self) -> Column:
        return case_folded(self.column)

    def read(self, operator: str, text: str, *, zone: tzinfo = UTC) -> Comparison:
        if template := _PATTERNS.get(_sensitive(operator)):
            return Comparison(operator, [template.format(_escaped(self.parse_part(operator, text)))])
        return super().read(operator, text, zone=zone)

    def match(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        # What matches exactly also matches folded, because folding goes character by character. Asking for both
        # lets one index, on the folded text, serve the case-sensitive operators too.
        if (sensitive := _sensitive(operator)) in _PATTERNS:
            found = like_folded(self.column, operands[0])
            return found & self.column.like(operands[0]) if sensitive == operator else found
        return case_folded(self.column).in_([case_folded(operand) for operand in operands]) & self.column.in_(operands)


@dataclass(frozen=True, eq=False, kw_only=True)
class EmailField(TextField):
    """An e-mail address. Its case never counts, and its domain may be in Unicode or in Punycode."""

    of: Any = Email
    example: Any = "anna@example.com"

    def parse_part(self, operator: str, text: str) -> str:
        return _ACE.sub(self._decoded, super().parse_part(operator, text.strip()))

    @staticmethod
    def _decoded(label: re.Match[str]) -> str:
        try:
            decoded = label[0].encode().decode("idna")
        except UnicodeError:
            decoded = ""
        if decoded == "" or decoded.lower().startswith("xn--"):
            raise ValueError("has a part of a domain in Punycode that isn't whole")
        return decoded

    def match(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        if (sensitive := _sensitive(operator)) in _PATTERNS:
            return super().match(f"i{sensitive}", operands)
        folded = case_folded(self.column).in_([case_folded(operand) for operand in operands])
        return folded & sa.func.lower(self.column).in_([sa.func.lower(operand) for operand in operands])


@dataclass(frozen=True, eq=False, kw_only=True)
class PhoneField(TextField):
    """A telephone number as people write it: with 8 or +7, spaces, hyphens and brackets."""

    of: Any = Phone
    example: Any = "+79161234567"

    def _read_as_input(self, text: str) -> str:
        # A plus sign that was not percent-encoded arrives as a space.
        if text.startswith(" ") and text[1:2].isdigit():
            with suppress(ValueError):
                return super()._read_as_input(f"+{text[1:]}")
        return super()._read_as_input(text.strip())

    def parse_item(self, text: str) -> str:
        return self.parse(text)

    def parse_part(self, operator: str, text: str) -> str:
        at_start = _sensitive(operator) == "startswith"
        has_plus = at_start and text[:1] == " " and text[1:2].isdigit()
        part = ("+" if has_plus else "") + super().parse_part(operator, text).translate(_PUNCTUATION)
        if not _PART_OF_PHONE.fullmatch(part):
            raise ValueError("is no part of a telephone number, such as 916 123")
        if at_start and part[0] != "+":  # numbers are kept with their country's code; people at home write 8
            return f"+7{part[1:]}" if part[0] == "8" else f"+{part}"
        return part


@dataclass(frozen=True, eq=False, kw_only=True)
class SlugField(TextField):
    """A name in an address bar: small Latin letters, digits and hyphens."""

    of: Any = Slug
    searched: bool = False
    example: Any = "latte"

    def parse_part(self, operator: str, text: str) -> str:
        part = super().parse_part(operator, text)
        if not _PART_OF_SLUG.fullmatch(part if operator == _sensitive(operator) else part.lower()):
            raise ValueError("is no part of a slug: those are made of small Latin letters, digits and hyphens")
        return part


@dataclass(frozen=True, eq=False, kw_only=True)
class UuidField(ColumnField):
    """A UUID, in its canonical spelling."""

    example: Any = "019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5"

    sql_type: ClassVar[TypeEngine[Any]] = sa.Uuid()

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid", "examples": [self.example]}

    def parse(self, text: str) -> UUID:
        if not _UUID.fullmatch(text):
            raise ValueError("is not a UUID")
        return UUID(text)


@dataclass(frozen=True, eq=False, kw_only=True)
class NumberField(ColumnField):
    """A decimal number, with a sign where it has one."""

    example: Any = "7.5"

    sql_type: ClassVar[TypeEngine[Any]] = sa.Numeric()
    kind_operators: ClassVar[tuple[str, ...]] = _ORDER

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "number", "examples": [float(self.example)]}

    def parse(self, text: str) -> Decimal:
        return self.load(text)

    def dump(self, value: Decimal) -> str:
        return format(value, "f")

    def load(self, text: str) -> Decimal:
        if not _DECIMAL.fullmatch(text):
            raise ValueError("is not a number such as 7.5")
        return Decimal(text)


@dataclass(frozen=True, eq=False, kw_only=True)
class MoneyField(NumberField):
    """An amount as clients write it: up to two decimals, with a sign only where amounts may be below zero."""

    signed: bool = False
    example: Any = "250.00"

    @property
    def schema(self) -> dict[str, Any]:
        sign = "-?" if self.signed else ""
        return {"type": "string", "pattern": rf"^{sign}{_MONEY.pattern}$", "examples": [self.example]}

    def parse(self, text: str) -> Decimal:
        if not _MONEY.fullmatch(text.removeprefix("-") if self.signed else text):
            raise ValueError('is not an amount such as "250.00"')
        return Decimal(text)


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerField(ColumnField):
    """A whole number in a range."""

    minimum: int = -INT4
    maximum: int = INT4 - 1
    example: Any = 10

    sql_type: ClassVar[TypeEngine[Any]] = sa.BigInteger()
    kind_operators: ClassVar[tuple[str, ...]] = _ORDER

    @property
    def schema(self) -> dict[str, Any]:
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        return {"type": "integer", **bounds, "examples": [self.example]}

    def parse(self, text: str) -> int:
        return integer(text, self.minimum, self.maximum)

    def load(self, text: str) -> int:
        return integer(text, -_INT8, _INT8 - 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class BooleanField(ColumnField):
    """True or false."""

    example: Any = True

    sql_type: ClassVar[TypeEngine[Any]] = sa.Boolean()
    kind_operators: ClassVar[tuple[str, ...]] = ("eq", "ne")

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean", "examples": [self.example]}

    def parse(self, text: str) -> bool:
        return boolean(text)


_EARLIEST_IN: Final = {"gt": False, "lte": False, "lt": True, "gte": True}
"""Which end of a day an operator compares with."""


@dataclass(frozen=True, eq=False, kw_only=True)
class InstantField(ColumnField):
    """A point in time with its offset, to the microsecond; or a date, which is the whole day."""

    example: Any = "2026-11-23T09:30:00Z"

    sql_type: ClassVar[TypeEngine[Any]] = sa.DateTime(timezone=True)
    kind_operators: ClassVar[tuple[str, ...]] = _ORDER

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time", "examples": [self.example]}

    def read(self, operator: str, text: str, *, zone: tzinfo = UTC) -> Comparison:
        """Read instants and days alike, as the first and the last instant of each."""
        if operator == "isnull":
            return super().read(operator, text, zone=zone)
        if operator in _EARLIEST_IN:
            first, last = self._span(text, zone)
            return Comparison(operator, [first if _EARLIEST_IN[operator] else last])
        if operator == "between":
            since, until = _two(text)
            return Comparison(operator, [self._span(since, zone)[0], self._span(until, zone)[1]])
        spans = [self._span(each, zone) for each in (items(text) if operator in ("in", "not_in") else [text])]
        if all(first == last for first, last in spans):
            return Comparison(operator, [first for first, _ in spans])
        return Comparison(
            "not_within" if operator in COMPLEMENTS else "within", [end for span in spans for end in span]
        )

    def _span(self, text: str, zone: tzinfo) -> tuple[datetime, datetime]:
        text = text.strip(" ")
        if not _DATE.fullmatch(text):
            instant = self.parse(text)
            return instant, instant
        try:
            day = date.fromisoformat(text)
            first, next_ = (datetime.combine(each, time(), zone) for each in (day, day + timedelta(days=1)))
            return first.astimezone(UTC), next_.astimezone(UTC) - _MICROSECOND
        except (ValueError, OverflowError):
            raise ValueError("is not a date that exists") from None

    def parse(self, text: str) -> datetime:
        if not _INSTANT.fullmatch(text):
            raise ValueError(
                "is neither an RFC 3339 time with its offset, such as 2026-11-23T09:30:00Z, nor a date such as "
                "2026-11-23"
            )
        # A plus sign that was not percent-encoded arrives as a space; here it can mean nothing else.
        text = f"{text[:19]}{text[19:].replace(' ', '+')}".upper()
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValueError("is not a time that exists") from None

    def match(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        if operator != "within":
            return super().match(operator, operands)
        spans = zip(operands[::2], operands[1::2], strict=True)
        return sa.or_(*(self.column.between(first, last) for first, last in spans))

    def dump(self, value: datetime) -> str:
        return value.isoformat()


@dataclass(frozen=True, eq=False, kw_only=True)
class DateField(ColumnField):
    """A date of a calendar, such as a shop's, and no point in time."""

    example: Any = "2026-12-31"

    sql_type: ClassVar[TypeEngine[Any]] = sa.Date()
    kind_operators: ClassVar[tuple[str, ...]] = _ORDER

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date", "examples": [self.example]}

    def parse(self, text: str) -> date:
        if not _DATE.fullmatch(text):
            raise ValueError("is not a date such as 2026-12-31")
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise ValueError("is not a date that exists") from None


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeOfDayField(ColumnField):
    """A time on a clock on the wall, of a column that holds it as `HH:MM`; `24:00` is the end of a day."""

    example: Any = "08:00"

    sql_type: ClassVar[TypeEngine[Any]] = sa.Text()
    kind_operators: ClassVar[tuple[str, ...]] = _ORDER

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^({_TIME_OF_DAY.pattern})$", "examples": [self.example]}

    def parse(self, text: str) -> str:
        if not _TIME_OF_DAY.fullmatch(text):
            raise ValueError("is not a time such as 08:00")
        return text


@dataclass(frozen=True, eq=False, kw_only=True)
class ChoiceField(ColumnField):
    """One of a closed set of words."""

    choices: Sequence[str]

    sql_type: ClassVar[TypeEngine[Any]] = sa.Text()

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": [*self.choices], "examples": [self.example or self.choices[0]]}

    def parse(self, text: str) -> str:
        if text not in self.choices:
            raise ValueError(f"is not one of {', '.join(self.choices)}")
        return text


@dataclass(frozen=True, eq=False, kw_only=True)
class MembersField(ChoiceField):
    """An array of words of a closed set: it matches where one of those asked for is in it. An empty one is null."""

    nullable: bool = True

    sorts: ClassVar[bool] = False

    def condition(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        if operator == "isnull":
            is_empty = sa.func.coalesce(self._length, 0) == 0
            return is_empty if is_true(operands[0]) else sa.not_(is_empty)
        return super().condition(operator, operands)

    @property
    def _length(self) -> ColumnElement[int]:
        return sa.func.cardinality(self.column)

    def match(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:  # noqa: ARG002 - eq and in
        return self.column.op("&&")(sa.cast(postgresql.array(operands), postgresql.ARRAY(sa.Text())))


@dataclass(frozen=True, eq=False, kw_only=True)
class JsonMembersField(MembersField):
    """The same for an array in JSON."""

    @property
    def _length(self) -> ColumnElement[int]:
        return sa.func.jsonb_array_length(self.column)

    def match(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:  # noqa: ARG002 - eq and in
        return self.column.op("?|")(sa.cast(postgresql.array(operands), postgresql.ARRAY(sa.Text())))


@dataclass(frozen=True, eq=False, kw_only=True)
class PresenceField(Field):
    """A filter on whether a list of the answer is empty."""

    nullable: bool = True

    @property
    def operators(self) -> tuple[str, ...]:
        return ("isnull",)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean", "examples": [True]}

    def read(self, operator: str, text: str, *, zone: tzinfo = UTC) -> Comparison:
        del zone
        return Comparison(operator, [boolean(text)])

    def bind(self, name: str) -> Parameter:
        raise NotImplementedError

    def condition(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class LinkField(Field):
    """A filter on linked rows that no answer shows: one of them has to match.

    `exists_clause` returns, for a predicate on linked rows, an EXISTS over those of the listed row.
    `ne` and `not_in` mean that none matches; `isnull` (when nullable) that there is none.
    """

    field: ColumnField
    exists_clause: Callable[[ColumnElement[bool]], ColumnElement[bool]]

    @property
    def operators(self) -> tuple[str, ...]:
        return (*self.field.kind_operators, "isnull") if self.nullable else self.field.kind_operators

    @property
    def schema(self) -> dict[str, Any]:
        return self.field.schema

    def read(self, operator: str, text: str, *, zone: tzinfo = UTC) -> Comparison:
        return self.field.read(operator, text, zone=zone)

    def bind(self, name: str) -> Parameter:
        return self.field.bind(name)

    def condition(self, operator: str, operands: Sequence[Parameter]) -> ColumnElement[bool]:
        if operator == "isnull":
            there_is_one = self.exists_clause(sa.true())
            return sa.not_(there_is_one) if is_true(operands[0]) else there_is_one
        if positive := COMPLEMENTS.get(operator):
            return sa.not_(self.exists_clause(self.field.match(positive, operands)))
        return self.exists_clause(self.field.match(operator, operands))
