"""Every SELECT about carts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import bindparam, select

from crema.cart import domain
from crema.cart.domain import Choice, PricedItem, StoredItem
from crema.cart.models import Cart, CartItem
from crema.core.errors import NotFoundError
from crema.db import versions
from crema.db.statement import Executor, Statement
from crema.menu import queries as menu
from crema.menu.domain import CHAIN, Offer, offer_of
from crema.menu.models import Product
from crema.shops.models import Shop


@dataclass(frozen=True, slots=True)
class CartView:
    """A cart without its items."""

    id: UUID
    shop_id: UUID | None
    updated_at: datetime
    version: str


@dataclass(frozen=True, slots=True)
class PricedCart:
    """A cart as its owner sees it."""

    id: UUID
    shop_id: UUID | None
    items: list[PricedItem]
    currency: str
    updated_at: datetime
    version: str

    @property
    def subtotal(self) -> Decimal:
        """The total of the lines that can be sold."""
        return domain.subtotal(self.items)

    @property
    def discount(self) -> Decimal:
        """Always zero: there are no promotions yet."""
        return Decimal(0)

    @property
    def total(self) -> Decimal:
        """The amount to be paid."""
        return self.subtotal - self.discount


ITEM_COLUMNS: Final = (
    CartItem.id,
    CartItem.product_id,
    CartItem.size_id,
    CartItem.size_name,
    CartItem.options,
    CartItem.note,
    CartItem.quantity,
)
_THIS_CART: Final = CartItem.cart_id == bindparam("cart_id")
_ITEM: Final = Statement(select(*ITEM_COLUMNS).where(_THIS_CART, CartItem.id == bindparam("item_id")))
_ITEMS: Final = Statement(select(*ITEM_COLUMNS).where(_THIS_CART).order_by(CartItem.id))
_PRICED_ITEMS: Final = Statement(
    select(*ITEM_COLUMNS, *menu.PRICING_COLUMNS)
    .join(Product, Product.id == CartItem.product_id)
    .where(_THIS_CART)
    .order_by(CartItem.id)
)
CART_COLUMNS: Final = (Cart.id, Cart.shop_id, Cart.updated_at, versions.COLUMN)
_CART: Final = Statement(select(*CART_COLUMNS).where(Cart.user_id == bindparam("user_id")))


async def find_cart(db: Executor, user_id: UUID) -> CartView | None:
    """Return a person's cart, or None if they have none yet."""
    row = await _CART.row(db, user_id=user_id)
    return None if row is None else cart_of_row(row[:4], user_id=user_id)


def cart_of_row(row: Sequence[Any], *, user_id: UUID) -> CartView:
    """Return the cart of a row of `CART_COLUMNS`."""
    id_, shop_id, updated_at, version = row
    return CartView(id_, shop_id, updated_at, versions.name(version, user_id))


async def price_cart(db: Executor, *, cart: CartView, currency: str, now: datetime) -> PricedCart:
    """Return the cart's lines at the prices of its shop now; without a shop, at those of the chain's menu.

    It takes one statement, one more if there is a shop, and one more if something is hidden.
    """
    rows = await _PRICED_ITEMS.rows(db, cart_id=cart.id)
    products = await menu.add_hiding_categories(db, menu.pricing_products(rows))
    differences = CHAIN
    if cart.shop_id is not None and products:
        differences = await menu.get_differences(db, shop_id=cart.shop_id, product_ids=products.keys())
    offers = {product_id: offer_of(product, differences) for product_id, product in products.items()}
    return PricedCart(
        id=cart.id,
        shop_id=cart.shop_id,
        items=domain.price_items([stored_item(row) for row in rows], offers, at=now),
        currency=currency,
        updated_at=cart.updated_at,
        version=cart.version,
    )


_SHOP_OF_CART: Final = select(Cart.shop_id).where(Cart.user_id == bindparam("user_id")).scalar_subquery()
_OFFERS_FOR_CART: Final = Statement(
    select(
        menu.PRICING_ROWS.label("products"),
        select(menu.DIFFERENCES).where(Shop.id == _SHOP_OF_CART).scalar_subquery().label("differences"),
    )
)


async def find_offer(db: Executor, *, user_id: UUID, product_id: UUID) -> Offer | None:
    """Return what is offered of a product where the person's cart is to be picked up, archived or not."""
    row = await _OFFERS_FOR_CART.one(db, user_id=user_id, product_ids=[product_id])
    return (await menu.offers_of(db, row)).get(product_id)


async def get_item(db: Executor, *, cart_id: UUID, item_id: UUID) -> StoredItem:
    """Return a line of this cart; NotFoundError if it is not in this cart."""
    row = await _ITEM.row(db, cart_id=cart_id, item_id=item_id)
    if row is None:
        raise NotFoundError
    return stored_item(row)


async def list_items(db: Executor, *, cart_id: UUID) -> list[StoredItem]:
    """Return the lines of a cart."""
    return [stored_item(row) for row in await _ITEMS.rows(db, cart_id=cart_id)]


def stored_item(row: asyncpg.Record) -> StoredItem:
    """Return the item of a row that begins with `ITEM_COLUMNS`."""
    id_, product_id, size_id, size_name, options, note, quantity, *_ = row
    choices = tuple(
        Choice(UUID(choice["option_id"]), choice["quantity"], choice["name"], choice["group"]) for choice in options
    )
    return StoredItem(id_, product_id, size_id, size_name, choices, note, quantity)
