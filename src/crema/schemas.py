"""What every feature's JSON schemas are made of: strict inputs and the types that keep bad values out of SQL.

Six ordinary inputs give 500 on a naive route (NUL, a lone surrogate, NaN, an integer or id past its column…);
here they are 422.
"""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticUndefined
from pydantic_extra_types.phone_numbers import PhoneNumberValidator

from crema.core.lookalikes import is_visible
from crema.core.money import MAX_AMOUNT, quantize

MAX_ACCENTS: Final = 30
_AMOUNT: Final = re.compile(r"\d{1,7}(\.\d{1,2})?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_LINE_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_DIRECTION: Final = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
"""They turn the direction of what stands around a name, in mails and on boards."""


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


def _visible(text: str) -> str:
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


def _only_text(value: object) -> object:
    """Refuse numbers, which Pydantic would take for seconds since 1970."""
    if not isinstance(value, str | datetime):
        raise ValueError("an instant is an RFC 3339 string such as 2026-11-23T09:30:00Z")  # noqa: TRY004
    return value


def _utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the year must be between 1 and 9999 in UTC") from error


OptionalLine = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_clean_line)]
"""One line of text, possibly empty: stripped, NFC, no control characters and none that change its direction."""

Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(_clean_line),
    AfterValidator(_visible),
]
"""The same with something to see. Narrow it with Field(max_length=…)."""

Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_clean_text)]
"""Text of several lines, possibly empty; text that nobody can see is empty."""

VisibleText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(_clean_text),
    AfterValidator(_visible),
]
"""Text of several lines with something to see."""

Name = Annotated[Line, Field(max_length=120)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Email = Annotated[EmailStr, StringConstraints(max_length=254)]
Phone = Annotated[
    str, PhoneNumberValidator(default_region="RU", number_format="E164"), Field(examples=["+79161234567"])
]
Money = Annotated[
    Decimal,
    BeforeValidator(_parse_money),
    Field(ge=0, le=MAX_AMOUNT, allow_inf_nan=False, examples=["250.00"]),
    PlainSerializer(lambda amount: str(quantize(amount)), return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\d{1,7}(\.\d{1,2})?$"},
                {"type": "number", "minimum": 0, "maximum": float(MAX_AMOUNT), "multipleOf": 0.01},
            ],
            "examples": ["250.00"],
        },
        mode="validation",
    ),
    WithJsonSchema({"type": "string", "pattern": r"^\d+\.\d{2}$", "examples": ["250.00"]}, mode="serialization"),
]
Amount = Annotated[
    Decimal,
    PlainSerializer(lambda amount: str(quantize(amount)), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+\.\d{2}$", "examples": ["250.00"]}),
]
"""Money in a reply: sums may be larger than any single amount we take."""
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_only_text),
    AfterValidator(_utc),
    PlainSerializer(
        lambda instant: instant.astimezone(UTC).isoformat().replace("+00:00", "Z"), return_type=str, when_used="json"
    ),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T09:30:00Z"]}),
]
Position = Annotated[int, Field(strict=True, ge=0, le=1_000_000, examples=[10])]


class Input(BaseModel):
    """A request body. Unknown fields are refused, never ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_max_length=10_000)

    def changes(self) -> dict[str, Any]:
        """Only what the client sent, one level deep: the whole of a PATCH."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Output(BaseModel):
    """A reply, read from rows and dataclasses alike."""

    model_config = ConfigDict(from_attributes=True)


InputT = TypeVar("InputT", bound=Input)


def partial(model: type[InputT]) -> type[InputT]:
    """Decorate a subclass to make it the PATCH of its parent: every field may be left out, none becomes nullable.

    A field left out reads as None; use `changes()` to know what was sent.
    """
    for field in model.model_fields.values():
        field.default = PydanticUndefined
        field.default_factory = lambda: None
    model.model_rebuild(force=True)
    return model


def unique(values: Iterable[Any]) -> list[Any]:
    """Refuse a list that names the same thing twice."""
    listed = list(values)
    if len(set(listed)) != len(listed):
        raise ValueError("the same value stands here twice")
    return listed
