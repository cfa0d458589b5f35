"""Dependencies of the cart's routes."""

from typing import Annotated, Final

from fastapi import Depends, Request

from crema.cart.models import Cart
from crema.web.preconditions import Versioned

CART: Final = Versioned(Cart.user_id)


async def _currency(request: Request) -> str:
    currency: str = request.app.state.chain.currency
    return currency


Currency = Annotated[str, Depends(_currency)]
