"""Who the chain is, and where its shops are."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from crema.core.errors import InvalidError

EARTH_RADIUS_M: Final = 6_371_008.8


class IncompleteCoordinatesError(InvalidError):
    """Only one of latitude and longitude is set."""

    code = "incomplete_coordinates"
    title = "Only one of latitude and longitude is given."
    advice = "Send both, or neither."


@dataclass(frozen=True, slots=True)
class Chain:
    """Public information about the chain."""

    name: str
    description: str
    email: str | None
    phone: str | None
    social_links: Mapping[str, str]
    currency: str


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the map, in degrees."""

    latitude: Decimal
    longitude: Decimal


def check_coordinates(latitude: object | None, longitude: object | None) -> None:
    """Raise IncompleteCoordinatesError if only one of them is None."""
    if (latitude is None) != (longitude is None):
        raise IncompleteCoordinatesError
