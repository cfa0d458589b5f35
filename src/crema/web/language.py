"""The language of an answer: Russian or English, by Accept-Language."""

import re
from typing import Annotated, Final

from fastapi import Depends, Request

MAX_LANGUAGES: Final = 20
"""Entries of Accept-Language that are read; browsers send two to five."""


async def _language(request: Request) -> str:
    """Return `ru` or `en` by the weights of Accept-Language; `en` if it names neither."""
    weights = {"en": 0.0, "ru": 0.0}
    for part in request.headers.get("accept-language", "").lower().split(",", MAX_LANGUAGES)[:MAX_LANGUAGES]:
        tag, _, parameter = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", parameter)
        language = tag[:2] if tag[:2] in weights and tag[2:3] in {"", "-"} else ""
        if language:
            weights[language] = max(weights[language], float(weight[1]) if weight else 1.0)
    return "ru" if weights["ru"] > weights["en"] else "en"


Language = Annotated[str, Depends(_language)]
