"""What every feature's JSON schemas are made of: strict inputs and the types that keep bad values out of SQL.

Six ordinary inputs give 500 on a naive route (NUL, a lone surrogate, NaN, an integer or id past its column…);
here they are 422.
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
"""They turn the direction of what stands around a name, in mails and on boards."""

_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
"""They come along when text is copied, and mean nothing within a line: a search would miss what has them."""
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2100
"""Times and dates lie between these years."""


def compose(text: str) -> str:
    """Return the text in NFC; ValueError for more accents in a row than any language has.

    Sorting the accents of one letter costs the square of their number: 10,000 of them are 75 ms. UAX #15 allows 30.
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
        raise ValueError("characters that turn the direction of text (U+202A-202E, U+2066-2069) are not allowed")
    return _composed(text)


def _clean_text(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return _composed(text)


def _composed(text: str) -> str:
    """Return the text as it is kept; of what nobody can see nothing is left."""
    return compose(text) if is_visible(text) else ""


def visible(text: str) -> str:
    """Return the text; ValueError for one of which nobody can see anything."""
    if not text:
        raise ValueError("send at least one visible character")
    return text


def _parse_money(value: object) -> object:
    """Take 250, 250.5 or "250.00"; refuse more digits, signs, exponents and not-a-number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError('an amount is a decimal string such as "250.00"')  # noqa: TRY004 - pydantic wants ValueError
    text = value if isinstance(value, str) else str(value)
    if not _AMOUNT.fullmatch(text):
        raise ValueError("an amount has up to seven digits and two decimals, and no sign")
    return Decimal(text)


def _parse_signed_money(value: object) -> object:
    """Take what `_parse_money` takes, and a minus before it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError('an amount is a decimal string such as "-20.00"')  # noqa: TRY004 - pydantic wants ValueError
    text = value if isinstance(value, str) else str(value)
    if not _SIGNED_AMOUNT.fullmatch(text):
        raise ValueError("an amount has up to seven digits and two decimals, perhaps after a minus")
    return Decimal(text) + 0  # there is no -0.00


def _read_instant(value: object, handler: ValidatorFunctionWrapHandler) -> datetime:
    """Refuse numbers, which Pydantic would take for seconds since 1970, and say how an instant is written."""
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
class Matching:
    """Text of a pattern. A refusal doesn't quote the pattern: it is told the `sentence`, which says what to send."""

    pattern: str
    sentence: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the text after whatever stands before this in the annotation."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the pattern, for those who generate clients."""
        return handler(schema) | {"pattern": self.pattern}

    def _check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise PydanticCustomError("wrong_form", "{sentence}", {"sentence": self.sentence})
        return text


OptionalLine = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_clean_line)]
"""One line of text, possibly empty: stripped, NFC, no control characters and none that change its direction.

U+200B, U+2060 and U+FEFF are left out. The other invisible ones stay: emoji and Persian are written with joiners.
"""

Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(_clean_line),
    AfterValidator(visible),
]
"""The same with something to see. Narrow it with Field(max_length=…)."""

Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_clean_text)]
"""Text of several lines, possibly empty; text that nobody can see is empty."""

VisibleText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(_clean_text),
    AfterValidator(visible),
]
"""Text of several lines with something to see."""

Name = Annotated[Line, Field(max_length=120)]
Slug = Annotated[
    str,
    StringConstraints(max_length=80),
    Matching(
        r"^[a-z0-9]+(-[a-z0-9]+)*$",
        "send small Latin letters, digits and single hyphens, such as flat-white",
    ),
]
OptionalSlug = Annotated[
    Slug | None, Field(description="Left out or null: made from the name at first, kept afterwards.")
]
Email = Annotated[EmailStr, StringConstraints(max_length=254)]
Phone = Annotated[
    str, PhoneNumberValidator(default_region="RU", number_format="E164"), Field(examples=["+79161234567"])
]
# Numbers are taken, too. They aren't described: of a union many generators make a type without fields.
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
"""Money in a reply: sums may be larger than any single amount we take."""
SignedAmount = Annotated[
    Decimal,
    PlainSerializer(lambda amount: str(quantize(amount)), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+\.\d{2}$", "examples": ["-20.00"]}),
]
"""The same for differences of prices, which may be negative."""
Instant = Annotated[
    AwareDatetime,
    AfterValidator(_utc),
    WrapValidator(_read_instant),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T09:30:00.000000Z"]}),
]
Flag = Annotated[bool, Field(strict=True)]
IsActive = Annotated[Flag, Field(description="The public doesn't see inactive ones.")]
Position = Annotated[int, Field(strict=True, ge=0, le=1_000_000, examples=[10])]


class Input(BaseModel):
    """A request body. Unknown fields are refused, never ignored.

    A field of a PATCH that may be left out is declared `X | MISSING = MISSING`, so that null is taken only where X is.
    """

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, str_max_length=10_000, json_schema_serialization_defaults_required=True
    )

    def check_read_only(self, present: "Output | None") -> None:
        """Refuse read-only fields that differ from `present`, the document as GET gives it now; None: it is new.

        Raises ReadOnlyFieldError, which names them all.
        """
        document = {} if present is None else present.model_dump(mode="json")
        if places := [*self.differences(document, ())]:
            raise ReadOnlyFieldError(places)

    def differences(self, present: Mapping[str, Any], loc: Loc) -> Iterator[Loc]:
        """Give the places of read-only fields that aren't as they are in `present`, here and in the parts."""
        for name in type(self).model_fields:
            parts = getattr(self, name)
            for place, part in enumerate(parts if isinstance(parts, list) else ()):
                if isinstance(part, Replacement):
                    id_ = str(getattr(part, part.key))
                    now: Mapping[str, Any] = next((each for each in present.get(name, ()) if each["id"] == id_), {})
                    yield from part.differences(now, (*loc, name, place))


class Output(BaseModel):
    """A reply, read from rows and dataclasses alike."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


class ReadOnlyFieldError(InvalidError):
    """A PUT with another value of a field that can't be written. `errors` names every such field."""

    code = "read_only_field"
    title = "The request changes fields that are read-only."
    advice = "Leave the fields of `errors` out, or send them as they are."

    def __init__(self, places: Sequence[Loc]) -> None:
        message = "is read-only: leave it out, or send it as GET gives it"
        errors = [{"loc": ["body", *loc], "msg": message, "type": "read_only_field"} for loc in places]
        super().__init__("; ".join(f"{'.'.join(map(str, loc))} {message}" for loc in places[:5]), errors=errors)


class Replacement(Input):
    """The body of a PUT, or a part of one, that takes what GET gives: the document of the schema `shows`.

    Fields that only `shows` has are read-only: left out, or sent as they are now. `check_read_only` compares them.
    `views` names writable ids after the read-only list that shows them, as {"category_ids": "categories"}: who sends
    the list alone keeps the ids. `key` is the field that finds a part by its id. What `follows` from a change by itself
    is taken as it comes, so that the same PUT may be sent again.
    """

    shows: ClassVar[type[Output]]
    views: ClassVar[Mapping[str, str]] = {}
    key: ClassVar[str] = "id"
    follows: ClassVar[frozenset[str]] = frozenset({"updated_at"})

    _read_only: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def read_only(cls) -> Sequence[str]:
        """Name the fields that GET gives and nobody writes."""
        return [name for name in cls.shows.model_fields if name not in cls.model_fields]

    @property
    def is_document(self) -> bool:
        """Whether it was sent as GET gives it, with fields that are read-only."""
        return bool(self._read_only)

    def repeats(self, name: str) -> bool:
        """Whether this read-only field was sent."""
        return name in self._read_only

    @model_validator(mode="wrap")
    @classmethod
    def _set_read_only_apart(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        names = cls.read_only()
        if "id" in data and cls.key not in data:
            data = data | {cls.key: data["id"]}
        body = handler({name: value for name, value in data.items() if name not in names})
        body._read_only = {name: data[name] for name in names if name in data}  # noqa: SLF001 - a field of this class
        return body

    def differences(self, present: Mapping[str, Any], loc: Loc) -> Iterator[Loc]:
        """Compare the read-only fields that were sent, and keep the ids that only their list was sent for."""
        for name, sent in self._read_only.items():
            if name not in self.follows and (name not in present or not _is_same(sent, present[name])):
                yield (*loc, name)
        for ids, view in self.views.items():
            if self.repeats(view) and view in present and ids not in self.model_fields_set:
                setattr(self, ids, [UUID(part["id"]) for part in present[view]])
        yield from super().differences(present, loc)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the read-only fields, too."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        for name in cls.read_only():
            schema["properties"][name] = {"readOnly": True, "description": "As GET gives it, or left out."}
        if cls.key != "id":
            schema["required"] = [name for name in schema["required"] if name != cls.key]
            schema["properties"][cls.key]["description"] = "Or `id`, as GET gives it."
        return reference


def _is_same(sent: Any, present: Any) -> bool:
    """Compare JSON values. Instants may be written in another way, to the millisecond, as browsers keep them."""
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


def unique(values: Iterable[Any]) -> list[Any]:
    """Refuse a list that names the same thing twice."""
    listed = list(values)
    if len(set(listed)) != len(listed):
        raise ValueError("the same value stands here twice")
    return listed
