"""Text as people see it: whether anything is visible, and whether two names look the same."""

import unicodedata
from typing import Final

_UNSEEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Mn", "Me", "Mc", "Zs", "Zl", "Zp"})
_UNSEEN_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Hangul fillers and the empty braille pattern: letters and signs by their category, but invisible."""
_IGNORED: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""Default_Ignorable_Code_Point outside the category Cf, without variation selectors."""
_IGNORED_RANGES: Final = ((0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF))

_LATIN: Final = str.maketrans(
    {
        # Cyrillic, in lower case: a letter that looks Latin as a capital or as a small one
        "а": "a", "в": "b", "е": "e", "ё": "e", "к": "k", "м": "m", "н": "h", "о": "o", "р": "p", "с": "c", "т": "t",
        "у": "y", "х": "x", "ѕ": "s", "і": "i", "ї": "i", "ј": "j", "һ": "h", "ԁ": "d", "ԛ": "q", "ԝ": "w", "ѵ": "v",
        "ү": "y", "ӏ": "l", "ԍ": "g",
        # Greek
        "α": "a", "β": "b", "ε": "e", "ζ": "z", "η": "h", "ι": "i", "κ": "k", "μ": "m", "ν": "n", "ο": "o", "ρ": "p",
        "τ": "t", "υ": "y", "χ": "x", "ϳ": "j", "ω": "w",
        # Latin phonetic and Turkish letters that look like the plain ones
        "ı": "i", "ɩ": "i", "ɑ": "a", "ɡ": "g", "ȷ": "j", "ɴ": "n", "ᴍ": "m", "ᴅ": "d", "ᴀ": "a", "ɪ": "i", "ᴜ": "u",
        "ʀ": "r", "ꜱ": "s", "ᴇ": "e", "ᴛ": "t", "ʙ": "b", "ᴏ": "o", "ᴘ": "p", "ɢ": "g",
    }
)  # fmt: skip


def is_visible(text: str) -> bool:
    """Return whether a text has a visible character: a letter, a digit or a sign, not only spaces and marks."""
    return any(
        unicodedata.category(each) not in _UNSEEN_CATEGORIES and each not in _UNSEEN_LETTERS and not _is_ignored(each)
        for each in text
    )


def skeleton(name: str) -> str:
    """Return the same text for all names that look alike to people.

    As in Unicode's UTS 39, but without its table of six thousand pairs: width and style (NFKC), case, invisible
    characters and spaces are ignored; Cyrillic, Greek and phonetic letters that look like Latin ones become these.
    Digits (`adm1n`) and other scripts are not covered.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(each for each in plain if not _is_ignored(each)).translate(_LATIN)
    return " ".join(seen.split())


def _is_ignored(each: str) -> bool:
    return (
        each in _IGNORED
        or unicodedata.category(each) == "Cf"
        or any(first <= ord(each) <= last for first, last in _IGNORED_RANGES)
    )
