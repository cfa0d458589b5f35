"""What the orders' routes take from the application."""

from typing import Annotated

from fastapi import Depends, Request

from crema.orders.service.placing import Rules


async def _rules(request: Request) -> Rules:
    rules: Rules = request.app.state.order_rules
    return rules


OrderRules = Annotated[Rules, Depends(_rules)]
