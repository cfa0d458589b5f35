"""The base classes and types of every feature's JSON schemas: strict inputs, and types that keep bad values out of SQL.

Without them, inputs such as NUL, a lone surrogate, NaN, or an integer that is too large for its column would cause an
error 500. With them, the answer is 422.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar
from uuid import UUID

from pydantic import (
    MISSING,
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from pydantic_extra_types.phone_numbers import PhoneNumberValidator

from crema.core.errors import InvalidError, Loc
from crema.core.instants import format_instant
from crema.core.lookalikes import is_visible
from crema.core.money import MAX_AMOUNT, quantize

MAX_ACCENTS: Final = 30
EXAMPLE_ID: Final = "01a2074f-26f7-7216-8892-26d298d63ed0"
"""An id for the examples of the API's description."""
_AMOUNT: Final = re.compile(r"\d{1,7}(\.\d{1,2})?", re.ASCII)
_SIGNED_AMOUNT: Final = re.compile(r"-?\d{1,7}(\.\d{1,2})?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_LINE_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_DIRECTION: Final = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
"""Characters that change the direction of the text around a name, in mails and on boards."""

_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
"""Characters that come with copied text and have no meaning within a line. With them, a search would miss the text."""

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2100
"""Times and dates must be between these years."""


def compose(text: str) -> str:
    """Return the text in Unicode's form NFC. Raises ValueError if a letter has more than `MAX_ACCENTS` accents.

    The cost of normalizing a letter grows with the square of the number of its accents: 10,000 take 75 ms. No language
    needs more than the limit, which is that of UAX #15.
    """
    if not text.isascii():
        row = 0
        for character in text:
            row = row + 1 if unicodedata.combining(character) else 0
            if row > MAX_ACCENTS:
                raise ValueError(f"a letter has more than {MAX_ACCENTS} accents")
    return unicodedata.normalize("NFC", text)


def _clean_line(text: str) -> str:
    text = text.translate(_INVISIBLE).strip()
    if _LINE_CONTROL.search(text):
        raise ValueError("control characters are not allowed, nor is a second line")
    if _DIRECTION.search(text):
        raise ValueError("characters that change the direction of text (U+202A-202E, U+2066-2069) are not allowed")
    return _compose_visible(text)


def _clean_text(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return _compose_visible(text)


def _compose_visible(text: str) -> str:
    """Return the text in NFC; an empty text if nothing in it is visible."""
    return compose(text) if is_visible(text) else ""


def require_visible(text: str) -> str:
    """Return the text. Raises ValueError if it is empty."""
    if not text:
        raise ValueError("send at least one visible character")
    return text


def _parse_money(value: object) -> object:
    """Return the decimal of 250, 250.5 or "250.00"; ValueError for more digits, signs, exponents and not-a-number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError('an amount is a decimal string such as "250.00"')  # noqa: TRY004 - pydantic wants ValueError
    text = value if isinstance(value, str) else str(value)
    if not _AMOUNT.fullmatch(text):
        raise ValueError("an amount has up to seven digits and two decimals, and no sign")
    return Decimal(text)


def _parse_signed_money(value: object) -> object:
    """Return the decimal of a value as `_parse_money` takes it, which may begin with a minus."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError('an amount is a decimal string such as "-20.00"')  # noqa: TRY004 - pydantic wants ValueError
    text = value if isinstance(value, str) else str(value)
    if not _SIGNED_AMOUNT.fullmatch(text):
        raise ValueError("an amount has up to seven digits and two decimals, perhaps after a minus")
    return Decimal(text) + 0  # makes 0 of -0


def _read_instant(value: object, handler: ValidatorFunctionWrapHandler) -> datetime:
    """Return the instant of a text. Raises ValueError for numbers, which Pydantic would take as seconds since 1970."""
    message = "must be a time with its offset (RFC 3339), such as 2026-11-23T09:30:00Z"
    if not isinstance(value, str | datetime):
        raise ValueError(message)  # noqa: TRY004 - pydantic wants ValueError
    try:
        instant: datetime = handler(value)
    except ValidationError:
        raise ValueError(message) from None
    return instant


def _utc(instant: datetime) -> datetime:
    """Return it in UTC. Refuse years at the ends of the calendar, where days and hours can't be added any more."""
    if not FIRST_YEAR < instant.year < LAST_YEAR:
        raise ValueError(f"the year must be between {FIRST_YEAR + 1} and {LAST_YEAR - 1}")
    return instant.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class MatchesPattern:
    """Requires that text matches a pattern. The error has the `message`, which says what to send, not the pattern."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the text after the types that are before this one in the annotation."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the pattern to the JSON Schema, for generated clients."""
        return handler(schema) | {"pattern": self.pattern}

    def _check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise PydanticCustomError("wrong_form", "{message}", {"message": self.message})
        return text


OptionalLine = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_clean_line)]
"""One line of text, possibly empty: stripped, in NFC, without control characters and those that change direction.

U+200B, U+2060 and U+FEFF are removed. Other invisible characters stay: emoji and Persian are written with joiners.
"""

Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(_clean_line),
    AfterValidator(require_visible),
]
"""One line of text with something visible. Limit its length with Field(max_length=…)."""

Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_clean_text)]
"""Text of several lines, possibly empty. Text without anything visible becomes empty."""

VisibleText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(_clean_text),
    AfterValidator(require_visible),
]
"""Text of several lines with something visible."""

Name = Annotated[Line, Field(max_length=120)]
Slug = Annotated[
    str,
    StringConstraints(max_length=80),
    MatchesPattern(
        r"^[a-z0-9]+(-[a-z0-9]+)*$",
        "send small Latin letters, digits and single hyphens, such as flat-white",
    ),
]
OptionalSlug = Annotated[
    Slug | None, Field(description="Left out or null: made from the name of a new object, kept when it is changed.")
]
Email = Annotated[EmailStr, StringConstraints(max_length=254)]
Phone = Annotated[
    str, PhoneNumberValidator(default_region="RU", number_format="E164"), Field(examples=["+79161234567"])
]
# Numbers are accepted, too. The schema doesn't say so: many generators make a type without fields for a union.
Money = Annotated[
    Decimal,
    BeforeValidator(_parse_money),
    Field(ge=0, le=MAX_AMOUNT, allow_inf_nan=False, examples=["250.00"]),
    PlainSerializer(lambda amount: str(quantize(amount)), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,7}(\.\d{1,2})?$", "examples": ["250.00"]}, mode="validation"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+\.\d{2}$", "examples": ["250.00"]}, mode="serialization"),
]
SignedMoney = Annotated[
    Decimal,
    BeforeValidator(_parse_signed_money),
    Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT, allow_inf_nan=False, examples=["-20.00"]),
    PlainSerializer(lambda amount: str(quantize(amount)), return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": r"^-?\d{1,7}(\.\d{1,2})?$", "examples": ["-20.00"]}, mode="validation"
    ),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+\.\d{2}$", "examples": ["-20.00"]}, mode="serialization"),
]
"""A difference of prices: it may be negative."""
Amount = Annotated[
    Decimal,
    PlainSerializer(lambda amount: str(quantize(amount)), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+\.\d{2}$", "examples": ["250.00"]}),
]
"""Money in a reply. Sums may be larger than the largest amount of a request."""
SignedAmount = Annotated[
    Decimal,
    PlainSerializer(lambda amount: str(quantize(amount)), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+\.\d{2}$", "examples": ["-20.00"]}),
]
"""A difference of prices in a reply, which may be negative."""
Instant = Annotated[
    AwareDatetime,
    AfterValidator(_utc),
    WrapValidator(_read_instant),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T09:30:00.000000Z"]}),
]
Flag = Annotated[bool, Field(strict=True)]
IsActive = Annotated[Flag, Field(description="false: the public doesn't see it.")]
Position = Annotated[int, Field(strict=True, ge=0, le=1_000_000, examples=[10])]


class Input(BaseModel):
    """The base class of request bodies. Unknown fields are refused.

    A field of a PATCH that may be left out is declared `X | MISSING = MISSING`, so that null is refused unless X has
    it.
    """

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, str_max_length=10_000, json_schema_serialization_defaults_required=True
    )

    def check_read_only(self, present: "Output | None") -> None:
        """Raise ReadOnlyFieldError if read-only fields differ from `present`, which is what GET returns now.

        `present` is None for a new object. The error names all such fields.
        """
        document = {} if present is None else present.model_dump(mode="json")
        if places := [*self.read_only_differences(document, ())]:
            raise ReadOnlyFieldError(places)

    def read_only_differences(self, present: Mapping[str, Any], loc: Loc) -> Iterator[Loc]:
        """Yield the locations of read-only fields that differ from `present`, here and in the parts of lists."""
        for name in type(self).model_fields:
            parts = getattr(self, name)
            for index, part in enumerate(parts if isinstance(parts, list) else ()):
                if isinstance(part, Replacement):
                    id_ = str(getattr(part, part.key))
                    same: Mapping[str, Any] = next((each for each in present.get(name, ()) if each["id"] == id_), {})
                    yield from part.read_only_differences(same, (*loc, name, index))


class Output(BaseModel):
    """The base class of replies. They are validated from rows and from dataclasses."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


class ReadOnlyFieldError(InvalidError):
    """A PUT has another value for a field that can't be written. `errors` names every such field."""

    code = "read_only_field"
    title = "The request changes fields that are read-only."
    advice = "Leave the fields of `errors` out, or send them as GET returns them."

    def __init__(self, places: Sequence[Loc]) -> None:
        message = "is read-only: leave it out, or send it as GET returns it"
        errors = [{"loc": ["body", *loc], "msg": message, "type": "read_only_field"} for loc in places]
        super().__init__("; ".join(f"{'.'.join(map(str, loc))} {message}" for loc in places[:5]), errors=errors)


class Replacement(Input):
    """The body of a PUT, or a part of one. It takes what GET returns: the schema `shows`.

    Fields that only `shows` has are read-only: they are left out, or sent as they are now. `check_read_only` compares
    them. It doesn't compare the `ignored` fields, which change by themselves with other fields, so that the same PUT
    may be sent again. `ids_of_lists` maps writable fields with ids to the read-only lists of the same objects, as in
    {"category_ids": "categories"}: if only the list is sent, the ids stay. `key` is the field with the id of a part.
    """

    shows: ClassVar[type[Output]]
    ids_of_lists: ClassVar[Mapping[str, str]] = {}
    key: ClassVar[str] = "id"
    ignored: ClassVar[frozenset[str]] = frozenset({"updated_at"})

    _read_only: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def read_only_names(cls) -> Sequence[str]:
        """Return the names of the fields that GET returns and that can't be written."""
        return [name for name in cls.shows.model_fields if name not in cls.model_fields]

    @property
    def has_read_only_fields(self) -> bool:
        """Whether any read-only field was sent, as GET returns it."""
        return bool(self._read_only)

    def sent_read_only(self, name: str) -> bool:
        """Return whether this read-only field was sent."""
        return name in self._read_only

    @model_validator(mode="wrap")
    @classmethod
    def _separate_read_only(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        names = cls.read_only_names()
        if "id" in data and cls.key not in data:
            data = data | {cls.key: data["id"]}
        body = handler({name: value for name, value in data.items() if name not in names})
        body._read_only = {name: data[name] for name in names if name in data}  # noqa: SLF001 - a field of this class
        return body

    def read_only_differences(self, present: Mapping[str, Any], loc: Loc) -> Iterator[Loc]:
        """Yield the locations of read-only fields that differ from `present`, and set ids that stay (see the class)."""
        for name, sent in self._read_only.items():
            if name not in self.ignored and (name not in present or not _is_same(sent, present[name])):
                yield (*loc, name)
        for ids, list_name in self.ids_of_lists.items():
            if self.sent_read_only(list_name) and list_name in present and ids not in self.model_fields_set:
                setattr(self, ids, [UUID(part["id"]) for part in present[list_name]])
        yield from super().read_only_differences(present, loc)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the read-only fields to the JSON Schema."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        for name in cls.read_only_names():
            schema["properties"][name] = {"readOnly": True, "description": "As GET returns it, or left out."}
        if cls.key != "id":
            schema["required"] = [name for name in schema["required"] if name != cls.key]
            schema["properties"][cls.key]["description"] = "Or send `id`, as GET returns it."
        return reference


def _is_same(sent: Any, present: Any) -> bool:
    """Return whether JSON values are equal. Instants are compared to the millisecond, which is what browsers keep."""
    if isinstance(sent, dict) and isinstance(present, dict):
        return sent.keys() == present.keys() and all(_is_same(sent[name], present[name]) for name in sent)
    if isinstance(sent, list) and isinstance(present, list):
        return len(sent) == len(present) and all(map(_is_same, sent, present))
    if isinstance(sent, bool) != isinstance(present, bool):
        return False
    return bool(sent == present) or _is_same_instant(sent, present)


def _is_same_instant(sent: Any, present: Any) -> bool:
    try:
        return abs(datetime.fromisoformat(sent) - datetime.fromisoformat(present)) < timedelta(milliseconds=1)
    except (TypeError, ValueError, OverflowError):
        return False


ValueT = TypeVar("ValueT")


def value_or(value: ValueT | MISSING, default: ValueT) -> ValueT:
    """Return the value of a field, or `default` where the client left the field out."""
    return default if value is MISSING else value


def require_unique(values: Iterable[Any]) -> list[Any]:
    """Return the values as a list. Raises ValueError if one of them is there twice."""
    listed = list(values)
    if len(set(listed)) != len(listed):
        raise ValueError("send each value once")
    return listed
