"""Tables of shops, their opening hours, their special days and their booked work."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import INT4RANGE, JSONB, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crema.db.base import Base, Created, Id, Updated, case_folded, trigram_index
from crema.shops.domain import DEFAULT_SLOT_MINUTES, LEAD_SECONDS, MAX_SECONDS_PER_SLOT, SLOT_MINUTES, ShopState


class OpeningInterval(Base):
    """An opening period of the shop's local week, in minutes from midnight of `weekday` (Monday is 0).

    `closes_minute` is more than 1440 if the shop closes after midnight. Those of a shop never overlap. The constraint
    doesn't see Sunday's last period reach into Monday; the domain checks that.
    """

    __tablename__ = "opening_intervals"
    __table_args__ = (
        CheckConstraint("weekday BETWEEN 0 AND 6", "weekday"),
        CheckConstraint("opens_minute BETWEEN 0 AND 1439", "opens_minute"),
        CheckConstraint("closes_minute > opens_minute AND closes_minute <= opens_minute + 1440", "closes_minute"),
        ExcludeConstraint(("shop_id", "="), ("week_minutes", "&&"), name="no_overlap", using="gist"),
    )

    id: Mapped[Id]
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), index=True)
    weekday: Mapped[int] = mapped_column(SmallInteger)
    opens_minute: Mapped[int] = mapped_column(SmallInteger)
    closes_minute: Mapped[int] = mapped_column(SmallInteger)
    week_minutes: Mapped[Range[int]] = mapped_column(
        INT4RANGE,
        Computed("int4range(weekday * 1440 + opens_minute, weekday * 1440 + closes_minute)", persisted=True),
    )


class SpecialInterval(Base):
    """An opening period of a special day, in minutes from its midnight, as in `OpeningInterval`."""

    __tablename__ = "special_intervals"
    __table_args__ = (
        CheckConstraint("opens_minute BETWEEN 0 AND 1439", "opens_minute"),
        CheckConstraint("closes_minute > opens_minute AND closes_minute <= opens_minute + 1440", "closes_minute"),
        ExcludeConstraint(("special_day_id", "="), ("minutes", "&&"), name="no_overlap_of_day", using="gist"),
    )

    id: Mapped[Id]
    special_day_id: Mapped[UUID] = mapped_column(ForeignKey("special_days.id", ondelete="CASCADE"), index=True)
    opens_minute: Mapped[int] = mapped_column(SmallInteger)
    closes_minute: Mapped[int] = mapped_column(SmallInteger)
    minutes: Mapped[Range[int]] = mapped_column(
        INT4RANGE, Computed("int4range(opens_minute::integer, closes_minute::integer)", persisted=True)
    )


class SpecialDay(Base):
    """A date on which a shop has other hours than in its week; without any hours it is closed."""

    __tablename__ = "special_days"
    __table_args__ = (UniqueConstraint("shop_id", "date"),)

    id: Mapped[Id]
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"))
    date: Mapped[date]
    takes_orders_ahead: Mapped[bool] = mapped_column(server_default="true")
    note: Mapped[str] = mapped_column(String(200), server_default="")

    hours: Mapped[list[SpecialInterval]] = relationship(
        lazy="raise", order_by="SpecialInterval.opens_minute", cascade="all, delete-orphan", passive_deletes=True
    )


class Shop(Base):
    """A place where orders are picked up. `timezone` is an IANA name; opening hours are local times of this zone.

    `state`, `delay_minutes` and `state_until` are the status that staff have set last. It may have ended.

    `seconds_per_slot` is how much work fits into a slot of `slot_minutes`; NULL is no limit. `capacity_exceptions` are
    lists of [weekday, begin, end, seconds_per_slot], in minutes from midnight, as in `OpeningInterval`.
    """

    __tablename__ = "shops"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'busy', 'paused')", "state"),
        CheckConstraint("(state = 'busy') = (delay_minutes IS NOT NULL)", "delay"),
        CheckConstraint("delay_minutes BETWEEN 1 AND 240", "delay_minutes"),
        CheckConstraint("state <> 'open' OR state_until IS NULL", "state_until"),
        CheckConstraint("lead_seconds BETWEEN 0 AND 86400", "lead_seconds"),
        CheckConstraint("last_order_minutes BETWEEN 0 AND 1440", "last_order_minutes"),
        CheckConstraint(f"slot_minutes IN {SLOT_MINUTES}", "slot_minutes"),
        CheckConstraint(f"seconds_per_slot BETWEEN 0 AND {MAX_SECONDS_PER_SLOT}", "seconds_per_slot"),
        CheckConstraint("latitude BETWEEN -90 AND 90", "latitude"),
        CheckConstraint("longitude BETWEEN -180 AND 180", "longitude"),
        CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", "coordinates"),
    )

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    address: Mapped[str] = mapped_column(String(300))
    latitude: Mapped[Decimal | None] = mapped_column(Numeric(8, 6))
    longitude: Mapped[Decimal | None] = mapped_column(Numeric(9, 6))
    phone: Mapped[str | None] = mapped_column(String(20))
    email: Mapped[str | None] = mapped_column(String(254))
    timezone: Mapped[str] = mapped_column(String(60))
    is_active: Mapped[bool] = mapped_column(server_default="true")
    state: Mapped[str] = mapped_column(String(6), server_default=ShopState.OPEN.value)
    delay_minutes: Mapped[int | None] = mapped_column(SmallInteger)
    state_until: Mapped[datetime | None]
    lead_seconds: Mapped[int] = mapped_column(Integer, server_default=str(LEAD_SECONDS))
    last_order_minutes: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    slot_minutes: Mapped[int] = mapped_column(SmallInteger, server_default=str(DEFAULT_SLOT_MINUTES))
    seconds_per_slot: Mapped[int | None]
    capacity_exceptions: Mapped[list[Any]] = mapped_column(JSONB, server_default="[]")
    auto_accept: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]

    opening_intervals: Mapped[list[OpeningInterval]] = relationship(
        lazy="raise",
        order_by="OpeningInterval.weekday, OpeningInterval.opens_minute",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )
    special_days: Mapped[list[SpecialDay]] = relationship(
        lazy="raise", order_by="SpecialDay.date", cascade="all, delete-orphan", passive_deletes=True
    )


class WorkSlot(Base):
    """How many seconds of work orders have booked at a shop in a slot. A slot without a row has none.

    The limit is in the shop's capacity. The statement that books compares with it.
    """

    __tablename__ = "work_slots"
    __table_args__ = (CheckConstraint("used_seconds >= 0", "used_seconds"),)

    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    used_seconds: Mapped[int]


# Every field by which lists are filtered or sorted has an index here. Orders end with the id, so the indexes do, too.
Index("ix_shops_name_folded", case_folded(Shop.name), Shop.id)
Index("ix_shops_is_active", Shop.is_active, Shop.id)
Index("ix_shops_created_at", Shop.created_at, Shop.id)
Index("ix_shops_updated_at", Shop.updated_at, Shop.id)
trigram_index("ix_shops_slug_trgm", Shop.slug)
trigram_index("ix_shops_name_trgm", Shop.name)
trigram_index("ix_shops_address_trgm", Shop.address)
trigram_index("ix_shops_timezone_trgm", Shop.timezone)
trigram_index("ix_shops_phone_trgm", Shop.phone, where=Shop.phone.is_not(None))
trigram_index("ix_shops_email_trgm", Shop.email, where=Shop.email.is_not(None))
trigram_index("ix_special_days_note_trgm", SpecialDay.note)
