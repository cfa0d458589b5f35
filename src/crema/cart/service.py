"""Every change to a cart. Writers of one cart take turns on its row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.cart import domain, queries
from crema.cart.domain import MAX_LINES, MAX_QUANTITY, Choice, ItemUnavailableError
from crema.cart.models import Cart, CartItem
from crema.cart.schemas import AddToCart, ChangeItem
from crema.core.errors import ConflictError, InvalidError, NotFoundError
from crema.db.base import new_id
from crema.menu import queries as menu
from crema.menu.domain import PricedProduct
from crema.shops import queries as shops


class QuantityLimitError(InvalidError):
    """More of one configuration than a cart takes."""

    code = "quantity_limit"
    title = f"At most {MAX_QUANTITY} of one item."


class CartFullError(ConflictError):
    """More different items than a cart takes."""

    code = "cart_full"
    title = f"A cart takes at most {MAX_LINES} different items."


@dataclass(frozen=True, slots=True)
class TakenItem:
    """A line that has left its cart to become an order's."""

    product_id: UUID
    size_id: UUID | None
    choices: tuple[Choice, ...]
    note: str
    quantity: int
    cart_shop_id: UUID | None


async def open_cart(session: AsyncSession, *, user_id: UUID, now: datetime) -> Cart:
    """Give the person's cart, made at first use."""
    cart = await session.scalar(select(Cart).where(Cart.user_id == user_id))
    return cart or await _lock_cart(session, user_id=user_id, now=now)


async def _lock_cart(session: AsyncSession, *, user_id: UUID, now: datetime) -> Cart:
    """Give the person's cart, made at need, its row locked until the transaction ends."""
    statement = (
        insert(Cart)
        .values(id=new_id(), user_id=user_id, created_at=now, updated_at=now)
        .on_conflict_do_update(index_elements=["user_id"], set_={"updated_at": now})
        .returning(Cart)
    )
    return (await session.scalars(statement, execution_options={"populate_existing": True})).one()


async def add(session: AsyncSession, *, user_id: UUID, wanted: AddToCart, now: datetime) -> Cart:
    """Put a configured product into the cart; an equal one that is there already grows."""
    product = await _orderable(session, wanted.product_id)
    choices = domain.complete(product, wanted.choices())
    configured = domain.configure(product, size_id=wanted.size_id, choices=choices)

    cart = await _lock_cart(session, user_id=user_id, now=now)
    await _put(
        session,
        cart=cart,
        product_id=product.id,
        size_id=configured.size.id if configured.size else None,
        choices=choices,
        note=wanted.note,
        quantity=wanted.quantity,
        now=now,
    )
    return cart


async def change(session: AsyncSession, *, user_id: UUID, item_id: UUID, changes: ChangeItem, now: datetime) -> Cart:
    """Change one item; when it becomes equal to another, the two merge."""
    cart = await _lock_cart(session, user_id=user_id, now=now)
    item = await queries.get_item(session, cart_id=cart.id, item_id=item_id)
    product = await _orderable(session, item.product_id)

    sent = changes.changes()
    choices = domain.complete(product, changes.choices()) if "options" in sent else queries.choices_of(item)
    size_id = sent.get("size_id", item.size_id)
    configured = domain.configure(product, size_id=size_id, choices=choices)

    await session.delete(item)
    await session.flush()
    await _put(
        session,
        cart=cart,
        item_id=item.id,
        product_id=product.id,
        size_id=configured.size.id if configured.size else None,
        choices=choices,
        note=sent.get("note", item.note),
        quantity=sent.get("quantity", item.quantity),
        now=now,
    )
    return cart


async def _orderable(session: AsyncSession, product_id: UUID) -> PricedProduct:
    product = (await menu.load_for_pricing(session, {product_id})).get(product_id)
    if product is None or product.is_archived:
        raise NotFoundError
    if not product.is_available:
        raise ItemUnavailableError(f"{product.name} is off the menu.")
    return product


async def _put(  # noqa: PLR0913 - a line of a cart has this many parts
    session: AsyncSession,
    *,
    cart: Cart,
    product_id: UUID,
    size_id: UUID | None,
    choices: Sequence[Choice],
    note: str,
    quantity: int,
    now: datetime,
    item_id: UUID | None = None,
) -> None:
    row = insert(CartItem).values(
        id=item_id or new_id(),
        cart_id=cart.id,
        product_id=product_id,
        size_id=size_id,
        options=stored(choices),
        note=note,
        quantity=quantity,
        configuration=domain.digest(product_id=product_id, size_id=size_id, choices=choices, note=note),
        created_at=now,
    )
    grown = CartItem.quantity + row.excluded.quantity
    placed = await session.scalar(
        row.on_conflict_do_update(
            index_elements=["cart_id", "configuration"], set_={"quantity": grown}, where=grown <= MAX_QUANTITY
        ).returning(CartItem.id)
    )
    if placed is None:
        raise QuantityLimitError
    lines = await session.scalar(select(func.count()).where(CartItem.cart_id == cart.id))
    if lines is not None and lines > MAX_LINES:
        raise CartFullError


def stored(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Write choices as JSON."""
    return [{"option_id": str(choice.option_id), "quantity": choice.quantity} for choice in choices]


async def remove(session: AsyncSession, *, user_id: UUID, item_id: UUID, now: datetime) -> None:
    """Take one item out."""
    cart = await _lock_cart(session, user_id=user_id, now=now)
    await session.delete(await queries.get_item(session, cart_id=cart.id, item_id=item_id))
    await session.flush()


async def clear(session: AsyncSession, *, user_id: UUID, now: datetime) -> None:
    """Take everything out."""
    cart = await _lock_cart(session, user_id=user_id, now=now)
    await session.execute(delete(CartItem).where(CartItem.cart_id == cart.id))


async def choose_shop(session: AsyncSession, *, user_id: UUID, shop_id: UUID | None, now: datetime) -> Cart:
    """Say where the order is to be picked up."""
    if shop_id is not None:
        await shops.get_active_shop(session, shop_id)
    cart = await _lock_cart(session, user_id=user_id, now=now)
    cart.shop_id = shop_id
    await session.flush()
    return cart


async def take(session: AsyncSession, *, user_id: UUID) -> list[TakenItem]:
    """Empty the cart and give what was in it: one statement, so that two orders never take the same item.

    A rival waits on the cart's row, then finds the lines gone and gets none. Should the caller's transaction
    fail, everything is back.
    """
    mine = select(Cart.id, Cart.shop_id).where(Cart.user_id == user_id).with_for_update().cte("mine")
    taken = delete(CartItem).where(CartItem.cart_id == mine.c.id).returning(CartItem, mine.c.shop_id)
    rows = (await session.execute(taken)).all()
    return [
        TakenItem(
            product_id=item.product_id,
            size_id=item.size_id,
            choices=queries.choices_of(item),
            note=item.note,
            quantity=item.quantity,
            cart_shop_id=shop_id,
        )
        for item, shop_id in sorted(rows, key=lambda row: row[0].id)
    ]
