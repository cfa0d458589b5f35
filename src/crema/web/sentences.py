"""What is wrong with an input, in sentences that say what to send: no library's phrases, no regular expressions."""

from collections.abc import Mapping
from typing import Any, Final

PATTERNS: Final[Mapping[str, str]] = {
    r"^[A-Z]{1,8}-[0-9]{3}$": "is written as A-042",
    r"^[\x20-\x7e\xa0-\xff]*$": "takes Latin letters, digits and punctuation on one line",
    r"^[a-z0-9]+(-[a-z0-9]+)*$": "takes small Latin letters and digits, in words joined by single hyphens: cold-brew",
    "^([01][0-9]|2[0-3]):[0-5][0-9]$": "is a time of the day from 00:00 to 23:59, such as 08:00",
    "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$": "is a time of the day from 00:00 to 24:00, such as 22:00",
    r"^[A-Za-z0-9._:-]{1,64}$": "takes up to 64 Latin letters, digits and the characters . _ : -",
    r"^[^\x00-\x1f\x7f]*$": "takes no control characters, such as tabs and line breaks",
    r"^([0-9]{6}|[A-Z2-7]{16})$": "is the six digits of the mail",
    "^password$": "is the word password",
}
"""What stands for a pattern. A test walks all patterns of inputs."""
CONTENT_TYPE: Final = "send JSON with the header `Content-Type: application/json`"
_OBJECTS: Final = frozenset({"model_attributes_type", "model_type", "dict_type"})


def sentence(error: Mapping[str, Any], *, is_json: bool = True) -> str:
    """Say what is wrong. `is_json` is whether the request's header calls its body JSON."""
    kind, message = error["type"], str(error["msg"])
    if kind in _OBJECTS and tuple(error["loc"]) == ("body",):
        return "send a JSON object" if is_json else CONTENT_TYPE
    if kind in {"value_error", "assertion_error"}:
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(error.get("ctx", {}).get("pattern", ""), "is not written as this field is")
    return message
