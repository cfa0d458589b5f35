"""Tables of orders. Lines hold copies of names and prices, because what was sold never changes."""

from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crema.accounts.models import User
from crema.db.base import Base, Created, Id, Money, Updated, case_folded, trigram_index
from crema.db.changes import ChangedIn
from crema.orders.domain import OrderStatus
from crema.shops.models import Shop

_SEARCH_TEXT = r"""
    name || E'\n' || note || E'\n' || coalesce(size ->> 'name', '') || E'\n' || replace(replace(
        coalesce(jsonb_path_query_array(options, '$[*].name')::text, '')
        || E'\n' || coalesce(jsonb_path_query_array(options, '$[*].group')::text, '')
        || E'\n' || coalesce(jsonb_path_query_array(contents, '$.ingredients[*].name')::text, ''),
    '\"', '"'), '\\', '\')
"""
_STATUSES = ", ".join(f"'{status}'" for status in OrderStatus)


class OrderNumberCounter(Base):
    """The last number given at a shop for one of its days of pick-up."""

    __tablename__ = "order_number_counters"

    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True)
    business_date: Mapped[date] = mapped_column(primary_key=True)
    last: Mapped[int]


class OrderStock(Base):
    """The pieces of a product that an order has taken from its shop's stock. Giving them back deletes the row."""

    __tablename__ = "order_stocks"
    __table_args__ = (CheckConstraint("quantity > 0", "quantity"),)

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True)
    product_id: Mapped[UUID] = mapped_column(
        ForeignKey("products.id", ondelete="RESTRICT"), primary_key=True, index=True
    )
    quantity: Mapped[int]


class OrderLine(Base):
    """One configured product of an order. `product_id` is a copy, not a reference: the menu may drop it.

    `contents` is what the product contained when it was sold; None for lines that are older than this column.
    `search_text` has all texts of the line that people read, each on a line of its own.
    """

    __tablename__ = "order_lines"
    __table_args__ = (
        UniqueConstraint("order_id", "position"),
        CheckConstraint("quantity BETWEEN 1 AND 50", "quantity"),
        CheckConstraint("unit_price >= 0 AND total = unit_price * quantity", "total"),
    )

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id", ondelete="RESTRICT"))
    position: Mapped[int] = mapped_column(SmallInteger)
    product_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(120))
    size: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    options: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    note: Mapped[str] = mapped_column(String(300), server_default="")
    quantity: Mapped[int] = mapped_column(SmallInteger)
    preparation_seconds: Mapped[int] = mapped_column(server_default="0")
    contents: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    is_made: Mapped[bool] = mapped_column(server_default="false")
    unit_price: Mapped[Money]
    total: Mapped[Money]
    search_text: Mapped[str] = mapped_column(Text, Computed(_SEARCH_TEXT, persisted=True), deferred=True)


class SlotBooking(Base):
    """Seconds of work that an order has booked in a slot of its shop. They are given back when it is cancelled."""

    __tablename__ = "slot_bookings"
    __table_args__ = (
        ForeignKeyConstraint(["shop_id", "starts_at"], ["work_slots.shop_id", "work_slots.starts_at"]),
        CheckConstraint("seconds > 0", "seconds"),
        Index("ix_slot_bookings_shop_id_starts_at", "shop_id", "starts_at"),
    )

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id", ondelete="RESTRICT"), primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    shop_id: Mapped[UUID]
    seconds: Mapped[int]


class OrderEvent(Base):
    """A move or an edit of an order: the actor, both statuses and the time. Rows are only added.

    An edit leaves the status as it is; `changes` lists what it changed, as {field, before, after}.
    """

    __tablename__ = "order_events"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", "status"),
        Index("ix_order_events_order_id", "order_id"),
    )

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id", ondelete="RESTRICT"))
    from_status: Mapped[str | None] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20))
    actor_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"), index=True)
    actor_role: Mapped[str] = mapped_column(String(60))
    reason: Mapped[str | None] = mapped_column(String(300))
    changes: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[Created]

    @property
    def actor(self) -> dict[str, Any] | None:
        """The actor; None for the system."""
        return {"id": self.actor_id, "role": self.actor_role} if self.actor_id else None


class Order(Base):
    """An order. Its row is never deleted.

    `hidden_at` takes it off all lists but administrators', `hidden_from_customer_at` off the customer's.

    `business_date` is the shop's day of pick-up. `number` is unique on that day, and among the shop's orders in
    progress; it stays when the order moves to another day, unless it is taken there.

    An order that was taken at the counter has no account but a `customer_name`, which becomes '' when it is erased.
    `pickup_name` is the name to call, wherever it was ordered. It is erased with the account or `customer_name`.

    `quote_id` is the quote by which it was ordered. A quote is valid for one order.

    `ready_estimate_at` is the promised time, `start_at` the time at which it has to be begun for that.

    `changed_in` is the id of the transaction that wrote it last. Live feeds resume by it.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("shop_id", "business_date", "number"),
        CheckConstraint(f"status IN ({_STATUSES})", "status"),
        CheckConstraint("payment_method IN ('on_pickup')", "payment_method"),
        CheckConstraint("payment_status IN ('pending', 'paid', 'refunded', 'cancelled')", "payment_status"),
        CheckConstraint("source IN ('app', 'counter')", "source"),
        CheckConstraint("(source = 'app') = (user_id IS NOT NULL)", "customer"),
        CheckConstraint("(source = 'counter') = (customer_name IS NOT NULL)", "customer_name"),
        CheckConstraint("discount BETWEEN 0 AND subtotal AND total = subtotal - discount", "total"),
    )

    id: Mapped[Id]
    number: Mapped[str] = mapped_column(String(12))
    business_date: Mapped[date]
    status: Mapped[str] = mapped_column(String(20), server_default="placed")
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="RESTRICT"))
    source: Mapped[str] = mapped_column(String(10), server_default="app")
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    customer_name: Mapped[str | None] = mapped_column(String(40))
    pickup_name: Mapped[str | None] = mapped_column(String(40))
    pickup_at: Mapped[datetime | None]
    quote_id: Mapped[UUID | None] = mapped_column(unique=True)
    ready_estimate_at: Mapped[datetime]
    start_at: Mapped[datetime]
    comment: Mapped[str] = mapped_column(server_default="")
    payment_method: Mapped[str] = mapped_column(String(20), server_default="on_pickup")
    payment_status: Mapped[str] = mapped_column(String(20), server_default="pending")
    subtotal: Mapped[Money]
    discount: Mapped[Money] = mapped_column(server_default="0")
    total: Mapped[Money]
    currency: Mapped[str] = mapped_column(String(3))
    hidden_at: Mapped[datetime | None]
    hidden_from_customer_at: Mapped[datetime | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]
    changed_in: Mapped[ChangedIn]

    shop: Mapped[Shop] = relationship(lazy="raise")
    customer: Mapped[User | None] = relationship(lazy="raise")
    lines: Mapped[list[OrderLine]] = relationship(
        lazy="raise", order_by="OrderLine.position", cascade="all, delete-orphan"
    )
    history: Mapped[list[OrderEvent]] = relationship(lazy="raise", order_by="OrderEvent.id")

    @property
    def is_hidden(self) -> bool:
        """Whether only administrators have the order on their lists."""
        return self.hidden_at is not None

    @property
    def is_asap(self) -> bool:
        """Whether the order is for as soon as possible, without a pick-up time."""
        return self.pickup_at is None

    @property
    def promised_at(self) -> datetime:
        """The time by which the order is promised to be ready."""
        return self.ready_estimate_at

    @property
    def work(self) -> timedelta:
        """How long one barista needs to make the order. Its lines have to be loaded."""
        return timedelta(seconds=sum(line.preparation_seconds * line.quantity for line in self.lines))

    @property
    def payment(self) -> dict[str, str]:
        """The method and the status of the payment."""
        return {"method": self.payment_method, "status": self.payment_status}


IS_OPEN: Final = Order.status.in_(
    [
        literal_column("'accepted'"),
        literal_column("'placed'"),
        literal_column("'preparing'"),
        literal_column("'ready'"),
    ]
)
"""In progress, which is `domain.OPEN`. Written out, so that PostgreSQL sees that the index of open numbers serves."""
WANTED_AT: Final = func.coalesce(Order.pickup_at, Order.created_at)
"""The moment an order is wanted at; as soon as possible is when it was placed."""

Index("uq_orders_shop_id_number_open", Order.shop_id, Order.number, unique=True, postgresql_where=IS_OPEN)
Index("ix_orders_user_id_created_at_id", Order.user_id, Order.created_at, Order.id)
Index("ix_orders_shop_id_created_at_id", Order.shop_id, Order.created_at, Order.id)
Index("ix_orders_shop_id_wanted_at", Order.shop_id, WANTED_AT)
Index("ix_orders_created_at_id", Order.created_at, Order.id)
Index("ix_orders_updated_at_id", Order.updated_at, Order.id)
Index("ix_orders_changed_in", Order.changed_in)
Index("ix_orders_ready_estimate_at_id", Order.ready_estimate_at, Order.id)
Index("ix_orders_start_at_id", Order.start_at, Order.id)
Index("ix_orders_pickup_at", Order.pickup_at, postgresql_where=Order.pickup_at.is_not(None))
Index("ix_orders_total_id", Order.total, Order.id)
Index("ix_orders_status_created_at_id", Order.status, Order.created_at, Order.id)
Index("ix_orders_payment_status", Order.payment_status)
Index("ix_orders_hidden", Order.created_at, Order.id, postgresql_where=Order.hidden_at.is_not(None))
Index("ix_orders_source", Order.source)
Index("ix_orders_customer_name_to_erase", Order.created_at, postgresql_where=Order.customer_name != "")
trigram_index("ix_orders_pickup_name_trgm", Order.pickup_name, where=Order.pickup_name.is_not(None))
trigram_index("ix_orders_customer_name_trgm", Order.customer_name, where=Order.customer_name.is_not(None))
Index("ix_order_lines_product_id", OrderLine.product_id)
trigram_index("ix_order_lines_name_trgm", OrderLine.name)
trigram_index("ix_order_lines_search_text_trgm", OrderLine.search_text)
trigram_index("ix_order_events_reason_trgm", OrderEvent.reason, where=OrderEvent.reason.is_not(None))
Index("ix_orders_number_folded", case_folded(Order.number))
trigram_index("ix_orders_number_trgm", Order.number)
Index("ix_orders_comment_folded", case_folded(Order.comment), Order.id)
trigram_index("ix_orders_comment_trgm", Order.comment)
