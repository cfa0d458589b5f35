"""Every change to a cart. Writers of one cart take turns on its row."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, delete, func, inspect, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.cart import domain, queries
from crema.cart.domain import MAX_LINES, MAX_QUANTITY, Choice, ItemUnavailableError
from crema.cart.models import Cart, CartItem
from crema.cart.queries import OpenCart, StoredItem
from crema.cart.schemas import AddToCart, ChangeItem
from crema.core.errors import ConflictError, InvalidError, NotFoundError
from crema.db.base import new_id
from crema.db.statement import Statement
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


async def open_cart(session: AsyncSession, *, user_id: UUID, now: datetime) -> OpenCart:
    """Give the person's cart, made at first use."""
    return await queries.find_cart(session, user_id) or await _lock_cart(session, user_id=user_id, now=now)


_LOCK: Final = Statement(
    insert(Cart)
    .values(
        id=bindparam("new_id"),
        user_id=bindparam("owner_id"),
        created_at=bindparam("now"),
        updated_at=bindparam("now"),
    )
    .on_conflict_do_update(index_elements=["user_id"], set_={"updated_at": bindparam("now")})
    .returning(Cart.id, Cart.shop_id, Cart.updated_at)
)


async def _lock_cart(session: AsyncSession, *, user_id: UUID, now: datetime) -> OpenCart:
    """Give the person's cart, made at need, its row locked until the transaction ends."""
    (row,) = await _LOCK.rows(session, new_id=new_id(), owner_id=user_id, now=now)
    return OpenCart(*row)


async def add(session: AsyncSession, *, user_id: UUID, wanted: AddToCart, now: datetime) -> OpenCart:
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


async def change(
    session: AsyncSession, *, user_id: UUID, item_id: UUID, changes: ChangeItem, now: datetime
) -> OpenCart:
    """Change one item; when it becomes equal to another, the two merge."""
    cart = await _lock_cart(session, user_id=user_id, now=now)
    item = await queries.get_item(session, cart_id=cart.id, item_id=item_id)
    product = await _orderable(session, item.product_id)

    sent = changes.changes()
    choices = domain.complete(product, changes.choices()) if "options" in sent else item.choices
    size_id = sent.get("size_id", item.size_id)
    configured = domain.configure(product, size_id=size_id, choices=choices)

    await _DELETE.rows(session, item_id=item.id)
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
    if not product.is_active:
        raise ItemUnavailableError(f"{product.name} is off the menu.")
    return product


_ROW: Final = insert(CartItem).values({name: bindparam(name) for name, _ in inspect(CartItem).columns.items()})
_GROWN: Final = CartItem.quantity + _ROW.excluded.quantity
_PUT: Final = Statement(
    _ROW.on_conflict_do_update(
        index_elements=["cart_id", "configuration"], set_={"quantity": _GROWN}, where=_GROWN <= MAX_QUANTITY
    ).returning(CartItem.id)
)
_COUNT: Final = Statement(select(func.count()).where(CartItem.cart_id == bindparam("cart_id")))
_DELETE: Final = Statement(delete(CartItem).where(CartItem.id == bindparam("item_id")))


async def _put(  # noqa: PLR0913 - a line of a cart has this many parts
    session: AsyncSession,
    *,
    cart: OpenCart,
    product_id: UUID,
    size_id: UUID | None,
    choices: Sequence[Choice],
    note: str,
    quantity: int,
    now: datetime,
    item_id: UUID | None = None,
) -> None:
    placed = await _PUT.row(
        session,
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
    if placed is None:
        raise QuantityLimitError
    ((lines,),) = await _COUNT.rows(session, cart_id=cart.id)
    if lines > MAX_LINES:
        raise CartFullError


def stored(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Write choices as JSON."""
    return [{"option_id": str(choice.option_id), "quantity": choice.quantity} for choice in choices]


async def remove(session: AsyncSession, *, user_id: UUID, item_id: UUID, now: datetime) -> None:
    """Take one item out."""
    cart = await _lock_cart(session, user_id=user_id, now=now)
    item = await queries.get_item(session, cart_id=cart.id, item_id=item_id)
    await _DELETE.rows(session, item_id=item.id)


async def clear(session: AsyncSession, *, user_id: UUID, now: datetime) -> None:
    """Take everything out."""
    cart = await _lock_cart(session, user_id=user_id, now=now)
    await session.execute(delete(CartItem).where(CartItem.cart_id == cart.id))


async def choose_shop(session: AsyncSession, *, user_id: UUID, shop_id: UUID | None, now: datetime) -> OpenCart:
    """Say where the order is to be picked up."""
    if shop_id is not None:
        await shops.get_active_shop(session, shop_id)
    cart = await _lock_cart(session, user_id=user_id, now=now)
    await session.execute(update(Cart).where(Cart.id == cart.id).values(shop_id=shop_id))
    return replace(cart, shop_id=shop_id)


_MINE: Final = select(Cart.id, Cart.shop_id).where(Cart.user_id == bindparam("user_id")).with_for_update().cte("mine")
_TAKE: Final = Statement(
    delete(CartItem).where(CartItem.cart_id == _MINE.c.id).returning(*queries.ITEM_COLUMNS, _MINE.c.shop_id)
)


async def take(session: AsyncSession, *, user_id: UUID) -> tuple[list[StoredItem], UUID | None]:
    """Empty the cart and give what was in it, and its shop.

    One statement, so that two orders never take the same item: a rival waits on the cart's row, then finds the lines
    gone and gets none. Should the caller's transaction fail, everything is back.
    """
    rows = await _TAKE.rows(session, user_id=user_id)
    items = sorted(map(queries.stored_item, rows), key=attrgetter("id"))
    return items, rows[0]["shop_id"] if rows else None
