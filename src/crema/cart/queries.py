"""Every SELECT about carts."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.cart import domain
from crema.cart.domain import Choice, PricedItem
from crema.cart.models import Cart, CartItem
from crema.core.errors import NotFoundError
from crema.menu import queries as menu


@dataclass(frozen=True, slots=True)
class PricedCart:
    """A cart as its owner sees it."""

    id: UUID
    shop_id: UUID | None
    items: list[PricedItem]
    currency: str
    updated_at: datetime

    @property
    def subtotal(self) -> Decimal:
        """Sum what can be sold."""
        return domain.subtotal(self.items)

    @property
    def discount(self) -> Decimal:
        """Nothing yet: promotions bring it."""
        return Decimal(0)

    @property
    def total(self) -> Decimal:
        """What would be paid."""
        return self.subtotal - self.discount


_ITEMS: Final = select(CartItem).where(CartItem.cart_id == bindparam("cart_id")).order_by(CartItem.id)


async def price_cart(session: AsyncSession, *, cart: Cart, currency: str) -> PricedCart:
    """Read the cart's lines and price them against today's menu."""
    items = (await session.scalars(_ITEMS, {"cart_id": cart.id})).all()
    products = await menu.load_for_pricing(session, {item.product_id for item in items})
    return PricedCart(
        id=cart.id,
        shop_id=cart.shop_id,
        items=[
            domain.price_item(
                products[item.product_id],
                item_id=item.id,
                size_id=item.size_id,
                choices=choices_of(item),
                note=item.note,
                quantity=item.quantity,
            )
            for item in items
        ],
        currency=currency,
        updated_at=cart.updated_at,
    )


async def get_item(session: AsyncSession, *, cart_id: UUID, item_id: UUID) -> CartItem:
    """Find a line of this cart, and of no other."""
    item = await session.scalar(select(CartItem).where(CartItem.id == item_id, CartItem.cart_id == cart_id))
    if item is None:
        raise NotFoundError
    return item


def choices_of(item: CartItem) -> tuple[Choice, ...]:
    """Read the stored choices."""
    return tuple(Choice(UUID(choice["option_id"]), choice["quantity"]) for choice in item.options)
