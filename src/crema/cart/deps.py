"""What the cart's routes take from the application."""

from typing import Annotated

from fastapi import Depends, Request


async def _currency(request: Request) -> str:
    currency: str = request.app.state.chain.currency
    return currency


Currency = Annotated[str, Depends(_currency)]
