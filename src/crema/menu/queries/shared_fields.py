"""What several lists of the menu declare."""

from dataclasses import fields
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BindParameter, Numeric, Uuid, bindparam, cast

from crema.db.listing import NumberField, json_text
from crema.menu.domain import Nutrition

URLS_LEFT_OUT: Final = "addresses of files"
"""Why lists can't be filtered by the URLs of pictures."""
SCHEDULE_LEFT_OUT: Final = dict.fromkeys(
    (f"schedule.{name}" for name in ("weekdays", "from", "to", "starts_on", "ends_on")),
    "what is sold at a moment is asked of a product's availability there",
)


def availability_left_out(*parts: str) -> dict[str, str]:
    """Return the `left_out` entries for availability, in these parts of an item; each part ends with a dot or is ""."""
    names = ("is_available", "reasons.code", "reasons.detail", "reasons.until")
    return {
        f"{part}availability.{name}": "it holds for the moment of the question, at one shop"
        for part in parts
        for name in names
    }


def nutrition_fields(document: Any, *path: str) -> dict[str, NumberField]:
    """Return a field for each figure of a nutrition, which stands at this path of a JSON document."""
    return {
        f"nutrition.{field.name}": NumberField(cast(json_text(document, *path, field.name), Numeric), nullable=True)
        for field in fields(Nutrition)
    }


SHOP_ID: Final[BindParameter[UUID]] = bindparam("shop_id", type_=Uuid)
"""The parameter for the shop whose prices a list shows."""
