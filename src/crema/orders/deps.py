"""What the orders' routes take from the application."""

from typing import Annotated, Final

from fastapi import Depends, Request

from crema.orders.models import Order
from crema.orders.service.placing import Rules
from crema.web.preconditions import Versioned

ORDER: Final = Versioned(Order.id, "order_id")


async def _rules(request: Request) -> Rules:
    rules: Rules = request.app.state.order_rules
    return rules


OrderRules = Annotated[Rules, Depends(_rules)]
