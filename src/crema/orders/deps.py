"""Dependencies of the orders' routes."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from crema.orders.domain import OrderSettings
from crema.orders.hub import OrderFeed
from crema.orders.models import Order
from crema.web.preconditions import Versioned
from crema.web.state import state_of

ORDER: Final = Versioned(Order.id, "order_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class OrdersState:
    """What the application holds for orders."""

    settings: OrderSettings
    feed: OrderFeed


async def _settings(request: Request) -> OrderSettings:
    return state_of(request.app, OrdersState).settings


OrderSettingsDep = Annotated[OrderSettings, Depends(_settings)]
