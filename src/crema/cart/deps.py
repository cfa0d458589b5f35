"""Dependencies of the cart's routes."""

from typing import Annotated, Final

from fastapi import Depends, Request

from crema.cart.models import Cart
from crema.shops.deps import ShopsState
from crema.web.preconditions import Versioned
from crema.web.state import state_of

CART: Final = Versioned(Cart.user_id)


async def _currency(request: Request) -> str:
    return state_of(request.app, ShopsState).chain.currency


Currency = Annotated[str, Depends(_currency)]
