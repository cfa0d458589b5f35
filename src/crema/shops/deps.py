"""The dependencies of the shops' routes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final

from fastapi import Depends, Query, Request
from pydantic import AfterValidator

from crema.accounts.deps import OptionalActor
from crema.shops.domain import Chain, Point
from crema.shops.models import Shop
from crema.shops.schemas import CalendarDay
from crema.shops.service import BeforeClosing, Closing
from crema.web.preconditions import Versioned
from crema.web.state import state_of

SHOP: Final = Versioned(Shop.id, "shop_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopsState:
    """What the application holds for the shops."""

    chain: Chain
    before_closing: Sequence[BeforeClosing]
    """What other features do before a shop closes."""


async def _chain(request: Request) -> Chain:
    return state_of(request.app, ShopsState).chain


async def _actor_permissions(actor: OptionalActor) -> frozenset[str]:
    """Return the permissions of the actor: none for anonymous requests and unverified accounts."""
    return actor.permissions if actor and actor.is_verified else frozenset()


MAX_LATITUDE: Final = 90
MAX_LONGITUDE: Final = 180
_NUMBER: Final = r"-?[0-9]{1,3}(?:\.[0-9]{1,15})?"


def _check_near(near: str) -> str:
    """Return a latitude and a longitude in degrees without spaces; ValueError for anything else."""
    text = near.replace(" ", "")
    if re.fullmatch(f"{_NUMBER},{_NUMBER}", text, re.ASCII):
        latitude, longitude = map(Decimal, text.split(","))
        if abs(latitude) <= MAX_LATITUDE and abs(longitude) <= MAX_LONGITUDE:
            return text
    raise ValueError("send latitude and longitude in degrees, such as 55.7512,37.6184")


async def _near(
    near: Annotated[
        Annotated[str, AfterValidator(_check_near)] | None,
        Query(
            description="`latitude,longitude`: adds `distance_m` and the order `distance`, which is then the default.",
            examples=["55.7512,37.6184"],
        ),
    ] = None,
) -> Point | None:
    if near is None:
        return None
    latitude, longitude = map(Decimal, near.split(","))
    return Point(latitude, longitude)


async def _closing(
    request: Request,
    force: Annotated[bool, Query(description="Cancel the orders in progress that the change closes out.")] = False,  # noqa: FBT002
) -> Closing:
    return Closing(state_of(request.app, ShopsState).before_closing, force)


SlotDate = Annotated[
    CalendarDay | None,
    Query(description="A day of the shop's calendar; left out: today.", examples=["2026-11-27"]),
]
ClosingSteps = Annotated[Closing, Depends(_closing)]
TheChain = Annotated[Chain, Depends(_chain)]
ActorPermissions = Annotated[frozenset[str], Depends(_actor_permissions)]
Near = Annotated[Point | None, Depends(_near)]
OpenNow = Annotated[bool | None, Query(description="Only shops that are open (or closed) at this moment.")]
