"""Tables of carts. A cart stores choices, never prices."""

from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, SmallInteger, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crema.db.base import Base, Created, Id, Updated


class Cart(Base):
    """A person's one cart, and the shop they mean to order at."""

    __tablename__ = "carts"

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    shop_id: Mapped[UUID | None] = mapped_column(ForeignKey("shops.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]


class CartItem(Base):
    """One configuration of one product. Equal configurations share a row: `configuration` is their digest.

    Size and options are kept by id without foreign keys, with their names from the moment of choosing: when the menu
    drops them the item stays, marked unavailable, instead of changing into something else.
    """

    __tablename__ = "cart_items"
    __table_args__ = (
        UniqueConstraint("cart_id", "configuration"),
        CheckConstraint("quantity BETWEEN 1 AND 50", "quantity"),
    )

    id: Mapped[Id]
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id", ondelete="CASCADE"))
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), index=True)
    size_id: Mapped[UUID | None]
    size_name: Mapped[str | None] = mapped_column(String(40))
    options: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    note: Mapped[str] = mapped_column(String(300), server_default="")
    quantity: Mapped[int] = mapped_column(SmallInteger)
    configuration: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[Created]
