"""Tables of shops and their week."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, Numeric, SmallInteger, String
from sqlalchemy.dialects.postgresql import INT4RANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crema.db.base import Base, Created, Id, Updated, fold, trigrams


class OpeningInterval(Base):
    """One stretch of opening in the shop's local week, in minutes from midnight of `weekday` (Monday is 0).

    `closes_minute` passes 1440 where the shop closes after midnight. Two of a shop never overlap; the wrap
    from Sunday into Monday is the domain's to check.
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


class Shop(Base):
    """A place to pick orders up. `timezone` is an IANA name; hours are its wall time."""

    __tablename__ = "shops"
    __table_args__ = (
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
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]

    opening_intervals: Mapped[list[OpeningInterval]] = relationship(
        lazy="raise",
        order_by="OpeningInterval.weekday, OpeningInterval.opens_minute",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )


# Every field that lists are filtered or sorted by has its index here; the id that ends every order is in them.
Index("ix_shops_name_folded", fold(Shop.name), Shop.id)
Index("ix_shops_is_active", Shop.is_active, Shop.id)
Index("ix_shops_created_at", Shop.created_at, Shop.id)
Index("ix_shops_updated_at", Shop.updated_at, Shop.id)
trigrams("ix_shops_slug_trgm", Shop.slug)
trigrams("ix_shops_name_trgm", Shop.name)
trigrams("ix_shops_address_trgm", Shop.address)
trigrams("ix_shops_timezone_trgm", Shop.timezone)
trigrams("ix_shops_phone_trgm", Shop.phone, where=Shop.phone.is_not(None))
trigrams("ix_shops_email_trgm", Shop.email, where=Shop.email.is_not(None))
