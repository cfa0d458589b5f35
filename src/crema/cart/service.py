"""Every change to a cart. A change locks the cart's row, so that changes of one cart run one after another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Final
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import bindparam, delete, inspect, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.cart import domain, queries
from crema.cart.domain import (
    MAX_LINES,
    MAX_QUANTITY,
    Choice,
    Configured,
    ItemUnavailableError,
    LineRequest,
    PricedItem,
    Problem,
    ProblemCode,
    StoredItem,
)
from crema.cart.models import Cart, CartItem
from crema.cart.queries import CartView, PricedCart
from crema.cart.schemas import AddToCart, ChangeItem
from crema.core.errors import ConflictError, InvalidError, UnknownReferenceError, referred_to
from crema.db import versions
from crema.db.base import new_id
from crema.db.statement import Executor, Statement
from crema.menu import queries as menu
from crema.schemas import value_or
from crema.shops import queries as shops


class QuantityLimitError(InvalidError):
    """A cart takes no more of one configuration."""

    code = "quantity_limit"
    title = f"A cart takes at most {MAX_QUANTITY} of one item."
    advice = "Lower the quantity."


class CartFullError(ConflictError):
    """A cart takes no more different items."""

    code = "cart_full"
    title = f"A cart takes at most {MAX_LINES} different items."
    advice = "Remove an item first."


@dataclass(frozen=True, slots=True)
class SkippedItem:
    """Pieces of the line at `index` that were not put into the cart, and all problems of the line."""

    index: int
    quantity: int
    problems: tuple[Problem, ...]

    @property
    def reason(self) -> str:
        """The text of the first problem."""
        return self.problems[0].detail


_NO_ROOM: Final = Problem(ProblemCode.CART_FULL, CartFullError.title)
_TOO_MANY: Final = Problem(ProblemCode.QUANTITY_LIMIT, QuantityLimitError.title)


async def get_or_create_cart(db: Executor, *, user_id: UUID, now: datetime) -> CartView:
    """Return the person's cart, which is created if there is none."""
    return await queries.find_cart(db, user_id) or await _lock_cart(db, user_id=user_id, now=now)


_UPSERT_CART: Final = (
    insert(Cart)
    .values(
        id=bindparam("new_id"),
        user_id=bindparam("owner_id"),
        created_at=bindparam("now"),
        updated_at=bindparam("now"),
    )
    .on_conflict_do_update(index_elements=["user_id"], set_={"updated_at": bindparam("now")})
    .returning(*queries.CART_COLUMNS)
)
_LOCK_CART: Final = Statement(_UPSERT_CART)


async def _lock_cart(db: Executor, *, user_id: UUID, now: datetime) -> CartView:
    """Lock and return the person's cart, which is created if there is none."""
    await versions.check(db, key=Cart.user_id, value=user_id)
    (row,) = await _LOCK_CART.rows(db, new_id=new_id(), owner_id=user_id, now=now)
    return queries.cart_of_row(row, user_id=user_id)


async def add(db: Executor, *, user_id: UUID, wanted: AddToCart, currency: str, now: datetime) -> PricedCart:
    """Put a configured product into the cart, and return the cart. An equal item that is there already grows.

    A product that isn't available now, but will be later, is added and marked.
    """
    offer = await queries.find_offer(db, user_id=user_id, product_id=wanted.product_id)
    if offer is None or offer.product.is_archived:
        raise UnknownReferenceError([("product_id",)])
    configured = domain.configure(
        offer, size_id=wanted.size_id, choices=wanted.choices(), at=now, quantity=wanted.quantity
    )
    item = _stored_item(configured, note=wanted.note, quantity=wanted.quantity)
    return await _upsert_and_price(db, item, user_id=user_id, currency=currency, now=now)


def _stored_item(configured: Configured, *, note: str, quantity: int, item_id: UUID | None = None) -> StoredItem:
    return StoredItem(
        item_id or new_id(),
        configured.product.id,
        configured.size_id,
        configured.size.name if configured.size else None,
        configured.choices,
        note,
        quantity,
    )


async def add_lines(
    db: Executor, *, user_id: UUID, wanted: Sequence[LineRequest], currency: str, now: datetime
) -> tuple[PricedCart, list[SkippedItem]]:
    """Put stored lines into the cart as they are, and return the cart and what was left out.

    Lines that can't be sold or don't fit into the cart are left out.
    """
    cart = await _lock_cart(db, user_id=user_id, now=now)
    priced = await queries.price_cart(db, cart=cart, currency=currency, now=now)
    quantities = {_digest(item): item.quantity for item in priced.items}
    offers = await menu.load_offers(db, {line.product_id for line in wanted}, shop_id=cart.shop_id)
    skipped = []
    is_changed = False
    for index, line in enumerate(wanted):
        offer = offers.get(line.product_id)
        if offer is None:
            gone = Problem(ProblemCode.OFF_MENU, "This product is off the menu.")
            skipped.append(SkippedItem(index, line.quantity, (gone,)))
            continue
        configured, problems = domain.assess_line(offer, line, at=now)
        if problems:
            skipped.append(SkippedItem(index, line.quantity, problems))
            continue
        present = quantities.get(digest := _digest(line), 0)
        fits = min(line.quantity, MAX_QUANTITY - present)
        if not present and len(quantities) == MAX_LINES:
            skipped.append(SkippedItem(index, line.quantity, (_NO_ROOM,)))
            continue
        if fits < line.quantity:
            skipped.append(SkippedItem(index, line.quantity - fits, (_TOO_MANY,)))
        if fits:
            item = _stored_item(configured, note=line.note, quantity=fits)
            cart = await _upsert_item(db, item, user_id=user_id, now=now)
            is_changed = True
            quantities[digest] = present + fits
    if is_changed:
        priced = await _price_within_limits(db, cart, currency=currency, now=now)
    return priced, skipped


async def change(
    db: Executor, *, user_id: UUID, item_id: UUID, changes: ChangeItem, currency: str, now: datetime
) -> PricedCart:
    """Change one item, and return the cart. If the item becomes equal to another one, the two are merged.

    Options that are sent are a new choice, which is completed with the defaults. What isn't sent stays as it was
    chosen; if that can't be sold any more, ItemUnavailableError is raised.
    """
    cart = await _lock_cart(db, user_id=user_id, now=now)
    item = await queries.get_item(db, cart_id=cart.id, item_id=item_id)
    offer = (await menu.load_offers(db, {item.product_id}, shop_id=cart.shop_id))[item.product_id]
    quantity = value_or(changes.quantity, item.quantity)

    size_id, choices = item.size_id, item.choices
    if changes.size_id is not MISSING:
        size_id = domain.with_default_size(offer.product, changes.size_id)
    if changes.options is not MISSING:
        choices = domain.with_default_choices(offer.product, changes.choices())
        domain.check_choices(choices)
    configured, problems = domain.assess(offer, size_id=size_id, choices=choices, at=now, pieces=quantity)
    if domain.lasting(problems):
        items = (await queries.price_cart(db, cart=cart, currency=currency, now=now)).items
        line = next(place for place, each in enumerate(items) if each.id == item.id)
        if chosen := [problem for problem in problems if _is_about(problem, changes)]:
            raise domain.refusal_of(
                chosen, choices=changes.choices(), line=line, product_id=item.product_id, item_id=item.id
            )
        told = [problem.of_line(line, product_id=item.product_id, item_id=item.id) for problem in problems]
        raise ItemUnavailableError(problems[0].detail, problems=told)

    await _DELETE.rows(db, item_id=item.id)
    changed = _stored_item(
        configured,
        note=value_or(changes.note, item.note),
        quantity=quantity,
        item_id=item.id,
    )
    return await _upsert_and_price(db, changed, user_id=user_id, currency=currency, now=now)


def _is_about(problem: Problem, changes: ChangeItem) -> bool:
    """Return whether a problem is about what was chosen just now, not about what was stored."""
    if problem.code in domain.OF_AVAILABILITY and problem.group is None:
        return False
    return (changes.size_id if problem.code in domain.SIZE_PROBLEMS else changes.options) is not MISSING


def _digest(line: StoredItem | LineRequest | PricedItem) -> str:
    return domain.digest(product_id=line.product_id, size_id=line.size_id, choices=line.choices or (), note=line.note)


_LOCKED_CART: Final = _UPSERT_CART.cte("cart")
_ITEM_COLUMNS: Final = {name: column for name, column in inspect(CartItem).columns.items() if name != "cart_id"}
_INSERT_ITEM: Final = insert(CartItem).from_select(
    ["cart_id", *_ITEM_COLUMNS],
    select(
        _LOCKED_CART.c.id, *(bindparam(f"item_{name}", type_=column.type) for name, column in _ITEM_COLUMNS.items())
    ),
)
_NEW_QUANTITY: Final = CartItem.quantity + _INSERT_ITEM.excluded.quantity
_UPSERTED: Final = (
    _INSERT_ITEM.on_conflict_do_update(
        index_elements=["cart_id", "configuration"],
        set_={"quantity": _NEW_QUANTITY},
        where=_NEW_QUANTITY <= MAX_QUANTITY,
    )
    .returning(CartItem.id)
    .cte("item")
)
_UPSERT_ITEM: Final = Statement(
    select(_LOCKED_CART, _UPSERTED.c.id.label("item_id")).select_from(_LOCKED_CART.outerjoin(_UPSERTED, true()))
)
_DELETE: Final = Statement(delete(CartItem).where(CartItem.id == bindparam("item_id")))


async def _upsert_and_price(
    db: Executor, item: StoredItem, *, user_id: UUID, currency: str, now: datetime
) -> PricedCart:
    cart = await _upsert_item(db, item, user_id=user_id, now=now)
    return await _price_within_limits(db, cart, currency=currency, now=now)


async def _upsert_item(db: Executor, item: StoredItem, *, user_id: UUID, now: datetime) -> CartView:
    """Lock the person's cart and put a line into it, in one statement."""
    (row,) = await _UPSERT_ITEM.rows(
        db,
        new_id=new_id(),
        owner_id=user_id,
        now=now,
        item_id=item.id,
        item_product_id=item.product_id,
        item_size_id=item.size_id,
        item_size_name=item.size_name,
        item_options=choices_json(item.choices),
        item_note=item.note,
        item_quantity=item.quantity,
        item_configuration=_digest(item),
        item_created_at=now,
    )
    *cart, placed = row
    if placed is None:
        raise QuantityLimitError
    return queries.cart_of_row(cart, user_id=user_id)


async def _price_within_limits(db: Executor, cart: CartView, *, currency: str, now: datetime) -> PricedCart:
    priced = await queries.price_cart(db, cart=cart, currency=currency, now=now)
    if len(priced.items) > MAX_LINES:
        raise CartFullError
    return priced


def choices_json(choices: Sequence[Choice]) -> list[dict[str, str | int]]:
    """Return choices as JSON."""
    return [
        {"option_id": str(choice.option_id), "quantity": choice.quantity, "name": choice.name, "group": choice.group}
        for choice in choices
    ]


async def remove(db: Executor, *, user_id: UUID, item_id: UUID, now: datetime) -> None:
    """Remove an item."""
    cart = await _lock_cart(db, user_id=user_id, now=now)
    item = await queries.get_item(db, cart_id=cart.id, item_id=item_id)
    await _DELETE.rows(db, item_id=item.id)


async def clear(session: AsyncSession, *, user_id: UUID, now: datetime) -> None:
    """Remove all items."""
    cart = await _lock_cart(session, user_id=user_id, now=now)
    await session.execute(delete(CartItem).where(CartItem.cart_id == cart.id))


async def choose_shop(session: AsyncSession, *, user_id: UUID, shop_id: UUID | None, now: datetime) -> CartView:
    """Set the shop where the order will be picked up."""
    if shop_id is not None:
        with referred_to("shop_id"):
            await shops.get_active_shop(session, shop_id)
    cart = await _lock_cart(session, user_id=user_id, now=now)
    await session.execute(update(Cart).where(Cart.id == cart.id).values(shop_id=shop_id))
    return replace(cart, shop_id=shop_id)


_OWN_CART: Final = (
    select(Cart.id, Cart.shop_id).where(Cart.user_id == bindparam("user_id")).with_for_update().cte("own_cart")
)
_EMPTY: Final = Statement(
    delete(CartItem).where(CartItem.cart_id == _OWN_CART.c.id).returning(*queries.ITEM_COLUMNS, _OWN_CART.c.shop_id)
)


async def empty_and_return(db: Executor, *, user_id: UUID) -> tuple[list[StoredItem], UUID | None]:
    """Empty the cart and return its items and its shop.

    It is one statement, so that two orders never contain the same item: the second order waits for the cart's row, and
    then finds no items. If the caller's transaction fails, the items stay.
    """
    rows = await _EMPTY.rows(db, user_id=user_id)
    items = sorted(map(queries.stored_item, rows), key=attrgetter("id"))
    return items, rows[0]["shop_id"] if rows else None
