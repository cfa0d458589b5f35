"""Who the chain is, and where its shops are."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from crema.core.errors import InvalidError

EARTH_RADIUS_M: Final = 6_371_008.8


class IncompleteCoordinatesError(InvalidError):
    """Only one of the two was given."""

    code = "incomplete_coordinates"
    title = "Give latitude and longitude both, or neither."


@dataclass(frozen=True, slots=True)
class Chain:
    """Who the chain is, for everyone to see."""

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
    """Refuse half a place."""
    if (latitude is None) != (longitude is None):
        raise IncompleteCoordinatesError
