"""Reads of orders, and the predicate of who sees which."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, get_args
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Integer,
    Numeric,
    Select,
    TableValuedAlias,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased, joinedload, selectinload

from crema.accounts.domain import Actor, Reach
from crema.accounts.models import User
from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db import versions
from crema.db.changes import changed_since
from crema.db.driver import Reader
from crema.db.listing import (
    BooleanField,
    ChoiceField,
    InstantField,
    IntegerField,
    JsonMembersField,
    Listing,
    ListQuery,
    ListStatement,
    Many,
    MoneyField,
    One,
    PhoneField,
    TextField,
    UuidField,
    json_elements,
    json_part,
    json_text,
)
from crema.db.statement import Executor, Statement, into
from crema.menu import queries as menu
from crema.menu.domain import ALLERGENS
from crema.orders.domain import LIMIT_PERIOD, READ_ORDERS, OrderContext, OrderShop, OrderStatus, OrderVersion
from crema.orders.models import IS_OPEN, Order, OrderEvent, OrderLine
from crema.orders.schemas import Comment, OrderNumber, OrderOut, PaymentStatus, Source
from crema.schemas import Line, Name
from crema.shops import queries as shops
from crema.shops.domain import LONGEST_SLOT
from crema.shops.models import Shop

_STATUSES: Final = [status.value for status in OrderStatus]


def _events(event: Any, changes: TableValuedAlias) -> Mapping[str, Any]:
    """Return the columns that are shown of an order's history."""
    was_somebody = event.actor_id.is_not(None)
    return {
        "status": ChoiceField(event.status, choices=_STATUSES),
        "from_status": ChoiceField(event.from_status, choices=_STATUSES, nullable=True),
        "actor.id": UuidField(event.actor_id, nullable=True),
        "actor.role": TextField(
            case((was_somebody, event.actor_role)), nullable=True, searched=False, example="barista"
        ),
        "reason": TextField(event.reason, nullable=True, example="закончилось молоко"),
        "changes": Many(
            changes,
            true(),
            {
                "field": TextField(json_text(changes.c.value, "field"), searched=False, example="pickup_at"),
                "before": TextField(json_text(changes.c.value, "before"), nullable=True, searched=False),
                "after": TextField(json_text(changes.c.value, "after"), nullable=True, searched=False),
            },
        ),
        "created_at": InstantField(event.created_at),
    }


_PastEvent: Final = aliased(OrderEvent)
_PAST_CHANGES: Final = json_elements(_PastEvent.changes, "past_change")
_OPTIONS: Final = json_elements(OrderLine.options, "line_option")
_CONTENTS: Final[ColumnElement[Any]] = OrderLine.contents.expression


_INGREDIENTS: Final = json_elements(json_part(_CONTENTS, "ingredients"), "line_ingredient")
_LINES: Final = Many(
    OrderLine,
    OrderLine.order_id == Order.id,
    {
        "id": UuidField(OrderLine.id, indexed=True),
        "product_id": UuidField(OrderLine.product_id, indexed=True),
        "name": TextField(OrderLine.name, indexed=True),
        "size.id": UuidField(cast(json_text(OrderLine.size, "id"), Uuid), nullable=True),
        "size.name": TextField(json_text(OrderLine.size, "name"), nullable=True, example="L"),
        "size.volume_ml": IntegerField(cast(json_text(OrderLine.size, "volume_ml"), Integer), nullable=True),
        "options": Many(
            _OPTIONS,
            true(),
            {
                "option_id": UuidField(cast(json_text(_OPTIONS.c.value, "option_id"), Uuid)),
                "name": TextField(json_text(_OPTIONS.c.value, "name"), example="Овсяное"),
                "group": TextField(json_text(_OPTIONS.c.value, "group"), example="Молоко"),
                "quantity": IntegerField(cast(json_text(_OPTIONS.c.value, "quantity"), Integer)),
                "price_delta": MoneyField(cast(json_text(_OPTIONS.c.value, "price_delta"), Numeric), signed=True),
                "price": MoneyField(cast(json_text(_OPTIONS.c.value, "price"), Numeric), signed=True),
            },
        ),
        "note": TextField(OrderLine.note, example="без крышки"),
        "quantity": IntegerField(OrderLine.quantity),
        "contents.allergens": JsonMembersField(json_part(_CONTENTS, "allergens"), choices=ALLERGENS, example="milk"),
        "contents.ingredients": Many(
            _INGREDIENTS,
            true(),
            {
                "id": UuidField(cast(json_text(_INGREDIENTS.c.value, "id"), Uuid)),
                "name": TextField(json_text(_INGREDIENTS.c.value, "name"), example="молоко"),
            },
        ),
        **{f"contents.{name}": field for name, field in menu.nutrition_fields(_CONTENTS, "nutrition").items()},
        "is_made": BooleanField(OrderLine.is_made),
        "unit_price": MoneyField(OrderLine.unit_price),
        "total": MoneyField(OrderLine.total),
    },
    search_text=OrderLine.search_text,
)
ORDERS: Final = Listing(
    name="Order",
    fields={
        "id": UuidField(Order.id, indexed=True),
        "number": TextField(Order.number, of=OrderNumber, indexed=True, example="A-042"),
        "status": ChoiceField(Order.status, choices=_STATUSES, indexed=True),
        "shop.id": UuidField(Order.shop_id, indexed=True),
        "shop": One(
            Shop,
            Shop.id == Order.shop_id,
            {
                "name": TextField(Shop.name, of=Name, example="Арбат"),
                "address": TextField(Shop.address, of=Line, example="Арбат"),
                "timezone": TextField(Shop.timezone, searched=False, example="Europe/Moscow"),
            },
        ),
        "source": ChoiceField(Order.source, choices=get_args(Source), indexed=True),
        "user_id": UuidField(Order.user_id, nullable=True, indexed=True),
        "pickup_name": TextField(Order.pickup_name, nullable=True, indexed=True, example="Аня"),
        "customer.id": UuidField(Order.user_id, nullable=True, permission=READ_ORDERS, indexed=True),
        "customer": One(
            User,
            User.id == Order.user_id,
            {
                "name": TextField(User.name, of=Name, nullable=True, indexed=True, example="Анна"),
                "phone": PhoneField(User.phone, nullable=True, indexed=True),
            },
            nullable=True,
            permission=READ_ORDERS,
        ),
        "customer_name": TextField(Order.customer_name, nullable=True, indexed=True, example="Анна"),
        "pickup_at": InstantField(Order.pickup_at, nullable=True, indexed=True),
        "is_asap": BooleanField(Order.pickup_at.is_(None)),
        "promised_at": InstantField(Order.ready_estimate_at, indexed=True),
        "start_at": InstantField(Order.start_at, indexed=True),
        "ready_estimate_at": InstantField(Order.ready_estimate_at, indexed=True),
        "lines": _LINES,
        "subtotal": MoneyField(Order.subtotal),
        "discount": MoneyField(Order.discount),
        "total": MoneyField(Order.total, indexed=True),
        "currency": TextField(Order.currency, searched=False, example="RUB"),
        "comment": TextField(Order.comment, of=Comment, indexed=True),
        "payment.method": ChoiceField(Order.payment_method, choices=["on_pickup"]),
        "payment.status": ChoiceField(Order.payment_status, choices=get_args(PaymentStatus), indexed=True),
        "promo_code": TextField(cast(null(), Text), nullable=True, searched=False, example="SUMMER"),
        "is_hidden": BooleanField(Order.hidden_at.is_not(None), example=False),
        "history": Many(_PastEvent, _PastEvent.order_id == Order.id, _events(_PastEvent, _PAST_CHANGES)),
        "created_at": InstantField(Order.created_at, indexed=True),
        "updated_at": InstantField(Order.updated_at, indexed=True),
    },
    older_names={"shop_id": "shop.id", "payment_status": "payment.status"},
    default_sort="-created_at",
    id_column=Order.id,
)

HISTORY: Final = Listing(
    name="OrderEvent",
    fields=_events(OrderEvent, json_elements(OrderEvent.changes.expression, "change")),
    default_sort="created_at",
    id_column=OrderEvent.id,
)

BOARD_LIMIT: Final = 500
"""So many orders of a board are shown: those that have to be begun first."""
RECENT: Final = timedelta(days=1)


# Who sees which orders. With the reader as parameters a statement is compiled once for each kind of reader.
_ME: Final = bindparam("me", type_=Uuid)
_MY_SHOPS: Final = bindparam("my_shops", type_=ARRAY(Uuid))


def _visible(
    reach: Reach, *, me: ColumnElement[UUID] = _ME, my_shops: ColumnElement[Sequence[UUID]] = _MY_SHOPS
) -> ColumnElement[bool]:
    own = Order.user_id == me
    if reach != "shops":
        return own if reach == "own" else Order.id.is_not(None)
    return or_(own, Order.shop_id == any_(cast(my_shops, ARRAY(Uuid))))


def _of_reader(actor: Actor) -> dict[str, Any]:
    return {"me": actor.user_id, "my_shops": list(actor.shop_ids)}


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """Return the predicate that an actor may see an order: `domain.may_see` in SQL."""
    my_shops = literal([*actor.shop_ids], ARRAY(Uuid))
    return _visible(actor.reach(READ_ORDERS), me=literal(actor.user_id, Uuid), my_shops=my_shops)


def _whole(statement: Select[Order]) -> Select[Order]:
    return statement.options(
        joinedload(Order.shop), joinedload(Order.customer), selectinload(Order.lines), selectinload(Order.history)
    )


async def get_order(session: AsyncSession, *, order_id: UUID, actor: Actor) -> Order:
    """Load a visible order whole, again from the database. NotFoundError for any other."""
    order = await session.scalar(
        _whole(select(Order).where(Order.id == order_id, visible_to(actor))),
        execution_options={"populate_existing": True},
    )
    if order is None:
        raise NotFoundError
    return order


async def get_own(session: AsyncSession, *, order_id: UUID, user_id: UUID) -> Order:
    """Load a person's own order without its lines. NotFoundError for any other."""
    order = await session.scalar(select(Order).where(Order.id == order_id, Order.user_id == user_id))
    if order is None:
        raise NotFoundError
    return order


async def find_of_customer(
    session: AsyncSession, *, actor: Actor, customer_id: UUID, order_id: UUID | None = None
) -> Order | None:
    """Return a customer's order, or their newest, without its lines, if the actor sees it as staff; else None."""
    statement = select(Order).where(Order.user_id == customer_id, visible_to(actor))
    if order_id is not None:
        statement = statement.where(Order.id == order_id)
    return await session.scalar(statement.order_by(Order.created_at.desc(), Order.id.desc()).limit(1))


async def list_open_for_update(session: AsyncSession, *, user_id: UUID) -> list[Order]:
    """Lock a person's orders in progress, by id, and load them with their shops."""
    statement = select(Order).where(Order.user_id == user_id, IS_OPEN).options(joinedload(Order.shop))
    statement = statement.order_by(Order.id).with_for_update(of=Order)
    return list(await session.scalars(statement, execution_options={"populate_existing": True}))


async def list_open_of_shop_for_update(session: AsyncSession, *, shop_id: UUID) -> list[Order]:
    """Lock a shop's orders in progress, by id, and load them with it and their lines."""
    statement = select(Order).where(Order.shop_id == shop_id, IS_OPEN)
    statement = statement.options(joinedload(Order.shop), selectinload(Order.lines))
    return list(await session.scalars(statement.order_by(Order.id).with_for_update(of=Order)))


async def get_order_for_update(session: AsyncSession, *, order_id: UUID, actor: Actor) -> Order:
    """Lock a visible order until the transaction ends, then load it whole."""
    locked = await session.scalar(
        select(Order.id).where(Order.id == order_id, visible_to(actor)).with_for_update(of=Order)
    )
    if locked is None:
        raise NotFoundError
    await versions.check(session, key=Order.id, value=order_id)
    return await get_order(session, order_id=order_id, actor=actor)


async def list_for_update(session: AsyncSession, *, order_ids: Collection[UUID], actor: Actor) -> list[Order]:
    """Lock those of these orders that are visible, by id, until the transaction ends, then load them whole."""
    locked = select(Order.id).where(Order.id.in_(order_ids), visible_to(actor))
    ids = list(await session.scalars(locked.order_by(Order.id).with_for_update(of=Order)))
    whole = _whole(select(Order).where(Order.id.in_(ids), visible_to(actor))).order_by(Order.id)
    return list(await session.scalars(whole, execution_options={"populate_existing": True}))


async def load_orders(session: AsyncSession, order_ids: Collection[UUID]) -> dict[UUID, Order]:
    """Load these orders whole, by id, whoever may see them."""
    orders = await session.scalars(_whole(select(Order).where(Order.id.in_(order_ids))))
    return {order.id: order for order in orders}


async def load_entries(session: AsyncSession, entry_ids: Collection[UUID]) -> dict[UUID, OrderEvent]:
    """Load these entries of orders' histories, by id."""
    entries = await session.scalars(select(OrderEvent).where(OrderEvent.id.in_(entry_ids)))
    return {entry.id: entry for entry in entries}


SHOP_VERSION: Final = cast(cast(literal_column("shops.xmin"), Text), BigInteger)
"""Which transaction wrote the shop last."""
_OPEN_ORDERS: Final = select(func.count()).where(Order.user_id == bindparam("user_id"), IS_OPEN).scalar_subquery()
_RECENT_ORDERS: Final = (
    select(func.row(func.count(), func.min(Order.created_at)))
    .where(Order.user_id == bindparam("user_id"), Order.created_at > bindparam("since"))
    .scalar_subquery()
)
_CONTEXT: Final = shops.ACTIVE.add_columns(
    SHOP_VERSION.label("shop_version"),
    _OPEN_ORDERS.label("open_orders"),
    _RECENT_ORDERS.label("recent_orders"),
    menu.PRICING_ROWS.label("products"),
    menu.DIFFERENCES.label("differences"),
    shops.USED_SECONDS.label("used"),
)
_CONTEXT_AT_SHOP: Final = Statement(_CONTEXT.where(Shop.id == bindparam("shop_id")))
_CONTEXT_AT_TWO_SHOPS: Final = Statement(_CONTEXT.limit(2))


async def find_order_context(
    db: Executor, *, shop_id: UUID | None, user_id: UUID | None, product_ids: Collection[UUID], now: datetime
) -> OrderContext | None:
    """Return the context for placing an order at a shop. A `shop_id` of None means the chain's only shop.

    The answer is None if there is no such shop, or no `shop_id` and several shops.
    """
    values = {
        "user_id": user_id,
        "product_ids": list(product_ids),
        "since": now - LIMIT_PERIOD,
        "slots_since": now - LONGEST_SLOT,
    }
    if shop_id is None:
        rows = await _CONTEXT_AT_TWO_SHOPS.rows(db, **values)
    else:
        rows = await _CONTEXT_AT_SHOP.rows(db, shop_id=shop_id, **values)
    if len(rows) != 1:
        return None
    (row,) = rows
    shop = shops.view_of(row)
    recent_orders, first_recent_at = row["recent_orders"]
    return OrderContext(
        shop=OrderShop(shop.id, shop.name, shop.address, shop.timezone, shop.email, shop.auto_accept),
        shop_version=row["shop_version"],
        work=shops.work_schedule_of(shop, row["used"]),
        open_orders=row["open_orders"],
        recent_orders=recent_orders,
        first_recent_at=first_recent_at,
        offers=await menu.offers_of(db, row),
    )


_UNACCEPTED: Final = (Order.status == OrderStatus.PLACED, Order.source == "app")


async def list_shops_with_unaccepted(session: AsyncSession, *, placed_before: datetime) -> list[UUID]:
    """Return the shops at which orders by app wait to be accepted since before this moment."""
    statement = select(Order.shop_id).where(*_UNACCEPTED, Order.created_at <= placed_before).distinct()
    return [*await session.scalars(statement.order_by(Order.shop_id))]


async def list_unaccepted_for_update(
    session: AsyncSession, *, shop_id: UUID, placed_before: datetime, limit: int
) -> list[Order]:
    """Lock a shop's orders by app that wait to be accepted since before this moment, without those locked by others."""
    statement = select(Order).where(*_UNACCEPTED, Order.shop_id == shop_id, Order.created_at <= placed_before)
    statement = statement.options(joinedload(Order.shop), joinedload(Order.customer), selectinload(Order.history))
    return [
        *await session.scalars(statement.order_by(Order.id).limit(limit).with_for_update(of=Order, skip_locked=True))
    ]


async def list_ready_for_update(session: AsyncSession, *, limit: int) -> list[Order]:
    """Lock orders that wait to be picked up, without those that are locked by others."""
    return list(
        await session.scalars(
            select(Order)
            .where(Order.status == OrderStatus.READY)
            .options(joinedload(Order.shop), selectinload(Order.history))
            .order_by(Order.id)
            .limit(limit)
            .with_for_update(of=Order, skip_locked=True)
        )
    )


# The live feed of orders: few columns of what changed, then the whole orders that are sent, once for all readers.

_VERSION: Final = (
    Order.id,
    Order.shop_id,
    Order.user_id,
    Order.changed_in,
    Order.start_at,
    Order.hidden_at.is_not(None).label("is_hidden"),
    Order.hidden_from_customer_at.is_not(None).label("is_hidden_from_customer"),
)
_SHOP_IDS: Final = bindparam("shop_ids", type_=ARRAY(Uuid))
_USER_IDS: Final = bindparam("user_ids", type_=ARRAY(Uuid))
_CHANGED: Final = Statement(
    select(*_VERSION)
    .where(
        changed_since(Order.changed_in, bindparam("since", type_=BigInteger)),
        Order.updated_at > func.now() - RECENT,
        or_(bindparam("everywhere", type_=Boolean), Order.shop_id == any_(_SHOP_IDS), Order.user_id == any_(_USER_IDS)),
    )
    .order_by(Order.changed_in, Order.id)
    .limit(bindparam("at_most", type_=Integer))
)


@dataclass(frozen=True, slots=True)
class FeedScope:
    """The shops and people whose orders a reading is about, or all."""

    shop_ids: Collection[UUID]
    user_ids: Collection[UUID]
    everywhere: bool


async def list_changed(db: Executor, *, scope: FeedScope, since: int, limit: int) -> list[OrderVersion]:
    """Return the orders that the transaction `since` or a later one wrote. Ids from before a restore don't count."""
    rows = await _CHANGED.rows(
        db,
        shop_ids=list(scope.shop_ids),
        user_ids=list(scope.user_ids),
        everywhere=scope.everywhere,
        since=since,
        at_most=limit,
    )
    return [OrderVersion(*row) for row in rows]


def _in_progress(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    statement = select(*_VERSION).where(IS_OPEN, *conditions)
    return statement.order_by(Order.start_at, Order.id).limit(BOARD_LIMIT)


def _boards(ids: BindParameter[Any], column_: InstrumentedAttribute[Any]) -> Statement:
    """Select the orders in progress of each shop, or of each person."""
    each = func.unnest(ids).table_valued(column("id", Uuid), name="each").render_derived()
    board = _in_progress(column_ == each.c.id).lateral("board")
    return Statement(select(*board.c).select_from(each.join(board, true())))


_BOARDS_OF_SHOPS: Final = _boards(_SHOP_IDS, Order.shop_id)
_BOARDS_OF_PEOPLE: Final = _boards(_USER_IDS, Order.user_id)
_BOARD_OF_ALL: Final = Statement(_in_progress())


async def list_boards(db: Executor, *, scope: FeedScope) -> list[OrderVersion]:
    """Return the orders in progress of each shop, of each person, and of the chain; BOARD_LIMIT of each.

    An order that belongs to several of them is returned once.
    """
    rows = await _BOARD_OF_ALL.rows(db) if scope.everywhere else []
    if scope.shop_ids:
        rows += await _BOARDS_OF_SHOPS.rows(db, shop_ids=list(scope.shop_ids))
    if scope.user_ids:
        rows += await _BOARDS_OF_PEOPLE.rows(db, user_ids=list(scope.user_ids))
    return [*{row["id"]: OrderVersion(*row) for row in rows}.values()]


_IDS: Final = bindparam("order_ids", type_=ARRAY(Uuid))
_ORDER_ROWS: Final = Statement(
    select(
        *(Order.id, Order.number, Order.status, Order.source, Order.user_id, Order.customer_name, Order.pickup_name),
        *(Order.pickup_at, Order.ready_estimate_at, Order.start_at, Order.subtotal, Order.discount, Order.total),
        *(Order.currency, Order.comment, Order.created_at, Order.updated_at, Order.payment_method),
        *(Order.payment_status, Order.hidden_at, Order.shop_id, Shop.name, Shop.address, Shop.timezone),
        *(User.name.label("person_name"), User.phone),
    )
    .join(Shop, Shop.id == Order.shop_id)
    .outerjoin(User, User.id == Order.user_id)
    .where(Order.id == any_(_IDS))
)
_LINE_ROWS: Final = Statement(
    select(
        *(OrderLine.order_id, OrderLine.id, OrderLine.product_id, OrderLine.name, OrderLine.size, OrderLine.options),
        *(OrderLine.note, OrderLine.quantity, OrderLine.contents, OrderLine.is_made, OrderLine.unit_price),
        OrderLine.total,
    )
    .where(OrderLine.order_id == any_(_IDS))
    .order_by(OrderLine.order_id, OrderLine.position)
)
_EVENT_ROWS: Final = Statement(
    select(
        *(OrderEvent.order_id, OrderEvent.status, OrderEvent.from_status, OrderEvent.actor_id, OrderEvent.actor_role),
        *(OrderEvent.reason, OrderEvent.changes, OrderEvent.created_at),
    )
    .where(OrderEvent.order_id == any_(_IDS))
    .order_by(OrderEvent.order_id, OrderEvent.id)
)


async def load_orders_out(db: Executor, *, order_ids: Collection[UUID]) -> dict[UUID, OrderOut]:
    """Return orders whole, as the staff of their shops see them, by id."""
    if not order_ids:
        return {}
    ids = list(order_ids)
    orders = await _ORDER_ROWS.rows(db, order_ids=ids)
    lines, history = defaultdict[UUID, list[Any]](list), defaultdict[UUID, list[Any]](list)
    for row in await _LINE_ROWS.rows(db, order_ids=ids):
        lines[row["order_id"]].append(dict(row))
    for row in await _EVENT_ROWS.rows(db, order_ids=ids):
        actor = {"id": row["actor_id"], "role": row["actor_role"]} if row["actor_id"] else None
        history[row["order_id"]].append(dict(row) | {"actor": actor})
    return {row["id"]: _order_out(row, lines=lines[row["id"]], history=history[row["id"]]) for row in orders}


def _order_out(row: asyncpg.Record, *, lines: list[Any], history: list[Any]) -> OrderOut:
    customer = {"id": row["user_id"], "name": row["person_name"], "phone": row["phone"]} if row["user_id"] else None
    return OrderOut.model_validate(
        dict(row)
        | {
            "shop": {"id": row["shop_id"], "name": row["name"], "address": row["address"], "timezone": row["timezone"]},
            "customer": customer,
            "is_asap": row["pickup_at"] is None,
            "promised_at": row["ready_estimate_at"],
            "is_hidden": row["hidden_at"] is not None,
            "payment": {"method": row["payment_method"], "status": row["payment_status"]},
            "lines": lines,
            "history": history,
        }
    )


# Orders as GET shows them.


@cache
def _list(reach: Reach, *, is_admin: bool) -> ListStatement:
    """Return the SELECT of the ids of visible orders, without hidden ones."""
    is_listed = true() if is_admin else Order.hidden_at.is_(None)
    is_kept = or_(Order.user_id.is_distinct_from(_ME), Order.hidden_from_customer_at.is_(None))
    return ListStatement(select(Order.id).where(_visible(reach), is_listed, is_kept))


@cache
def _visible_id(reach: Reach) -> Statement:
    return Statement(select(Order.id).where(Order.id == bindparam("order_id"), _visible(reach)))


async def list_orders(reader: Reader, *, actor: Actor, query: ListQuery) -> Page[OrderOut]:
    """Return a page of the orders that the actor may see, without those that they or an administrator have hidden."""
    page = await _list(actor.reach(READ_ORDERS), is_admin=actor.is_admin).page(reader, query, **_of_reader(actor))
    shown = await load_orders_out(reader, order_ids=[row["id"] for row in page.items])
    return page.map(lambda row: shown[row["id"]])


async def get_order_out(reader: Reader, *, order_id: UUID, actor: Actor) -> OrderOut:
    """Return a visible order as the staff of its shop see it. NotFoundError for any other."""
    await _require_visible(reader, order_id=order_id, actor=actor)
    return (await load_orders_out(reader, order_ids=[order_id]))[order_id]


async def _require_visible(reader: Reader, *, order_id: UUID, actor: Actor) -> None:
    await _visible_id(actor.reach(READ_ORDERS)).one(reader, order_id=order_id, **_of_reader(actor))


@dataclass(frozen=True, slots=True)
class EventView:
    """A move or an edit of an order as it is shown."""

    status: str
    from_status: str | None
    actor_id: UUID | None
    actor_role: str | None
    reason: str | None
    changes: list[Any] | None
    created_at: datetime

    @property
    def actor(self) -> Mapping[str, Any] | None:
        """The actor; None for the system."""
        return None if self.actor_id is None else {"id": self.actor_id, "role": self.actor_role}


_HISTORY: Final = ListStatement(
    select(*(getattr(OrderEvent, field.name) for field in fields(EventView))).where(
        OrderEvent.order_id == bindparam("order_id")
    )
)


async def list_history(reader: Reader, *, order_id: UUID, actor: Actor, query: ListQuery) -> Page[EventView]:
    """Return a page of the history of a visible order, oldest first. NotFoundError for any other order."""
    await _require_visible(reader, order_id=order_id, actor=actor)
    return (await _HISTORY.page(reader, query, order_id=order_id)).map(into(EventView))
