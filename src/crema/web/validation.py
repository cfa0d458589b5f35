"""Messages for invalid input that say what to send, in place of Pydantic's."""

from collections.abc import Mapping
from typing import Any, Final

SENTENCES: Final[Mapping[str, str]] = {
    "missing": "send this field",
    "extra_forbidden": "there is no such field here: leave it out",
    "json_invalid": "the body is not JSON: {error}",
    "json_type": "send JSON",
    "string_type": "send text",
    "string_unicode": "send text of whole Unicode characters",
    "string_too_short": "send at least {min_length} characters",
    "string_too_long": "send at most {max_length} characters",
    "int_type": "send a whole number",
    "int_parsing": "send a whole number",
    "int_parsing_size": "send a smaller number",
    "int_from_float": "send a whole number",
    "float_type": "send a number",
    "float_parsing": "send a number",
    "finite_number": "send a finite number",
    "decimal_type": "send a decimal number, as text",
    "decimal_parsing": "send a decimal number, as text",
    "greater_than": "send a number greater than {gt}",
    "greater_than_equal": "send a number from {ge} on",
    "less_than": "send a number smaller than {lt}",
    "less_than_equal": "send a number up to {le}",
    "bool_type": "send true or false",
    "bool_parsing": "send true or false",
    "list_type": "send a list",
    "too_short": "send at least {min_length} items",
    "too_long": "send at most {max_length} items",
    "dict_type": "send an object",
    "model_type": "send an object",
    "model_attributes_type": "send an object",
    "uuid_type": "send an id as GET gives it, such as 01a2074f-26f7-7216-8892-26d298d63ed0",
    "uuid_parsing": "send an id as GET gives it, such as 01a2074f-26f7-7216-8892-26d298d63ed0",
    "enum": "send one of {expected}",
    "literal_error": "send one of {expected}",
    "none_required": "send null",
    "date_type": "send a date, such as 2026-11-26",
    "date_parsing": "send a date, such as 2026-11-26",
    "date_from_datetime_parsing": "send a date, such as 2026-11-26",
    "union_tag_not_found": "send {discriminator}",
    "union_tag_invalid": "send one of {expected_tags} as {discriminator}",
}
"""By type of Pydantic's errors; the braces are filled from the error's context."""
_OBJECTS: Final = frozenset({"model_attributes_type", "model_type", "dict_type"})
_OWN: Final = "Value error, "
"""Pydantic's prefix of messages of our own validators."""


def sentence_of(error: Mapping[str, Any], *, is_json: bool = True) -> str:
    """Return the message of an error, without the input. An error without an input is our own: its message is kept.

    `is_json`: the request declares its body as JSON.
    """
    if error["type"] in _OBJECTS and tuple(error["loc"]) == ("body",) and not is_json:
        return "send JSON with the header `Content-Type: application/json`"
    sentence = SENTENCES.get(error["type"]) if "input" in error else None
    if sentence is not None:
        return sentence.format(**error.get("ctx", {}))
    return str(error["msg"]).removeprefix(_OWN)
