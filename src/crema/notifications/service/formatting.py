"""Formats amounts, times and lists in the language of a mail, by CLDR's patterns with Babel."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_skeleton
from babel.numbers import format_currency, format_decimal, get_currency_symbol

_LOCALES: Final = {"en": Locale("en", "GB"), "ru": Locale("ru")}
"""British English, because it writes the day before the month and the hours from 0 to 23, as shops do."""
_AT: Final = {"en": "at", "ru": "в"}
_ALLERGENS_RU: Final = {
    "celery": "сельдерей",
    "crustaceans": "ракообразные",
    "eggs": "яйца",
    "fish": "рыба",
    "gluten": "глютен",
    "lupin": "люпин",
    "milk": "молоко",
    "molluscs": "моллюски",
    "mustard": "горчица",
    "nuts": "орехи",
    "peanuts": "арахис",
    "sesame": "кунжут",
    "soy": "соя",
    "sulphites": "сульфиты",
}
_NUTRITION: Final = {
    "en": {
        "energy_kcal": "{} kcal",
        "proteins_g": "{} g proteins",
        "fats_g": "{} g fats",
        "carbohydrates_g": "{} g carbohydrates",
        "caffeine_mg": "{} mg caffeine",
    },
    "ru": {
        "energy_kcal": "{} ккал",
        "proteins_g": "белки {} г",
        "fats_g": "жиры {} г",
        "carbohydrates_g": "углеводы {} г",
        "caffeine_mg": "кофеин {} мг",
    },
}


class Formatted(str):
    """A text that is printed unchanged. Any other value is printed on one line, with plain spaces."""

    __slots__ = ()


def money(amount: str, currency: str, language: str) -> Formatted:
    """Return an amount as `12 000 ₽` or `12 000,50 ₽`, without decimals if they are zero."""
    locale, value = _LOCALES[language], Decimal(amount)
    pattern = locale.currency_formats["standard"].pattern
    if get_currency_symbol(currency, locale)[-1].isalpha():
        pattern = pattern.replace("¤#", "¤\N{NO-BREAK SPACE}#")  # `RUB 12,000`: CLDR's spacing, which Babel leaves out
    is_whole = value == value.to_integral_value()
    if is_whole:
        pattern = pattern.replace("0.00", "0")
    return Formatted(format_currency(value, currency, pattern, locale=locale, currency_digits=not is_whole))


def local(instant: str, timezone: str, language: str) -> str:
    """Return an ISO 8601 instant as the date and time that the shop's clock shows: `23 November at 12:30`."""
    at, zone, locale = datetime.fromisoformat(instant), ZoneInfo(timezone), _LOCALES[language]
    date, time = (format_skeleton(skeleton, at, zone, locale=locale) for skeleton in ("MMMMd", "Hm"))
    return f"{date} {_AT[language]} {time}"


def allergens(codes: Sequence[str], language: str) -> str:
    """Return the names of allergens, separated by commas."""
    names = _ALLERGENS_RU if language == "ru" else {}
    return ", ".join(names.get(code, code) for code in codes)


def nutrition(amounts: Mapping[str, float | None], language: str) -> str:
    """Return the nutrition of one portion, grams with one decimal. Unknown values are left out."""
    parts = []
    for name, text in _NUTRITION[language].items():
        if (amount := amounts.get(name)) is not None:
            pattern = "0.#" if name.endswith("_g") else "0"
            parts.append(text.format(format_decimal(amount, pattern, locale=_LOCALES[language])))
    return ", ".join(parts)
