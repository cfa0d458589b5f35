"""Tables of carts. A cart stores choices, never prices."""

from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, SmallInteger, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crema.db.base import Base, Created, Id, Updated


class Cart(Base):
    """The cart of a person, and the shop at which they want to order."""

    __tablename__ = "carts"

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    shop_id: Mapped[UUID | None] = mapped_column(ForeignKey("shops.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]


class CartItem(Base):
    """One configuration of one product. Equal configurations share a row: `configuration` is their digest.

    Size and options are stored as ids without foreign keys, with their names at the time of choosing. If the menu
    drops one of them, the item stays and is marked as unavailable. It doesn't change into something else.
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
