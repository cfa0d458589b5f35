"""Slugs: names as they stand in URLs."""

import re
import unicodedata
from typing import Final

from crema.core.errors import ConflictError

_LATIN: Final = str.maketrans(
    {
        "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z", "и": "i",
        "й": "i", "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t",
        "у": "u", "ф": "f", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "ie", "ы": "y",
        "ь": "", "э": "e", "ю": "iu", "я": "ia",
        "ß": "ss", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "þ": "th", "ı": "i",
    }
)  # fmt: skip
_OTHER: Final = re.compile(r"[^a-z0-9]+")


class SlugTakenError(ConflictError):
    """Another one has this slug."""

    code = "slug_taken"
    title = "This slug is taken."
    advice = "Choose another."


def slugify(text: str, *, max_length: int = 80) -> str:
    """Return the slug of a text: Russian is transliterated as in passports (ICAO 9303), accents are dropped.

    It is empty for a text of signs only.
    """
    latin = unicodedata.normalize("NFC", text).lower().translate(_LATIN)
    parts = unicodedata.normalize("NFKD", latin).lower()
    plain = "".join(sign for sign in parts if not unicodedata.combining(sign))
    return _OTHER.sub("-", plain).strip("-")[:max_length].rstrip("-")
