"""Dependencies of the orders' routes."""

from typing import Annotated, Final

from fastapi import Depends, Request

from crema.orders.domain import OrderSettings
from crema.orders.models import Order
from crema.web.preconditions import Versioned

ORDER: Final = Versioned(Order.id, "order_id")


async def _settings(request: Request) -> OrderSettings:
    settings: OrderSettings = request.app.state.order_settings
    return settings


OrderSettingsDep = Annotated[OrderSettings, Depends(_settings)]
